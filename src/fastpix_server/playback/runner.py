"""One encoder that runs along one rendition from where a viewer asked, and not much further than the viewers need.

Invariants: at most `ahead` segments are made past the newest request; a runner whose segments nobody asks for ends
after IDLE_S; it never begins a segment that is stored or that another runner is making; while it rests it does not
count as foreground work.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastpix_server.engine.encode import Control, Emit, Killed
from fastpix_server.playback.lane import Lane

# A player that has what it needs asks again within its buffer's refill; ten seconds without a word means it left.
IDLE_S = 10.0

Encode = Callable[[int, int, Emit, Control], Awaitable[None]]
Keep = Callable[[int, bytes], Awaitable[None]]
IsTaken = Callable[[int], Awaitable[bool]]
IsAwaited = Callable[[int, int], bool]


class _Enough(Exception):
    """Ends the encoder from inside: nobody needs the next segment from us."""


class Runner:
    """Makes segments [first, end). `keep` stores one; `is_taken` says whether somebody else has made or makes one;
    `is_awaited` whether a viewer waits for one in a range.
    """

    def __init__(
        self,
        first: int,
        end: int,
        *,
        ahead: int,
        lane: Lane,
        encode: Encode,
        keep: Keep,
        is_taken: IsTaken,
        is_awaited: IsAwaited,
    ) -> None:
        self.first = first
        self.next_k = first  # the segment that is being made
        self.newest = first  # the newest one that a viewer asked for
        self.end = end
        self.is_over = False
        self.touched_s = time.monotonic()
        self._ahead = ahead
        self._lane = lane
        self._encode = encode
        self._keep = keep
        self._is_taken = is_taken
        self._is_awaited = is_awaited
        self._control = Control()
        self._wake = asyncio.Event()
        self._is_working = False
        self._is_stopped = False

    @property
    def is_pressing(self) -> bool:
        """A viewer waits for what this one makes; otherwise it only works ahead."""
        return self._is_awaited(self.next_k, self._reach)

    def pause(self) -> None:
        self._control.pause()

    def resume(self) -> None:
        self._control.resume()

    def serves(self, k: int) -> bool:
        """True when `k` will come from here soon enough: it is at most `ahead` segments away."""
        return not self.is_over and not self._is_stopped and self.next_k <= k < self._reach

    @property
    def _reach(self) -> int:
        return min(self.end, self.next_k + self._ahead)

    def has_passed(self, k: int) -> bool:
        return not self.is_over and self.first <= k < self.next_k

    def touch(self, k: int) -> None:
        """A viewer has come to segment `k`."""
        self.touched_s = time.monotonic()
        if k > self.newest:
            self.newest = k
        self._wake.set()

    def stop(self) -> None:
        self._is_stopped = True
        self._control.kill()
        self._wake.set()

    async def run(self) -> None:
        """Returns when it is no longer needed, was stopped, or is at its end. Raises MediaFault."""
        self._work()
        try:
            await self._encode(self.first, self.end, self._emit, self._control)
        except (_Enough, Killed):
            return
        finally:
            self.is_over = True
            self._rest()

    async def _emit(self, _rendition: str, k: int, segment: bytes) -> None:
        await self._keep(k, segment)
        self.next_k = k + 1
        if self.next_k < self.end:
            await self._wait_until_needed()
            if await self._is_taken(self.next_k):
                raise _Enough

    async def _wait_until_needed(self) -> None:
        """The back-pressure: while we wait here nobody reads the encoder's pipe."""
        while self.next_k > self.newest + self._ahead:
            self._rest()
            self._wake.clear()
            try:
                async with asyncio.timeout(max(self.touched_s + IDLE_S - time.monotonic(), 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                raise _Enough from None
            if self._is_stopped:
                raise _Enough
        self._work()

    def _work(self) -> None:
        if not self._is_working:
            self._is_working = True
            self._lane.enter()

    def _rest(self) -> None:
        if self._is_working:
            self._is_working = False
            self._lane.leave()
