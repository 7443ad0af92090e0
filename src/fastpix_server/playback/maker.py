"""Makes the segments of one rendition of one target for the viewers who wait, with as few encoders as they need.

Invariants: only the holder of the rung's lease makes its segments, and within the holder no two runners make the same
one; every wish ends in exactly one announcement (made or failed) or is left to another holder; a segment is tried at
most MAX_ATTEMPTS times before its waiters are told.
"""

import asyncio
import contextlib
import time

from fastpix_server.base import log
from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine.encode import Control, Emit, encode_audio, encode_video
from fastpix_server.engine.plan import VideoRendition
from fastpix_server.playback.artifacts import SegmentOf
from fastpix_server.playback.borrowing import borrow
from fastpix_server.playback.runner import Runner
from fastpix_server.playback.shop import OpenTarget, Shop, made_total

_log = log.get(__name__)

# Video runs this far past the newest request: it hides the start of the next segment, and a viewer who leaves or
# changes the rung wastes no more. Sound costs next to nothing.
AHEAD_VIDEO = 3
AHEAD_AUDIO = 12
# One encoder's run: its list of cuts is an argument of the command, and half a second of restart per two minutes of
# watching hides behind the segments ahead.
RUN_VIDEO = 60
RUN_AUDIO = 600
# The second try covers a killed process or a full disk that passes; a third would only let viewers wait longer.
MAX_ATTEMPTS = 2
# A rung that nobody wanted for so long gives its lease back.
IDLE_S = 10.0


class Rung:
    """`want` is called for every wish; `close` ends all runners. `lost_lease` when somebody else took over."""

    def __init__(self, opened: OpenTarget, name: str, shop: Shop) -> None:
        rendition = opened.target.plan.rendition(name)
        if rendition is None:
            raise ValueError(f"no rendition {name}")
        self._opened = opened
        self._target = opened.target
        self._rendition = rendition
        self._is_video = isinstance(rendition, VideoRendition)
        self._shop = shop
        self._waiting: set[int] = set()
        self._looking: set[int] = set()  # wanted, and being looked for in storage
        self._attempts: dict[int, int] = {}
        self._starting: set[int] = set()
        self._runners: list[Runner] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._used_s = time.monotonic()
        self._is_closed = False
        self.has_lease = False

    @property
    def is_idle(self) -> bool:
        return not self._tasks and time.monotonic() - self._used_s > IDLE_S

    @property
    def is_working(self) -> bool:
        return bool(self._tasks)

    def hint(self, k: int) -> None:
        """A viewer was served segment `k` from storage: whoever is just ahead of it may go on."""
        self._used_s = time.monotonic()
        for runner in self._runners:
            if runner.has_passed(k):
                runner.touch(k)

    async def want(self, k: int) -> None:
        """Returns at once; the announcement comes later. Wishes beyond the plan are ignored."""
        self._used_s = time.monotonic()
        if not 0 <= k < self._target.plan.timeline.segment_count or self._is_closed:
            return
        self._looking.add(k)
        try:
            if await self._shop.is_stored(SegmentOf(self._rendition.name, k).keys(self._target)):
                await self._shop.announce_made(self._target.id, SegmentOf(self._rendition.name, k))
                self.hint(k)
                return
            if self._is_video and await borrow(self._shop, self._target, self._rendition.name, k):
                await self._shop.announce_made(self._target.id, SegmentOf(self._rendition.name, k))
                return
            if k not in self._looking:  # a runner made and announced it after we had looked, or we are closed
                return
        finally:
            self._looking.discard(k)
        self._waiting.add(k)
        self._serve(k)

    async def close(self) -> None:
        self._is_closed = True
        self._waiting.clear()
        self._looking.clear()
        for runner in self._runners:
            runner.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _serve(self, k: int) -> None:
        for runner in self._runners:
            if runner.serves(k):
                runner.touch(k)
                self._shop.runners.balance()
                return
        if k in self._starting or any(k - near in self._starting for near in range(1, self._ahead)):
            return
        self._starting.add(k)
        task = asyncio.create_task(self._make_from(k))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._serve_the_rest(k))

    def _serve_the_rest(self, ended: int) -> None:
        """Whoever still waits and is on nobody's way gets a runner of his own."""
        self._starting.discard(ended)
        if self._is_closed:
            return
        for k in sorted(self._waiting):
            self._serve(k)

    @property
    def _ahead(self) -> int:
        return AHEAD_VIDEO if self._is_video else AHEAD_AUDIO

    async def _make_from(self, k: int) -> None:
        try:
            if self._rendition.kind == "copy":
                await self._copy(k)
                return
            async with self._shop.runners.room():
                self._starting.discard(k)
                if k in self._waiting and not any(runner.serves(k) for runner in self._runners):
                    await self._run_from(k)
        except Exception as error:  # the waiters must hear of it, whatever it was
            await self._failed(k, error)

    async def _has_lease(self, k: int) -> bool:
        """False when another worker makes this rung: it heard the same wish."""
        self.has_lease = await self._shop.take_lease(self._target.id, self._rendition.name)
        if not self.has_lease:
            self._waiting.discard(k)
        return self.has_lease

    async def _run_from(self, k: int) -> None:
        run = RUN_VIDEO if self._is_video else RUN_AUDIO
        runner = Runner(
            k,
            min(k + run, self._target.plan.timeline.segment_count),
            ahead=self._ahead,
            lane=self._shop.lane,
            encode=self._encode,
            keep=self._keep,
            is_taken=lambda n: self._is_taken(n, runner),
            is_awaited=lambda low, high: any(low <= n < high for n in self._waiting),
        )
        # Registered before the first await: from here on nobody else starts at `k`.
        self._runners.append(runner)
        for waiting in self._waiting:
            if runner.serves(waiting):
                runner.touch(waiting)
        try:
            # A runner that was told to stop may have finished `k` meanwhile.
            if not await self._has_lease(k) or k not in self._waiting:
                return
            async with self._shop.runners.alive(runner):
                await runner.run()
        except Exception as error:
            await self._failed(runner.next_k, error)
        finally:
            runner.is_over = True
            with contextlib.suppress(ValueError):
                self._runners.remove(runner)

    async def _encode(self, first: int, end: int, emit: Emit, control: Control) -> None:
        plan, source, others = self._target.plan, self._opened.source, self._opened.others
        if isinstance(self._rendition, VideoRendition):
            rungs = [self._rendition]
            await encode_video(plan, source, rungs, first, end, emit, others=others, fast=True, control=control)
        else:
            await encode_audio(plan, source, self._rendition, first, end, emit, others=others, control=control)

    async def _keep(self, k: int, segment: bytes) -> None:
        final, fast = SegmentOf(self._rendition.name, k).keys(self._target)
        if not await self._shop.is_stored([final]):
            # Quick sound is as good as any: only pictures are made again by the fill.
            await self._shop.put(self._target.id, fast if self._is_video else final, segment)
        await self._made(k)

    async def _made(self, k: int) -> None:
        made_total.labels("video" if self._is_video else "audio", "viewer").inc()
        self._attempts.pop(k, None)
        if k in self._waiting or k in self._looking:
            self._waiting.discard(k)
            self._looking.discard(k)
            self._shop.runners.balance()
            await self._shop.announce_made(self._target.id, SegmentOf(self._rendition.name, k))

    async def _is_taken(self, k: int, by: Runner) -> bool:
        if any(other.next_k == k and not other.is_over for other in self._runners if other is not by):
            return True
        if await self._shop.is_stored(SegmentOf(self._rendition.name, k).keys(self._target)):
            return True
        return self._is_video and await borrow(self._shop, self._target, self._rendition.name, k)

    async def _copy(self, k: int) -> None:
        if not await self._has_lease(k):
            return
        copy = self._opened.copy
        if copy is None:
            raise ServiceFault("copy_missing", "The source of this rendition cannot be opened.")
        key = self._target.segment_key(self._rendition.name, k)
        with self._shop.lane.foreground():
            segment = await asyncio.to_thread(copy.segment, self._rendition.name, k)
            await self._shop.put(self._target.id, key, segment)
        await self._made(k)

    async def _failed(self, k: int, error: Exception) -> None:
        """Segment `k` was being made. Others who wait behind it are served again from where they are."""
        attempts = self._attempts.get(k, 0) + 1
        self._attempts[k] = attempts
        if k in self._waiting and (isinstance(error, SourceFault) or attempts >= MAX_ATTEMPTS):
            self._waiting.discard(k)
            self._attempts.pop(k, None)
            await self._shop.announce_failed(self._target.id, SegmentOf(self._rendition.name, k), error)
        else:
            _log.info("segment_tried", media_id=self._target.id, rendition=self._rendition.name, k=k, error=str(error))
