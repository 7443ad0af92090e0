"""The verbs of live streams. Each joins the caller's transaction and tells its event there.

Invariants: a stream, its first playback id and its event exist together or not at all; whatever is changed here is
announced to the ingest processes in the same transaction, and they read it from the database; a session that is ended
here is finished, with its recording, by the ingest that holds it.
"""

from collections.abc import Sequence
from typing import Any, Literal

from fastpix_server.base import clock, errors, ids, log
from fastpix_server.db.pool import Tx
from fastpix_server.live import sessions, sessions_store, states, store, wire
from fastpix_server.live.schemas import CreateStream, LivePolicy, Rules, UpdateStream
from fastpix_server.live.states import Cause, Status
from fastpix_server.live.streams import Stream
from fastpix_server.live.telling import announce, describe, tell
from fastpix_server.media import recordings as media
from fastpix_server.playback import service as playback
from fastpix_server.playback.service import PlaybackId

MAX_DURATION_S = 28_800  # contract section 8: eight hours
# What an ingest tells of a session is told again every few seconds; older than this, it does not tell any more.
REPORT_FRESH_S = 20.0

_log = log.get(__name__)


async def create(tx: Tx, workspace_id: str, request: CreateStream) -> Stream:
    """A new stream, idle, with its first playback id."""
    wanted, stream_id = request.input_media_settings, ids.new_hex32()
    stream = Stream(
        id=stream_id,
        workspace_id=workspace_id,
        status=Status.IDLE.value,
        stream_key=secret_of(stream_id),
        srt_secret=secret_of(stream_id),
        srt_playback_secret=secret_of(stream_id),
        max_resolution=wanted.max_resolution,
        max_duration_s=MAX_DURATION_S,
        reconnect_window_s=wanted.reconnect_window,
        media_policy=wanted.media_policy,
        enable_recording=wanted.enable_recording,
        enable_dvr_mode=wanted.enable_dvr_mode,
        metadata=wanted.metadata,
        created_at=clock.now(),
    )
    await store.insert(tx, stream)
    await playback.publish_live(tx, target_id=stream.target_id, workspace_id=workspace_id, session=None)
    await _name(tx, stream, request.playback_settings)
    await tell(tx, stream, "created")
    await announce(tx, stream.id)
    _log.info("stream_created", stream_id=stream.id, workspace_id=workspace_id)
    return stream


def secret_of(stream_id: str) -> str:
    """A key or secret of a stream: 128 random bits, `k`, and whose it is (contract section 1)."""
    return f"{ids.new_hex32()}k{stream_id}"


async def get(tx: Tx, workspace_id: str, stream_id: str, *, lock: bool = False) -> Stream:
    """Raises errors.NotFound, also for a stream of another workspace."""
    stream = await store.find(tx, stream_id, workspace_id=workspace_id, lock=lock)
    if stream is None:
        raise errors.NotFound("The requested stream does not exist in the workspace.", message="stream not found")
    return stream


async def list_page(
    tx: Tx, workspace_id: str, *, limit: int, offset: int, order: Literal["asc", "desc"]
) -> tuple[list[dict[str, Any]], int]:
    """One page as the API shows it, and the number of all streams. `offset` is a page number from 1."""
    found, total = await store.page(tx, workspace_id, limit=limit, skip=(offset - 1) * limit, order=order)
    named = await playback.list_ids_of(tx, [stream.target_id for stream in found])
    targets = await store.targets_of(tx, [stream.id for stream in found])
    recorded = await media.ready_ids_of(tx, [stream.id for stream in found])
    return [wire.stream_full(s, named[s.target_id], targets[s.id], recorded.get(s.id, ())) for s in found], total


async def update(tx: Tx, workspace_id: str, stream_id: str, request: UpdateStream) -> dict[str, Any]:
    """Both settings hold for a running session at once: a waiting one gets the longer, or shorter, window."""
    before = await get(tx, workspace_id, stream_id, lock=True)
    if before.status == Status.DISABLED:
        raise errors.BadState("A disabled stream cannot be updated; enable it first.", message="stream is disabled")
    window_s = before.reconnect_window_s if request.reconnect_window is None else request.reconnect_window
    metadata = before.metadata if request.metadata is None else request.metadata
    await store.set_settings(tx, stream_id, metadata=metadata, reconnect_window_s=window_s)
    session = await sessions_store.find_open(tx, stream_id, lock=True)
    if session is not None and window_s != before.reconnect_window_s:
        await sessions_store.set_window(tx, session.id, window_s - before.reconnect_window_s)
    stream = await get(tx, workspace_id, stream_id)
    await tell(tx, stream, "updated")
    await announce(tx, stream_id)
    return wire.stream_full(stream, await playback.list_ids(tx, stream.target_id))


async def delete(tx: Tx, workspace_id: str, stream_id: str) -> None:
    """The stream and its playback ids are gone at the commit; its encoder is sent away; recordings stay media."""
    stream = await get(tx, workspace_id, stream_id, lock=True)
    await tell(tx, stream, "deleted")
    await sessions.end_open(tx, stream_id, "deleted")
    await playback.unpublish(tx, stream.target_id)
    await store.delete(tx, stream_id)
    await announce(tx, stream_id)
    _log.info("stream_deleted", stream_id=stream_id, workspace_id=workspace_id)


async def enable(tx: Tx, workspace_id: str, stream_id: str) -> None:
    await get(tx, workspace_id, stream_id, lock=True)
    if not await states.move(tx, stream_id, Cause.ENABLED):
        raise errors.BadState("The stream is already enabled.", message="stream is already enabled")
    await _moved(tx, workspace_id, stream_id, "enabled")


async def disable(tx: Tx, workspace_id: str, stream_id: str) -> None:
    """Sends the encoder away, ends the session, and lets nobody publish until it is enabled."""
    await get(tx, workspace_id, stream_id, lock=True)
    if not await states.move(tx, stream_id, Cause.DISABLED):
        raise errors.BadState("The stream is already disabled.", message="stream already disabled")
    await sessions.end_open(tx, stream_id, "disabled")
    await _moved(tx, workspace_id, stream_id, "disabled")


async def finish(tx: Tx, workspace_id: str, stream_id: str) -> None:
    """Active -> idle without waiting for the reconnect window."""
    stream = await get(tx, workspace_id, stream_id, lock=True)
    if stream.status != Status.ACTIVE:
        raise errors.BadState("Only active streams can be marked as completed.", message="stream cannot be completed")
    await sessions.end_open(tx, stream_id, "finished")
    if await states.move(tx, stream_id, Cause.ENDED):
        await _moved(tx, workspace_id, stream_id, "idle")


async def viewer_count(tx: Tx, workspace_id: str, stream_id: str) -> int:
    """Viewers of the running session in about the last half minute; 0 when there is none."""
    await get(tx, workspace_id, stream_id)
    session = await sessions_store.find_open(tx, stream_id)
    if session is None:
        return 0
    views, _ = await sessions_store.reported(tx, session.id, fresh_s=REPORT_FRESH_S)
    return views


async def health(tx: Tx, workspace_id: str, stream_id: str) -> dict[str, Any]:
    """How the running session fares; only the status when there is none."""
    stream = await get(tx, workspace_id, stream_id)
    session = await sessions_store.find_open(tx, stream_id)
    if session is None:
        return wire.health(stream, None, 0, None)
    views, told = await sessions_store.reported(tx, session.id, fresh_s=REPORT_FRESH_S)
    return wire.health(stream, session, views, told)


async def add_playback_id(tx: Tx, workspace_id: str, stream_id: str, request: LivePolicy) -> PlaybackId:
    return await _name(tx, await get(tx, workspace_id, stream_id, lock=True), request)


async def get_playback_id(tx: Tx, workspace_id: str, stream_id: str, playback_id: str) -> PlaybackId:
    stream = await get(tx, workspace_id, stream_id)
    found = await playback.find_id(tx, stream.target_id, playback_id)
    if found is None:
        raise _no_playback_id()
    return found


async def delete_playback_id(tx: Tx, workspace_id: str, stream_id: str, playback_id: str) -> None:
    """Viewers are refused as soon as the transaction commits; what their players have loaded they may finish."""
    stream = await get(tx, workspace_id, stream_id, lock=True)
    if not await playback.delete_id(tx, stream.target_id, playback_id):
        raise _no_playback_id()


async def restrict(
    tx: Tx,
    workspace_id: str,
    stream_id: str,
    playback_id: str,
    kind: Literal["domains", "userAgents"],
    rules: Rules,
) -> dict[str, Any]:
    """Replaces one list of rules; holds for viewers at once. Tokens and paths stay good."""
    stream = await get(tx, workspace_id, stream_id, lock=True)
    wanted: dict[str, Any] = rules.model_dump(by_alias=True)
    if not await playback.restrict_id(tx, stream.target_id, playback_id, kind, wanted):
        raise _no_playback_id()
    return wanted


async def playback_ids(tx: Tx, stream: Stream) -> Sequence[PlaybackId]:
    return await playback.list_ids(tx, stream.target_id)


async def _name(tx: Tx, stream: Stream, policy: LivePolicy) -> PlaybackId:
    return await playback.create_id(
        tx,
        workspace_id=stream.workspace_id,
        target_id=stream.target_id,
        access_policy=policy.access_policy,
        access_restrictions=policy.access_restrictions.model_dump(by_alias=True),
    )


def _no_playback_id() -> errors.NotFound:
    return errors.NotFound(
        "The requested playback ID does not exist for the stream.", message="stream/playbackId not found"
    )


async def _moved(tx: Tx, workspace_id: str, stream_id: str, what: str) -> None:
    await tell(tx, await get(tx, workspace_id, stream_id), what)
    await announce(tx, stream_id)
    _log.info("stream_moved", stream_id=stream_id, workspace_id=workspace_id, what=what)


__all__ = [
    "MAX_DURATION_S",
    "add_playback_id",
    "create",
    "delete",
    "delete_playback_id",
    "describe",
    "disable",
    "enable",
    "finish",
    "get",
    "get_playback_id",
    "health",
    "list_page",
    "playback_ids",
    "restrict",
    "secret_of",
    "update",
    "viewer_count",
]
