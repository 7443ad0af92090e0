"""The edge's side of making on demand: what is stored is read, what is not is asked for once and waited for.

Invariants: a thousand requests for one missing thing are one wish and one wait; a wait ends by the maker's word, by
the thing appearing in storage, or after a bounded time; a known failure is answered without asking again.
"""

import asyncio
import dataclasses
import os
import time
from collections import OrderedDict
from collections.abc import Sequence

from prometheus_client import Counter, Histogram

from fastpix_server.base import errors
from fastpix_server.base.errors import MediaFault, ServiceFault, SourceFault
from fastpix_server.db.notify import Listener, notify
from fastpix_server.db.pool import Database
from fastpix_server.playback import ledger
from fastpix_server.playback.artifacts import Artifact, Placed, Protected, SegmentOf
from fastpix_server.playback.cache import Uses
from fastpix_server.playback.ledger import Fault
from fastpix_server.storage.port import ObjectMissing, ObjectStore

# The net under lost notifications.
LOOK_EVERY_S = 0.5
# A wish is repeated this often, in case its first notification found no worker.
ASK_EVERY_S = 5.0
# Different missing things waited for at once; each holds a task and a row. Beyond it viewers are told to come back.
MAX_WAITS = 5000
# A guess must not take the place of a viewer who really waits.
MAX_FORESEEN = 500
# What was seen in storage is not looked for again before a guess for so long: a look is a request where storage is S3.
# The cache drops nothing that was used as lately (cache.UNUSED_S), and a wrong guess costs only the first viewer.
SEEN_S = 60.0
MAX_SEEN = 20_000
# Larger bodies are read in a thread: up to here the copy from the page cache is shorter than the hop.
READ_INLINE_BYTES = 4 * 1024 * 1024

_served = Counter("fastpix_artifacts_served_total", "Things served to viewers", ["how"])
_waited = Histogram(
    "fastpix_artifact_wait_seconds",
    "How long viewers waited for things that had to be made",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 30),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """`key` tells versions apart: a segment may be the quick one or the final one."""

    key: str
    data: bytes


class Demand:
    """Make it before `listener.start()`."""

    def __init__(self, db: Database, listener: Listener, objects: ObjectStore, *, wait_s: float) -> None:
        self._db = db
        self._objects = objects
        self._wait_s = wait_s
        self._uses = Uses(db)
        self._waits: dict[str, asyncio.Task[None]] = {}
        self._words: dict[str, asyncio.Event] = {}
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._hints: dict[str, str] = {}
        self._hinting: asyncio.Task[None] | None = None
        listener.on(ledger.MADE, self._on_made)

    async def get(self, target: Placed, artifact: Artifact) -> Found:
        """The bytes, made now if need be. Raises SourceFault (it can never be made) or Unavailable (come back)."""
        self._uses.note(target, artifact)
        keys = artifact.keys(target)
        found = await self._read(keys)
        if found is None:
            started_s = time.monotonic()
            await self._wait(target, artifact)
            _waited.observe(time.monotonic() - started_s)
            found = await self._read(keys)
            if found is None:
                raise errors.Unavailable("This part of the video went away while it was read; try again.")
            _served.labels("made").inc()
        else:
            _served.labels("stored").inc()
        watched = artifact.clear if isinstance(artifact, Protected) else artifact
        if isinstance(watched, SegmentOf) and found.key != keys[0]:
            self._hint(target.id, watched)
        return found

    async def read(self, key: str) -> bytes | None:
        """The object of that key as it is stored; nothing is made."""
        found = await self._read((key,))
        return None if found is None else found.data

    async def foresee(self, target: Placed, artifact: Artifact) -> None:
        """Asks for what a viewer is about to want, without waiting for it; does nothing while many others wait."""
        keys = artifact.keys(target)
        now_s = time.monotonic()
        if len(self._waits) >= MAX_FORESEEN or now_s - self._seen.get(keys[0], float("-inf")) < SEEN_S:
            return
        if not await self._is_stored(keys):
            self._waiting(target, artifact)
            return
        self._seen[keys[0]] = now_s
        self._seen.move_to_end(keys[0])
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    async def _read(self, keys: Sequence[str]) -> Found | None:
        # Twice: the final version may replace the quick one between two looks.
        for key in (*keys, keys[0]):
            path = self._objects.local_path(key)
            try:
                if path is None:
                    return Found(key, await self._objects.get(key))
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except (ObjectMissing, FileNotFoundError, NotADirectoryError):
                continue
            try:
                size = os.fstat(fd).st_size
                if size <= READ_INLINE_BYTES:
                    return Found(key, os.pread(fd, size, 0))
                return Found(key, await asyncio.to_thread(os.pread, fd, size, 0))
            finally:
                os.close(fd)
        return None

    async def _wait(self, target: Placed, artifact: Artifact) -> None:
        await asyncio.shield(self._waiting(target, artifact))

    def _waiting(self, target: Placed, artifact: Artifact) -> asyncio.Task[None]:
        """The one wait for this artifact, begun if need be."""
        name = f"{target.id} {artifact}"
        wait = self._waits.get(name)
        if wait is None:
            if len(self._waits) >= MAX_WAITS:
                raise errors.Unavailable("Too many new videos are asked for at once; try again in a moment.")
            wait = asyncio.create_task(self._make(target, artifact, name))
            self._waits[name] = wait
            wait.add_done_callback(lambda done: self._forget(name, done))
        return wait

    def _forget(self, name: str, done: asyncio.Task[None]) -> None:
        del self._waits[name]
        if not done.cancelled():
            done.exception()  # every viewer may have left: nobody else would look at it

    async def _make(self, target: Placed, artifact: Artifact, name: str) -> None:
        """Asks and waits until it is stored. What is encrypted waits for its clear parts first."""
        word = self._words.setdefault(name, asyncio.Event())
        loop = asyncio.get_running_loop()
        ends_s, asks_s = loop.time() + self._wait_s, 0.0
        try:
            for part in artifact.made_from if isinstance(artifact, Protected) else ():
                if not await self._is_stored(part.keys(target)):
                    await self._wait(target, part)
            while loop.time() < ends_s:
                if loop.time() >= asks_s:
                    await self._ask(target, artifact)
                    asks_s = loop.time() + ASK_EVERY_S
                try:
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await word.wait()
                except TimeoutError:
                    pass
                if await self._is_stored(artifact.keys(target)):
                    return
                if word.is_set():
                    word.clear()
                    await self._check_fault(target, artifact)
            raise errors.Unavailable("This part of the video takes too long to make; try again in a moment.")
        finally:
            del self._words[name]

    async def _ask(self, target: Placed, artifact: Artifact) -> None:
        async with ledger.hasty(self._db) as tx:
            fault = await ledger.want(tx, target.id, str(artifact))
        if fault is not None:
            raise _error(fault)

    async def _check_fault(self, target: Placed, artifact: Artifact) -> None:
        async with self._db.unit() as tx:
            fault = await ledger.fault_of(tx, target.id, str(artifact))
        if fault is not None:
            raise _error(fault)

    async def _is_stored(self, keys: Sequence[str]) -> bool:
        for key in keys:
            if await self._objects.size(key) is not None:
                return True
        return False

    def _on_made(self, payload: str) -> None:
        word = self._words.get(payload)
        if word is not None:
            word.set()

    def _hint(self, target_id: str, artifact: SegmentOf) -> None:
        """Tells the runner that made it how far its viewers are; only the newest word per rung is sent."""
        self._hints[f"{target_id} {artifact.rendition}"] = f"{target_id} +{artifact}"
        if self._hinting is None:
            self._hinting = asyncio.create_task(self._send_hints())

    async def _send_hints(self) -> None:
        try:
            while self._hints:
                hints, self._hints = self._hints, {}
                async with ledger.hasty(self._db) as tx:
                    for hint in hints.values():
                        await notify(tx, ledger.WANTED, hint)
        except errors.Unavailable:
            self._hints.clear()  # only hints: the next request asks in earnest
        finally:
            self._hinting = None


def _error(fault: Fault) -> MediaFault:
    kind = SourceFault if fault.is_final else ServiceFault
    return kind(fault.code, fault.text)
