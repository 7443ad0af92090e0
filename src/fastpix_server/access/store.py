"""The SQL of workspaces and access tokens: nobody else reads or writes these tables."""

import dataclasses
from collections.abc import Sequence

from sqlalchemy import Row, text

from fastpix_server.access.model import ALL, AccessToken, Workspace
from fastpix_server.db.pool import Tx


@dataclasses.dataclass(frozen=True, slots=True)
class TokenRow:
    id: str
    workspace_id: str
    secret_hash: bytes = dataclasses.field(repr=False)
    permissions: frozenset[str]


async def insert_workspace(tx: Tx, *, id: str, name: str, key: str) -> bool:
    """False when a workspace of that id exists already."""
    result = await tx.execute(
        text(
            "insert into workspaces (id, name, key) values (:id, :name, :key) on conflict (id) do nothing returning id"
        ),
        {"id": id, "name": name, "key": key},
    )
    return result.one_or_none() is not None


async def find_workspace(tx: Tx, workspace_id: str) -> Workspace | None:
    result = await tx.execute(
        text("select id, name, key, created_at from workspaces where id = :id"), {"id": workspace_id}
    )
    row = result.one_or_none()
    return None if row is None else Workspace(str(row.id), row.name, row.key, row.created_at)


async def find_workspace_of_key(tx: Tx, key: str) -> str | None:
    """The id of the workspace that beacons name by `key`: its key, or its id."""
    result = await tx.execute(
        text("select id from workspaces where key = :key or id::text = lower(:key)"), {"key": key}
    )
    found = result.scalars().first()
    return None if found is None else str(found)


async def find_drm_configuration(tx: Tx, workspace_id: str) -> str | None:
    result = await tx.execute(text("select drm_configuration_id from workspaces where id = :id"), {"id": workspace_id})
    found = result.scalar_one_or_none()
    return None if found is None else str(found)


async def find_oldest_workspace(tx: Tx) -> Workspace | None:
    result = await tx.execute(text("select id, name, key, created_at from workspaces order by created_at, id limit 1"))
    row = result.one_or_none()
    return None if row is None else Workspace(str(row.id), row.name, row.key, row.created_at)


async def list_workspaces(tx: Tx) -> list[Workspace]:
    """Oldest first."""
    result = await tx.execute(text("select id, name, key, created_at from workspaces order by created_at, id"))
    return [Workspace(str(row.id), row.name, row.key, row.created_at) for row in result]


async def lock_tokens(tx: Tx, workspace_id: str) -> None:
    """Who makes or revokes tokens of one workspace takes turns; the lock ends with the transaction."""
    await tx.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"access tokens {workspace_id}"}
    )


async def put_first_token(tx: Tx, *, id: str, workspace_id: str, secret_hash: bytes) -> bool:
    """Made, or brought up to date; a changed secret undoes a revocation. False when it is revoked still."""
    result = await tx.execute(
        text(
            "insert into access_tokens (id, workspace_id, name, secret_hash, permissions, is_first)"
            " values (:id, :workspace_id, 'first', :secret_hash, :permissions, true) on conflict (id) do update set"
            " secret_hash = excluded.secret_hash, permissions = excluded.permissions, is_first = true, revoked_at ="
            " case when access_tokens.secret_hash = excluded.secret_hash then access_tokens.revoked_at end"
            " returning revoked_at is null as is_living"
        ),
        {"id": id, "workspace_id": workspace_id, "secret_hash": secret_hash, "permissions": [ALL]},
    )
    return bool(result.scalar_one())


async def insert_token(
    tx: Tx, *, id: str, workspace_id: str, name: str, secret_hash: bytes, permissions: Sequence[str]
) -> AccessToken:
    result = await tx.execute(
        text(
            "insert into access_tokens (id, workspace_id, name, secret_hash, permissions)"
            " values (:id, :workspace_id, :name, :secret_hash, :permissions)"
            " returning id, workspace_id, name, permissions, created_at, last_used_at"
        ),
        {
            "id": id,
            "workspace_id": workspace_id,
            "name": name,
            "secret_hash": secret_hash,
            "permissions": list(permissions),
        },
    )
    return _seen(result.one())


async def find_token(tx: Tx, token_id: str) -> TokenRow | None:
    """The token unless it was revoked."""
    result = await tx.execute(
        text(
            "select id, workspace_id, secret_hash, permissions from access_tokens where id = :id and revoked_at is null"
        ),
        {"id": token_id},
    )
    row = result.one_or_none()
    if row is None:
        return None
    return TokenRow(row.id, str(row.workspace_id), bytes(row.secret_hash), frozenset(row.permissions))


async def note_use(tx: Tx, token_id: str, *, every_s: int) -> None:
    """Writes at most once in `every_s`, and never waits: whoever holds the row is noting the same."""
    await tx.execute(
        text(
            "update access_tokens set last_used_at = now() where id = (select id from access_tokens where id = :id"
            " and (last_used_at is null or last_used_at < now() - make_interval(secs => :every_s))"
            " for no key update skip locked)"
        ),
        {"id": token_id, "every_s": every_s},
    )


async def count_tokens(tx: Tx, workspace_id: str) -> int:
    result = await tx.execute(
        text("select count(*) from access_tokens where workspace_id = :workspace_id and revoked_at is null"),
        {"workspace_id": workspace_id},
    )
    return int(result.scalar_one())


async def page_tokens(tx: Tx, workspace_id: str, *, limit: int, skip: int) -> list[AccessToken]:
    """Newest first."""
    result = await tx.execute(
        text(
            "select id, workspace_id, name, permissions, created_at, last_used_at from access_tokens"
            " where workspace_id = :workspace_id and revoked_at is null"
            " order by created_at desc, id desc limit :limit offset :skip"
        ),
        {"workspace_id": workspace_id, "limit": limit, "skip": skip},
    )
    return [_seen(row) for row in result]


async def find_token_of(tx: Tx, workspace_id: str, token_id: str) -> AccessToken | None:
    result = await tx.execute(
        text(
            "select id, workspace_id, name, permissions, created_at, last_used_at from access_tokens"
            " where id = :id and workspace_id = :workspace_id and revoked_at is null"
        ),
        {"id": token_id, "workspace_id": workspace_id},
    )
    row = result.one_or_none()
    return None if row is None else _seen(row)


async def list_token_ids_with(tx: Tx, workspace_id: str, permissions: Sequence[str]) -> list[str]:
    """Living tokens that hold any of the permissions; two are enough to know that there are several."""
    result = await tx.execute(
        text(
            "select id from access_tokens where workspace_id = :workspace_id and revoked_at is null"
            " and permissions && cast(:permissions as text[]) limit 2"
        ),
        {"workspace_id": workspace_id, "permissions": list(permissions)},
    )
    return [row.id for row in result]


async def revoke_token(tx: Tx, token_id: str) -> bool:
    """The token's row goes; only that of the first token stays, so that the next start does not make it again."""
    result = await tx.execute(
        text(
            "with kept as (update access_tokens set revoked_at = now()"
            " where id = :id and revoked_at is null and is_first returning id),"
            " gone as (delete from access_tokens where id = :id and revoked_at is null and not is_first returning id)"
            " select id from kept union all select id from gone"
        ),
        {"id": token_id},
    )
    return result.one_or_none() is not None


def _seen(row: Row[tuple[object, ...]]) -> AccessToken:
    return AccessToken(
        row.id, str(row.workspace_id), row.name, tuple(row.permissions), row.created_at, row.last_used_at
    )


async def lock_first_credentials(tx: Tx) -> None:
    """Two machines that start together take turns; the lock ends with the transaction."""
    await tx.execute(text("select pg_advisory_xact_lock(hashtextextended('fastpix first credentials', 0))"))
