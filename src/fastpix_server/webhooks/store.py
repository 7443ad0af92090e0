"""The SQL of webhook endpoints: nobody else reads or writes this table."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from fastpix_server.db.pool import Tx
from fastpix_server.webhooks.model import Endpoint, Probe, SealedSecrets

_COLUMNS = (
    "id, workspace_id, url, name, status, status_reason, version, secret_created_at,"
    " case when previous_secret_until > now() then previous_secret_until end as previous_secret_until,"
    " failures, failing_since, last_success_at, last_failure_at, created_at"
)


async def lock(tx: Tx, workspace_id: str) -> None:
    """Who makes endpoints of one workspace takes turns; the lock ends with the transaction."""
    await tx.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"webhooks {workspace_id}"}
    )


async def count(tx: Tx, workspace_id: str) -> int:
    result = await tx.execute(
        text("select count(*) from webhook_endpoints where workspace_id = :w"), {"w": workspace_id}
    )
    return int(result.scalar_one())


async def insert(
    tx: Tx, *, id: str, workspace_id: str, url: str, name: str | None, status: str, sealed_secret: bytes, now: datetime
) -> None:
    await tx.execute(
        text(
            "insert into webhook_endpoints (id, workspace_id, url, name, status, sealed_secret, secret_created_at,"
            " created_at) values (:id, :workspace_id, :url, :name, :status, :sealed_secret, :now, :now)"
        ),
        {
            "id": id,
            "workspace_id": workspace_id,
            "url": url,
            "name": name,
            "status": status,
            "sealed_secret": sealed_secret,
            "now": now,
        },
    )


async def find(tx: Tx, workspace_id: str, endpoint_id: str, *, locks: bool = False) -> Endpoint | None:
    result = await tx.execute(
        text(
            f"select {_COLUMNS} from webhook_endpoints where id = :id and workspace_id = :w"  # noqa: S608 - our names
            + (" for update" if locks else "")
        ),
        {"id": endpoint_id, "w": workspace_id},
    )
    row = result.one_or_none()
    return None if row is None else _endpoint(row)


async def page(tx: Tx, workspace_id: str, *, limit: int, skip: int) -> list[Endpoint]:
    """Newest first."""
    result = await tx.execute(
        text(
            f"select {_COLUMNS} from webhook_endpoints where workspace_id = :w"  # noqa: S608
            " order by created_at desc, id desc limit :limit offset :skip"
        ),
        {"w": workspace_id, "limit": limit, "skip": skip},
    )
    return [_endpoint(row) for row in result]


async def rename(tx: Tx, endpoint_id: str, name: str) -> None:
    await tx.execute(
        text("update webhook_endpoints set name = :name where id = :id"), {"id": endpoint_id, "name": name}
    )


async def set_url(tx: Tx, endpoint_id: str, url: str) -> None:
    await tx.execute(text("update webhook_endpoints set url = :url where id = :id"), {"id": endpoint_id, "url": url})


async def move(
    tx: Tx,
    endpoint_id: str,
    allowed: Sequence[str],
    to: str,
    *,
    hearing: Sequence[str],
    reason: str | None,
    version: int | None,
) -> bool:
    """Every move is a new version and a new beginning: failures before it count no more.

    From outside `hearing` into it, the endpoint hears what happens from now on.
    """
    result = await tx.execute(
        text(
            "update webhook_endpoints set status = :to, status_reason = :reason, version = version + 1,"
            " failures = 0, failing_since = null,"
            " hears_since = case when :to = any(:hearing) and not (status = any(:hearing)) then clock_timestamp()"
            " else hears_since end"
            " where id = :id and status = any(:allowed) and (cast(:version as int) is null or version = :version)"
        ),
        {
            "id": endpoint_id,
            "allowed": list(allowed),
            "to": to,
            "hearing": list(hearing),
            "reason": reason,
            "version": version,
        },
    )
    return bool(result.rowcount)


async def delete(tx: Tx, workspace_id: str, endpoint_id: str) -> bool:
    """Its deliveries go with it."""
    result = await tx.execute(
        text("delete from webhook_endpoints where id = :id and workspace_id = :w"),
        {"id": endpoint_id, "w": workspace_id},
    )
    return bool(result.rowcount)


async def get_secrets(tx: Tx, endpoint_id: str) -> SealedSecrets:
    result = await tx.execute(
        text(
            "select sealed_secret, case when previous_secret_until > now() then sealed_previous_secret end as previous"
            " from webhook_endpoints where id = :id"
        ),
        {"id": endpoint_id},
    )
    row = result.one()
    return SealedSecrets(bytes(row.sealed_secret), None if row.previous is None else bytes(row.previous))


async def set_secrets(
    tx: Tx, endpoint_id: str, *, sealed: bytes, sealed_previous: bytes | None, until: datetime | None, now: datetime
) -> None:
    await tx.execute(
        text(
            "update webhook_endpoints set sealed_secret = :sealed, secret_created_at = :now,"
            " sealed_previous_secret = :previous, previous_secret_until = :until where id = :id"
        ),
        {"id": endpoint_id, "sealed": sealed, "previous": sealed_previous, "until": until, "now": now},
    )


async def forget_previous_secrets(tx: Tx) -> None:
    """Those that are honoured no more."""
    await tx.execute(
        text(
            "update webhook_endpoints set sealed_previous_secret = null, previous_secret_until = null"
            " where previous_secret_until <= now()"
        )
    )


async def claim_probes(tx: Tx, *, status: str, lease_s: float, limit: int) -> list[Probe]:
    """Endpoints that wait for their probe, in the caller's hands for `lease_s`."""
    result = await tx.execute(
        text(
            "update webhook_endpoints set probe_leased_until = now() + make_interval(secs => :lease_s) where id in"
            " (select id from webhook_endpoints where status = :status"
            " and (probe_leased_until is null or probe_leased_until < now())"
            " order by id limit :limit for update skip locked) returning id, version, url"
        ),
        {"status": status, "lease_s": lease_s, "limit": limit},
    )
    return [Probe(str(row.id), row.version, row.url) for row in result]


async def end_probe(tx: Tx, endpoint_id: str) -> None:
    """Another may begin. While one is under way none does, however often the owner asks: an endpoint has one place."""
    await tx.execute(text("update webhook_endpoints set probe_leased_until = null where id = :id"), {"id": endpoint_id})


async def note_success(tx: Tx, endpoint_id: str, *, every_s: float) -> None:
    """Writes at most once in `every_s` while all goes well."""
    await tx.execute(
        text(
            "update webhook_endpoints set failures = 0, failing_since = null, last_success_at = now() where id = :id"
            " and (failures > 0 or last_success_at is null"
            " or last_success_at < now() - make_interval(secs => :every_s))"
        ),
        {"id": endpoint_id, "every_s": every_s},
    )


async def note_failure(tx: Tx, endpoint_id: str) -> Endpoint | None:
    """The endpoint after one failure more."""
    result = await tx.execute(
        text(
            "update webhook_endpoints set failures = failures + 1, failing_since = coalesce(failing_since, now()),"  # noqa: S608
            f" last_failure_at = now() where id = :id returning {_COLUMNS}"
        ),
        {"id": endpoint_id},
    )
    row = result.one_or_none()
    return None if row is None else _endpoint(row)


async def find_by_id(tx: Tx, endpoint_id: str) -> Endpoint | None:
    result = await tx.execute(
        text(f"select {_COLUMNS} from webhook_endpoints where id = :id"),  # noqa: S608
        {"id": endpoint_id},
    )
    row = result.one_or_none()
    return None if row is None else _endpoint(row)


def _endpoint(row: Any) -> Endpoint:
    values = dict(row._mapping)
    return Endpoint(**{**values, "id": str(values["id"]), "workspace_id": str(values["workspace_id"])})
