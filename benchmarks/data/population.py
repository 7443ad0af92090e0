"""Views with made-up distributions, by the engine's own SQL: the same number gives the same view on any machine.

As an installation has them: views that ended before the last OPEN_S are finished, the others are open, one row each.
They are finished by the expressions of the job without its merge, which would take most of the time. 20 workspaces, of
which the largest has four views in ten.
"""

import contextlib
import uuid

from fastpix_server.base import errors
from fastpix_server.views import reading, schema
from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.finished import columns_ddl

WORKSPACES = 20
LARGEST = str(uuid.UUID(int=1))
DAYS = 30
VIDEOS = 5_000
VIEWERS = 300_000
# One statement's memory: 110 columns of so many rows.
PIECE = 100_000
# Views that ended lately: an hour of silence and the time that finishing waits, rounded up.
OPEN_S = 7200
_DAY_S = 86_400
_MADE = "made_views"
_STATEMENT_S = 450.0
# Blocks of half a million rows, as they are: no view is there twice.
_QUICKLY = (
    "SETTINGS optimize_on_insert = 0, max_insert_threads = 2, min_insert_block_size_rows = 500000,"
    f" min_insert_block_size_bytes = 2000000000, max_execution_time = {_STATEMENT_S:.0f}"
)

_BROWSERS = ("Chrome", "Safari", "Firefox", "Edge", "Samsung Internet", "Opera")
_SYSTEMS = ("Windows", "macOS", "iOS", "Android", "Linux", "tvOS", "Tizen", "webOS")
_PLACES = (
    "AS\tIN\tIndia", "NA\tUS\tUnited States", "EU\tDE\tGermany", "EU\tGB\tUnited Kingdom", "EU\tFR\tFrance",
    "SA\tBR\tBrazil", "AS\tJP\tJapan", "NA\tCA\tCanada", "OC\tAU\tAustralia", "EU\tES\tSpain", "EU\tIT\tItaly",
    "EU\tNL\tNetherlands", "EU\tSE\tSweden", "EU\tPL\tPoland", "NA\tMX\tMexico", "AS\tKR\tSouth Korea",
)  # fmt: skip


async def fill(clickhouse: ClickHouse, views: int, end_s: int, *, copies: int = 1) -> None:
    """`views` views that end evenly over the DAYS before `end_s`. With `copies` one part of them is computed, and the
    others are that part again, earlier and under other ids: quicker, and as new to the engine. Merges wait for the end
    (merge()): they would rewrite everything several times."""
    own, days = views // copies, DAYS / copies
    opened = int(own * OPEN_S / (days * _DAY_S))
    await clickhouse.command(f"SYSTEM STOP MERGES {schema.FINISHED}")
    await clickhouse.command(f"CREATE TABLE {_MADE} AS {schema.ROWS} ENGINE = Memory")
    for first in range(0, own - opened, PIECE):
        which = range(first, min(first + PIECE, own - opened))
        await _insert(clickhouse, _MADE, which, own, end_s, days)
        await _finish(clickhouse)
        await clickhouse.command(f"TRUNCATE TABLE {_MADE}")
    await clickhouse.command(f"DROP TABLE {_MADE}")
    for copy in range(1, copies):
        await _copy(clickhouse, copy, int(copy * days * _DAY_S))
    await _insert(clickhouse, schema.ROWS, range(own - opened, own), own, end_s, days)


async def merge(clickhouse: ClickHouse) -> None:
    """What the background does some day: a month becomes one part."""
    await clickhouse.command(f"SYSTEM START MERGES {schema.FINISHED}")
    found = await clickhouse.rows(
        f"SELECT DISTINCT partition_id AS id FROM system.parts WHERE active AND table = '{schema.FINISHED}'"
    )
    for row in found:
        # A larger month takes longer than the engine lets a statement run: then it is measured in several parts.
        with contextlib.suppress(errors.Unavailable):
            await clickhouse.command(
                f"OPTIMIZE TABLE {schema.FINISHED} PARTITION ID '{row['id']}' FINAL"
                f" SETTINGS max_execution_time = {_STATEMENT_S:.0f}",
                timeout_s=_STATEMENT_S,
            )


async def _finish(clickhouse: ClickHouse) -> None:
    values = ", ".join(columns_ddl())
    await clickhouse.command(
        f"INSERT INTO {schema.FINISHED} (workspace_id, view_id, covers, {values}) {_QUICKLY}"
        f" SELECT workspace_id, view_id, 1, {values} FROM ({reading.finished_of(_MADE)})",
        timeout_s=_STATEMENT_S,
    )


async def _copy(clickhouse: ClickHouse, copy: int, earlier_s: int) -> None:
    shift = f"toIntervalSecond({earlier_s})"
    times = ("view_start", "last_event_at", "received_first_at", "received_last_at")
    changed = ", ".join(
        [
            f"reinterpretAsUUID(sipHash128(view_id, {copy})) AS view_id",
            "0 AS covers",  # marks a copy
            f"arrayMap(p -> (p.1 - {shift}, p.2), bitrates) AS bitrates",
            *(f"{name} - {shift} AS {name}" for name in times),
        ]
    )
    await clickhouse.command(
        # In a SELECT of its own: a name in WHERE would mean the changed value.
        f"INSERT INTO {schema.FINISHED} {_QUICKLY}"
        f" SELECT * REPLACE ({changed}) FROM (SELECT * FROM {schema.FINISHED} WHERE covers > 0)",
        timeout_s=_STATEMENT_S,
    )


async def _insert(clickhouse: ClickHouse, table: str, which: range, total: int, end_s: int, days: float) -> None:
    columns = {**_KEYS, **_columns(total, end_s, days)}
    names, values = ", ".join(columns), ", ".join(f"{value} AS {name}" for name, value in columns.items())
    source = f"(SELECT number AS n FROM numbers({which.start}, {len(which)}))"
    await clickhouse.command(f"INSERT INTO {table} ({names}) SELECT {values} FROM {source}", timeout_s=_STATEMENT_S)


def _hash(salt: int, below: int) -> str:
    return f"(cityHash64(n, {salt}) % {below})"


def _pick(salt: int, values: tuple[str, ...]) -> str:
    """The first ones more often than the last."""
    quoted = ", ".join("'" + value.replace("\t", "\\t") + "'" for value in values)
    share = f"pow({_hash(salt, 10_000)} / 10000., 1.7)"
    return f"arrayElement([{quoted}], toUInt32(1 + floor({len(values)} * {share})))"


def _named(salt: int, prefix: str, below: int) -> str:
    return f"concat('{prefix}', toString(toUInt32({below} * pow({_hash(salt, 100_000)} / 100000., 2))))"


def _last(text: str) -> str:
    """As schema.pack_last."""
    return f"concat('00000024', {text})"


# Powers of uniform numbers: the largest workspace has 0.4 of the views.
_WORKSPACE = (
    "toUUID(concat('00000000-0000-0000-0000-', leftPad(lower(hex(toUInt32(1 + least("
    f"{WORKSPACES - 1}, toUInt32(floor({WORKSPACES} * pow({_hash(1, 10_000)} / 10000., 3.27))))))), 12, '0')))"
)
_KEYS = {"workspace_id": _WORKSPACE, "view_id": "reinterpretAsUUID(sipHash128(n))", "hour": ""}


def _columns(total: int, end_s: int, days: float) -> dict[str, str]:
    span_ms = int(days * _DAY_S * 1000)
    end = f"fromUnixTimestamp64Milli(toInt64({end_s * 1000 - span_ms} + intDiv(n * {span_ms}, {total})), 'UTC')"
    watch = f"(5000 + {_hash(2, 600_000)} * {_hash(3, 1000)} / 1000)"
    stops = f"greatest(0, toInt64({_hash(4, 20)}) - 16)"
    failed, left = f"({_hash(5, 100)} < 2)", f"({_hash(5, 100)} BETWEEN 2 AND 4)"
    video = f"toUInt32({VIDEOS} * pow({_hash(6, 100_000)} / 100000., 3))"
    viewer = f"toString({_hash(7, VIEWERS)})"
    played = f"NOT {left} AND NOT ({failed} AND n % 2 = 0)"
    return {
        "hour": f"toStartOfHour({end})",
        "view_start": f"{end} - toIntervalMillisecond(toInt64({watch}))",
        "last_event_at": end,
        "received_first_at": f"{end} - toIntervalMillisecond(toInt64({watch}))",
        "received_last_at": end,
        "is_completed": "true",
        "has_played": f"if({played}, true, NULL)",
        "has_error": f"if({failed}, true, NULL)",
        "given_viewer_id": f"concat('viewer-', {viewer})",
        "fp_viewer_id": f"lower(hex(sipHash128({viewer})))",
        "session_id": "lower(hex(sipHash128(intDiv(n, 2), 1)))",
        "player_instance_id": "lower(hex(sipHash128(n, 2)))",
        "sub_property_id": _pick(8, ("", "x", "y", "z")),
        "sample_number": f"{_hash(9, 10_000)} / 10000.",
        "ip_address": _last(f"concat('203.0.', toString({_hash(10, 255)}), '.', toString({_hash(11, 255)}))"),
        "place": f"concat('', '\\t', {_named(12, 'AS ', 300)}, '\\t', {_pick(13, _PLACES)}, '\\t',"
        f" {_named(14, 'region ', 200)}, '\\t', {_named(15, 'city ', 1500)}, '\\t\\t')",
        "detected_browser_name": _pick(16, _BROWSERS),
        "detected_browser_version": f"toString(90 + {_hash(17, 60)})",
        "detected_os_name": _pick(18, _SYSTEMS),
        "detected_os_version": f"toString(8 + {_hash(19, 11)})",
        "detected_device_name": _named(20, "device ", 80),
        "detected_device_manufacturer": _pick(21, ("Apple", "Samsung", "Google", "LG", "Sony", "Xiaomi", "Dell", "HP")),
        "detected_device_type": _pick(22, ("Desktop", "Mobile", "Tablet", "TV")),
        "connection_type": _pick(23, ("wifi", "4g", "5g", "wired")),
        "page_url": _last(f"concat('https://', {_named(24, 'site', 50)}, '.example/watch/', toString({video}))"),
        "page_load_time": f"toInt64(200 + {_hash(25, 2000)})",
        "player_name": _pick(26, ("web", "ios", "android", "tv")),
        "player_version": f"concat('1.', toString({_hash(27, 20)}))",
        "player_software_name": _pick(28, ("hls.js", "shaka-player", "html5")),
        "player_software_version": f"concat('2.', toString({_hash(29, 20)}))",
        "fp_sdk": "'fastpix-hls-monitoring'",
        "fp_sdk_version": f"concat('1.0.', toString({_hash(30, 10)}))",
        "player_init_time": f"toInt64({_hash(31, 300)})",
        "player_width": _last(f"toString(320 + 64 * {_hash(32, 20)})"),
        "player_height": _last(f"toString(180 + 36 * {_hash(32, 20)})"),
        "player_autoplay_on": f"{_hash(33, 3)} = 0",
        "player_preload_on": f"{_hash(34, 3)} > 0",
        "error_code": f"if({failed}, {_last(_pick(35, ('networkError', 'mediaError', 'keySystemError')))}, '')",
        "error_message": f"if({failed}, {_last(_pick(36, ('fragLoadError', 'bufferAppendError')))}, '')",
        "given_video_id": f"concat('video-', toString({video}))",
        "media_id": f"lower(hex(sipHash128({video}, 3)))",
        "fp_playback_id": f"lower(hex(sipHash128({video}, 4)))",
        "video_title": _last(f"concat('Title of video ', toString({video}))"),
        "video_series": _named(37, "series ", 100),
        "video_source_duration": _last(f"toString(60000 + 1000 * {_hash(38, 3600)})"),
        "video_source_url": _last(f"concat('https://stream.example/', lower(hex(sipHash128({video}, 4))), '.m3u8')"),
        "video_source_domain": _last("'stream.example'"),
        "video_source_hostname": _last("'stream.example'"),
        "video_source_type": _pick(39, ("hls", "dash", "mp4")),
        "video_source_stream_type": _pick(40, ("on-demand", "live")),
        "video_source_width": _last("'1280'"),
        "video_source_height": _last("'720'"),
        "video_source_fps": _last("'25'"),
        "video_source_codec": _last(_pick(41, ("avc1.64001f", "hvc1.1.6.L93.B0", "av01.0.05M.08"))),
        "detected_cdn": _pick(42, ("fastly", "cloudflare", "akamai", "origin")),
        "bitrates": f"[({end} - toIntervalMillisecond(toInt64({watch})), toUInt64(900000)),"
        f" ({end} - toIntervalMillisecond(toInt64({watch} / 2)), toUInt64(1000000 * (1 + {_hash(43, 4)})))]",
        "watch_time": f"toInt64({watch})",
        "video_startup_time": f"if({played}, toInt64(100 + {_hash(44, 40)} * {_hash(45, 100)}), NULL)",
        "content_playback_time": f"toInt64({watch} * 0.9)",
        "total_content_playback_time": f"toInt64({watch} * 0.88)",
        "max_playhead_position": f"toInt64({watch})",
        "buffer_count": f"toInt64({stops})",
        "buffer_fill": f"toInt64({stops} * {_hash(46, 3000)})",
        "seeked_count": f"toInt64({_hash(47, 4)})",
        "seeked_duration": f"toInt64({_hash(47, 4)} * {_hash(48, 500)})",
        "max_upscaling": f"{_hash(49, 1000)} / 1000.",
        "max_downscaling": f"{_hash(50, 700)} / 1000.",
        "total_upscaling": f"{watch} * {_hash(49, 1000)} / 2000.",
        "total_downscaling": f"{watch} * {_hash(50, 700)} / 2000.",
        "dropped_frame_count": f"toInt64({_hash(51, 30)})",
        "request_count": f"toInt64({watch} / 4000)",
        "request_failed_count": f"toInt64({_hash(52, 50)} = 0)",
        "avg_request_throughput": _last(f"toString(1000000 + {_hash(53, 50_000_000)})"),
        "avg_request_latency": _last(f"toString({_hash(54, 300)})"),
        "max_request_latency": f"toFloat64({_hash(54, 300)} * 3)",
        **{f"custom_{i}": _named(54 + i, "value ", 30) for i in range(1, 4)},
    }
