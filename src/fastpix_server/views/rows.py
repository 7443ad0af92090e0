"""Kept events become rows: one per view and hour of the request, and one per event that the view detail lists.

Invariants: pure; the same merge as the database's (schema.Merge), so it does not matter which events share a request.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from fastpix_server.views import beacon
from fastpix_server.views.pipeline import AGE_MAX_MS, Kept
from fastpix_server.views.schema import COLUMNS, TEXT_COLUMNS, Column, Merge, pack_last, view_uuid

_HOUR_MS = 3_600_000
# Not pulse and requestCompleted: they are counted in the measures, and a long view has thousands.
LISTED = frozenset(
    {
        "playerReady", "viewBegin", "loadstart", "play", "playing", "pause", "ended", "waiting", "buffering",
        "buffered", "seeking", "seeked", "error", "requestFailed", "requestCanceled", "variantChanged", "viewCompleted",
    }
)  # fmt: skip
_DETAILS: Mapping[str, Mapping[str, str]] = {
    "variantChanged": {"br": "vdsobi", "cd": "vdsocc", "fps": "vdsofs", "h": "vdsoht", "w": "vdsowt"},
    "error": {"code": "plercd", "message": "plerms", "context": "plercx"},
    "requestFailed": {"type": "rqty", "host": "rqhn", "code": "rqercd", "message": "rqer", "text": "rqerte"},
    "requestCanceled": {"type": "rqty", "host": "rqhn"},
}
_BPS_MAX = 10**12
# Changes of the bit rate in one row; a player that changes more often in one request is none.
POINTS_MAX = 200

Row = dict[str, Any]
Enriched = Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """JSON lines for the two tables."""

    rows: list[bytes]
    events: list[bytes]


def build(kept: Iterable[Kept], enriched: Callable[[Kept], Enriched], received_at_ms: int) -> Batch:
    """`enriched` gives what the server knows of an event beyond its fields: column -> text."""
    rows: dict[tuple[str, str, int], Row] = {}
    events: list[bytes] = []
    received = moment(received_at_ms)
    for event in kept:
        view_id = str(view_uuid(event.view_id))
        hour_ms = event.at_ms // _HOUR_MS * _HOUR_MS
        key = (event.workspace_id, view_id, hour_ms)
        row = rows.get(key)
        if row is None:
            row = rows[key] = {
                "workspace_id": event.workspace_id,
                "view_id": view_id,
                "hour": hour_ms // 1000,
                "received_first_at": received,
                "received_last_at": received,
            }
        add(row, values_of(event, enriched(event)))
        if event.name in LISTED:
            events.append(_listed(event, view_id, received))
    return Batch([msgspec.json.encode(row) for row in rows.values()], events)


def values_of(event: Kept, enriched: Enriched) -> Row:
    """What one event says: column -> value as stored. What it does not say is missing."""
    said: Row = {"last_event_at": moment(event.at_ms)}
    ranks: dict[str, int] = {}
    for code, sent in event.fields.items():
        fed = _FED_BY.get(code)
        if fed is None:
            continue
        column, rank = fed
        if rank < ranks.get(column.name, _NO_RANK) and (value := _value(column, sent, event)) is not None:
            said[column.name], ranks[column.name] = value, rank
    for name, value in enriched.items():
        if value and name not in said:
            said[name] = pack_last(event.sequence, value) if name == "ip_address" else value
    if event.name == "viewCompleted":
        said["is_completed"] = True
    if event.name == "error":
        said["has_error"] = True
    if event.name == "playing" or said.get("video_startup_time") is not None or said.get("content_playback_time"):
        said["has_played"] = True
    if event.name.startswith("ad") and event.name[2:3].isupper():
        said["has_ad"] = True
    return said


def add(row: Row, said: Row) -> None:
    """Merges into `row` as the table would."""
    for name, value in said.items():
        if name not in row:
            row[name] = value
        else:
            row[name] = _merged(_MERGES[name], row[name], value)


# Code -> the column that it feeds, and its place among the column's codes.
_FED_BY = {code: (column, rank) for column in COLUMNS for rank, code in enumerate(column.codes)}
_NO_RANK = 99
_MERGES = {column.name: column.merge for column in COLUMNS}


def _merged(merge: Merge, a: Any, b: Any) -> Any:
    if merge is Merge.UNION:
        return sorted(a + [point for point in b if point not in a])[:POINTS_MAX]
    return min(a, b) if merge is Merge.SMALLEST else max(a, b)


def _value(column: Column, value: object, event: Kept) -> Any:
    """As stored; None when the field was not sent, or says nothing."""
    if value is None:
        return None
    if column.name == "view_start":
        start_ms = beacon.moment_ms(value)
        # A view does not begin after one of its own events, nor long before it.
        if start_ms is None or start_ms + event.skew_ms < event.at_ms - AGE_MAX_MS:
            return None
        return moment(min(start_ms + event.skew_ms, event.at_ms))
    if column.merge is Merge.UNION:
        rate = beacon.whole(value)
        return [[moment(event.at_ms), rate]] if rate and rate <= _BPS_MAX else None
    if column.merge is Merge.LAST:
        said = _number_text(value) if column.type == "Float64" else beacon.text(value)
        return pack_last(event.sequence, said) if said else None
    if column.type == "Nullable(Bool)":
        return beacon.truth(value)
    if column.type == "Nullable(Int64)":
        return beacon.whole(value)
    if column.type == "Nullable(Float64)":
        return beacon.amount(value)
    return (beacon.text(value) if column.name in TEXT_COLUMNS else beacon.word(value)) or None


def _number_text(value: object) -> str:
    found = beacon.amount(value)
    return "" if found is None else repr(found)


def moment(at_ms: int) -> str:
    """As ClickHouse reads a DateTime64(3); texts of this form sort like the times."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{at_ms % 1000:03d}"


def _listed(event: Kept, view_id: str, received: str) -> bytes:
    names = _DETAILS.get(event.name, {})
    detail = {name: said for name, code in names.items() if (said := _plain(event.fields.get(code))) is not None}
    return msgspec.json.encode(
        {
            "workspace_id": event.workspace_id,
            "view_id": view_id,
            "sequence": event.sequence,
            "name": event.name,
            "at": moment(event.at_ms),
            "playhead_ms": beacon.whole(event.fields.get("plphti")) or 0,
            "detail": msgspec.json.encode(detail).decode() if detail else "",
            "received_at": received,
        }
    )


def _plain(value: object) -> str | int | float | None:
    """A number where it is one, also when it was sent as a text; else a short text."""
    found = beacon.number(value)
    if found is not None:
        return int(found) if found == int(found) else found
    return beacon.text(value, beacon.WORD_MAX_CHARS) or None
