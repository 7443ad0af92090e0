"""What the outside hears of a media: its events, with its public form or that of a part of it.

Invariant: `object_id` is the media, whatever `data` holds: receivers take the media from there (contract section 4).
"""

from typing import Any

from fastpix_server.db.pool import Tx
from fastpix_server.media import wire
from fastpix_server.media.model import Media, Track
from fastpix_server.outbox import events
from fastpix_server.playback import service as playback


async def tell(tx: Tx, media: Media, type: str, status: str) -> None:
    """Joins the transaction of the change. `status` is the event's own word, as the contract has it."""
    await _emit(tx, media, type, status, wire.event_data(media, await playback.list_ids(tx, media.id)))


async def tell_updated(tx: Tx, media: Media) -> None:
    await tell(tx, media, "video.media.updated", "media_updated")


async def tell_track(tx: Tx, media: Media, track: Track, what: str, *, fault: dict[str, str] | None = None) -> None:
    """`data` is the track alone; of one that failed with the reason, which REST does not show."""
    data = {**wire.added_track(track), "status": track.status}
    if fault is not None:
        data["failureReason"] = fault
    await _emit(tx, media, f"video.media.track.{what}", f"track_{what}", data)


async def _emit(tx: Tx, media: Media, type: str, status: str, data: dict[str, Any]) -> None:
    await events.emit(
        tx,
        workspace_id=media.workspace_id,
        type=type,
        object_type="media",
        object_id=media.id,
        status=status,
        data=data,
    )
