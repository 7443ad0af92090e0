"""The SQL of upload sessions: nobody else reads or writes the table `uploads`."""

import dataclasses
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text

from fastpix_server.db.pool import Json, Tx
from fastpix_server.media.upload_protocol import Status

_COLUMNS = (
    "id, workspace_id, status, cors_origin, is_browser, settings, secret, total_bytes, expires_at, created_at,"
    " updated_at"
)
_FIND = f"select {_COLUMNS} from uploads where id = :id"  # noqa: S608 fixed names
_EXPIRED = (
    f"select {_COLUMNS} from uploads where status = 'waiting' and expires_at < now()"  # noqa: S608 fixed names
    " order by expires_at limit :limit"
)
_PAGE = {
    direction: f"select {_COLUMNS} from uploads where workspace_id = :workspace_id"  # noqa: S608 fixed names
    f" and status = 'waiting' and expires_at > now() order by created_at {direction}, id {direction}"
    " limit :limit offset :skip"
    for direction in ("asc", "desc")
}


@dataclasses.dataclass(frozen=True, slots=True)
class Upload:
    """One upload session. `settings` is pushMediaSettings as accepted; `total_bytes` is known from the first chunk."""

    id: str
    workspace_id: str
    status: Status
    cors_origin: str
    is_browser: bool
    settings: dict[str, Any]
    secret: bytes = dataclasses.field(repr=False)
    total_bytes: int | None
    expires_at: datetime
    created_at: datetime
    updated_at: datetime


def _upload(row: Any) -> Upload:
    values = dict(row)
    return Upload(**values | {"id": str(row["id"]), "workspace_id": str(row["workspace_id"])})


async def insert(tx: Tx, upload: Upload) -> None:
    values = dataclasses.asdict(upload) | {"settings": Json(upload.settings)}
    await tx.execute(
        text(
            "insert into uploads (id, workspace_id, status, cors_origin, is_browser, settings, secret, total_bytes,"
            " expires_at, created_at, updated_at) values (:id, :workspace_id, :status, :cors_origin, :is_browser,"
            " :settings, :secret, :total_bytes, :expires_at, :created_at, :updated_at)"
        ),
        values,
    )


async def find(tx: Tx, upload_id: str, *, lock: bool = False) -> Upload | None:
    """`lock` holds the row until the transaction ends."""
    result = await tx.execute(text(_FIND + (" for update" if lock else "")), {"id": upload_id})
    row = result.mappings().one_or_none()
    return None if row is None else _upload(row)


async def page(
    tx: Tx, workspace_id: str, *, limit: int, skip: int, order: Literal["asc", "desc"]
) -> tuple[list[Upload], int]:
    """One page of uploads that still wait, and how many there are in all."""
    result = await tx.execute(text(_PAGE[order]), {"workspace_id": workspace_id, "limit": limit, "skip": skip})
    found = [_upload(row) for row in result.mappings()]
    total = await tx.execute(
        text(
            "select count(*) from uploads where workspace_id = :workspace_id and status = 'waiting'"
            " and expires_at > now()"
        ),
        {"workspace_id": workspace_id},
    )
    return found, int(total.scalar_one())


async def expired(tx: Tx, *, limit: int) -> list[Upload]:
    result = await tx.execute(text(_EXPIRED), {"limit": limit})
    return [_upload(row) for row in result.mappings()]


async def begin_bytes(tx: Tx, upload_id: str, *, total_bytes: int | None, active_s: int) -> bool:
    """Bytes are about to come: notes the file's size and prolongs the session.

    False when it does not wait any more, or when another request named another size first.
    """
    result = await tx.execute(
        text(
            "update uploads set total_bytes = coalesce(cast(:total as bigint), total_bytes), updated_at = now(),"
            " expires_at = now() + make_interval(secs => :active_s)"
            " where id = :id and status = 'waiting'"
            " and (total_bytes is null or cast(:total as bigint) is null or total_bytes = :total) returning id"
        ),
        {"id": upload_id, "total": total_bytes, "active_s": active_s},
    )
    return result.one_or_none() is not None


async def forget_size(tx: Tx, upload_id: str) -> None:
    await tx.execute(
        text("update uploads set total_bytes = null, updated_at = now() where id = :id and status = 'waiting'"),
        {"id": upload_id},
    )


async def close(tx: Tx, upload_id: str, status: Status) -> bool:
    """waiting -> `status`. False when it did not wait any more."""
    result = await tx.execute(
        text(
            "update uploads set status = :status, updated_at = now() where id = :id and status = 'waiting' returning id"
        ),
        {"id": upload_id, "status": status},
    )
    return result.one_or_none() is not None


async def delete_over(tx: Tx, *, keep_s: int) -> int:
    """Deletes sessions that ended longer ago than `keep_s`; how many."""
    result = await tx.execute(
        text("delete from uploads where status <> 'waiting' and updated_at < now() - make_interval(secs => :keep_s)"),
        {"keep_s": keep_s},
    )
    return int(result.rowcount)
