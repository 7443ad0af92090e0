"""The SQL of signing keys: nobody else reads or writes this table."""

from sqlalchemy import RowMapping, text

from fastpix_server.db.pool import Tx
from fastpix_server.keys.model import SigningKey


def _key(row: RowMapping) -> SigningKey:
    return SigningKey(str(row["id"]), str(row["workspace_id"]), row["public_pem"], row["created_at"])


async def lock_workspace(tx: Tx, workspace_id: str) -> None:
    """Makers of keys of one workspace take turns, so that its limit holds; the lock ends with the transaction."""
    await tx.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"signing keys {workspace_id}"}
    )


async def count(tx: Tx, workspace_id: str) -> int:
    result = await tx.execute(
        text("select count(*) from signing_keys where workspace_id = :workspace_id"), {"workspace_id": workspace_id}
    )
    return int(result.scalar_one())


async def insert(tx: Tx, *, key_id: str, workspace_id: str, public_pem: str) -> SigningKey:
    result = await tx.execute(
        text(
            "insert into signing_keys (id, workspace_id, public_pem) values (:id, :workspace_id, :public_pem)"
            " returning id, workspace_id, public_pem, created_at"
        ),
        {"id": key_id, "workspace_id": workspace_id, "public_pem": public_pem},
    )
    return _key(result.mappings().one())


async def find(tx: Tx, workspace_id: str, key_id: str) -> SigningKey | None:
    result = await tx.execute(
        text(
            "select id, workspace_id, public_pem, created_at from signing_keys"
            " where id = :id and workspace_id = :workspace_id"
        ),
        {"id": key_id, "workspace_id": workspace_id},
    )
    row = result.mappings().one_or_none()
    return None if row is None else _key(row)


async def page(tx: Tx, workspace_id: str, *, limit: int, skip: int) -> list[SigningKey]:
    """Newest first."""
    result = await tx.execute(
        text(
            "select id, workspace_id, public_pem, created_at from signing_keys where workspace_id = :workspace_id"
            " order by created_at desc, id desc limit :limit offset :skip"
        ),
        {"workspace_id": workspace_id, "limit": limit, "skip": skip},
    )
    return [_key(row) for row in result.mappings()]


async def delete(tx: Tx, workspace_id: str, key_id: str) -> bool:
    result = await tx.execute(
        text("delete from signing_keys where id = :id and workspace_id = :workspace_id returning id"),
        {"id": key_id, "workspace_id": workspace_id},
    )
    return result.one_or_none() is not None
