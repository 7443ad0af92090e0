"""How often an owner may do something: token buckets by name, in this process.

Invariants: at most `buckets_max` are remembered, the least recently used goes; one forgotten is full again when its
owner returns, which favours the owner. Nothing here waits.
"""

import math
import time
from collections import OrderedDict

BUCKETS_MAX = 10_000  # about 200 bytes each


class Buckets:
    """`now_s` of every call is the monotonic clock; tests bring their own."""

    def __init__(self, rate_per_s: float, burst: int, *, buckets_max: int = BUCKETS_MAX) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._buckets_max = buckets_max
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, owner: str, *, now_s: float | None = None) -> int:
        """Takes one; 0 when there was one, else the whole seconds until there will be."""
        now_s = time.monotonic() if now_s is None else now_s
        level = self._level(owner, now_s)
        wait_s = self._wait_s(level)
        self._put(owner, level if wait_s else level - 1, now_s)
        return wait_s

    def give_back(self, owner: str, *, now_s: float | None = None) -> None:
        """Undoes one take."""
        now_s = time.monotonic() if now_s is None else now_s
        if owner in self._levels:  # a full one needs nothing
            self._put(owner, min(self._burst, self._level(owner, now_s) + 1), now_s)

    def wait_s(self, owner: str, *, now_s: float | None = None) -> int:
        """Whole seconds until there is one to take; takes none."""
        now_s = time.monotonic() if now_s is None else now_s
        return self._wait_s(self._level(owner, now_s))

    def _level(self, owner: str, now_s: float) -> float:
        level, at_s = self._levels.get(owner, (self._burst, now_s))
        return min(self._burst, level + (now_s - at_s) * self._rate_per_s)

    def _wait_s(self, level: float) -> int:
        return 0 if level >= 1 else max(1, math.ceil((1 - level) / self._rate_per_s))

    def _put(self, owner: str, level: float, now_s: float) -> None:
        self._levels[owner] = (level, now_s)
        self._levels.move_to_end(owner)
        while len(self._levels) > self._buckets_max:
            self._levels.popitem(last=False)
