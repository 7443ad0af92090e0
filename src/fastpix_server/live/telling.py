"""Events of live streams: the stream as REST shows it, in the transaction of the change (contract section 4)."""

from typing import Any

from fastpix_server.db.notify import notify
from fastpix_server.db.pool import Tx
from fastpix_server.live import store, wire
from fastpix_server.live.streams import Stream, Target
from fastpix_server.media import recordings as media
from fastpix_server.outbox import events
from fastpix_server.playback import service as playback

# To the ingest processes: something about this stream changed; the payload is its id. A hint, as every notification.
CHANGED = "live_changed"


async def announce(tx: Tx, stream_id: str) -> None:
    await notify(tx, CHANGED, stream_id)


async def describe(tx: Tx, stream: Stream) -> dict[str, Any]:
    """The stream as get-live-stream-by-id shows it."""
    targets = await store.targets_of(tx, [stream.id])
    recorded = await media.ready_ids_of(tx, [stream.id])
    named = await playback.list_ids(tx, stream.target_id)
    return wire.stream_full(stream, named, targets[stream.id], recorded.get(stream.id, ()))


async def tell(tx: Tx, stream: Stream, what: str) -> None:
    """`what`: created, connected, preparing, recording, active, disconnected, idle, ..."""
    await events.emit(
        tx,
        workspace_id=stream.workspace_id,
        type=f"video.live_stream.{what}",
        object_type="live",
        object_id=stream.id,
        status=f"live_stream_{what}",
        data=await describe(tx, stream),
    )


async def tell_target(tx: Tx, workspace_id: str, target: Target, what: str) -> None:
    await events.emit(
        tx,
        workspace_id=workspace_id,
        type=f"video.live_stream.simulcast_target.{what}",
        object_type="live",
        object_id=target.stream_id,
        status=f"simulcast_target_{what}",
        data=wire.target_event(target),
    )
