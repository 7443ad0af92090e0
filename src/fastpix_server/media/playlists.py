"""The verbs of playlists (contract section 2.3). Each joins the caller's transaction.

Invariants: a playlist holds only media of its workspace that were Ready when they came in, each once, at most
`media_limit`; a smart one is filled once, when it is made, and is a list like any other from then on; a media that is
deleted leaves its playlists in the same transaction (a foreign key). There are no events: the contract has none.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from fastpix_server.base import clock, errors, ids, log
from fastpix_server.base.errors import FieldError
from fastpix_server.db.pool import Tx
from fastpix_server.media import links, playlists_store, store, wire
from fastpix_server.media.model import Media
from fastpix_server.media.playlist_schemas import CreatePlaylist, DateRange, UpdatePlaylist
from fastpix_server.media.playlists_store import Playlist
from fastpix_server.media.states import Status
from fastpix_server.playback import service as playback
from fastpix_server.playback.service import PlaybackId

_log = log.get(__name__)


async def create(tx: Tx, workspace_id: str, request: CreatePlaylist) -> dict[str, Any]:
    """Raises errors.Conflict when the workspace has one of that reference id."""
    now = clock.now()
    filters = None
    if request.metadata is not None:
        filters = request.metadata.model_dump(by_alias=True, exclude_none=True)
    playlist = Playlist(
        id=ids.new_uuid(),
        workspace_id=workspace_id,
        name=request.name,
        reference_id=request.reference_id,
        type=request.type,
        description=request.description or None,
        media_limit=request.limit,
        play_order=request.play_order,
        filters=filters,
        created_at=now,
        updated_at=now,
    )
    if not await playlists_store.insert(tx, playlist):
        raise errors.Conflict(
            "A playlist with the given reference ID already exists.", message="playlist create failed"
        )
    if request.metadata is not None:
        created, updated = _bounds(request.metadata.created_date), _bounds(request.metadata.updated_date)
        found = await store.ready_between(
            tx,
            workspace_id,
            created=created,
            updated=updated,
            order="asc" if request.play_order == "createdDate ASC" else "desc",
            limit=request.limit,
        )
        await playlists_store.append(tx, playlist.id, found)
    _log.info("playlist_created", playlist_id=playlist.id, workspace_id=workspace_id, type=playlist.type)
    return await _shown(tx, workspace_id, playlist.id)


def _bounds(days: DateRange | None) -> tuple[datetime.datetime, datetime.datetime] | None:
    """From the first day's beginning to before the day after the last, in UTC."""
    if days is None:
        return None
    first, last = (datetime.date.fromisoformat(text) for text in (days.start_date, days.end_date))
    begins = datetime.datetime.combine(first, datetime.time(), datetime.UTC)
    if last == datetime.date.max:
        return begins, datetime.datetime.max.replace(tzinfo=datetime.UTC)
    return begins, datetime.datetime.combine(last + datetime.timedelta(days=1), datetime.time(), datetime.UTC)


async def list_page(tx: Tx, workspace_id: str, *, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """One page, newest first, without what they hold. `offset` is a page number from 1."""
    found, total = await playlists_store.page(tx, workspace_id, limit=limit, skip=(offset - 1) * limit)
    return [_listed(one.playlist, one.media_count) for one in found], total


async def get(tx: Tx, workspace_id: str, playlist_id: str) -> dict[str, Any]:
    """Raises errors.NotFound, also for a playlist of another workspace."""
    return await _shown(tx, workspace_id, playlist_id)


async def update(tx: Tx, workspace_id: str, playlist_id: str, request: UpdatePlaylist) -> dict[str, Any]:
    await _find(tx, workspace_id, playlist_id, lock=True)
    await playlists_store.set_texts(tx, playlist_id, name=request.name, description=request.description or None)
    return await _shown(tx, workspace_id, playlist_id)


async def delete(tx: Tx, workspace_id: str, playlist_id: str) -> None:
    """Its media stay."""
    await _find(tx, workspace_id, playlist_id, lock=True)
    await playlists_store.delete(tx, playlist_id)
    _log.info("playlist_deleted", playlist_id=playlist_id, workspace_id=workspace_id)


async def add_media(tx: Tx, workspace_id: str, playlist_id: str, media_ids: Sequence[str]) -> dict[str, Any]:
    """Appends in the given order; what it holds already stays where it is. Raises Invalid for media not Ready."""
    playlist = await _find(tx, workspace_id, playlist_id, lock=True)
    held = await playlists_store.media_of(tx, playlist_id)
    wanted = [media_id for media_id in dict.fromkeys(media_ids) if media_id not in set(held)]
    # Locked against deletion until the commit: a media does not come into a list and go out of the world at once.
    found = {media.id: media for media in await store.find_many(tx, workspace_id, wanted, lock=True)}
    if any(media_id not in found for media_id in wanted):
        raise errors.NotFound(
            "A requested media does not exist in the workspace.", message="media workspace relation not found"
        )
    bad = [
        FieldError(f"mediaIds[{n}]", "is not Ready")
        for n, media_id in enumerate(media_ids)
        if media_id in found and found[media_id].status != Status.READY
    ]
    if len(held) + len(wanted) > playlist.media_limit:
        bad.append(FieldError("mediaIds", f"would make more than {playlist.media_limit} media"))
    if bad:
        raise errors.Invalid(*bad)
    await playlists_store.append(tx, playlist_id, wanted)
    return await _shown(tx, workspace_id, playlist_id)


async def reorder(tx: Tx, workspace_id: str, playlist_id: str, media_ids: Sequence[str]) -> dict[str, Any]:
    """`media_ids` is the complete list in its new order. Raises Invalid for any other set than what it holds."""
    await _find(tx, workspace_id, playlist_id, lock=True)
    if sorted(media_ids) != sorted(await playlists_store.media_of(tx, playlist_id)):
        raise errors.Invalid(FieldError("mediaIds", "must name each media of the playlist once"))
    await playlists_store.reorder(tx, playlist_id, media_ids)
    return await _shown(tx, workspace_id, playlist_id)


async def remove_media(tx: Tx, workspace_id: str, playlist_id: str, media_ids: Sequence[str]) -> dict[str, Any]:
    """Raises Invalid for what it does not hold: nothing is removed then."""
    await _find(tx, workspace_id, playlist_id, lock=True)
    held = set(await playlists_store.media_of(tx, playlist_id))
    bad = [
        FieldError(f"mediaIds[{n}]", "is not in the playlist")
        for n, media_id in enumerate(media_ids)
        if media_id not in held
    ]
    if bad:
        raise errors.Invalid(*bad)
    await playlists_store.remove(tx, playlist_id, media_ids)
    return await _shown(tx, workspace_id, playlist_id)


async def sequence(tx: Tx, playlist_id: str) -> tuple[Playlist, list[tuple[Media, list[PlaybackId]]]] | None:
    """What a playlist holds, in its order, each with its living playback ids: for who decides what a viewer may see."""
    playlist = await playlists_store.find(tx, playlist_id)
    if playlist is None:
        return None
    return playlist, await _held(tx, playlist)


async def _find(tx: Tx, workspace_id: str, playlist_id: str, *, lock: bool = False) -> Playlist:
    playlist = await playlists_store.find(tx, playlist_id, workspace_id=workspace_id, lock=lock)
    if playlist is None:
        raise errors.NotFound("The requested playlist does not exist in the workspace.", message="playlist not found")
    return playlist


async def _held(tx: Tx, playlist: Playlist) -> list[tuple[Media, list[PlaybackId]]]:
    media_ids = await playlists_store.media_of(tx, playlist.id)
    found = {media.id: media for media in await store.find_many(tx, playlist.workspace_id, media_ids)}
    named = await playback.list_ids_of(tx, media_ids)
    return [(found[media_id], named[media_id]) for media_id in media_ids if media_id in found]


async def _shown(tx: Tx, workspace_id: str, playlist_id: str) -> dict[str, Any]:
    """The playlist as the API shows it: exactly these keys (contract 10, row 7)."""
    playlist = await _find(tx, workspace_id, playlist_id)
    held = await _held(tx, playlist)
    shown: dict[str, Any] = {
        "id": playlist.id,
        "name": playlist.name,
        "referenceId": playlist.reference_id,
        "type": playlist.type,
    }
    if playlist.description is not None:
        shown["description"] = playlist.description
    if playlist.type == "smart":
        shown["playOrder"] = playlist.play_order
        shown["metadata"] = playlist.filters
    shown["mediaList"] = [_entry(media, named) for media, named in held]
    shown["workspaceId"] = playlist.workspace_id
    shown["createdAt"] = clock.iso(playlist.created_at)
    shown["updatedAt"] = clock.iso(playlist.updated_at)
    shown["mediaCount"] = len(held)
    return shown


def _entry(media: Media, named: Sequence[PlaybackId]) -> dict[str, Any]:
    entry: dict[str, Any] = {"createdAt": clock.iso(media.created_at)}
    if media.creator_id is not None:
        entry["creatorId"] = media.creator_id
    if media.duration_s is not None:
        entry["duration"] = round(media.duration_s, 3)
    entry["id"] = media.id
    if media.width and media.height:
        entry["sourceResolution"] = wire.source_resolution(media.width, media.height)
    entry["status"] = media.status
    if named:
        entry["thumbnail"] = links.thumbnail(named[0].id)
    if media.title is not None:
        entry["title"] = media.title
    return entry


def _listed(playlist: Playlist, media_count: int) -> dict[str, Any]:
    return {
        "id": playlist.id,
        "name": playlist.name,
        "type": playlist.type,
        "referenceId": playlist.reference_id,
        "createdAt": clock.iso(playlist.created_at),
        "mediaCount": media_count,
    }
