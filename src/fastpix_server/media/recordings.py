"""Media that come from live streams: recordings and clips. Their segments are stored already; nothing is encoded.

Invariants: a media of a session exists from its first stored segment; it becomes Ready in one transaction with its
target, its tracks and both events; every verb may be called again after a crash and then does nothing.
"""

from collections.abc import Iterable
from typing import Any, Literal

from fastpix_server.base import clock, ids, log
from fastpix_server.db.pool import Tx
from fastpix_server.media import states, store, wire
from fastpix_server.media.model import Media, Track
from fastpix_server.media.states import Status
from fastpix_server.media.telling import tell
from fastpix_server.playback import service as playback
from fastpix_server.playback.recording import Recording

Origin = Literal["live", "clip"]
LivePolicy = Literal["public", "private"]

CONTAINER = "mp4"
# Infix of the event types: what a receiver tells recordings and clips by.
_CREATED = {"live": "video.media.live_stream.created", "clip": "video.media.live_clip.created"}
_READY = {"live": "video.media.live_stream.ready", "clip": "video.media.live_clip.ready"}

_log = log.get(__name__)


async def create(
    tx: Tx, *, media_id: str, workspace_id: str, stream_id: str, origin: Origin, policy: LivePolicy, max_resolution: str
) -> bool:
    """A media in `Created` with its first playback id. False when it exists already."""
    if await store.status_of(tx, media_id) is not None:
        return False
    now = clock.now()
    media = Media(
        id=media_id,
        workspace_id=workspace_id,
        status=Status.CREATED.value,
        origin=origin,
        source_url="",
        title=None,
        creator_id=None,
        metadata={},
        media_quality="standard",
        max_resolution=max_resolution,
        source_access=False,
        optimize_audio=False,
        size_bytes=None,
        container=None,
        duration_s=None,
        width=None,
        height=None,
        is_audio_only=False,
        failure_code=None,
        failure_description=None,
        tracks=(),
        created_at=now,
        updated_at=now,
        stream_id=stream_id,
    )
    await store.insert(tx, media)
    await playback.create_id(tx, workspace_id=workspace_id, target_id=media_id, access_policy=policy)
    await tell(tx, media, _CREATED[origin], "media_created")
    _log.info("media_created", media_id=media_id, workspace_id=workspace_id, origin=origin, stream_id=stream_id)
    return True


async def adopt(tx: Tx, media_id: str, recording: Recording, *, place: str, revision: str) -> Media | None:
    """The stored segments at `place` become the media: Ready. None when it is gone, Ready or Failed already."""
    if not await states.advance(tx, media_id, Status.PROCESSING) or not await states.move(tx, media_id, Status.READY):
        return None
    video = max(recording.videos, key=lambda v: (v.height, v.width), default=None)
    await store.set_size(tx, media_id, sum(sum(t.sizes) for s in recording.stretches for t in s.tracks))
    await store.set_facts(
        tx,
        media_id,
        container=CONTAINER,
        duration_s=float(recording.duration_s),
        width=None if video is None else video.width,
        height=None if video is None else video.height,
        is_audio_only=video is None,
    )
    await store.insert_tracks(tx, media_id, _tracks(recording))
    media = await store.find(tx, media_id)
    if media is None:
        return None
    await playback.publish_recording(
        tx,
        target_id=media_id,
        workspace_id=media.workspace_id,
        place=place,
        revision=revision,
        recording=recording,
    )
    await tell(tx, media, _READY[media.origin], "media_ready")
    await tell(tx, media, "video.media.ready", "media_ready")
    _log.info("media_ready", media_id=media_id, duration_s=media.duration_s, origin=media.origin)
    return media


def _tracks(recording: Recording) -> list[Track]:
    video = max(recording.videos, key=lambda v: (v.height, v.width), default=None)
    tracks: list[Track] = []
    if video is not None:
        rate = f"{video.fps:.3f}" if video.fps > 0 else "-1"
        tracks.append(
            Track(ids.new_uuid(), "video", "available", width=video.width, height=video.height, frame_rate=rate)
        )
    for _ in recording.audios[:1]:  # one sound; further renditions are other qualities of it
        tracks.append(Track(ids.new_uuid(), "audio", "available", language_code="und", language_name="default"))
    return tracks


async def exists(tx: Tx, media_id: str) -> bool:
    return await store.status_of(tx, media_id) is not None


async def ready_ids_of(tx: Tx, stream_ids: Iterable[str]) -> dict[str, list[str]]:
    """`mediaIds` of streams (32 hex digits each): their recordings that are Ready, oldest first."""
    found: dict[str, list[str]] = {stream_id: [] for stream_id in stream_ids}
    for stream_id, media_id in await store.recordings_of(tx, found, Status.READY.value):
        found[stream_id].append(media_id)
    return found


async def clips_page(
    tx: Tx, workspace_id: str, stream_id: str, *, limit: int, offset: int, order: Literal["asc", "desc"]
) -> tuple[list[dict[str, Any]], int]:
    """One page as list-live-clips shows it, and the number of all. `offset` is a page number from 1."""
    found, total = await store.clips_page(
        tx, workspace_id, stream_id, limit=limit, skip=(offset - 1) * limit, order=order
    )
    named = await playback.list_ids_of(tx, [m.id for m in found])
    return [wire.live_clip(m, named[m.id]) for m in found], total
