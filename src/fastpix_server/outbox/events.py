"""What happened, told once: one row per event, in the transaction of the change that it tells.

Invariants: an event exists if and only if its change was committed; `data` is already the public JSON of the thing,
so whoever delivers it needs to know no domain (contract section 4).
"""

from typing import Any

from prometheus_client import Counter
from sqlalchemy import text

from fastpix_server.base import ids
from fastpix_server.db.pool import Json, Tx

KEEP_DAYS = 30  # longer than any delivery is retried; a receiver that was away longer re-reads the objects

_events = Counter("fastpix_events", "Events told, by type.", ["type"])


async def emit(
    tx: Tx, *, workspace_id: str, type: str, object_type: str, object_id: str, status: str, data: dict[str, Any]
) -> str:
    """Returns the event's id, by which receivers tell a repeated delivery."""
    event_id = ids.new_uuid()
    await tx.execute(
        text(
            "insert into events (id, workspace_id, type, object_type, object_id, status, data)"
            " values (:id, :workspace_id, :type, :object_type, :object_id, :status, :data)"
        ),
        {
            "id": event_id,
            "workspace_id": workspace_id,
            "type": type,
            "object_type": object_type,
            "object_id": object_id,
            "status": status,
            "data": Json(data),
        },
    )
    _events.labels(type).inc()
    return event_id


async def purge(tx: Tx, *, keep_days: int = KEEP_DAYS) -> int:
    """Deletes events older than `keep_days`; returns how many."""
    result = await tx.execute(
        text("delete from events where created_at < now() - make_interval(days => :days)"), {"days": keep_days}
    )
    return int(result.rowcount)
