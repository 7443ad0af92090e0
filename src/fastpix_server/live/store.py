"""The SQL of streams and simulcast targets: nobody else reads or writes these tables.

Every function takes the caller's transaction. Ids go in and come out as 32 hex digits, which PostgreSQL reads as UUIDs.
"""

from collections.abc import Iterable
from typing import Literal

from sqlalchemy import RowMapping, text

from fastpix_server.db.pool import Json, Tx
from fastpix_server.live.streams import Stream, Target, as_hex, as_uuid

_COLUMNS = (
    "id, workspace_id, status, stream_key, srt_secret, srt_playback_secret, max_resolution, max_duration_s,"
    " reconnect_window_s, media_policy, enable_recording, enable_dvr_mode, metadata, created_at"
)
_FIND = f"select {_COLUMNS} from live_streams where id = :id"  # noqa: S608 fixed names
_PAGE = {
    direction: f"select {_COLUMNS} from live_streams where workspace_id = :workspace_id"  # noqa: S608 fixed names
    f" order by created_at {direction}, id {direction} limit :limit offset :skip"
    for direction in ("asc", "desc")
}
_TARGET_COLUMNS = "id, stream_id, url, stream_key, is_enabled, metadata"


def _stream(row: RowMapping) -> Stream:
    values = dict(row)
    values["id"] = as_hex(row["id"])
    values["workspace_id"] = str(row["workspace_id"])
    return Stream(**values)


def _target(row: RowMapping) -> Target:
    values = dict(row)
    values["id"] = as_hex(row["id"])
    values["stream_id"] = as_hex(row["stream_id"])
    return Target(**values)


async def insert(tx: Tx, stream: Stream) -> None:
    await tx.execute(
        text(
            f"insert into live_streams ({_COLUMNS}) values (:id, :workspace_id, :status, :stream_key, :srt_secret,"  # noqa: S608
            " :srt_playback_secret, :max_resolution, :max_duration_s, :reconnect_window_s, :media_policy,"
            " :enable_recording, :enable_dvr_mode, :metadata, :created_at)"
        ),
        {
            "id": stream.id,
            "workspace_id": stream.workspace_id,
            "status": stream.status,
            "stream_key": stream.stream_key,
            "srt_secret": stream.srt_secret,
            "srt_playback_secret": stream.srt_playback_secret,
            "max_resolution": stream.max_resolution,
            "max_duration_s": stream.max_duration_s,
            "reconnect_window_s": stream.reconnect_window_s,
            "media_policy": stream.media_policy,
            "enable_recording": stream.enable_recording,
            "enable_dvr_mode": stream.enable_dvr_mode,
            "metadata": None if stream.metadata is None else Json(stream.metadata),
            "created_at": stream.created_at,
        },
    )


async def find(tx: Tx, stream_id: str, *, workspace_id: str | None = None, lock: bool = False) -> Stream | None:
    """The stream of that id, of that workspace when one is given; `lock` holds its row until the transaction ends."""
    result = await tx.execute(text(_FIND + (" for update" if lock else "")), {"id": as_uuid(stream_id)})
    row = result.mappings().one_or_none()
    if row is None or (workspace_id is not None and str(row["workspace_id"]) != workspace_id):
        return None
    return _stream(row)


async def page(
    tx: Tx, workspace_id: str, *, limit: int, skip: int, order: Literal["asc", "desc"]
) -> tuple[list[Stream], int]:
    """One page by time of creation, and how many there are in all."""
    result = await tx.execute(text(_PAGE[order]), {"workspace_id": workspace_id, "limit": limit, "skip": skip})
    found = [_stream(row) for row in result.mappings()]
    total = await tx.execute(
        text("select count(*) from live_streams where workspace_id = :workspace_id"), {"workspace_id": workspace_id}
    )
    return found, int(total.scalar_one())


async def some_after(tx: Tx, last_id: str, limit: int) -> list[Stream]:
    """Streams of every workspace in the order of their ids: how a key table is filled, slice by slice."""
    result = await tx.execute(
        text(f"select {_COLUMNS} from live_streams where id > :last order by id limit :limit"),  # noqa: S608
        {"last": as_uuid(last_id), "limit": limit},
    )
    return [_stream(row) for row in result.mappings()]


async def move(tx: Tx, stream_id: str, allowed: list[str], to: str) -> bool:
    result = await tx.execute(
        text(
            "update live_streams set status = :to, updated_at = clock_timestamp()"
            " where id = :id and status = any(:allowed) returning id"
        ),
        {"id": as_uuid(stream_id), "allowed": allowed, "to": to},
    )
    return result.one_or_none() is not None


async def set_settings(tx: Tx, stream_id: str, *, metadata: dict[str, str] | None, reconnect_window_s: int) -> None:
    await tx.execute(
        text(
            "update live_streams set metadata = :metadata, reconnect_window_s = :window,"
            " updated_at = clock_timestamp() where id = :id"
        ),
        {
            "id": as_uuid(stream_id),
            "metadata": None if metadata is None else Json(metadata),
            "window": reconnect_window_s,
        },
    )


async def delete(tx: Tx, stream_id: str) -> None:
    """Its targets go with it."""
    await tx.execute(text("delete from live_streams where id = :id"), {"id": as_uuid(stream_id)})


async def insert_target(tx: Tx, target: Target) -> None:
    await tx.execute(
        text(
            "insert into live_simulcast_targets (id, stream_id, url, stream_key, is_enabled, metadata)"
            " values (:id, :stream_id, :url, :stream_key, :is_enabled, :metadata)"
        ),
        {
            "id": target.id,
            "stream_id": as_uuid(target.stream_id),
            "url": target.url,
            "stream_key": target.stream_key,
            "is_enabled": target.is_enabled,
            "metadata": None if target.metadata is None else Json(target.metadata),
        },
    )


async def targets_of(tx: Tx, stream_ids: Iterable[str]) -> dict[str, list[Target]]:
    """Oldest first; every asked stream has an entry."""
    found: dict[str, list[Target]] = {stream_id: [] for stream_id in stream_ids}
    if found:
        result = await tx.execute(
            text(
                f"select {_TARGET_COLUMNS} from live_simulcast_targets"  # noqa: S608 fixed names
                " where stream_id = any(cast(:ids as uuid[])) order by created_at, id"
            ),
            {"ids": [as_uuid(stream_id) for stream_id in found]},
        )
        for row in result.mappings():
            target = _target(row)
            found[target.stream_id].append(target)
    return found


async def find_target(tx: Tx, stream_id: str, target_id: str) -> Target | None:
    result = await tx.execute(
        text(
            f"select {_TARGET_COLUMNS} from live_simulcast_targets where id = :id and stream_id = :stream_id"  # noqa: S608
        ),
        {"id": as_uuid(target_id), "stream_id": as_uuid(stream_id)},
    )
    row = result.mappings().one_or_none()
    return None if row is None else _target(row)


async def set_target(tx: Tx, target: Target) -> None:
    await tx.execute(
        text("update live_simulcast_targets set is_enabled = :is_enabled, metadata = :metadata where id = :id"),
        {
            "id": as_uuid(target.id),
            "is_enabled": target.is_enabled,
            "metadata": None if target.metadata is None else Json(target.metadata),
        },
    )


async def delete_target(tx: Tx, target_id: str) -> None:
    await tx.execute(text("delete from live_simulcast_targets where id = :id"), {"id": as_uuid(target_id)})
