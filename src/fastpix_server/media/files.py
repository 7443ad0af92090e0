"""The verbs of static files: MP4 and M4A for download, and the source itself (contract 2.1, ops 17 and 18).

Invariants: what is asked for is a row, what can be downloaded is published with its target; a file that was taken away
is refused from the commit on, and its bytes are erased by a job.
"""

import dataclasses

from fastpix_server.base import errors, ids, log
from fastpix_server.db.pool import Tx
from fastpix_server.media import additions, additions_store, service, store
from fastpix_server.media.model import FileKind, MadeFile, Media
from fastpix_server.media.schemas import UpdateMp4Support, UpdateSourceAccess
from fastpix_server.media.states import Status
from fastpix_server.media.telling import tell, tell_updated
from fastpix_server.playback import extras
from fastpix_server.playback import service as playback
from fastpix_server.playback.extras import File

# As in URLs (contract section 5).
NAMES: dict[FileKind, str] = {"capped_4k": "capped-4k.mp4", "audioOnly": "audio.m4a"}

_log = log.get(__name__)


async def set_mp4_support(tx: Tx, workspace_id: str, media_id: str, request: UpdateMp4Support) -> Media:
    """Exactly these files from now on: others go, new ones are made. One that failed may be asked for again."""
    media = await service.get(tx, workspace_id, media_id, lock=True)
    if media.status == Status.FAILED:
        raise errors.BadState("The media failed, so there is nothing to make files of.", message="media failed")
    wanted = additions.FILE_KINDS[request.mp4_support]
    there = {file.kind: file for file in media.files if file.status != "failed"}
    if set(wanted) == set(there) and len(there) == len(media.files):
        raise errors.BadState(
            "The media has these files already, or they are being made.", message="mp4Support value already exists"
        )
    for file in media.files:
        if file.kind not in wanted or file.status == "failed":
            await _drop(tx, media_id, file)
    for kind in wanted:
        if kind not in there:
            made = MadeFile(ids.new_uuid(), kind, "preparing")
            await additions_store.insert_file(tx, media_id, made)
            if media.status == Status.READY:
                await additions.begin_file(tx, made.id)
    return await _updated(tx, workspace_id, media_id)


async def set_source_access(tx: Tx, workspace_id: str, media_id: str, request: UpdateSourceAccess) -> Media:
    """Opens or closes the source. The same again changes nothing."""
    media = await service.get(tx, workspace_id, media_id, lock=True)
    is_open = request.source_access
    if media.stream_id is not None and is_open:
        raise errors.BadState(
            "A recording of a live stream has no source file; ask for mp4Support instead.",
            message="recordings have no source file",
        )
    if media.source_access == is_open:
        return media
    await additions_store.set_source_access(tx, media_id, is_open=is_open)
    after = await service.get(tx, workspace_id, media_id)
    if media.status == Status.READY:
        if is_open:
            await additions.open_source(tx, after)
        else:
            await _close_source(tx, after)
    return await _updated(tx, workspace_id, media_id)


async def find(tx: Tx, file_id: str) -> tuple[Media, MadeFile] | None:
    """A file that is to be made. Holds the media until the transaction ends."""
    media_id = await additions_store.media_of_file(tx, file_id)
    media = None if media_id is None else await store.find(tx, media_id, lock=True)
    file = None if media is None else next((f for f in media.files if f.id == file_id), None)
    if media is None or file is None or file.status != "preparing":
        return None
    return media, file


async def end(tx: Tx, media: Media, file: MadeFile, made: File | None) -> None:
    """preparing -> ready with what was made, or failed. Told once all that was asked for has ended.

    `file` brings the size of the picture.
    """
    if made is not None:
        await extras.add_file(tx, media.id, made)
    await additions_store.end_file(tx, dataclasses.replace(file, status="failed" if made is None else "ready"))
    await additions_store.touch(tx, media.id)
    after = await store.find(tx, media.id)
    assert after is not None, "locked by `find`"
    statuses = {f.status for f in after.files}
    if "preparing" not in statuses and "ready" in statuses:
        await tell(tx, after, "video.media.mp4Support.ready", "mp4Support_ready")
    elif made is None:
        await tell_updated(tx, after)
    _log.info("file_ended", media_id=media.id, kind=file.kind, is_ready=made is not None)


def key_of(media_id: str, file_id: str, kind: FileKind) -> str:
    return f"media/{media_id}/files/{file_id}/{NAMES[kind]}"


async def _drop(tx: Tx, media_id: str, file: MadeFile) -> None:
    await additions_store.delete_file(tx, media_id, file.kind)
    await extras.drop_file(tx, media_id, NAMES[file.kind])
    await additions.erase(tx, media_id, f"files/{file.id}")


async def _close_source(tx: Tx, media: Media) -> None:
    target = await playback.find_target(tx, media.id)
    for file in target.extras.files if target is not None else ():
        if file.name.startswith("source."):
            await extras.drop_file(tx, media.id, file.name)
    await tell(tx, media, "video.media.source.deleted", "source_deleted")


async def _updated(tx: Tx, workspace_id: str, media_id: str) -> Media:
    await additions_store.touch(tx, media_id)
    media = await service.get(tx, workspace_id, media_id)
    await tell_updated(tx, media)
    return media
