"""Keeps every finished segment of a session: first the object, then the row in the journal.

Invariants: `on_segment` never waits; what is in the journal exists in storage; the rows of one number are committed
together, numbers in their order. While storage or the database is away segments are held in memory, up to
MAX_HELD_BYTES and MAX_HELD_S; beyond that the newest are given up, counted and logged, and the recording has a hole
there. A recorder whose session was finished by somebody else writes nothing more.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable

from prometheus_client import Counter

from fastpix_server.base import errors, log
from fastpix_server.db.pool import Database
from fastpix_server.live import journal, recordings
from fastpix_server.live.model import FinishedSegment, JournalRow, RenditionInfo, SessionSpec
from fastpix_server.live.recordings import MediaPolicy
from fastpix_server.storage.port import ObjectMissing, ObjectStore, StorageError

_log = log.get(__name__)

# Of one session: half a minute of a ladder of 17 Mb/s. A process has up to a few hundred sessions, but outages end.
MAX_HELD_BYTES = 64 * 1024 * 1024
# Rows alone are small, so an outage of the database is bounded by time. Longer ones end sessions anyway.
MAX_HELD_S = 300.0
# A rung that is slower than the source comes up to about a second later; a number does not wait longer for it.
HOLD_S = 1.5
_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 3.0
# How long the end of a session waits for a storage that is away.
CLOSE_S = 20.0
# Numbers that were given up are remembered so far back, to drop what comes late of them.
_MAX_LOST = 1000

_stored = Counter("fastpix_live_segments_stored", "Segments of live sessions that are stored and in the journal")
_lost = Counter("fastpix_live_segments_lost", "Segments of live sessions that could not be kept")


def segment_key(place: str, rendition: str, number: int) -> str:
    return f"{place}/{rendition}/{number}.m4s"


def init_key(place: str, rendition: str, epoch: int) -> str:
    return f"{place}/{rendition}/init-{epoch}.mp4"


async def restore(db: Database, session_id: str) -> list[JournalRow]:
    """What a session had before this process: for `Broadcast(restored=...)`."""
    async with db.unit() as tx:
        return await journal.rows(tx, session_id)


def loader(objects: ObjectStore, place: str) -> Callable[[str, int], Awaitable[bytes | None]]:
    """For `Broadcast(load=...)`: a stored segment, None when it was never stored."""

    async def load(rendition: str, number: int) -> bytes | None:
        with contextlib.suppress(ObjectMissing):
            return await objects.get(segment_key(place, rendition, number))
        return None

    return load


def init_loader(objects: ObjectStore, place: str) -> Callable[[str, int], Awaitable[bytes | None]]:
    """The same for the header of a rendition in an epoch."""

    async def load(rendition: str, epoch: int) -> bytes | None:
        with contextlib.suppress(ObjectMissing):
            return await objects.get(init_key(place, rendition, epoch))
        return None

    return load


@dataclasses.dataclass(slots=True)
class _Number:
    """What has come of one number: `waiting` is not stored yet, `rows` is stored and not in the journal yet."""

    number: int
    epoch: int
    since_s: float
    duration_s: float
    is_late: bool  # its siblings are in the journal already
    waiting: list[FinishedSegment] = dataclasses.field(default_factory=list)
    rows: list[JournalRow] = dataclasses.field(default_factory=list)
    infos: list[RenditionInfo] = dataclasses.field(default_factory=list)

    @property
    def renditions(self) -> set[str]:
        return {s.rendition.name for s in self.waiting} | {row.rendition for row in self.rows}


class Recorder:
    """One per session. Make it on the event loop; `close` ends it."""

    def __init__(
        self, db: Database, objects: ObjectStore, spec: SessionSpec, *, media_policy: MediaPolicy = "public"
    ) -> None:
        self._db = db
        self._objects = objects
        self._spec = spec
        self._media_policy = media_policy
        self._pending: dict[int, _Number] = {}
        self._held_bytes = 0
        self._newest = -1
        self._written = -1
        # By epoch: its renditions, and its first number.
        self._seen: dict[int, set[str]] = {}
        self._first: dict[int, int] = {}
        self._inits: set[str] = set()
        self._lost_numbers: dict[int, None] = {}
        self._is_losing = False
        self._is_closing = False
        self._is_over = False
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"recorder-{spec.session_id}")

    @property
    def held_s(self) -> float:
        """Media time that would be lost now."""
        return sum(pending.duration_s for pending in self._pending.values())

    def on_segment(self, segment: FinishedSegment) -> None:
        """Takes it, or gives it up at the bounds; never waits."""
        if self._is_over or self._is_closing:
            return
        known = self._pending.get(segment.number)
        if segment.number in self._lost_numbers or not self._has_room(segment, known):
            self._lose(segment)
            return
        if known is None:
            known = self._pending[segment.number] = _Number(
                number=segment.number,
                epoch=segment.epoch,
                since_s=time.monotonic(),
                duration_s=segment.duration_ticks / segment.rendition.timescale,
                is_late=segment.number <= self._written,
            )
        known.waiting.append(segment)
        self._held_bytes += len(segment.data)
        self._newest = max(self._newest, segment.number)
        self._seen.setdefault(segment.epoch, set()).add(segment.rendition.name)
        self._first.setdefault(segment.epoch, segment.number)
        self._is_losing = False
        self._news.set()

    async def close(self, *, within_s: float = CLOSE_S) -> None:
        """Everything that was taken is stored and in the journal, or given up after `within_s`. Idempotent."""
        self._is_closing = True
        self._news.set()
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(self._task)
        except TimeoutError:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            segments = sum(len(p.waiting) + len(p.rows) for p in self._pending.values())
            _lost.inc(segments)
            _log.error("recording_cut_short", session_id=self._spec.session_id, segments=segments, seconds=self.held_s)
            self._pending.clear()

    # Bounds

    def _has_room(self, segment: FinishedSegment, known: _Number | None) -> bool:
        if self._held_bytes + len(segment.data) > MAX_HELD_BYTES:
            return False
        return known is not None or self.held_s < MAX_HELD_S

    def _lose(self, segment: FinishedSegment) -> None:
        _lost.inc()
        self._lost_numbers[segment.number] = None
        if len(self._lost_numbers) > _MAX_LOST:
            del self._lost_numbers[next(iter(self._lost_numbers))]
        if not self._is_losing:  # one line per outage, not per segment
            self._is_losing = True
            _log.error("recording_loses_segments", session_id=self._spec.session_id, number=segment.number)

    # Writing

    async def _run(self) -> None:
        pause_s = _BACKOFF_FIRST_S
        while not self._is_over and not (self._is_closing and not self._pending):
            try:
                await self._write()
                pause_s = _BACKOFF_FIRST_S
                await self._wait()
            except (StorageError, OSError, errors.Unavailable) as fault:
                _log.warning("recording_waits", session_id=self._spec.session_id, error=str(fault), retry_in_s=pause_s)
            except Exception:  # whatever it was, the next try may do better, and giving up would lose all that follows
                _log.exception("recording_failed", session_id=self._spec.session_id)
            else:
                continue
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _BACKOFF_MAX_S)
        self._pending.clear()

    async def _wait(self) -> None:
        """For the next segment, or for the moment when a number has waited long enough for its slower rungs."""
        if self._is_closing:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HOLD_S / 3 if self._pending else None):
                await self._news.wait()
        self._news.clear()

    async def _write(self) -> None:
        """Stores what is not stored, then commits every number that is due, in order."""
        may_commit = True
        for number in sorted(self._pending):
            pending = self._pending[number]
            while pending.waiting:
                await self._store(pending)
            may_commit = may_commit and self._is_due(pending)
            if not may_commit:
                continue
            if not await self._commit(pending):
                self._is_over = True
                _log.warning("recording_was_finished_elsewhere", session_id=self._spec.session_id, number=number)
                return
            if not pending.waiting:
                del self._pending[number]
            self._written = max(self._written, number)

    async def _store(self, pending: _Number) -> None:
        """All renditions at once: a store that is far away must keep up with the stream."""
        batch = list(pending.waiting)
        outcomes = await asyncio.gather(*(self._put(segment) for segment in batch), return_exceptions=True)
        for segment, outcome in zip(batch, outcomes, strict=True):
            if outcome is None:
                pending.waiting.remove(segment)
                self._held_bytes -= len(segment.data)
                pending.infos.append(segment.rendition)
                pending.rows.append(_row(segment))
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _put(self, segment: FinishedSegment) -> None:
        name = segment.rendition.name
        header = init_key(self._spec.place, name, segment.epoch)
        if header not in self._inits:
            await self._objects.put(header, segment.init, durable=True)
            self._inits.add(header)
        await self._objects.put(segment_key(self._spec.place, name, segment.number), segment.data, durable=True)

    def _is_due(self, pending: _Number) -> bool:
        """Has everything come that will come? Who takes part in an epoch is known once its first number is past."""
        if self._is_closing or pending.is_late or time.monotonic() - pending.since_s >= HOLD_S:
            return True
        is_known = pending.number > self._first[pending.epoch] or self._newest > pending.number
        return is_known and pending.renditions >= self._seen[pending.epoch]

    async def _commit(self, pending: _Number) -> bool:
        rows, infos = list(pending.rows), list(pending.infos)
        async with self._db.unit() as tx:
            if not await journal.open_for_writing(tx, self._spec.session_id):
                return False
            if self._written < 0 and self._spec.is_recorded and not await journal.has_rows(tx, self._spec.session_id):
                await recordings.begin(tx, self._spec, media_policy=self._media_policy)
            await journal.insert(tx, self._spec.session_id, {pending.epoch: infos}, rows)
        _stored.inc(len(rows))
        pending.rows = pending.rows[len(rows) :]
        pending.infos = pending.infos[len(infos) :]
        return True


def _row(segment: FinishedSegment) -> JournalRow:
    return JournalRow(
        rendition=segment.rendition.name,
        number=segment.number,
        epoch=segment.epoch,
        start_ticks=segment.start_ticks,
        duration_ticks=segment.duration_ticks,
        timescale=segment.rendition.timescale,
        pdt_ms=segment.pdt_ms,
        size_bytes=len(segment.data),
        is_discontinuity=segment.is_discontinuity,
    )
