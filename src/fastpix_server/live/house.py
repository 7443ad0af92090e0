"""All sessions that this ingest process holds: it lets encoders in, and carries what happens to the database and back.

Invariants: the database decides; the house follows it, by notifications at once and by looking every few seconds in
any case. What happens to one stream happens in order (one lock per stream). While the database is away running sessions
go on, and what happened is told when it is back. A house that was declared dead drops everything and begins anew.
"""

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from prometheus_client import Counter, Gauge

from fastpix_server.base import errors, ids, log
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.ingest.model import Publisher, PublishRequest, Refused, Sink
from fastpix_server.live import recorder, sessions, sessions_store, store, telling
from fastpix_server.live.recorder import Recorder
from fastpix_server.live.running import MakePush, Running
from fastpix_server.live.streams import Ingest, Session, Target
from fastpix_server.storage.port import ObjectStore

TICK_S = 1.0
REPORT_S = 5.0
RETRY_S = 1.0
# How long what ended can be watched from memory: viewers behind the live edge, and those who come a moment late.
KEEP_S = 120.0
# Each has about a minute of media in memory. The oldest go first.
KEPT_MAX = 50
# Streams that this process carries at once; each transcodes, so a core is full long before.
RUNNING_MAX = 500

_log = log.get(__name__)
_running = Gauge("fastpix_live_sessions", "Sessions of live streams in memory.", multiprocess_mode="livesum")
_publishing = Gauge("fastpix_live_publishers", "Encoders that are connected.", multiprocess_mode="livesum")
_watching = Gauge("fastpix_live_viewers", "Viewers of live streams.", multiprocess_mode="livesum")
_bitrate = Gauge("fastpix_live_ingest_bits_per_second", "What all encoders send.", multiprocess_mode="livesum")
_refusals = Counter("fastpix_live_refusals", "Encoders that were not let in.", ["reason"])


class House:
    """Make it before `listener.start()`; `start` registers it, `close` hands everything over. It is the Door."""

    def __init__(self, db: Database, listener: Listener, objects: ObjectStore, *, make_push: MakePush) -> None:
        self._db = db
        self._objects = objects
        self._make_push = make_push
        self.ingest = Ingest(ids.new_uuid(), "")
        self._running: dict[str, Running] = {}  # by session
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._beaten_s = 0.0
        self._reported_s = 0.0
        listener.on(telling.CHANGED, self._on_changed)
        listener.on_reconnect(self._on_reconnect)

    async def start(self, origin: str) -> None:
        """`origin`: where edges reach us. Whoever had this address before is dead; what it held is ours afterwards."""
        self.ingest = Ingest(self.ingest.id, origin)
        await self._register()
        self._loop_task = asyncio.create_task(self._loop(), name="live-house")

    async def close(self) -> None:
        """Encoders may go on elsewhere at once; what was published so far is stored."""
        self._is_closing = True
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait({self._loop_task})
        await asyncio.gather(*(running.drop("shutdown") for running in self._running.values()), return_exceptions=True)
        self._running.clear()
        while self._tasks:
            await asyncio.wait([*self._tasks])
        async with self._db.unit() as tx:
            for session in await sessions_store.held_by(tx, self.ingest.id):
                if session.state == "publishing":
                    await sessions.disconnected(tx, self.ingest.id, session.id, session.epoch)
            await sessions_store.forget_ingest(tx, self.ingest.id)
        self._count()

    def find(self, session_id: str) -> Running | None:
        return self._running.get(session_id)

    def find_of_stream(self, stream_id: str) -> Running | None:
        """The session that has not ended."""
        found = (r for r in self._running.values() if r.session.stream_id == stream_id and r.session.state != "ended")
        return next(found, None)

    # -- encoders -----------------------------------------------------------------------------------------------

    async def __call__(self, request: PublishRequest, publisher: Publisher) -> Sink | Refused:
        found = await self._let_in(request, publisher)
        if isinstance(found, Refused):
            _refusals.labels(found.reason).inc()
            _log.info("encoder_refused", protocol=request.protocol, peer=request.peer, reason=found.reason)
        return found

    async def _let_in(self, request: PublishRequest, publisher: Publisher) -> Sink | Refused:
        stream_id = sessions.stream_of_key(request.stream_key)
        if stream_id is None:
            return Refused("unknown_key")
        if self._is_closing:
            return Refused("unavailable")
        if sum(running.publisher is not None for running in self._running.values()) >= RUNNING_MAX:
            return Refused("busy")
        async with self._lock(stream_id):
            try:
                async with self._db.unit() as tx:
                    begun = await sessions.begin(tx, self.ingest, request)
            except errors.Unavailable:
                return Refused("unavailable")
            if isinstance(begun, Refused):
                return begun
            try:
                running = self._running.get(begun.session.id) or await self._open(begun.session)
            except errors.FastpixError as fault:
                _log.error("session_not_opened", session_id=begun.session.id, error=str(fault))
                self._spawn(self._tell_disconnected(begun.session.stream_id, begun.session.id, begun.session.epoch))
                return Refused("unavailable")
            sink = running.connect(begun.session, publisher)
        self._spawn(self._reconcile(stream_id))  # its pushes
        self._count()
        return sink

    async def play(self, stream_id: str, reader: Sink) -> Callable[[], None] | Refused:
        """Attaches a player of the publisher's own picture (SRT) to the running session."""
        running = self.find_of_stream(stream_id)
        if running is None or running.publisher is None:
            return Refused("unavailable")
        try:
            return running.broadcast.add_reader(reader)
        except OverflowError:
            return Refused("busy")

    async def _open(self, session: Session) -> Running:
        """Into memory, with what is stored of it. The caller holds the stream's lock."""
        rows = await recorder.restore(self._db, session.id)
        keeper = Recorder(self._db, self._objects, session.spec, media_policy=session.media_policy)
        running: Running

        def on_active() -> None:
            self._spawn(self._tell_playable(session.stream_id, session.id))

        def on_disconnected(reason: str) -> None:
            _log.info("encoder_gone", stream_id=session.stream_id, session_id=session.id, reason=reason)
            running.publisher = None
            self._spawn(self._tell_disconnected(session.stream_id, session.id, running.session.epoch))

        running = Running(session, keeper, self._objects, rows, on_active=on_active, on_disconnected=on_disconnected)
        self._running[session.id] = running
        return running

    # -- from memory to the database ----------------------------------------------------------------------------

    async def _tell_playable(self, stream_id: str, session_id: str) -> None:
        async def tell() -> None:
            async with self._db.unit() as tx:
                await sessions.playable(tx, self.ingest.id, session_id)

        await self._in_order(stream_id, tell)

    async def _tell_disconnected(self, stream_id: str, session_id: str, epoch: int) -> None:
        async def tell() -> None:
            async with self._db.unit() as tx:
                await sessions.disconnected(tx, self.ingest.id, session_id, epoch)

        await self._in_order(stream_id, tell)
        self._count()

    def _tell_push(self, target: Target, workspace_id: str, state: str) -> None:
        async def tell() -> None:
            async with self._db.unit() as tx:
                if await store.find_target(tx, target.stream_id, target.id) is not None:
                    await telling.tell_target(tx, workspace_id, target, state)

        if state in ("starting", "broadcasting"):
            self._spawn(self._in_order(target.stream_id, tell))

    async def _in_order(self, stream_id: str, act: Callable[[], Awaitable[None]]) -> None:
        """Does it when everything before it is done, and until it is done."""
        async with self._lock(stream_id):
            while True:
                try:
                    await act()
                    return
                except errors.Unavailable:
                    if self._is_closing:
                        return  # the row says who held it: the next holder tells
                    await asyncio.sleep(RETRY_S)

    # -- from the database to memory ----------------------------------------------------------------------------

    def _on_changed(self, stream_id: str) -> None:
        if any(running.session.stream_id == stream_id for running in self._running.values()):
            self._spawn(self._reconcile(stream_id))

    def _on_reconnect(self) -> None:
        for stream_id in {running.session.stream_id for running in self._running.values()}:
            self._spawn(self._reconcile(stream_id))

    async def _reconcile(self, stream_id: str) -> None:
        """Brings what is in memory of a stream to what the rows say."""
        async with self._lock(stream_id):
            for running in [r for r in self._running.values() if r.session.stream_id == stream_id]:
                try:
                    await self._follow(running)
                except errors.Unavailable:
                    continue  # the loop looks again

    async def _follow(self, running: Running) -> None:
        async with self._db.unit() as tx:
            session = await sessions_store.find(tx, running.session.id)
            targets = (await store.targets_of(tx, [running.session.stream_id]))[running.session.stream_id]
        if session is None or session.holder != self.ingest.id:
            await self._drop(running, "taken_over")
        elif session.state == "ended":
            await self._finish(running, session)
        else:
            running.session = session
            if running.publisher is not None:
                await running.sync_pushes(targets, self._make_push, self._on_push(session.workspace_id))

    def _on_push(self, workspace_id: str) -> Callable[[Target, str], None]:
        return lambda target, state: self._tell_push(target, workspace_id, state)

    async def _finish(self, running: Running, session: Session) -> None:
        """The recording is made whole at once; viewers may go on watching from memory for a while."""
        if running.ended_s is not None:
            return
        running.session = session
        await running.flush()
        async with self._db.unit() as tx:
            await sessions.finalise(tx, session)
        running.ended_s = time.monotonic()
        _log.info("session_in_the_can", stream_id=session.stream_id, session_id=session.id)

    async def _drop(self, running: Running, reason: str) -> None:
        self._running.pop(running.session.id, None)
        await running.drop(reason)
        self._count()

    async def _release_old(self) -> None:
        ended = sorted((r for r in self._running.values() if r.ended_s is not None), key=lambda r: r.ended_s or 0)
        now_s = time.monotonic()
        for k, running in enumerate(ended):
            if len(ended) - k > KEPT_MAX or now_s - (running.ended_s or 0) > KEEP_S:
                async with self._lock(running.session.stream_id):
                    async with self._db.unit() as tx:
                        await sessions.release(tx, running.session)
                    await self._drop(running, "released")

    # -- the clock ----------------------------------------------------------------------------------------------

    async def _loop(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self._tick()
            except errors.Unavailable:
                _log.warning("house_waits_for_database")
            except Exception:
                _log.exception("house_tick_failed")

    async def _tick(self) -> None:
        now_s = time.monotonic()
        if now_s - self._beaten_s >= sessions.HEARTBEAT_S:
            await self._beat()
            self._beaten_s = now_s
        async with self._db.unit() as tx:
            overdue = await sessions_store.overdue(tx, self.ingest.id)
        for session_id in overdue:
            await self._end_overdue(session_id)
        await self._release_old()
        if now_s - self._reported_s >= REPORT_S:
            self._reported_s = now_s
            await self._report(now_s)

    async def _beat(self) -> None:
        async with self._db.unit() as tx:
            is_known = await sessions_store.beat(tx, self.ingest.id)
        if not is_known:
            _log.error("house_was_declared_dead", sessions=len(self._running))
            for running in [*self._running.values()]:
                async with self._lock(running.session.stream_id):
                    await self._drop(running, "lost")
            self.ingest = Ingest(ids.new_uuid(), self.ingest.origin)
            await self._register()
            return
        async with self._db.unit() as tx:
            await sessions.take_orphans(tx, self.ingest)
        await self._look_after_all()

    async def _register(self) -> None:
        async with self._db.unit() as tx:
            await sessions_store.register_ingest(tx, self.ingest.id, self.ingest.origin)
            await sessions.take_orphans(tx, self.ingest)
        self._beaten_s = time.monotonic()
        await self._look_after_all()

    async def _look_after_all(self) -> None:
        """Every session that the rows call ours is in memory, or finished."""
        async with self._db.unit() as tx:
            held = await sessions_store.held_by(tx, self.ingest.id)
        for session in held:
            running = self._running.get(session.id)
            if running is None:
                await self._take_in(session)
            elif session.state == "ended" and running.ended_s is None:
                self._spawn(self._reconcile(session.stream_id))

    async def _take_in(self, session: Session) -> None:
        """A session that another process had, or that could not be opened when it began."""
        async with self._lock(session.stream_id):
            if session.id in self._running:
                return
            async with self._db.unit() as tx:
                fresh = await sessions_store.find(tx, session.id)
                if fresh is None or fresh.holder != self.ingest.id or fresh.released_at is not None:
                    return
                if fresh.state == "ended":
                    await sessions.finalise(tx, fresh)
                    await sessions.release(tx, fresh)
                    return
                if fresh.state == "publishing":
                    fresh = await sessions.disconnected(tx, self.ingest.id, fresh.id, fresh.epoch) or fresh
            await self._open(fresh)
            self._count()

    async def _end_overdue(self, session_id: str) -> None:
        async with self._db.unit() as tx:
            ended = await sessions.end_overdue(tx, self.ingest.id, session_id)
        if ended is not None:
            await self._reconcile(ended.stream_id)

    async def _report(self, now_s: float) -> None:
        """Viewers and health of what runs; one short transaction for all of it."""
        open_ = [r for r in self._running.values() if r.session.state != "ended"]
        told = [(r.session.id, r.viewers.count(now_s), r.figures()) for r in open_]
        if told:
            async with self._db.unit() as tx:
                for session_id, viewers, health in told:
                    await sessions_store.report(tx, session_id, holder=self.ingest.id, viewers=viewers, health=health)
        _watching.set(sum(viewers for _, viewers, _ in told))
        _bitrate.set(sum(health.get("bitrateBps", 0) for _, _, health in told))
        self._count()

    # -- small things -------------------------------------------------------------------------------------------

    def _lock(self, stream_id: str) -> asyncio.Lock:
        lock = self._locks.get(stream_id)
        if lock is None:
            lock = self._locks[stream_id] = asyncio.Lock()
        return lock

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("house_task_failed", exc_info=fault)

    def _count(self) -> None:
        _running.set(sum(r.session.state != "ended" for r in self._running.values()))
        _publishing.set(sum(r.publisher is not None for r in self._running.values()))
