"""What the outside hears of a media: its events, with its public form in them."""

from fastpix_server.db.pool import Tx
from fastpix_server.media import wire
from fastpix_server.media.model import Media
from fastpix_server.outbox import events
from fastpix_server.playback import service as playback


async def tell(tx: Tx, media: Media, type: str, status: str) -> None:
    """Joins the transaction of the change. `status` is the event's own word, as the contract has it."""
    await events.emit(
        tx,
        workspace_id=media.workspace_id,
        type=type,
        object_type="media",
        object_id=media.id,
        status=status,
        data=wire.event_data(media, await playback.list_ids(tx, media.id)),
    )
