"""The SQL of workspaces and access tokens: nobody else reads or writes these tables."""

import dataclasses
from collections.abc import Sequence

from sqlalchemy import text

from fastpix_server.access.model import Workspace
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


async def find_drm_configuration(tx: Tx, workspace_id: str) -> str | None:
    result = await tx.execute(text("select drm_configuration_id from workspaces where id = :id"), {"id": workspace_id})
    found = result.scalar_one_or_none()
    return None if found is None else str(found)


async def find_oldest_workspace(tx: Tx) -> Workspace | None:
    result = await tx.execute(text("select id, name, key, created_at from workspaces order by created_at, id limit 1"))
    row = result.one_or_none()
    return None if row is None else Workspace(str(row.id), row.name, row.key, row.created_at)


async def put_token(
    tx: Tx, *, id: str, workspace_id: str, name: str, secret_hash: bytes, permissions: Sequence[str]
) -> None:
    """A new token, or a new secret and rights for the token of that id."""
    await tx.execute(
        text(
            "insert into access_tokens (id, workspace_id, name, secret_hash, permissions)"
            " values (:id, :workspace_id, :name, :secret_hash, :permissions) on conflict (id) do update set"
            " secret_hash = excluded.secret_hash, permissions = excluded.permissions, revoked_at = null"
        ),
        {
            "id": id,
            "workspace_id": workspace_id,
            "name": name,
            "secret_hash": secret_hash,
            "permissions": list(permissions),
        },
    )


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


async def revoke_token(tx: Tx, token_id: str) -> bool:
    result = await tx.execute(
        text("update access_tokens set revoked_at = now() where id = :id and revoked_at is null returning id"),
        {"id": token_id},
    )
    return result.one_or_none() is not None


async def lock_first_credentials(tx: Tx) -> None:
    """Two machines that start together take turns; the lock ends with the transaction."""
    await tx.execute(text("select pg_advisory_xact_lock(hashtextextended('fastpix first credentials', 0))"))
