"""What happened, told once: one row per event, in the transaction of the change that it tells.

Invariants: an event exists if and only if its change was committed; `data` is already the public JSON of the thing,
so whoever delivers it needs to know no domain (contract section 4); an event waits until it was dispatched, however
late its transaction commits: what waits is marked in its row, not by a position that a straggler could fall behind.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import Counter
from sqlalchemy import bindparam, text

from fastpix_server.base import ids
from fastpix_server.db.notify import notify
from fastpix_server.db.pool import Json, Tx
from fastpix_server.outbox.catalogue import TYPES

KEEP_DAYS = 30  # longer than any delivery is retried; a receiver that was away longer re-reads the objects
# To whoever dispatches: something waits. One message per transaction, however many events it tells.
TOLD = "events_told"

_HEADING = "id, position, workspace_id, type, object_type, object_id, created_at"

_events = Counter("fastpix_events", "Events told, by type.", ["type"])


@dataclasses.dataclass(frozen=True, slots=True)
class Heading:
    """An event without its data: enough to decide who hears of it. `position` is the order of telling."""

    id: str
    position: int
    workspace_id: str
    type: str
    object_type: str
    object_id: str
    created_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    heading: Heading
    status: str
    data: dict[str, Any]


async def emit(
    tx: Tx,
    *,
    workspace_id: str,
    type: str,
    object_type: str,
    object_id: str,
    status: str,
    data: dict[str, Any],
    is_for_all: bool = True,
) -> str:
    """Returns the event's id, by which receivers tell a repeated delivery.

    `is_for_all` False: the caller sees to its delivery. Raises ValueError for a type that is not in the catalogue.
    """
    if type not in TYPES:
        raise ValueError(f"{type} is in neither outbox/catalogue.py nor docs/reference/events.md")
    event_id = ids.new_uuid()
    await tx.execute(
        text(
            "insert into events (id, workspace_id, type, object_type, object_id, status, data, dispatched_at)"
            " values (:id, :workspace_id, :type, :object_type, :object_id, :status, :data,"
            " case when :is_for_all then null else now() end)"
        ),
        {
            "id": event_id,
            "workspace_id": workspace_id,
            "type": type,
            "object_type": object_type,
            "object_id": object_id,
            "status": status,
            "data": Json(data),
            "is_for_all": is_for_all,
        },
    )
    if is_for_all:
        await notify(tx, TOLD, "")
    _events.labels(type).inc()
    return event_id


async def take_undispatched(tx: Tx, limit: int) -> list[Heading]:
    """The next events in the order of telling, marked as dispatched when `tx` commits.

    The caller sees to it that only one takes at a time: two would share an object's events between them.
    """
    result = await tx.execute(
        text(
            "update events set dispatched_at = clock_timestamp() where id in"  # noqa: S608 - our own names
            " (select id from events where dispatched_at is null order by position limit :limit)"
            f" returning {_HEADING}"
        ),
        {"limit": limit},
    )
    return sorted((_heading(row) for row in result), key=lambda heading: heading.position)


async def find_many(tx: Tx, event_ids: Iterable[str]) -> dict[str, Event]:
    """By id; those that were purged are missing."""
    wanted = list(event_ids)
    if not wanted:
        return {}
    result = await tx.execute(
        text(
            f"select {_HEADING}, status, data from events where id in :ids"  # noqa: S608
        ).bindparams(bindparam("ids", expanding=True)),
        {"ids": wanted},
    )
    return {str(row.id): Event(_heading(row), row.status, row.data) for row in result}


async def list_between(
    tx: Tx, workspace_id: str, begin: datetime, end: datetime, *, limit: int, without: Sequence[str]
) -> list[Heading]:
    """Events of [begin, end), the oldest first. `without`: types that are left out."""
    result = await tx.execute(
        text(
            f"select {_HEADING} from events"  # noqa: S608
            " where workspace_id = :workspace_id and created_at >= :begin and created_at < :end"
            " and not (type = any(:without)) order by created_at, position limit :limit"
        ),
        {"workspace_id": workspace_id, "begin": begin, "end": end, "without": list(without), "limit": limit},
    )
    return [_heading(row) for row in result]


async def purge(tx: Tx, *, keep_days: int = KEEP_DAYS) -> int:
    """Deletes events older than `keep_days`; returns how many."""
    result = await tx.execute(
        text("delete from events where created_at < now() - make_interval(days => :days)"), {"days": keep_days}
    )
    return int(result.rowcount)


def _heading(row: Any) -> Heading:
    return Heading(
        str(row.id),
        row.position,
        str(row.workspace_id),
        row.type,
        row.object_type,
        row.object_id,
        row.created_at,
    )
