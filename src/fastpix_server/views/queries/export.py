"""Single views as a file: `/data/export/views`, ours beyond the contract. CSV is streamed, Parquet comes in one piece.

Invariants: only views that are over, so that none moves while the file is written; memory is bounded by PIECE_VIEWS
rows of CSV, or by PARQUET_MAX_VIEWS; the number of views is checked before the first byte. A long span is read in
windows of time, each asked for alone: a piece then reads the rows of its own hours and not those of the whole span.
"""

import csv
import dataclasses
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol

from fastpix_server.base.errors import FieldError, Invalid
from fastpix_server.views import dimensions, spans
from fastpix_server.views.queries.selection import Rows, Selection, Value
from fastpix_server.views.spans import Span

# 100 columns of JSON each: about 30 MB in the making.
PIECE_VIEWS = 10_000
# About 500 MB of CSV; more is a copy of the database, for which ClickHouse has better tools.
CSV_MAX_VIEWS = 1_000_000
# About 20 MB, and one statement's time.
PARQUET_MAX_VIEWS = 100_000
PARQUET_TIMEOUT_S = 60.0
_HOUR_S = 3600

MEASURES = (
    "error_message",
    "city",
    "video_duration",
    "watch_time",
    "playing_time",
    "content_playback_time",
    "page_load_time",
    "player_init_time",
    "video_startup_time",
    "total_startup_time",
    "buffer_count",
    "buffer_fill",
    "buffer_ratio",
    "buffer_frequency",
    "seeked_count",
    "seeked_duration",
    "jump_latency",
    "average_bitrate",
    "avg_upscaling",
    "avg_downscaling",
    "max_upscaling",
    "max_downscaling",
    "dropped_frame_count",
    "request_count",
    "request_failed_count",
    "live_stream_latency",
    "startup_score",
    "stability_score",
    "render_quality_score",
    "playback_score",
    "quality_of_experience_score",
)
# Names and order are part of the interface: new ones are added at the end.
HEADER = ("view_id", "view_start", "view_end", *dimensions.DIMENSIONS, *MEASURES)
_STORED = tuple(dict.fromkeys([*map(dimensions.column_of, dimensions.DIMENSIONS), *MEASURES, "is_ended"]))
# Spreadsheets take a cell that begins so for a formula, and beacons come from anybody.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Files(Rows, Protocol):
    """What also answers in ClickHouse's own formats."""

    async def raw(
        self, sql: str, parameters: Mapping[str, Value] | None = None, *, format: str, timeout_s: float = 30.0
    ) -> bytes: ...


async def csv_pieces(asking: Rows, selection: Selection) -> AsyncIterator[bytes]:
    """Checks the size before the first piece, which is the header. Raises errors.Invalid for too many views."""
    selection = await selection.located(asking)
    windows = await _windows(asking, selection, CSV_MAX_VIEWS)
    yield _lines([HEADER])
    for span in windows:
        after_ms, after_id = 0, ""
        while True:
            rows = await _piece(asking, dataclasses.replace(selection, span=span), after_ms, after_id)
            if rows:
                yield _lines(_cells(row) for row in rows)
            if len(rows) < PIECE_VIEWS:
                break
            after_ms, after_id = rows[-1]["end_ms"], rows[-1]["view_id"]


async def parquet(asking: Files, selection: Selection) -> bytes:
    """Raises errors.Invalid for too many views."""
    selection = await selection.located(asking)
    await _windows(asking, selection, PARQUET_MAX_VIEWS)
    return await asking.raw(
        f"SELECT {_columns()} FROM ({selection.views(_STORED, 'is_ended')})"  # noqa: S608 - our own names
        " ORDER BY view_end, view_id",
        selection.parameters,
        format="Parquet",
        timeout_s=PARQUET_TIMEOUT_S,
    )


async def _windows(asking: Rows, selection: Selection, most: int) -> list[Span]:
    """Parts of the span, in order: whole hours together while they hold at most PIECE_VIEWS; hours without a view are
    left out. Raises errors.Invalid when there are more than `most` views."""
    counted = await asking.rows(
        "SELECT intDiv(toUnixTimestamp64Milli(view_end), {hour_ms:Int64}) AS hour, count() AS views"  # noqa: S608
        f" FROM ({selection.views(['is_ended'], 'is_ended')}) GROUP BY hour ORDER BY hour",
        {**selection.parameters, "hour_ms": _HOUR_S * 1000},
    )
    total = sum(row["views"] for row in counted)
    if total > most:
        raise Invalid(FieldError(spans.FIELD, f"selects {total} views; an export of this format has at most {most}"))
    windows: list[Span] = []
    held = 0
    for row in counted:
        begin = max(row["hour"] * _HOUR_S, selection.span.after_s)
        end = min((row["hour"] + 1) * _HOUR_S, selection.span.before_s)
        if windows and held + row["views"] <= PIECE_VIEWS:
            windows[-1] = Span(windows[-1].after_s, end)
            held += row["views"]
        else:
            windows.append(Span(begin, end))
            held = row["views"]
    return windows


async def _piece(asking: Rows, selection: Selection, after_ms: int, after_id: str) -> list[dict[str, Any]]:
    """The next views by (view_end, view_id)."""
    more, bound = "is_ended", {**selection.parameters}
    if after_id:
        more += " AND (toUnixTimestamp64Milli(view_end), toString(view_id)) > ({after_ms:Int64}, {after_id:String})"
        bound |= {"after_ms": after_ms, "after_id": after_id}
    return await asking.rows(
        f"SELECT {_columns()}, toUnixTimestamp64Milli(v.view_end) AS end_ms"  # noqa: S608
        f" FROM ({selection.views(_STORED, more)}) AS v ORDER BY end_ms, view_id LIMIT {{most:UInt32}}",
        {**bound, "most": PIECE_VIEWS},
    )


def _columns() -> str:
    named = [f"{dimensions.column_of(name)} AS {name}" for name in dimensions.DIMENSIONS]
    return ", ".join(["toString(view_id) AS view_id", "view_start", "view_end", *named, *MEASURES])


def _cells(row: Mapping[str, Any]) -> list[Any]:
    return [_cell(name, row[name]) for name in HEADER]


def _cell(name: str, value: Any) -> Any:
    if name in ("view_start", "view_end"):
        return f"{value.replace(' ', 'T')}Z"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")
