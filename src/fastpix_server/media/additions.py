"""What a media gets beside its own renditions: noted when it is created, begun when it is Ready.

Invariants: a wish is a row in the transaction that makes the media; its job is queued in the transaction that makes
the media Ready (or that adds it to one that is), so no job waits for a media and none is lost.
"""

from datetime import timedelta

from fastpix_server.base import clock, ids
from fastpix_server.db.pool import Tx
from fastpix_server.jobs.queue import enqueue
from fastpix_server.media import additions_store, store
from fastpix_server.media.inputs import SubtitleInput
from fastpix_server.media.model import FileKind, MadeFile, Media, Track
from fastpix_server.media.schemas import CreateMedia, MediaOptions, PushMediaSettings
from fastpix_server.media.telling import tell, tell_track
from fastpix_server.playback import extras
from fastpix_server.playback.selection import lines_of_size
from fastpix_server.storage.keys import original_key

TRACK_JOB = "media.track"
FILE_JOB = "media.file"
ERASE_JOB = "media.erase_addition"
# A worker in the middle of its work may write once more after the row is gone; by then it has heard.
SECOND_ERASE_AFTER = timedelta(minutes=15)

FILE_KINDS: dict[str, tuple[FileKind, ...]] = {
    "none": (),
    "capped_4k": ("capped_4k",),
    "audioOnly": ("audioOnly",),
    "audioOnly,capped_4k": ("capped_4k", "audioOnly"),
}
# What viewers' players take for it; other containers are bytes to them.
_TYPES = {
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "ts": "video/mp2t",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
}


async def note(tx: Tx, media: Media, options: MediaOptions) -> Media:
    """The wishes of a new media become rows; the media as it is then."""
    inputs = options.inputs if isinstance(options, CreateMedia | PushMediaSettings) else []
    wished = [each for each in inputs if isinstance(each, SubtitleInput)]
    for subtitle in wished:
        track = Track(
            id=ids.new_uuid(),
            type="subtitle",
            status="preparing",
            language_code=subtitle.language_code,
            language_name=subtitle.language_name,
            url=subtitle.url,
            version=1,
        )
        await additions_store.insert_track(tx, media.id, track)
    for kind in FILE_KINDS[options.mp4_support or "none"]:
        await additions_store.insert_file(tx, media.id, MadeFile(ids.new_uuid(), kind, "preparing"))
    return await store.find(tx, media.id) or media


async def begin(tx: Tx, media: Media) -> None:
    """The media is Ready: its wishes are worked at, its source is opened if that was one."""
    for track in media.tracks:
        if track.is_added and track.status == "preparing":
            await tell_track(tx, media, track, "created")
            await begin_track(tx, track)
    for file in media.files:
        await begin_file(tx, file.id)
    if media.source_access:
        await open_source(tx, media)


async def begin_track(tx: Tx, track: Track) -> None:
    await enqueue(
        tx,
        TRACK_JOB,
        {"track_id": track.id, "version": track.version},
        queue="fetch",
        lock=f"{TRACK_JOB}:{track.id}",
    )


async def begin_file(tx: Tx, file_id: str, *, waited: int = 0, after_s: float = 0) -> None:
    """`waited`: how often the job found that what it needs is not there yet."""
    run_at = clock.now() + timedelta(seconds=after_s) if after_s else None
    await enqueue(
        tx,
        FILE_JOB,
        {"file_id": file_id, "waited": waited},
        lock=f"{FILE_JOB}:{file_id}",
        run_at=run_at,
    )


async def open_source(tx: Tx, media: Media) -> None:
    """What the user sent can be downloaded under every playback id that is not encrypted."""
    container = media.container or ""
    ending = container if container.isascii() and container.isalnum() and len(container) <= 5 else "bin"
    await extras.add_file(
        tx,
        media.id,
        extras.File(
            name=f"source.{ending}",
            key=original_key(media.id),
            size_bytes=media.size_bytes or 0,
            media_type=_TYPES.get(ending, "application/octet-stream"),
            lines=lines_of_size(media.width, media.height) if media.width and media.height else 0,
        ),
    )
    await tell(tx, media, "video.media.source.ready", "source_ready")


async def erase(tx: Tx, media_id: str, name: str) -> None:
    """All stored bytes of `tracks/{id}` or `files/{id}` of that media, now and once more later."""
    for run_at in (None, clock.now() + SECOND_ERASE_AFTER):
        await enqueue(tx, ERASE_JOB, {"media_id": media_id, "name": name}, run_at=run_at)
