"""The SQL of deliveries: nobody else reads or writes this table.

Invariants: of an object's pending deliveries to an endpoint, one holds the others back until it ends or has failed
often enough; the others are waiting. Whoever adds deliveries or ends one holds the row lock of the endpoint meanwhile,
or a newcomer and the end of the one that it waits for would not see each other.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import text

from fastpix_server.base import ids
from fastpix_server.db.pool import Tx
from fastpix_server.outbox.events import Heading
from fastpix_server.webhooks.model import Claimed, Delivery, Outcome, SealedSecrets

_COLUMNS = (
    "d.id, d.endpoint_id, d.event_id, d.type, d.object_type, d.object_id, d.state, d.tries, d.attempts, d.next_at,"
    " d.created_at, d.ended_at"
)
# Headings as rows.
_EVENTS = (
    "unnest(cast(:ids as uuid[]), cast(:positions as bigint[]), cast(:workspaces as uuid[]), cast(:types as text[]),"
    " cast(:object_types as text[]), cast(:object_ids as text[]), cast(:moments as timestamptz[]))"
    " as v (event_id, position, workspace_id, type, object_type, object_id, created_at)"
)
# One waits, the other does not; both end with their transaction.
_DISPATCH, _CLAIM = "webhooks dispatch", "webhooks claim"


async def try_lock_dispatch(tx: Tx) -> bool:
    """False while another process dispatches."""
    result = await tx.execute(text("select pg_try_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": _DISPATCH})
    return bool(result.scalar_one())


async def lock_claim(tx: Tx) -> None:
    """One process claims at a time, so that all together keep the bound of an endpoint."""
    await tx.execute(text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": _CLAIM})


async def lock_endpoint(tx: Tx, endpoint_id: str) -> None:
    await tx.execute(text("select id from webhook_endpoints where id = :id for no key update"), {"id": endpoint_id})


async def fan_out(tx: Tx, headings: Sequence[Heading], statuses: Sequence[str], *, hold_tries: int) -> int:
    """A delivery for each event and endpoint of its workspace in one of `statuses`; repeating it changes nothing.

    What was told before an endpoint began to hear is not its.
    """
    if not headings:
        return 0
    values = {**_columns_of(headings), "statuses": list(statuses)}
    await tx.execute(
        text(
            "select id from webhook_endpoints where workspace_id = any(cast(:workspaces as uuid[]))"
            " and status = any(:statuses) order by id for no key update"
        ),
        {"workspaces": values["workspaces"], "statuses": values["statuses"]},
    )
    result = await tx.execute(
        text(
            "insert into webhook_deliveries"  # noqa: S608
            " (id, endpoint_id, event_id, position, type, object_type, object_id, next_at)"
            " select gen_random_uuid(), e.id, v.event_id, v.position, v.type, v.object_type, v.object_id, now()"
            f" from {_EVENTS}"
            " join webhook_endpoints e on e.workspace_id = v.workspace_id and e.status = any(:statuses)"
            " and e.hears_since <= v.created_at"
            " on conflict (endpoint_id, event_id) do nothing returning endpoint_id, object_type, object_id"
        ),
        values,
    )
    made = [(str(row.endpoint_id), row.object_type, row.object_id) for row in result]
    await release(tx, made, hold_tries=hold_tries)
    return len(made)


async def put(
    tx: Tx, endpoint_id: str, headings: Sequence[Heading], *, only_undelivered: bool, hold_tries: int
) -> list[str]:
    """Deliveries of these events to one endpoint, made or begun anew; the ids of those that this put into the queue.

    What waits already is left as it is; what was delivered too, with `only_undelivered`.
    """
    if not headings:
        return []
    await lock_endpoint(tx, endpoint_id)
    result = await tx.execute(
        text(
            "insert into webhook_deliveries as d"  # noqa: S608
            " (id, endpoint_id, event_id, position, type, object_type, object_id, next_at)"
            " select gen_random_uuid(), :endpoint, v.event_id, v.position, v.type, v.object_type, v.object_id, now()"
            f" from {_EVENTS}"
            " on conflict (endpoint_id, event_id) do update set state = 'pending', is_waiting = true,"
            " tries = 0, next_at = now(), ended_at = null, lease = null, leased_until = null"
            " where d.state = 'failed' or (d.state = 'delivered' and not :only_undelivered)"
            " returning d.id, d.object_type, d.object_id"
        ),
        {**_columns_of(headings), "endpoint": endpoint_id, "only_undelivered": only_undelivered},
    )
    rows = result.all()
    await release(tx, [(endpoint_id, row.object_type, row.object_id) for row in rows], hold_tries=hold_tries)
    return [str(row.id) for row in rows]


async def release(tx: Tx, objects: Iterable[tuple[str, str, str]], *, hold_tries: int) -> None:
    """The earliest waiting delivery of each (endpoint, type, id) waits no more, unless another one holds it back."""
    named = sorted(set(objects))
    if not named:
        return
    await tx.execute(
        text(
            "update webhook_deliveries set is_waiting = false where id in ("
            " select w.id from unnest(cast(:endpoints as uuid[]), cast(:types as text[]), cast(:ids as text[]))"
            "  as o (endpoint_id, object_type, object_id)"
            " cross join lateral (select d.id from webhook_deliveries d where d.endpoint_id = o.endpoint_id"
            "  and d.object_type = o.object_type and d.object_id = o.object_id and d.state = 'pending'"
            "  and d.is_waiting order by d.position limit 1) w"
            " where not exists (select 1 from webhook_deliveries h where h.endpoint_id = o.endpoint_id"
            "  and h.object_type = o.object_type and h.object_id = o.object_id and h.state = 'pending'"
            "  and not h.is_waiting and h.tries < :hold_tries))"
        ),
        {
            "endpoints": [endpoint_id for endpoint_id, _, _ in named],
            "types": [object_type for _, object_type, _ in named],
            "ids": [object_id for _, _, object_id in named],
            "hold_tries": hold_tries,
        },
    )


async def list_waiting_objects(tx: Tx) -> list[tuple[str, str, str]]:
    """Whatever has something waiting: one that held it back may have been purged."""
    result = await tx.execute(
        text(
            "select distinct endpoint_id, object_type, object_id from webhook_deliveries"
            " where state = 'pending' and is_waiting"
        )
    )
    return [(str(row.endpoint_id), row.object_type, row.object_id) for row in result]


def _columns_of(headings: Sequence[Heading]) -> dict[str, list[Any]]:
    return {
        "ids": [h.id for h in headings],
        "positions": [h.position for h in headings],
        "workspaces": [h.workspace_id for h in headings],
        "types": [h.type for h in headings],
        "object_types": [h.object_type for h in headings],
        "object_ids": [h.object_id for h in headings],
        "moments": [h.created_at for h in headings],
    }


async def claim(
    tx: Tx, *, active: str, lease_s: float, limit: int, per_endpoint: int, failing_places: int
) -> list[Claimed]:
    """Due deliveries in the caller's hands for `lease_s`, endpoints taking turns.

    An endpoint has `per_endpoint` in hand at once, one that fails `failing_places`.
    """
    lease = ids.new_uuid()
    result = await tx.execute(
        text(
            "with due as ("  # noqa: S608 - our own names
            "  select c.id, row_number() over (partition by c.endpoint_id order by c.next_at, c.position) as turn,"
            "   c.next_at from webhook_endpoints e cross join lateral ("
            "    select d.id, d.endpoint_id, d.next_at, d.position from webhook_deliveries d"
            "    where d.endpoint_id = e.id and d.state = 'pending' and not d.is_waiting"
            "     and d.next_at <= now() and (d.leased_until is null or d.leased_until < now())"
            "    order by d.next_at, d.position limit greatest(0,"
            "     case when e.failures > 0 then :failing_places else :per_endpoint end"
            "     - (select count(*) from webhook_deliveries l where l.endpoint_id = e.id and l.leased_until >= now()))"
            "  ) c where e.status = :active order by turn, c.next_at limit :limit)"
            " update webhook_deliveries d set lease = :lease, leased_until = now() + make_interval(secs => :lease_s)"
            " from due, webhook_endpoints e where d.id = due.id and e.id = d.endpoint_id"
            f" returning {_COLUMNS}, e.workspace_id, e.url, e.sealed_secret,"
            " case when e.previous_secret_until > now() then e.sealed_previous_secret end as sealed_previous"
        ),
        {
            "active": active,
            "lease": lease,
            "lease_s": lease_s,
            "limit": limit,
            "per_endpoint": per_endpoint,
            "failing_places": failing_places,
        },
    )
    return [
        Claimed(
            _delivery(row),
            lease,
            str(row.workspace_id),
            row.url,
            SealedSecrets(
                bytes(row.sealed_secret), None if row.sealed_previous is None else bytes(row.sealed_previous)
            ),
        )
        for row in result
    ]


async def settle(tx: Tx, outcomes: Sequence[Outcome], *, hold_tries: int) -> set[str]:
    """The ids of those that were written. Of the others the lease was lost: they are somebody else's, or began anew."""
    for endpoint_id in sorted({outcome.claimed.delivery.endpoint_id for outcome in outcomes}):
        await lock_endpoint(tx, endpoint_id)
    result = await tx.execute(
        text(
            "update webhook_deliveries d set state = v.state, tries = d.tries + 1,"
            " attempts = cast(v.attempts as jsonb), next_at = coalesce(v.next_at, d.next_at), lease = null,"
            " leased_until = null, ended_at = case when v.state = 'pending' then null else clock_timestamp() end"
            " from unnest(cast(:ids as uuid[]), cast(:leases as uuid[]), cast(:states as text[]),"
            " cast(:next_at as timestamptz[]), cast(:attempts as text[])) as v (id, lease, state, next_at, attempts)"
            " where d.id = v.id and d.lease = v.lease returning d.id, d.endpoint_id, d.object_type, d.object_id"
        ),
        {
            "ids": [outcome.claimed.delivery.id for outcome in outcomes],
            "leases": [outcome.claimed.lease for outcome in outcomes],
            "states": [outcome.state for outcome in outcomes],
            "next_at": [outcome.next_at for outcome in outcomes],
            "attempts": [msgspec.json.encode(outcome.attempts).decode() for outcome in outcomes],
        },
    )
    rows = result.all()
    await release(tx, [(str(row.endpoint_id), row.object_type, row.object_id) for row in rows], hold_tries=hold_tries)
    return {str(row.id) for row in rows}


async def find(tx: Tx, endpoint_id: str, delivery_id: str) -> Delivery | None:
    result = await tx.execute(
        text(f"select {_COLUMNS} from webhook_deliveries d where d.id = :id and d.endpoint_id = :e"),  # noqa: S608
        {"id": delivery_id, "e": endpoint_id},
    )
    row = result.one_or_none()
    return None if row is None else _delivery(row)


async def page(tx: Tx, endpoint_id: str, *, state: str | None, limit: int, skip: int) -> tuple[list[Delivery], int]:
    """Newest first, and how many there are in all."""
    values = {"e": endpoint_id, "state": state}
    where = "d.endpoint_id = :e and (cast(:state as text) is null or d.state = :state)"
    total = await tx.execute(text(f"select count(*) from webhook_deliveries d where {where}"), values)  # noqa: S608
    result = await tx.execute(
        text(
            f"select {_COLUMNS} from webhook_deliveries d where {where}"  # noqa: S608
            " order by d.created_at desc, d.position desc, d.id desc limit :limit offset :skip"
        ),
        {**values, "limit": limit, "skip": skip},
    )
    return [_delivery(row) for row in result], int(total.scalar_one())


async def purge(tx: Tx, *, keep_days: int, keep_ended: int) -> int:
    """Deletes what is older than `keep_days`, and of each endpoint the ended ones beyond the newest `keep_ended`."""
    old = await tx.execute(
        text("delete from webhook_deliveries where created_at < now() - make_interval(days => :days)"),
        {"days": keep_days},
    )
    many = await tx.execute(
        text(
            "delete from webhook_deliveries where id in (select o.id from webhook_endpoints e cross join lateral ("
            "  select d.id from webhook_deliveries d where d.endpoint_id = e.id and d.state <> 'pending'"
            "  order by d.created_at desc, d.position desc, d.id desc offset :keep) o)"
        ),
        {"keep": keep_ended},
    )
    return int(old.rowcount) + int(many.rowcount)


async def list_overfull(tx: Tx, backlog_max: int) -> list[str]:
    """Endpoints for which more than `backlog_max` deliveries wait."""
    result = await tx.execute(
        text(
            "select endpoint_id from webhook_deliveries where state = 'pending'"
            " group by endpoint_id having count(*) > :backlog_max"
        ),
        {"backlog_max": backlog_max},
    )
    return [str(found) for found in result.scalars()]


def _delivery(row: Any) -> Delivery:
    return Delivery(
        id=str(row.id),
        endpoint_id=str(row.endpoint_id),
        event_id=str(row.event_id),
        type=row.type,
        object_type=row.object_type,
        object_id=row.object_id,
        state=row.state,
        tries=row.tries,
        attempts=tuple(row.attempts),
        next_at=row.next_at,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
