"""The SQL of media and their tracks: nobody else reads or writes these tables.

Every function takes the caller's transaction; a media comes back complete, tracks included.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import RowMapping, text

from fastpix_server.db.pool import Json, Tx
from fastpix_server.media import edits
from fastpix_server.media.model import MadeFile, Media, Track

_COLUMNS = (
    "id, workspace_id, status, origin, source_url, title, creator_id, metadata, media_quality, max_resolution,"
    " source_access, optimize_audio, size_bytes, container, duration_s, width, height, is_audio_only, failure_code,"
    " failure_description, created_at, updated_at, stream_id, source_media_id, edit"
)
_FIND = f"select {_COLUMNS} from media where id = :id"  # noqa: S608 fixed names
_TRACKS = (
    "select id, media_id, type, status, width, height, frame_rate, language_code, language_name, title, url, version"
    " from media_tracks where media_id = any(:ids) order by media_id, position"
)
_FILES = (
    "select id, media_id, kind, status, width, height from media_files where media_id = any(:ids)"
    " order by media_id, kind desc"
)
# No value of the caller is ever part of the text of a statement: the direction picks one of two.
_PAGE = {
    direction: f"select {_COLUMNS} from media where workspace_id = :workspace_id"  # noqa: S608 fixed names
    f" order by created_at {direction}, id {direction} limit :limit offset :skip"
    for direction in ("asc", "desc")
}
_FIND_MANY = f"select {_COLUMNS} from media where workspace_id = :workspace_id and id = any(cast(:ids as uuid[]))"  # noqa: S608
_READY_BETWEEN = {
    direction: "select id from media where workspace_id = :workspace_id and status = 'Ready'"  # noqa: S608 fixed names
    " and created_at >= :created_from and created_at < :created_to and updated_at >= :updated_from"
    f" and updated_at < :updated_to order by created_at {direction}, id {direction} limit :limit"
    for direction in ("asc", "desc")
}
_CLIPS_PAGE = {
    direction: f"select {_COLUMNS} from media where workspace_id = :workspace_id and stream_id = :stream_id"  # noqa: S608
    f" and origin = 'clip' order by created_at {direction}, id {direction} limit :limit offset :skip"
    for direction in ("asc", "desc")
}
_MEDIA_CLIPS_PAGE = {
    direction: f"select {_COLUMNS} from media where workspace_id = :workspace_id and source_media_id = :media_id"  # noqa: S608
    f" order by created_at {direction}, id {direction} limit :limit offset :skip"
    for direction in ("asc", "desc")
}


def _media(row: RowMapping, tracks: tuple[Track, ...], files: tuple[MadeFile, ...]) -> Media:
    values = dict(row)
    values["id"] = str(row["id"])
    values["workspace_id"] = str(row["workspace_id"])
    values["stream_id"] = None if row["stream_id"] is None else row["stream_id"].hex
    values["source_media_id"] = None if row["source_media_id"] is None else str(row["source_media_id"])
    values["edit"] = edits.from_json(row["edit"])
    return Media(**values, tracks=tracks, files=files)


def _track(row: RowMapping) -> Track:
    values = {name: value for name, value in row.items() if name != "media_id"}
    values["id"] = str(row["id"])
    return Track(**values)


async def _complete(tx: Tx, rows: Sequence[RowMapping]) -> list[Media]:
    found: dict[Any, list[Track]] = {row["id"]: [] for row in rows}
    files: dict[Any, list[MadeFile]] = {row["id"]: [] for row in rows}
    if found:
        result = await tx.execute(text(_TRACKS), {"ids": list(found)})
        for row in result.mappings():
            found[row["media_id"]].append(_track(row))
        result = await tx.execute(text(_FILES), {"ids": list(found)})
        for row in result.mappings():
            file = MadeFile(str(row["id"]), row["kind"], row["status"], row["width"], row["height"])
            files[row["media_id"]].append(file)
    return [_media(row, tuple(found[row["id"]]), tuple(files[row["id"]])) for row in rows]


async def insert(tx: Tx, media: Media) -> None:
    await tx.execute(
        text(
            "insert into media (id, workspace_id, status, origin, source_url, title, creator_id, metadata,"
            " media_quality, max_resolution, source_access, optimize_audio, size_bytes, created_at, updated_at,"
            " stream_id, source_media_id, edit)"
            " values (:id, :workspace_id, :status, :origin, :source_url, :title, :creator_id, :metadata,"
            " :media_quality, :max_resolution, :source_access, :optimize_audio, :size_bytes, :created_at, :updated_at,"
            " :stream_id, :source_media_id, :edit)"
        ),
        {
            "id": media.id,
            "workspace_id": media.workspace_id,
            "status": media.status,
            "origin": media.origin,
            "source_url": media.source_url,
            "title": media.title,
            "creator_id": media.creator_id,
            "metadata": Json(media.metadata),
            "media_quality": media.media_quality,
            "max_resolution": media.max_resolution,
            "source_access": media.source_access,
            "optimize_audio": media.optimize_audio,
            "size_bytes": media.size_bytes,
            "created_at": media.created_at,
            "updated_at": media.updated_at,
            "stream_id": media.stream_id,
            "source_media_id": media.source_media_id,
            "edit": Json(edit) if (edit := edits.to_json(media.edit)) is not None else None,
        },
    )


async def find(tx: Tx, media_id: str, *, workspace_id: str | None = None, lock: bool = False) -> Media | None:
    """The media of that id, of that workspace when one is given; `lock` holds its row until the transaction ends."""
    result = await tx.execute(text(_FIND + (" for update" if lock else "")), {"id": media_id})
    row = result.mappings().one_or_none()
    if row is not None and workspace_id is not None and str(row["workspace_id"]) != workspace_id:
        return None
    return None if row is None else (await _complete(tx, [row]))[0]


async def page(
    tx: Tx, workspace_id: str, *, limit: int, skip: int, order: Literal["asc", "desc"]
) -> tuple[list[Media], int]:
    """One page by time of creation, and how many there are in all."""
    result = await tx.execute(text(_PAGE[order]), {"workspace_id": workspace_id, "limit": limit, "skip": skip})
    found = await _complete(tx, result.mappings().all())
    total = await tx.execute(
        text("select count(*) from media where workspace_id = :workspace_id"), {"workspace_id": workspace_id}
    )
    return found, int(total.scalar_one())


async def find_many(tx: Tx, workspace_id: str, media_ids: Sequence[str], *, lock: bool = False) -> list[Media]:
    """Those of the workspace among them, in no order; `lock` keeps them from being deleted until the commit."""
    result = await tx.execute(
        text(_FIND_MANY + (" for key share" if lock else "")),
        {"workspace_id": workspace_id, "ids": list(media_ids)},
    )
    return await _complete(tx, result.mappings().all())


async def ready_between(
    tx: Tx,
    workspace_id: str,
    *,
    created: tuple[datetime, datetime] | None,
    updated: tuple[datetime, datetime] | None,
    order: Literal["asc", "desc"],
    limit: int,
) -> list[str]:
    """Ids of Ready media by time of creation. Bounds are half open; None bounds nothing."""
    anything = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    (created_from, created_to), (updated_from, updated_to) = created or anything, updated or anything
    result = await tx.execute(
        text(_READY_BETWEEN[order]),
        {
            "workspace_id": workspace_id,
            "created_from": created_from,
            "created_to": created_to,
            "updated_from": updated_from,
            "updated_to": updated_to,
            "limit": limit,
        },
    )
    return [str(media_id) for media_id in result.scalars()]


async def media_clips_page(
    tx: Tx, workspace_id: str, media_id: str, *, limit: int, skip: int, order: Literal["asc", "desc"]
) -> tuple[list[Media], int]:
    """One page of the media that were made from one, and how many there are in all."""
    values = {"workspace_id": workspace_id, "media_id": media_id, "limit": limit, "skip": skip}
    result = await tx.execute(text(_MEDIA_CLIPS_PAGE[order]), values)
    found = await _complete(tx, result.mappings().all())
    total = await tx.execute(
        text("select count(*) from media where workspace_id = :workspace_id and source_media_id = :media_id"), values
    )
    return found, int(total.scalar_one())


async def clips_page(
    tx: Tx, workspace_id: str, stream_id: str, *, limit: int, skip: int, order: Literal["asc", "desc"]
) -> tuple[list[Media], int]:
    """One page of the clips of a live stream, and how many there are in all."""
    values = {"workspace_id": workspace_id, "stream_id": stream_id, "limit": limit, "skip": skip}
    result = await tx.execute(text(_CLIPS_PAGE[order]), values)
    found = await _complete(tx, result.mappings().all())
    total = await tx.execute(
        text(
            "select count(*) from media where workspace_id = :workspace_id and stream_id = :stream_id"
            " and origin = 'clip'"
        ),
        {"workspace_id": workspace_id, "stream_id": stream_id},
    )
    return found, int(total.scalar_one())


async def recordings_of(tx: Tx, stream_ids: Iterable[str], status: str) -> list[tuple[str, str]]:
    """Pairs of stream (32 hex digits) and media, oldest first."""
    result = await tx.execute(
        text(
            "select stream_id, id from media where stream_id = any(cast(:ids as uuid[])) and origin = 'live'"
            " and status = :status order by created_at, id"
        ),
        {"ids": list(stream_ids), "status": status},
    )
    return [(row.stream_id.hex, str(row.id)) for row in result]


async def status_of(tx: Tx, media_id: str) -> str | None:
    result = await tx.execute(text("select status from media where id = :id"), {"id": media_id})
    return result.scalar_one_or_none()


async def move(tx: Tx, media_id: str, allowed: list[str], to: str) -> bool:
    result = await tx.execute(
        text(
            "update media set status = :to, updated_at = clock_timestamp()"
            " where id = :id and status = any(:allowed) returning id"
        ),
        {"id": media_id, "allowed": allowed, "to": to},
    )
    return result.one_or_none() is not None


async def set_texts(
    tx: Tx, media_id: str, *, title: str | None, creator_id: str | None, metadata: dict[str, str]
) -> None:
    await tx.execute(
        text(
            "update media set title = :title, creator_id = :creator_id, metadata = :metadata,"
            " updated_at = clock_timestamp() where id = :id"
        ),
        {"id": media_id, "title": title, "creator_id": creator_id, "metadata": Json(metadata)},
    )


async def set_size(tx: Tx, media_id: str, size_bytes: int) -> None:
    await tx.execute(text("update media set size_bytes = :size where id = :id"), {"id": media_id, "size": size_bytes})


async def set_failure(tx: Tx, media_id: str, code: str, description: str) -> None:
    await tx.execute(
        text("update media set failure_code = :code, failure_description = :description where id = :id"),
        {"id": media_id, "code": code, "description": description},
    )


async def set_facts(
    tx: Tx,
    media_id: str,
    *,
    container: str,
    duration_s: float,
    width: int | None,
    height: int | None,
    is_audio_only: bool,
) -> None:
    await tx.execute(
        text(
            "update media set container = :container, duration_s = :duration_s, width = :width, height = :height,"
            " is_audio_only = :is_audio_only where id = :id"
        ),
        {
            "id": media_id,
            "container": container,
            "duration_s": duration_s,
            "width": width,
            "height": height,
            "is_audio_only": is_audio_only,
        },
    )


async def insert_tracks(tx: Tx, media_id: str, tracks: Iterable[Track]) -> None:
    for position, track in enumerate(tracks):
        await tx.execute(
            text(
                "insert into media_tracks (id, media_id, position, type, status, width, height, frame_rate,"
                " language_code, language_name) values (:id, :media_id, :position, :type, :status, :width, :height,"
                " :frame_rate, :language_code, :language_name)"
            ),
            {
                "id": track.id,
                "media_id": media_id,
                "position": position,
                "type": track.type,
                "status": track.status,
                "width": track.width,
                "height": track.height,
                "frame_rate": track.frame_rate,
                "language_code": track.language_code,
                "language_name": track.language_name,
            },
        )


async def delete(tx: Tx, media_id: str) -> None:
    await tx.execute(text("delete from media where id = :id"), {"id": media_id})
