"""The SQL of making: what viewers wait for, who makes it, what could not be made.

Invariants: rows here are hints and claims, never the only copy of a fact, so these transactions do not wait for the
disk (`hasty`). Expiry is by the database's clock. A lease is held by at most one living holder.
"""

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import text

from fastpix_server.db.notify import notify
from fastpix_server.db.pool import Database, Tx

WANTED = "segment_wanted"
MADE = "segment_made"

# A dead worker's rung is free again after this; its viewers wait no longer than that.
LEASE_S = 6.0
# What the user's file does not give will not come by itself: it is asked for again after an hour, or when republished.
FINAL_REFUSAL_S = 3600
# Our own failures are tried again after these pauses, by number of failures; then the last one repeats.
_RETRY_PAUSES_S = (2, 10, 60)
# Rows polled at once; more than any worker makes between two polls.
_POLL_ROWS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Why something could not be made. `is_final`: the source is at fault."""

    code: str
    text: str
    is_final: bool


@asynccontextmanager
async def hasty(db: Database) -> AsyncIterator[Tx]:
    """A unit whose commit may be lost with the machine, but not reordered or torn: right for hints, 5 ms faster."""
    async with db.unit() as tx:
        await tx.execute(text("set local synchronous_commit to off"))
        yield tx


async def want(tx: Tx, target_id: str, artifact: str) -> Fault | None:
    """Records the wish and wakes the makers, unless it failed so recently that it would only fail again."""
    result = await tx.execute(
        text(
            "insert into playback_demands (target_id, artifact) values (:target_id, :artifact)"
            " on conflict (target_id, artifact) do update set wanted_at = now()"
            " returning fault_code, fault_text, is_final, coalesce(refused_until > now(), false) as is_refused"
        ),
        {"target_id": target_id, "artifact": artifact},
    )
    row = result.one()
    if row.is_refused:
        return Fault(row.fault_code, row.fault_text, row.is_final)
    await notify(tx, WANTED, f"{target_id} {artifact}")
    return None


async def open_wants(tx: Tx, max_age_s: float) -> list[tuple[str, str]]:
    """Wishes of the last seconds that nobody has answered: the net under lost notifications."""
    result = await tx.execute(
        text(
            "select target_id, artifact from playback_demands where wanted_at > now() - make_interval(secs => :age)"
            " and coalesce(refused_until < now(), true) order by wanted_at limit :rows"
        ),
        {"age": max_age_s, "rows": _POLL_ROWS},
    )
    return [(str(row.target_id), row.artifact) for row in result]


async def forget_old_wants(tx: Tx, max_age_s: float) -> None:
    await tx.execute(
        text(
            "delete from playback_demands where wanted_at < now() - make_interval(secs => :age)"
            " and coalesce(refused_until < now(), true)"
        ),
        {"age": max_age_s},
    )


async def made(tx: Tx, target_id: str, artifacts: Sequence[str]) -> None:
    await tx.execute(
        text("delete from playback_demands where target_id = :target_id and artifact = any(:artifacts)"),
        {"target_id": target_id, "artifacts": list(artifacts)},
    )
    for artifact in artifacts:
        await notify(tx, MADE, f"{target_id} {artifact}")


async def failed(tx: Tx, target_id: str, artifact: str, fault: Fault) -> None:
    """Remembers the failure so that the next viewers hear it at once, and tells those who wait now."""
    result = await tx.execute(
        text(
            "insert into playback_demands (target_id, artifact, attempts) values (:target_id, :artifact, 1)"
            " on conflict (target_id, artifact) do update set attempts = playback_demands.attempts + 1"
            " returning attempts"
        ),
        {"target_id": target_id, "artifact": artifact},
    )
    attempts = int(result.scalar_one())
    pause_s = FINAL_REFUSAL_S if fault.is_final else _RETRY_PAUSES_S[min(attempts, len(_RETRY_PAUSES_S)) - 1]
    await tx.execute(
        text(
            "update playback_demands set fault_code = :code, fault_text = :text, is_final = :is_final,"
            " refused_until = now() + make_interval(secs => :pause)"
            " where target_id = :target_id and artifact = :artifact"
        ),
        {
            "target_id": target_id,
            "artifact": artifact,
            "code": fault.code,
            "text": fault.text,
            "is_final": fault.is_final,
            "pause": pause_s,
        },
    )
    await notify(tx, MADE, f"{target_id} {artifact}")


async def fault_of(tx: Tx, target_id: str, artifact: str) -> Fault | None:
    result = await tx.execute(
        text(
            "select fault_code, fault_text, is_final from playback_demands where target_id = :target_id"
            " and artifact = :artifact and refused_until > now()"
        ),
        {"target_id": target_id, "artifact": artifact},
    )
    row = result.one_or_none()
    return None if row is None else Fault(row.fault_code, row.fault_text, row.is_final)


async def take_lease(tx: Tx, target_id: str, rendition: str, holder: str) -> bool:
    """True when `holder` has it now, for LEASE_S: it was free, expired, or already its own."""
    result = await tx.execute(
        text(
            "insert into playback_leases (target_id, rendition, holder, expires_at)"
            " values (:target_id, :rendition, :holder, now() + make_interval(secs => :lease))"
            " on conflict (target_id, rendition) do update"
            " set holder = excluded.holder, expires_at = excluded.expires_at"
            " where playback_leases.holder = excluded.holder or playback_leases.expires_at < now() returning holder"
        ),
        {"target_id": target_id, "rendition": rendition, "holder": holder, "lease": LEASE_S},
    )
    return result.one_or_none() is not None


async def renew_leases(tx: Tx, holder: str) -> set[tuple[str, str]]:
    """Prolongs all of `holder`'s leases; what is missing in the answer was lost to somebody else or to unpublishing."""
    result = await tx.execute(
        text(
            "update playback_leases set expires_at = now() + make_interval(secs => :lease) where holder = :holder"
            " returning target_id, rendition"
        ),
        {"holder": holder, "lease": LEASE_S},
    )
    return {(str(row.target_id), row.rendition) for row in result}


async def release_lease(tx: Tx, target_id: str, rendition: str, holder: str) -> None:
    await tx.execute(
        text(
            "delete from playback_leases where target_id = :target_id and rendition = :rendition and holder = :holder"
        ),
        {"target_id": target_id, "rendition": rendition, "holder": holder},
    )


async def release_all(tx: Tx, holder: str) -> None:
    await tx.execute(text("delete from playback_leases where holder = :holder"), {"holder": holder})
