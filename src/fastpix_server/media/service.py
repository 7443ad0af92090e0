"""The verbs of media. Each joins the caller's transaction and tells its event there.

Invariants: a media, its first playback id, its first job and its event exist together or not at all; a media that is
gone, `Ready` or `Failed` is moved by nobody; bytes are erased by a job, after the row.
"""

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from fastpix_server.access import service as access
from fastpix_server.base import clock, errors, ids, log
from fastpix_server.db.pool import Tx
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.source import Source
from fastpix_server.jobs.queue import enqueue
from fastpix_server.media import additions, own_media, states, store, wire
from fastpix_server.media.model import Media, Track
from fastpix_server.media.schemas import (
    CreateMedia,
    MediaOptions,
    NewPlaybackId,
    Policy,
    PushMediaSettings,
    Rules,
    UpdateMedia,
)
from fastpix_server.media.states import Status
from fastpix_server.media.telling import tell
from fastpix_server.outbox import events
from fastpix_server.playback import service as playback
from fastpix_server.playback.service import PlaybackId

FETCH_JOB = "media.fetch"
PREPARE_JOB = "media.prepare"
ERASE_JOB = "media.erase"

# A worker in the middle of a fetch or a segment may write once more after the row is gone; by then it has heard.
SECOND_ERASE_AFTER = timedelta(minutes=15)

_log = log.get(__name__)


def source_key(media_id: str, position: int = 0) -> str:
    """Where the bytes that the user sent are stored; `position` counts the files of an edited media."""
    return f"sources/{media_id}/original" if position == 0 else f"sources/{media_id}/{position}"


async def create_from_url(tx: Tx, workspace_id: str, request: CreateMedia) -> Media:
    """A new media in `Created` with its first playback id; a job fetches its URLs.

    Raises errors.NotFound for a media of ours that is not there, BadState for one that failed.
    """
    media = _new(ids.new_uuid(), workspace_id, request, origin="url", source_url=request.video.url)
    media = await own_media.refer(tx, media.replace(edit=request.order))
    await _insert(tx, media, request)
    media = await additions.note(tx, media, request)
    await tell(tx, media, "video.media.created", "media_created")
    await enqueue(tx, FETCH_JOB, {"media_id": media.id}, queue="fetch")
    return media


async def create_from_upload(
    tx: Tx, *, upload_id: str, workspace_id: str, options: PushMediaSettings, source_url: str, size_bytes: int
) -> Media:
    """The media of an upload whose last byte is stored; its id is the upload's. Its bytes are at source_key(id)."""
    media = _new(upload_id, workspace_id, options, origin="upload", source_url=source_url, size_bytes=size_bytes)
    media = media.replace(edit=options.order)
    await _insert(tx, media, options)
    media = await additions.note(tx, media, options)
    await tell(tx, media, "video.upload.media_created", "media_created")
    if media.edit.files:  # what is joined to it has to be fetched
        await enqueue(tx, FETCH_JOB, {"media_id": media.id}, queue="fetch")
    else:
        await enqueue(tx, PREPARE_JOB, {"media_id": media.id}, queue="prepare")
    return media


def _new(
    media_id: str,
    workspace_id: str,
    options: MediaOptions,
    *,
    origin: Literal["url", "upload"],
    source_url: str,
    size_bytes: int | None = None,
) -> Media:
    return Media(
        id=media_id,
        workspace_id=workspace_id,
        status=Status.CREATED.value,
        origin=origin,
        source_url=source_url,
        title=options.title or None,
        creator_id=options.creator_id or None,
        metadata=options.metadata,
        media_quality=options.media_quality,
        max_resolution=options.max_resolution,
        source_access=options.source_access,
        optimize_audio=options.optimize_audio,
        size_bytes=size_bytes,
        container=None,
        duration_s=None,
        width=None,
        height=None,
        is_audio_only=False,
        failure_code=None,
        failure_description=None,
        tracks=(),
        created_at=clock.now(),
        updated_at=clock.now(),
    )


async def _insert(tx: Tx, media: Media, policy: Policy) -> None:
    await store.insert(tx, media)
    await _add_playback_id(tx, media, policy)
    _log.info("media_created", media_id=media.id, workspace_id=media.workspace_id, origin=media.origin)


async def _add_playback_id(tx: Tx, media: Media, policy: Policy, resolution: str | None = None) -> PlaybackId:
    await check_policy(tx, media.workspace_id, policy)
    return await playback.create_id(
        tx,
        workspace_id=media.workspace_id,
        target_id=media.id,
        access_policy=policy.access_policy,
        access_restrictions=policy.access_restrictions.model_dump(by_alias=True),
        resolution=resolution,
        # Named for an id that is not encrypted, it has no effect and is not kept.
        drm_configuration_id=policy.drm_configuration_id if policy.access_policy == "drm" else None,
    )


async def check_policy(tx: Tx, workspace_id: str, policy: Policy) -> None:
    """Raises errors.BadState for a DRM configuration that the workspace does not have."""
    if policy.access_policy == "drm":
        assert policy.drm_configuration_id is not None, "its absence was refused by the schema"
        await access.check_drm_configuration(tx, workspace_id, policy.drm_configuration_id)


async def begin_download(tx: Tx, media_id: str) -> Media | None:
    """Created -> Downloading. None when the media is gone or past downloading; a repeated job begins again."""
    moved = await states.move(tx, media_id, Status.DOWNLOADING)
    if not moved and await store.status_of(tx, media_id) != Status.DOWNLOADING:
        return None
    return await store.find(tx, media_id)


async def downloaded(tx: Tx, media_id: str, *, size_bytes: int) -> bool:
    """The last byte of the URL is at source_key(id): Downloading -> Downloaded, and a job prepares it.

    False when the media is gone or somebody else was first: then nothing is queued.
    """
    if not await states.move(tx, media_id, Status.DOWNLOADED):
        return False
    await store.set_size(tx, media_id, size_bytes)
    await enqueue(tx, PREPARE_JOB, {"media_id": media_id}, queue="prepare")
    return True


async def fail(tx: Tx, media_id: str, code: str, description: str) -> bool:
    """Any state at work -> Failed, with a reason that the user reads in get-media and in the event."""
    if not await states.move(tx, media_id, Status.FAILED):
        return False
    await store.set_failure(tx, media_id, code, description)
    media = await store.find(tx, media_id)
    if media is not None:
        await tell(tx, media, "video.media.failed", "media_failed")
    _log.info("media_failed", media_id=media_id, code=code)
    return True


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """What prepare found out: facts of the source, the plan, and where the bytes are that the plan speaks of."""

    source: Source
    plan: Plan
    source_key: str
    place: str
    other_source_keys: tuple[str, ...] = ()


async def make_ready(tx: Tx, media_id: str, prepared: Prepared) -> Media | None:
    """Processing -> Ready: facts, tracks, target and event in one transaction. None when it is gone or moved on."""
    if not await states.move(tx, media_id, Status.READY):
        return None
    video = prepared.source.video
    await store.set_facts(
        tx,
        media_id,
        container=prepared.source.container,
        duration_s=prepared.plan.duration_s,
        width=video.display_width if video else None,
        height=video.display_height if video else None,
        is_audio_only=prepared.source.is_audio_only,
    )
    await store.insert_tracks(tx, media_id, tracks_of(prepared.source))
    media = await store.find(tx, media_id)
    if media is None:
        return None
    await playback.publish(
        tx,
        target_id=media_id,
        workspace_id=media.workspace_id,
        source_key=prepared.source_key,
        other_source_keys=prepared.other_source_keys,
        place=prepared.place,
        plan=prepared.plan,
    )
    await _tell_transformed(tx, media)
    await tell(tx, media, "video.media.ready", "media_ready")
    await additions.begin(tx, media)
    _log.info("media_ready", media_id=media_id, duration_s=media.duration_s)
    return media


async def _tell_transformed(tx: Tx, media: Media) -> None:
    """One event for each kind of edit that was asked for, and for each watermark (contract section 4)."""
    named = [*media.edit.events, *(["video.media.optimizeAudio.ready"] if media.optimize_audio else [])]
    for name in named:
        await tell(tx, media, name, "media_ready")
    for position, mark in enumerate(media.edit.marks):
        await events.emit(
            tx,
            workspace_id=media.workspace_id,
            type="video.media.watermark.ready",
            object_type="media",
            object_id=media.id,
            status="ready",
            data=wire.watermark(media, mark, position),
        )


def tracks_of(source: Source) -> list[Track]:
    """One video track and one per audio stream. `und` and `default` are what the service calls an unnamed one."""
    tracks: list[Track] = []
    if source.video is not None:
        tracks.append(
            Track(
                id=ids.new_uuid(),
                type="video",
                status="available",
                width=source.video.display_width,
                height=source.video.display_height,
                frame_rate=f"{float(source.video.fps):.3f}" if source.video.fps > 0 else "-1",
            )
        )
    for audio in source.audios:
        tracks.append(
            Track(
                id=ids.new_uuid(),
                type="audio",
                status="available",
                language_code=audio.language or "und",
                language_name=audio.title or "default",
            )
        )
    return tracks


async def get(tx: Tx, workspace_id: str, media_id: str, *, lock: bool = False) -> Media:
    """Raises errors.NotFound, also for a media of another workspace."""
    media = await store.find(tx, media_id, workspace_id=workspace_id, lock=lock)
    if media is None:
        raise errors.NotFound(
            "The requested media does not exist in the workspace.", message="media workspace relation not found"
        )
    return media


async def describe(tx: Tx, media: Media) -> dict[str, Any]:
    """The media as get-media shows it."""
    return wire.media_full(media, await playback.list_ids(tx, media.id))


async def list_page(
    tx: Tx, workspace_id: str, *, limit: int, offset: int, order: Literal["asc", "desc"]
) -> tuple[list[dict[str, Any]], int]:
    """One page as list-media shows it, and the number of all media. `offset` is a page number from 1."""
    found, total = await store.page(tx, workspace_id, limit=limit, skip=(offset - 1) * limit, order=order)
    named = await playback.list_ids_of(tx, [m.id for m in found])
    return [wire.media_full(m, named[m.id], is_list=True) for m in found], total


async def clips_page(
    tx: Tx, workspace_id: str, media_id: str, *, limit: int, offset: int, order: Literal["asc", "desc"]
) -> tuple[list[dict[str, Any]], int]:
    """One page of the media that were made from this one, and the number of all. Raises errors.NotFound."""
    await get(tx, workspace_id, media_id)
    found, total = await store.media_clips_page(
        tx, workspace_id, media_id, limit=limit, skip=(offset - 1) * limit, order=order
    )
    named = await playback.list_ids_of(tx, [m.id for m in found])
    return [wire.media_full(m, named[m.id], is_list=True) for m in found], total


async def update(tx: Tx, workspace_id: str, media_id: str, request: UpdateMedia) -> Media:
    """Replaces what was given; an empty title or creatorId removes it."""
    media = await get(tx, workspace_id, media_id, lock=True)
    await store.set_texts(
        tx,
        media_id,
        title=media.title if request.title is None else request.title or None,
        creator_id=media.creator_id if request.creator_id is None else request.creator_id or None,
        metadata=media.metadata if request.metadata is None else request.metadata,
    )
    media = await get(tx, workspace_id, media_id)
    await tell(tx, media, "video.media.updated", "media_updated")
    return media


async def delete(tx: Tx, workspace_id: str, media_id: str) -> None:
    """The row and the playback ids are gone at the commit; jobs erase the bytes."""
    media = await get(tx, workspace_id, media_id, lock=True)
    await tell(tx, media, "video.media.deleted", "media_deleted")
    await playback.unpublish(tx, media_id)
    await store.delete(tx, media_id)
    await enqueue(tx, ERASE_JOB, {"media_id": media_id})
    await enqueue(tx, ERASE_JOB, {"media_id": media_id}, run_at=clock.now() + SECOND_ERASE_AFTER)
    _log.info("media_deleted", media_id=media_id, workspace_id=workspace_id)


async def input_info(tx: Tx, workspace_id: str, media_id: str) -> dict[str, Any]:
    return wire.input_info(await get(tx, workspace_id, media_id))


async def add_playback_id(tx: Tx, workspace_id: str, media_id: str, request: NewPlaybackId) -> PlaybackId:
    media = await get(tx, workspace_id, media_id, lock=True)
    if request.access_policy == "drm" and media.stream_id is not None:
        raise errors.BadState(
            "A recording of a live stream is stored as it was streamed, and is not encrypted afterwards.",
            message="DRM is not available for recordings",
        )
    return await _add_playback_id(tx, media, request, request.resolution)


async def list_playback_ids(tx: Tx, workspace_id: str, media_id: str) -> Sequence[PlaybackId]:
    await get(tx, workspace_id, media_id)
    return await playback.list_ids(tx, media_id)


async def get_playback_id(tx: Tx, workspace_id: str, media_id: str, playback_id: str) -> PlaybackId:
    await get(tx, workspace_id, media_id)
    found = await playback.find_id(tx, media_id, playback_id)
    if found is None:
        raise _no_playback_id()
    return found


async def delete_playback_id(tx: Tx, workspace_id: str, media_id: str, playback_id: str) -> None:
    """Viewers are refused as soon as the transaction commits."""
    await get(tx, workspace_id, media_id, lock=True)
    if not await playback.delete_id(tx, media_id, playback_id):
        raise _no_playback_id()


async def restrict_playback_id(
    tx: Tx,
    workspace_id: str,
    media_id: str,
    playback_id: str,
    kind: Literal["domains", "userAgents"],
    rules: Rules,
) -> dict[str, Any]:
    """Replaces one of the two rules; holds for viewers at the commit. Raises BadState before the media is Ready."""
    media = await get(tx, workspace_id, media_id, lock=True)
    if await playback.find_id(tx, media_id, playback_id) is None:
        raise _no_playback_id()
    if media.status != Status.READY:
        raise errors.BadState(
            "The media is still being prepared, or it failed.", message="media is not ready for updates"
        )
    wanted: dict[str, Any] = rules.model_dump(by_alias=True)
    await playback.restrict_id(tx, media_id, playback_id, kind, wanted)
    return wanted


def _no_playback_id() -> errors.NotFound:
    return errors.NotFound(
        "The requested playback ID does not exist for the media.", message="Media/PlaybackId not Found"
    )
