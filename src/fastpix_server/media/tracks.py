"""The verbs of added tracks: audio and subtitles beside what the source holds (contract 2.1, ops 7, 9, 10).

Invariants: within a media a language name is there once per type; a track keeps its id when its file is replaced, and
viewers keep the old file until the new one is there; the source's own tracks cannot be deleted.
"""

import dataclasses

from fastpix_server.base import errors, ids, log
from fastpix_server.db.pool import Tx
from fastpix_server.media import additions, additions_store, service, store
from fastpix_server.media.model import Media, Track
from fastpix_server.media.schemas import AddTrack, UpdateTrack
from fastpix_server.media.states import Status
from fastpix_server.media.telling import tell_track, tell_updated
from fastpix_server.playback import extras
from fastpix_server.playback.extras import Label

# Each is a line in every manifest, and players' menus end long before that.
MAX_TRACKS = 100

_log = log.get(__name__)


async def add(tx: Tx, workspace_id: str, media_id: str, request: AddTrack) -> Track:
    """A new track in `preparing`; a job fetches its file, at once or when the media is Ready."""
    media = await service.get(tx, workspace_id, media_id, lock=True)
    _check_takes_tracks(media)
    wanted = request.tracks
    _check_name(media, wanted.type, wanted.language_name)
    if len(media.tracks) >= MAX_TRACKS:
        raise errors.BadState(f"A media has at most {MAX_TRACKS} tracks.", message="too many tracks")
    track = Track(
        id=ids.new_uuid(),
        type=wanted.type,
        status="preparing",
        language_code=wanted.language_code,
        language_name=wanted.language_name,
        title=wanted.title or None,
        url=wanted.url,
        version=1,
    )
    await additions_store.insert_track(tx, media_id, track)
    await additions_store.touch(tx, media_id)
    if media.status == Status.READY:
        await tell_track(tx, media, track, "created")
        await additions.begin_track(tx, track)
    _log.info("track_added", media_id=media_id, track_id=track.id, type=track.type)
    return track


async def update(tx: Tx, workspace_id: str, media_id: str, track_id: str, request: UpdateTrack) -> Track:
    """Other words, at once; another file, when it is there."""
    media = await service.get(tx, workspace_id, media_id, lock=True)
    track = _find(media, track_id)
    if track.type == "video":
        raise errors.BadState("The video track has no language.", message="track cannot be changed")
    if request.language_name is not None:
        _check_name(media, track.type, request.language_name, but=track_id)
    changed = dataclasses.replace(
        track,
        language_code=request.language_code or track.language_code,
        language_name=request.language_name or track.language_name,
        title=track.title if request.title is None else request.title or None,
    )
    # Older clients send the URL each time: only another one means another file, or the same after a failure.
    has_new_file = request.url is not None and (request.url != track.url or track.status == "failed")
    if has_new_file:
        if not track.is_added:
            raise errors.BadState("The file of a track of the source cannot be replaced.")
        changed = dataclasses.replace(changed, url=request.url, version=track.version + 1, status="preparing")
    await additions_store.save_track(tx, changed)
    await additions_store.touch(tx, media_id)
    await _relabel(tx, media, changed)
    if media.status == Status.READY:
        after = await service.get(tx, workspace_id, media_id)
        await tell_track(tx, after, changed, "updated")
        if has_new_file:
            await additions.begin_track(tx, changed)
        else:
            await tell_updated(tx, after)
    return changed


async def delete(tx: Tx, workspace_id: str, media_id: str, track_id: str) -> None:
    media = await service.get(tx, workspace_id, media_id, lock=True)
    track = _find(media, track_id)
    if not track.is_added:
        raise errors.BadState("A track of the source itself cannot be deleted.", message="track cannot be deleted")
    await additions_store.delete_track(tx, track_id)
    await additions_store.touch(tx, media_id)
    await extras.drop(tx, media_id, track_id)
    await additions.erase(tx, media_id, f"tracks/{track_id}")
    after = await service.get(tx, workspace_id, media_id)
    await tell_track(tx, after, track, "deleted")
    await tell_updated(tx, after)
    _log.info("track_deleted", media_id=media_id, track_id=track_id)


async def find(tx: Tx, track_id: str, version: int) -> tuple[Media, Track] | None:
    """The track, while that version of its file is wanted. Holds the media until the transaction ends."""
    media_id = await additions_store.media_of_track(tx, track_id)
    media = None if media_id is None else await store.find(tx, media_id, lock=True)
    if media is None:
        return None
    track = next((t for t in media.tracks if t.id == track_id), None)
    if track is None or track.version != version or track.status != "preparing":
        return None
    return media, track


async def current(tx: Tx, track_id: str) -> Track | None:
    """The track as it is; None when it is gone."""
    media_id = await additions_store.media_of_track(tx, track_id)
    media = None if media_id is None else await store.find(tx, media_id)
    return None if media is None else next((t for t in media.tracks if t.id == track_id), None)


async def end(tx: Tx, media: Media, track: Track, *, fault: dict[str, str] | None = None) -> None:
    """preparing -> available, or failed with a reason. What was there before goes on playing."""
    ended = dataclasses.replace(track, status="available" if fault is None else "failed")
    await additions_store.save_track(tx, ended)
    await additions_store.touch(tx, media.id)
    after = await store.find(tx, media.id)
    assert after is not None, "locked by `find`"
    await tell_track(tx, after, ended, "ready" if fault is None else "failed", fault=fault)
    await tell_updated(tx, after)
    _log.info("track_ended", media_id=media.id, track_id=track.id, status=ended.status, **(fault or {}))


def label_of(track: Track) -> Label:
    """What a menu says: the language name, which is distinct within the media. The title is for its owner."""
    return Label(track.language_code or "und", track.language_name or "default")


async def _relabel(tx: Tx, media: Media, track: Track) -> None:
    if track.is_added:
        await extras.relabel(tx, media.id, track.id, label_of(track))
        return
    # The source's own sounds are the renditions a0, a1 ... in their order.
    own = [t.id for t in media.tracks if t.type == "audio" and not t.is_added]
    await extras.relabel_own(tx, media.id, f"a{own.index(track.id)}", label_of(track))


def _find(media: Media, track_id: str) -> Track:
    found = next((t for t in media.tracks if t.id == track_id), None)
    if found is None:
        raise errors.NotFound("The requested track does not exist for the media.", message="track not found")
    return found


def _check_name(media: Media, type: str, name: str, *, but: str | None = None) -> None:
    taken = {(t.language_name or "").casefold() for t in media.tracks if t.type == type and t.id != but}
    if name.casefold() in taken:
        raise errors.BadState(
            "Duplicate language name exists for the given track ID.", message="duplicate language name"
        )


def _check_takes_tracks(media: Media) -> None:
    if media.stream_id is not None:
        raise errors.BadState(
            "A recording of a live stream plays as it was streamed, and takes no further tracks.",
            message="tracks cannot be added to recordings",
        )
    if media.status == Status.FAILED:
        raise errors.BadState("The media failed, so nothing can be added to it.", message="media failed")
