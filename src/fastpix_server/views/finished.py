"""The table of finished views, as data: one plain row per view that is over, and what is dear to compute is there.

Invariants: a row is the merge of all rows of its view that came in the slots before `covers`, and nothing that was
said is lost in it: `state` gives each column back as `open_view_rows` would hold it, so a late row merges with it as
with any other. A view that also has rows there is not read from here alone (reading.py). Who writes and removes rows:
finishing.py. Why: docs/decisions/0057-finished-views.md.
"""

from collections.abc import Mapping

from fastpix_server.views.schema import (
    BY_NAME,
    COLUMNS,
    DERIVED_BY_NAME,
    GIVEN_OR_DETECTED,
    LAST_PREFIX_CHARS,
    PLACE,
    Column,
    Derived,
    Merge,
)
from fastpix_server.views.scores import SCORES

_WORD = "LowCardinality(String)"
# Texts that many views share, whatever a single view may say: a dictionary makes grouping by them quick.
_SHARED = frozenset(
    {
        "video_title", "error_code", "error_message", "video_source_domain", "video_source_hostname",
        "video_source_codec", "rendition_name", "media_id", "fp_playback_id", "fp_live_stream_id", "given_video_id",
    }
)  # fmt: skip
_TIME = "DateTime64(3, 'UTC')"

# Every derived value and score, as it is computed of a view.
KNOWN: Mapping[str, Derived] = {**DERIVED_BY_NAME, **SCORES}
# Of a finished view: silence or viewCompleted has ended it.
KNOWN_FINISHED: Mapping[str, Derived] = {**KNOWN, "is_ended": Derived("is_ended", "true", ())}

# Derived values that are kept, with their type: those that take more time to compute than to read.
KEPT: Mapping[str, str] = {
    **dict.fromkeys((name for name in PLACE if name not in ("latitude", "longitude")), _WORD),
    **dict.fromkeys((*GIVEN_OR_DETECTED, "player_resolution", "video_id"), _WORD),
    "viewer_hash": "UInt64",
    "playing_time": "Nullable(Int64)",
    "buffer_ratio": "Nullable(Float64)",
    "avg_upscaling": "Nullable(Float64)",
    "avg_downscaling": "Nullable(Float64)",
    "average_bitrate": "Nullable(Float64)",
    "startup_score": "Nullable(Float64)",
    "stability_score": "Nullable(Float64)",
    "render_quality_score": "Nullable(Float64)",
    "quality_of_experience_score": "Nullable(Float64)",
}
# Of these, what older tables lack: rows that were finished before give the value by its expression, over columns.
_ADDED = frozenset({"playing_time", "buffer_ratio", "avg_upscaling", "avg_downscaling"})

# Unpacking is most of reading a million numbers. LZ4 finds many short repetitions in small ones, and takes 5 times as
# long to put them back as T64, which leaves out the bits that are zero everywhere, and is no smaller. What questions
# add up does without LZ4 behind it, and fractions without any. Measured: docs/decisions/0066-quick-codecs.md.
_WHOLE = "Nullable(Int64)"
_ADDED_UP = frozenset(
    {
        "watch_time", "playing_time", "video_startup_time", "page_load_time", "player_init_time", "buffer_count",
        "buffer_fill", "seeked_count", "seeked_duration",
    }
)  # fmt: skip
_FRACTIONS = frozenset(
    {*SCORES, "average_bitrate", "buffer_ratio", "avg_upscaling", "avg_downscaling", "max_upscaling", "max_downscaling"}
)


def plain_type(name: str) -> str:
    """The type of a column, or of a kept derived value, as finished views hold it."""
    if name in KEPT:
        return KEPT[name]
    column = BY_NAME[name]
    if name in _SHARED:
        return _WORD
    return f"Nullable({column.type})" if column.merge is Merge.LAST and column.type == "Float64" else column.type


def sequence_name(column: Column) -> str:
    """Where the sequence number of a LAST value is kept."""
    return f"{column.name}_sequence"


def columns_ddl() -> dict[str, str]:
    """Name -> type and codec of every column that holds something about the view."""
    found = {}
    for column in COLUMNS:
        found[column.name] = _coded(column.name, plain_type(column.name))
        if column.merge is Merge.LAST:
            found[sequence_name(column)] = "UInt32"
    for name, kind in KEPT.items():
        default = f" DEFAULT {KNOWN_FINISHED[name].expression}" if name in _ADDED else ""
        found[name] = _coded(name, f"{kind}{default}")
    return found


def codecs_ddl() -> dict[str, str]:
    """Name -> codec of every such column that has one, as the engine shows it."""
    found = {name: ddl.partition(" CODEC") for name, ddl in columns_ddl().items()}
    return {name: f"CODEC{how}" for name, (_, codec, how) in found.items() if codec}


def _coded(name: str, kind: str) -> str:
    by_kind = {"String": "ZSTD(1)", _TIME: "Delta(8), LZ4", _WHOLE: "T64" if name in _ADDED_UP else "T64, LZ4"}
    codec = "NONE" if name in _FRACTIONS else by_kind.get(kind.partition(" DEFAULT")[0])
    return f"{kind} CODEC({codec})" if codec else kind


def state(column: Column) -> str:
    """SQL: the column of a finished view (alias f) as `open_view_rows` would hold it."""
    name = f"f.{column.name}"
    if column.merge is not Merge.LAST:
        return name
    empty = f"isNull({name})" if column.type == "Float64" else f"{name} = ''"
    number = f"leftPad(toString(f.{sequence_name(column)}), {LAST_PREFIX_CHARS}, '0')"
    return f"if({empty}, '', concat({number}, toString({name})))"


def sequences(alias: str) -> dict[str, str]:
    """Name -> SQL: the numbers of the LAST values of rows that are as in `open_view_rows`."""
    return {
        sequence_name(column): f"toUInt32OrZero(substring({alias}.{column.name}, 1, {LAST_PREFIX_CHARS}))"
        for column in COLUMNS
        if column.merge is Merge.LAST
    }
