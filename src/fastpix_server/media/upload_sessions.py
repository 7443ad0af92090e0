"""One request to an upload URL: facts are gathered, the protocol decides, bytes are stored, it is answered.

Invariants: what a 308 or 200 acknowledges is durable; no transaction is open while bytes flow; memory is one piece of
the body whatever the chunk; a newer request for the same upload takes over from an older one, whose client is usually
gone without a word (a phone that changed networks); a full upload is completed even when its client hangs up meanwhile.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from prometheus_client import Counter

from fastpix_server.base import errors, ids, log
from fastpix_server.db.notify import Listener, notify
from fastpix_server.db.pool import Database, Tx
from fastpix_server.media import service, uploads, uploads_store
from fastpix_server.media.upload_protocol import (
    Ask,
    Begin,
    Cancel,
    Finish,
    Reply,
    Session,
    Store,
    after,
    decide,
)
from fastpix_server.media.uploads_store import Upload
from fastpix_server.storage.open import Storage
from fastpix_server.storage.port import StorageError
from fastpix_server.storage.staging import StagingBusy, StagingGap, StagingTooLarge

IDLE_S = 30.0  # a client that sends nothing for so long has lost its network; it comes back with a status query
TAKEOVER_TRIES = 20  # times TAKEOVER_WAIT_S: two seconds for the older request to make its bytes durable and leave
TAKEOVER_WAIT_S = 0.1
CHANNEL = "upload_taken"  # tells the other processes which upload has a newer request

_log = log.get(__name__)
_bytes = Counter("fastpix_upload_bytes", "Bytes that clients of resumable uploads sent.")
_replies = Counter("fastpix_upload_replies", "Answers of upload URLs, by status.", ["status"])

Receive = Callable[[], Awaitable[bytes | None]]  # the next piece of the body, None at its end


class Interrupted(Exception):
    """The body stopped before its end: the client left, fell silent, or a newer request took over."""


class UploadSessions:
    """One per process. `listener` must be started by the app; it carries takeovers between processes."""

    def __init__(
        self,
        db: Database,
        listener: Listener,
        storage: Storage,
        public_url: str,
        *,
        max_size_bytes: int = uploads.MAX_SIZE_BYTES,
        idle_s: float = IDLE_S,
    ) -> None:
        self._db = db
        self._storage = storage
        self._public_url = public_url
        self._max_size_bytes = max_size_bytes
        self._idle_s = idle_s
        self._bodies: dict[str, set[_Body]] = {}
        self._completions: dict[str, asyncio.Task[bool]] = {}
        self._process = ids.new_hex32()
        listener.on(CHANNEL, self._on_taken)

    async def find(self, upload_id: str) -> Upload | None:
        async with self._db.unit() as tx:
            return await uploads_store.find(tx, upload_id)

    async def answer(self, upload: Upload, ask: Ask, receive: Receive) -> Reply:
        """The reply to one request; the body is read only when it is to be stored.

        Raises Interrupted, and errors.Unavailable when the storage cannot take or show the bytes: the client resumes.
        """
        try:
            reply = await self._answer(upload, ask, receive)
        except (StorageError, OSError) as fault:
            _log.exception("upload_storage_failed", upload_id=upload.id)
            raise errors.Unavailable("The storage cannot be used at the moment; try again shortly.") from fault
        _replies.labels(str(reply.status)).inc()
        return reply

    async def _answer(self, upload: Upload, ask: Ask, receive: Receive) -> Reply:
        decision = decide(ask, await self._session(upload))
        if isinstance(decision, Store):
            decision = await self._store(upload, decision, receive)
        if isinstance(decision, Begin):
            return await self._begin(upload)
        if isinstance(decision, Finish):
            return await self._finish(upload, decision.total_bytes)
        if isinstance(decision, Cancel):
            return await self._cancel(upload)
        return decision

    async def _session(self, upload: Upload) -> Session:
        status = uploads.current_status(upload)
        durable = await uploads.durable_bytes(self._storage, upload) if status == "waiting" else 0
        return Session(status, durable, upload.total_bytes, self._max_size_bytes)

    async def _store(self, upload: Upload, store: Store, receive: Receive) -> Reply | Finish:
        async with self._db.unit() as tx:
            is_ours = await uploads_store.begin_bytes(
                tx, upload.id, total_bytes=store.total_bytes, active_s=uploads.ACTIVE_S
            )
        if not is_ours:
            return await self._again(upload, store)
        body = _Body(receive, limit=store.length, idle_s=self._idle_s)
        try:
            durable = await self._append(upload.id, store.offset, body)
        except StagingBusy:
            return Reply(503, message="temporarily unavailable", description="Another request sends to this upload.")
        except StagingGap:  # a rival finished, or a new beginning came, between the question and the answer
            return await self._again(upload, store)
        except StagingTooLarge:
            text = f"An upload may have {self._max_size_bytes} bytes at most."
            return Reply(413, message="payload too large", description=text)
        finally:
            _bytes.inc(body.received_bytes)
        return after(store, received_bytes=body.received_bytes, has_extra=await body.has_more(), durable_bytes=durable)

    async def _again(self, upload: Upload, store: Store) -> Reply | Finish:
        """The session changed since it was read (ended, finished, begun with another size): as it stands now."""
        fresh = await self.find(upload.id)
        if fresh is None:
            return Reply(404, message="not found", description="There is no such upload.")
        decision = decide(Ask("PUT", f"bytes */{store.total_bytes or '*'}"), await self._session(fresh))
        assert isinstance(decision, Reply | Finish)  # a status query never stores
        return decision

    async def _append(self, upload_id: str, offset: int, body: "_Body") -> int:
        """Stores the body; an older request for the same upload is asked to leave. Raises StagingBusy."""
        self._interrupt(upload_id)
        self._bodies.setdefault(upload_id, set()).add(body)
        try:
            for attempt in range(TAKEOVER_TRIES):
                try:
                    return await self._storage.staging.append(
                        upload_id, offset, body.pieces(), max_size_bytes=self._max_size_bytes
                    )
                except StagingBusy:
                    if body.received_bytes or attempt == TAKEOVER_TRIES - 1:
                        raise
                if attempt == 1:  # not in this process, it seems
                    async with self._db.unit() as tx:
                        await notify(tx, CHANNEL, f"{self._process}:{upload_id}")
                await asyncio.sleep(TAKEOVER_WAIT_S)
            raise StagingBusy(upload_id)
        finally:
            self._bodies[upload_id].discard(body)
            if not self._bodies[upload_id]:
                del self._bodies[upload_id]

    def _on_taken(self, payload: str) -> None:
        process, _, upload_id = payload.partition(":")
        if process != self._process:
            self._interrupt(upload_id)

    def _interrupt(self, upload_id: str) -> None:
        for body in tuple(self._bodies.get(upload_id, ())):
            body.interrupt()

    async def _begin(self, upload: Upload) -> Reply:
        self._interrupt(upload.id)
        for _ in range(TAKEOVER_TRIES):
            with contextlib.suppress(StagingBusy):
                async with self._db.unit() as tx:
                    return await self._forget(tx, upload.id)
            await asyncio.sleep(TAKEOVER_WAIT_S)
        return Reply(503, message="temporarily unavailable", description="Another request sends to this upload.")

    async def _forget(self, tx: Tx, upload_id: str) -> Reply:
        """Back to no bytes, under the row's lock: a completion that is under way has either won or finds no object."""
        locked = await uploads_store.find(tx, upload_id, lock=True)
        if locked is None or locked.status != "waiting":
            return Reply(410, message="gone", description="The upload has ended meanwhile.")
        await self._storage.staging.truncate0(upload_id)
        await self._storage.objects.delete(service.source_key(upload_id))
        await uploads_store.forget_size(tx, upload_id)
        return Reply(201)

    async def _finish(self, upload: Upload, total_bytes: int) -> Reply:
        """Completes in a task of its own: a client that hangs up now gets its media all the same."""
        task = self._completions.get(upload.id)
        if task is None:
            task = asyncio.create_task(self._complete(upload, total_bytes))
            self._completions[upload.id] = task
            task.add_done_callback(lambda _: self._completions.pop(upload.id, None))
        is_complete = await asyncio.shield(task)
        return Reply(200) if is_complete else Reply(410, message="gone", description="The upload was cancelled.")

    async def _complete(self, upload: Upload, total_bytes: int) -> bool:
        for attempt in range(TAKEOVER_TRIES):
            with contextlib.suppress(StagingBusy):
                return await uploads.complete(
                    self._db, self._storage, upload, total_bytes=total_bytes, public_url=self._public_url
                )
            await asyncio.sleep(TAKEOVER_WAIT_S * (attempt + 1))
        raise StagingBusy(upload.id)

    async def _cancel(self, upload: Upload) -> Reply:
        async with self._db.unit() as tx:
            locked = await uploads_store.find(tx, upload.id, lock=True)
            if locked is not None and locked.status == "waiting":
                await uploads.cancel_locked(tx, locked, public_url=self._public_url)
        self._interrupt(upload.id)
        return Reply(204)


class _Body:
    """A request's body in pieces: at most `limit` bytes of it, each within `idle_s`, until somebody interrupts."""

    def __init__(self, receive: Receive, *, limit: int | None, idle_s: float) -> None:
        self._receive = receive
        self._limit = limit
        self._idle_s = idle_s
        self._wait: asyncio.Timeout | None = None
        self._is_interrupted = False
        self._is_ended = False
        self._has_extra = False
        self.received_bytes = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises Interrupted when the body stops before its end."""
        while self._limit is None or self.received_bytes < self._limit:
            piece = await self._next()
            if piece is None:
                return
            room = len(piece) if self._limit is None else self._limit - self.received_bytes
            self._has_extra = len(piece) > room
            piece = piece[:room]
            self.received_bytes += len(piece)
            yield piece

    async def has_more(self) -> bool:
        """True when the body goes on past the limit."""
        while not self._has_extra and not self._is_ended:
            self._has_extra = bool(await self._next())
        return self._has_extra

    async def _next(self) -> bytes | None:
        if self._is_interrupted:
            raise Interrupted
        try:
            async with asyncio.timeout(self._idle_s) as self._wait:
                piece = await self._receive()
        except TimeoutError:
            raise Interrupted from None
        finally:
            self._wait = None
        self._is_ended = piece is None
        return piece

    def interrupt(self) -> None:
        self._is_interrupted = True
        if self._wait is not None:
            self._wait.reschedule(asyncio.get_running_loop().time())
