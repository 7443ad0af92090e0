"""The SQL of what is added to media: tracks beside the source's own, static files. With store.py, nobody else's."""

from sqlalchemy import text

from fastpix_server.db.pool import Tx
from fastpix_server.media.model import FileKind, MadeFile, Track

# The source's own tracks are numbered from 0 when it is ready; added ones may exist before that.
_FIRST_ADDED = 1000


async def insert_track(tx: Tx, media_id: str, track: Track) -> None:
    await tx.execute(
        text(
            "insert into media_tracks (id, media_id, position, type, status, language_code, language_name, title, url,"
            " version) select :id, :media_id, greatest(coalesce(max(position) + 1, :first), :first), :type, :status,"
            " :language_code, :language_name, :title, :url, :version from media_tracks where media_id = :media_id"
        ),
        {**_values(track), "media_id": media_id, "first": _FIRST_ADDED, "type": track.type},
    )


def _values(track: Track) -> dict[str, object]:
    """Everything of it that can change, and its id."""
    return {
        "id": track.id,
        "status": track.status,
        "language_code": track.language_code,
        "language_name": track.language_name,
        "title": track.title,
        "url": track.url,
        "version": track.version,
    }


async def media_of_track(tx: Tx, track_id: str) -> str | None:
    result = await tx.execute(text("select media_id from media_tracks where id = :id"), {"id": track_id})
    found = result.scalar_one_or_none()
    return None if found is None else str(found)


async def save_track(tx: Tx, track: Track) -> None:
    """Everything of it that can change."""
    await tx.execute(
        text(
            "update media_tracks set status = :status, language_code = :language_code, language_name = :language_name,"
            " title = :title, url = :url, version = :version where id = :id"
        ),
        _values(track),
    )


async def delete_track(tx: Tx, track_id: str) -> None:
    await tx.execute(text("delete from media_tracks where id = :id"), {"id": track_id})


async def touch(tx: Tx, media_id: str) -> None:
    await tx.execute(text("update media set updated_at = clock_timestamp() where id = :id"), {"id": media_id})


async def set_source_access(tx: Tx, media_id: str, *, is_open: bool) -> None:
    await tx.execute(
        text("update media set source_access = :is_open, updated_at = clock_timestamp() where id = :id"),
        {"id": media_id, "is_open": is_open},
    )


async def insert_file(tx: Tx, media_id: str, file: MadeFile) -> None:
    await tx.execute(
        text("insert into media_files (id, media_id, kind, status) values (:id, :media_id, :kind, :status)"),
        {"id": file.id, "media_id": media_id, "kind": file.kind, "status": file.status},
    )


async def media_of_file(tx: Tx, file_id: str) -> str | None:
    result = await tx.execute(text("select media_id from media_files where id = :id"), {"id": file_id})
    found = result.scalar_one_or_none()
    return None if found is None else str(found)


async def end_file(tx: Tx, file: MadeFile) -> None:
    """Notes how it ended."""
    await tx.execute(
        text("update media_files set status = :status, width = :width, height = :height where id = :id"),
        {"id": file.id, "status": file.status, "width": file.width, "height": file.height},
    )


async def delete_file(tx: Tx, media_id: str, kind: FileKind) -> None:
    await tx.execute(
        text("delete from media_files where media_id = :media_id and kind = :kind"),
        {"media_id": media_id, "kind": kind},
    )
