"""The verbs of sessions: an encoder comes, something can be played, it goes, the session ends and is finished.

Invariants: a stream has one open session at most, and one ingest holds it; another one takes it over only when the
holder is dead, or while no encoder is connected. An ingest that was taken for dead changes nothing any more. Deadlines
are in rows, by the database's clock, so they survive every restart.
"""

import dataclasses
import hmac
import re

from fastpix_server.base import clock, ids, log
from fastpix_server.db.pool import Tx
from fastpix_server.ingest.model import PublishRequest, Refused
from fastpix_server.live import recordings, sessions_store, states, store
from fastpix_server.live.states import Cause, Status
from fastpix_server.live.streams import Ingest, Session, Stream, as_uuid
from fastpix_server.live.telling import announce, tell
from fastpix_server.playback import service as playback
from fastpix_server.playback.service import LiveSession

# An ingest beats every three seconds. Three lost beats are a death; a wrong verdict costs one reconnect.
HEARTBEAT_S = 3.0
LEASE_S = 10.0
# What one pass of a taker takes; the next pass follows in HEARTBEAT_S.
ORPHANS_MAX = 100

_KEY = re.compile(r"[0-9a-f]{32}k([0-9a-f]{32})")
_log = log.get(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Begun:
    """An encoder was let in: into a new session, or back into the one that it was in."""

    session: Session
    stream: Stream
    is_resumed: bool


def stream_of_key(stream_key: str) -> str | None:
    """The stream's id inside its key; None for what is no key."""
    found = _KEY.fullmatch(stream_key)
    return None if found is None else found[1]


async def begin(tx: Tx, ingest: Ingest, request: PublishRequest) -> Begun | Refused:
    """Whether this encoder may publish now. Of two with the same key the second is refused."""
    stream_id = stream_of_key(request.stream_key)
    stream = None if stream_id is None else await store.find(tx, stream_id, lock=True)
    if stream is None or not hmac.compare_digest(stream.stream_key, request.stream_key):
        return Refused("unknown_key")
    if stream.status == Status.DISABLED:
        return Refused("disabled")
    known = await sessions_store.find_open(tx, stream.id, lock=True)
    if known is not None:
        if known.state == "publishing":
            if await sessions_store.is_held(tx, known, lease_s=LEASE_S):
                return Refused("already_publishing")
            await tell(tx, stream, "disconnected")
        overdue = await sessions_store.is_overdue(tx, known.id)
        if overdue is None:
            return await _resume(tx, ingest, stream, known, request)
        await _end(tx, stream, known, overdue)
        stream = await store.find(tx, stream.id) or stream
    return await _begin_new(tx, ingest, stream, request)


async def _resume(tx: Tx, ingest: Ingest, stream: Stream, known: Session, request: PublishRequest) -> Begun | Refused:
    session = await sessions_store.resume(tx, known.id, holder=ingest.id, protocol=request.protocol)
    if session is None:
        return Refused("unavailable")
    await show(tx, session, ingest.origin)
    await tell(tx, stream, "connected")
    await announce(tx, stream.id)
    _log.info("session_resumed", stream_id=stream.id, session_id=session.id, epoch=session.epoch)
    return Begun(session, stream, is_resumed=True)


async def _begin_new(tx: Tx, ingest: Ingest, stream: Stream, request: PublishRequest) -> Begun:
    session_id = ids.new_uuid()
    session = await sessions_store.insert(
        tx,
        Session(
            id=session_id,
            stream_id=stream.id,
            workspace_id=stream.workspace_id,
            state="publishing",
            revision=session_id.replace("-", "")[:12],
            place=f"live/{session_id}",
            max_lines=int(stream.max_resolution.removesuffix("p")),
            is_dvr=stream.enable_dvr_mode,
            is_recorded=stream.enable_recording,
            media_policy=stream.media_policy,
            holder=ingest.id,
            protocol=request.protocol,
            epoch=1,
            playable_epoch=0,
            started_at=clock.now(),
            deadline_at=None,
            ends_at=clock.now(),
            ended_at=None,
            end_reason=None,
            finalised_at=None,
            released_at=None,
        ),
        max_duration_s=stream.max_duration_s,
    )
    await show(tx, session, ingest.origin)
    await tell(tx, stream, "connected")
    if await states.move(tx, stream.id, Cause.CONNECTED):
        stream = await store.find(tx, stream.id) or stream
        await tell(tx, stream, "preparing")
    await announce(tx, stream.id)
    _log.info("session_begun", stream_id=stream.id, session_id=session.id, protocol=request.protocol)
    return Begun(session, stream, is_resumed=False)


async def playable(tx: Tx, ingest_id: str, session_id: str) -> Session | None:
    """The first segment since the encoder came: preparing -> active. None when it was told before."""
    known = await sessions_store.find(tx, session_id)
    if known is None:
        return None
    await store.find(tx, known.stream_id, lock=True)  # the stream's row before the session's, as everywhere
    session = await sessions_store.set_playable(tx, session_id, holder=ingest_id)
    if session is None:
        return None
    is_first = await states.move(tx, session.stream_id, Cause.PLAYABLE)
    stream = await store.find(tx, session.stream_id)
    if stream is not None:
        if is_first and session.is_recorded:
            await tell(tx, stream, "recording")
        await tell(tx, stream, "active")
    return session


async def disconnected(tx: Tx, ingest_id: str, session_id: str, epoch: int) -> Session | None:
    """The encoder's connection number `epoch` is over: the reconnect window begins.

    None when the session has ended, is another ingest's now, or a later connection is there.
    """
    session = await sessions_store.find(tx, session_id)
    stream = None if session is None else await store.find(tx, session.stream_id, lock=True)
    if session is None or stream is None:
        return None
    waiting = await sessions_store.set_waiting(
        tx, session_id, holder=ingest_id, epoch=epoch, window_s=stream.reconnect_window_s
    )
    if waiting is not None:
        await tell(tx, stream, "disconnected")
        await announce(tx, stream.id)
        _log.info(
            "session_disconnected", stream_id=stream.id, session_id=session_id, window_s=stream.reconnect_window_s
        )
    return waiting


async def end_overdue(tx: Tx, ingest_id: str, session_id: str) -> Session | None:
    """Ends a session whose reconnect window or longest duration is over; None when it goes on."""
    session = await sessions_store.find(tx, session_id)
    if session is None or session.holder != ingest_id:
        return None
    stream = await store.find(tx, session.stream_id, lock=True)
    overdue = await sessions_store.is_overdue(tx, session_id)
    if overdue is None:
        return None
    return await _end(tx, stream, session, overdue)


async def end_open(tx: Tx, stream_id: str, reason: str) -> Session | None:
    """For the owner's verbs, which hold the stream's row and tell their own event."""
    session = await sessions_store.find_open(tx, stream_id, lock=True)
    if session is None:
        return None
    ended = await sessions_store.set_ended(tx, session.id, reason)
    if ended is not None:
        await show(tx, ended, await sessions_store.origin_of(tx, ended.holder))
    return ended


async def _end(tx: Tx, stream: Stream | None, session: Session, reason: str) -> Session | None:
    ended = await sessions_store.set_ended(tx, session.id, reason)
    if ended is None:
        return None
    await show(tx, ended, await sessions_store.origin_of(tx, ended.holder))
    if stream is not None and await states.move(tx, stream.id, Cause.ENDED):
        await tell(tx, await store.find(tx, stream.id) or stream, "idle")
    await announce(tx, session.stream_id)
    _log.info("session_ended", stream_id=session.stream_id, session_id=session.id, reason=reason)
    return ended


async def finalise(tx: Tx, session: Session) -> None:
    """The recording is made whole, or forgotten; repeatable. For when nothing of the session is written any more."""
    await recordings.finish(tx, session.spec)
    if await sessions_store.set_finalised(tx, session.id):
        await announce(tx, session.stream_id)


async def release(tx: Tx, session: Session) -> None:
    """No process has it in memory any more: viewers of the stream are shown its recording."""
    released = await sessions_store.set_released(tx, session.id)
    if released is not None:
        await show(tx, released, None)


async def show(tx: Tx, session: Session, origin: str | None) -> None:
    """What viewers of the stream get from this commit on, unless a newer session is there or the stream is gone."""
    if await store.find(tx, session.stream_id) is None:
        return
    if await sessions_store.newest_of(tx, session.stream_id) != session.id:
        return
    shown = LiveSession(
        id=session.id,
        revision=session.revision,
        place=session.place,
        origin=origin,
        is_dvr=session.is_dvr,
        is_running=session.state != "ended",
        started_at=session.started_at,
    )
    target_id = as_uuid(session.stream_id)
    await playback.publish_live(tx, target_id=target_id, workspace_id=session.workspace_id, session=shown)


async def take_orphans(tx: Tx, ingest: Ingest) -> list[Session]:
    """What dead ingests left comes to this one: their encoders are gone, their windows run, their ends are finished."""
    taken: list[Session] = []
    for orphan in await sessions_store.orphans(tx, lease_s=LEASE_S, limit=ORPHANS_MAX):
        await store.find(tx, orphan.stream_id, lock=True)  # the stream's row before the session's, as everywhere
        session = await sessions_store.take(tx, orphan.id, ingest.id, lease_s=LEASE_S)
        if session is None:
            continue
        if session.state == "publishing":
            session = await disconnected(tx, ingest.id, session.id, session.epoch) or session
        if session.state != "ended":
            await show(tx, session, ingest.origin)
        taken.append(session)
        _log.info("session_taken_over", stream_id=session.stream_id, session_id=session.id, state=session.state)
    return taken


async def care_for_orphan(tx: Tx, orphan: Session) -> Session | None:
    """What time does to a session that nobody holds: publishing, waiting, ended. None when somebody holds it now."""
    stream = await store.find(tx, orphan.stream_id, lock=True)  # the stream's row before the session's, as everywhere
    session = await sessions_store.find(tx, orphan.id, lock=True)
    if session is None or session.holder != orphan.holder or session.released_at is not None:
        return None
    if await sessions_store.is_held(tx, session, lease_s=LEASE_S):
        return None
    if session.state == "publishing":
        session = await disconnected(tx, session.holder, session.id, session.epoch) or session
        await show(tx, session, None)
    overdue = await sessions_store.is_overdue(tx, session.id) if session.state != "ended" else None
    return session if overdue is None else await _end(tx, stream, session, overdue)
