"""The SQL of playlists: nobody else reads or writes these tables. Every function takes the caller's transaction."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import RowMapping, text

from fastpix_server.db.pool import Json, Tx

_COLUMNS = (
    "id, workspace_id, name, reference_id, type, description, media_limit, play_order, filters, created_at, updated_at"
)
_FIND = f"select {_COLUMNS} from playlists where id = :id"  # noqa: S608 fixed names


@dataclasses.dataclass(frozen=True, slots=True)
class Playlist:
    """`play_order` and `filters` are those of a smart one; `media_limit` is the most that it may hold."""

    id: str
    workspace_id: str
    name: str
    reference_id: str
    type: Literal["manual", "smart"]
    description: str | None
    media_limit: int
    play_order: str | None
    filters: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    playlist: Playlist
    media_count: int


def _playlist(row: RowMapping) -> Playlist:
    values = {name: row[name] for name in _COLUMNS.split(", ")}
    return Playlist(**{**values, "id": str(row["id"]), "workspace_id": str(row["workspace_id"])})


async def insert(tx: Tx, playlist: Playlist) -> bool:
    """False when the workspace has one of that reference id."""
    values = {**dataclasses.asdict(playlist), "filters": None if playlist.filters is None else Json(playlist.filters)}
    names = _COLUMNS.split(", ")
    result = await tx.execute(
        text(
            f"insert into playlists ({_COLUMNS}) values ({', '.join(f':{name}' for name in names)})"  # noqa: S608
            " on conflict (workspace_id, reference_id) do nothing returning id"
        ),
        values,
    )
    return result.one_or_none() is not None


async def find(tx: Tx, playlist_id: str, *, workspace_id: str | None = None, lock: bool = False) -> Playlist | None:
    """Of that workspace when one is given; `lock` holds its row until the transaction ends."""
    result = await tx.execute(text(_FIND + (" for update" if lock else "")), {"id": playlist_id})
    row = result.mappings().one_or_none()
    if row is None or (workspace_id is not None and str(row["workspace_id"]) != workspace_id):
        return None
    return _playlist(row)


async def page(tx: Tx, workspace_id: str, *, limit: int, skip: int) -> tuple[list[Counted], int]:
    """One page, newest first, and how many there are in all."""
    result = await tx.execute(
        text(
            f"select {_COLUMNS}, (select count(*) from playlist_media m where m.playlist_id = playlists.id)"  # noqa: S608
            " as media_count from playlists where workspace_id = :workspace_id"
            " order by created_at desc, id desc limit :limit offset :skip"
        ),
        {"workspace_id": workspace_id, "limit": limit, "skip": skip},
    )
    found = [Counted(_playlist(row), int(row["media_count"])) for row in result.mappings()]
    total = await tx.execute(
        text("select count(*) from playlists where workspace_id = :workspace_id"), {"workspace_id": workspace_id}
    )
    return found, int(total.scalar_one())


async def set_texts(tx: Tx, playlist_id: str, *, name: str, description: str | None) -> None:
    await tx.execute(
        text(
            "update playlists set name = :name, description = :description, updated_at = clock_timestamp()"
            " where id = :id"
        ),
        {"id": playlist_id, "name": name, "description": description},
    )


async def delete(tx: Tx, playlist_id: str) -> None:
    await tx.execute(text("delete from playlists where id = :id"), {"id": playlist_id})


async def media_of(tx: Tx, playlist_id: str) -> list[str]:
    """In their order."""
    result = await tx.execute(
        text("select media_id from playlist_media where playlist_id = :id order by position, media_id"),
        {"id": playlist_id},
    )
    return [str(media_id) for media_id in result.scalars()]


async def append(tx: Tx, playlist_id: str, media_ids: Sequence[str]) -> None:
    """After the last one, in the given order; whoever is in it already stays where it is."""
    await tx.execute(
        text(
            "insert into playlist_media (playlist_id, media_id, position)"
            " select :id, given.media_id, given.n + coalesce("
            "  (select max(position) from playlist_media where playlist_id = :id), 0)"
            " from unnest(cast(:media_ids as uuid[])) with ordinality as given (media_id, n)"
            " on conflict (playlist_id, media_id) do nothing"
        ),
        {"id": playlist_id, "media_ids": list(media_ids)},
    )
    await _touch(tx, playlist_id)


async def reorder(tx: Tx, playlist_id: str, media_ids: Sequence[str]) -> None:
    await tx.execute(
        text(
            "update playlist_media set position = given.n"
            " from unnest(cast(:media_ids as uuid[])) with ordinality as given (media_id, n)"
            " where playlist_id = :id and playlist_media.media_id = given.media_id"
        ),
        {"id": playlist_id, "media_ids": list(media_ids)},
    )
    await _touch(tx, playlist_id)


async def remove(tx: Tx, playlist_id: str, media_ids: Sequence[str]) -> None:
    await tx.execute(
        text("delete from playlist_media where playlist_id = :id and media_id = any(cast(:media_ids as uuid[]))"),
        {"id": playlist_id, "media_ids": list(media_ids)},
    )
    await _touch(tx, playlist_id)


async def _touch(tx: Tx, playlist_id: str) -> None:
    await tx.execute(text("update playlists set updated_at = clock_timestamp() where id = :id"), {"id": playlist_id})
