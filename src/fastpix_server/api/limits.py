"""How fast one caller may ask: a token bucket per access token, in this process."""

import math
import time
from collections import OrderedDict

# Buckets remembered; one forgotten is full again when its owner returns, which favours the caller.
BUCKETS_MAX = 10_000


class Buckets:
    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, owner: str, *, now_s: float | None = None) -> int:
        """Takes one; 0 when there was one, else the whole seconds until there will be."""
        now_s = time.monotonic() if now_s is None else now_s
        level, at_s = self._levels.pop(owner, (self._burst, now_s))
        level = min(self._burst, level + (now_s - at_s) * self._rate_per_s)
        wait_s = 0
        if level >= 1:
            level -= 1
        else:
            wait_s = max(1, math.ceil((1 - level) / self._rate_per_s))
        self._levels[owner] = (level, now_s)
        while len(self._levels) > BUCKETS_MAX:
            self._levels.popitem(last=False)
        return wait_s
