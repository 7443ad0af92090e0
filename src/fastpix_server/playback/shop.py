"""What everything that makes artifacts shares in one worker: stores, the machine's lane, room for runners, the ledger.

Invariants: a thing is announced only after it is stored; a failure is written down before its waiters hear of it.
"""

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from fastpix_server.base import log
from fastpix_server.base.errors import MediaFault, SourceFault
from fastpix_server.db.pool import Database
from fastpix_server.playback import cache, ledger
from fastpix_server.playback.artifacts import Artifact
from fastpix_server.playback.cache import Writes
from fastpix_server.playback.lane import Lane
from fastpix_server.playback.ledger import Fault
from fastpix_server.playback.model import Target
from fastpix_server.playback.runner import Runner
from fastpix_server.storage.open import Storage
from fastpix_server.storage.port import StorageError

if TYPE_CHECKING:
    from fastpix_server.engine.copyrung import CopySource

_log = log.get(__name__)

# One single-rung encoder at 1080p takes about this much (four rungs of 720p were measured at 250 MB).
RUNNER_BYTES = 300 * 1024 * 1024
# More encoders than this per core only make every viewer wait longer.
RUNNERS_PER_CORE = 2
MAX_RUNNERS = 64

made_total = Counter("fastpix_artifacts_made_total", "Things made for playback", ["kind", "why"])
failed_total = Counter("fastpix_artifacts_failed_total", "Things that could not be made", ["code"])
_runners = Gauge("fastpix_runners", "Foreground encoders alive", multiprocess_mode="livesum")


@dataclasses.dataclass(frozen=True, slots=True)
class OpenTarget:
    """A target whose source is at hand as a file; `copy` when some rendition repackages the source's own samples.

    `others` are the further files of an edited media, in the order of the plan.
    """

    target: Target
    source: Path
    copy: "CopySource | None"
    others: tuple[Path, ...] = ()


class Runners:
    """Room for a bounded number of encoders: at the bound those who only work ahead end; if there are none, wait."""

    def __init__(self, count: int) -> None:
        self._room = asyncio.Semaphore(count)
        self._queued = 0
        self._alive: set[Runner] = set()

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        self._queued += 1
        try:
            if self._room.locked():
                self.balance()
            await self._room.acquire()
        finally:
            self._queued -= 1
        try:
            yield
        finally:
            self._room.release()

    @asynccontextmanager
    async def alive(self, runner: Runner) -> AsyncIterator[None]:
        self._alive.add(runner)
        _runners.inc()
        self.balance()
        try:
            yield
        finally:
            self._alive.discard(runner)
            _runners.dec()
            self.balance()

    def balance(self) -> None:
        """To be called whenever somebody begins or ceases to wait.

        While anybody waits for a segment, encoders that only work ahead stand still: the waiting one gets the cores.
        As many of them as there are callers without room end, the least recently used first.
        """
        pressing = {runner for runner in self._alive if runner.is_pressing}
        ahead = sorted(self._alive - pressing, key=lambda runner: runner.touched_s)
        for runner in ahead[: self._queued]:
            runner.stop()
        for runner in ahead[self._queued :]:
            if pressing:
                runner.pause()
            else:
                runner.resume()
        for runner in pressing:
            runner.resume()

    def __len__(self) -> int:
        return len(self._alive)


def default_runner_count() -> int:
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # Half of the memory belongs to the database, the page cache and the other roles.
    return max(2, min(cores * RUNNERS_PER_CORE, memory // 2 // RUNNER_BYTES, MAX_RUNNERS))


class Shop:
    """`cache_max_bytes` 0: the background makes everything there is room on the disk for."""

    def __init__(
        self,
        db: Database,
        storage: Storage,
        lane: Lane,
        runners: Runners,
        holder: str,
        *,
        cache_max_bytes: int = 0,
    ) -> None:
        self.db = db
        self.objects = storage.objects
        self.sources = storage.sources
        self.lane = lane
        self.runners = runners
        self.holder = holder
        self._writes = Writes(db)
        self._cache_max_bytes = cache_max_bytes

    async def put(self, target_id: str, key: str, data: bytes) -> None:
        """Stores what was made of a target; all that is made goes through here, so that it is counted."""
        await self._writes.note(target_id)
        await self.objects.put(key, data)

    async def has_room(self) -> bool:
        """May the background go on making what nobody has asked for?"""
        async with self.db.unit() as tx:
            return await cache.has_room(tx, self._cache_max_bytes)

    async def is_stored(self, keys: Sequence[str]) -> bool:
        for key in keys:
            if await self.objects.size(key) is not None:
                return True
        return False

    async def take_lease(self, target_id: str, name: str) -> bool:
        async with ledger.hasty(self.db) as tx:
            return await ledger.take_lease(tx, target_id, name, self.holder)

    async def release_lease(self, target_id: str, name: str) -> None:
        async with ledger.hasty(self.db) as tx:
            await ledger.release_lease(tx, target_id, name, self.holder)

    async def announce_made(self, target_id: str, artifact: Artifact) -> None:
        async with ledger.hasty(self.db) as tx:
            await ledger.made(tx, target_id, [str(artifact)])

    async def announce_failed(self, target_id: str, artifact: Artifact, error: Exception) -> None:
        fault = fault_of(error)
        failed_total.labels(fault.code).inc()
        _log.warning("artifact_failed", media_id=target_id, artifact=str(artifact), code=fault.code, error=fault.text)
        async with ledger.hasty(self.db) as tx:
            await ledger.failed(tx, target_id, str(artifact), fault)


def fault_of(error: Exception) -> Fault:
    """What viewers are told. The text of an unexpected error stays in the log."""
    if isinstance(error, MediaFault):
        return Fault(error.code, error.description, isinstance(error, SourceFault))
    if isinstance(error, StorageError):
        return Fault("storage", "The stored source cannot be read at the moment.", False)
    _log.error("making_failed_unexpectedly", exc_info=error)
    return Fault("internal", "Something went wrong while this was made.", False)
