"""How many different viewers: those who were seen within a short time, counted in bounded memory.

Invariants: a viewer is a 64-bit number (a hash; nobody's address is kept). Beyond SEEN_MAX only every second one is
looked at, beyond twice that every fourth, and so on, by the number's own last bits: so the count stays right on
average, and counts of several edges can be united without counting anybody twice.
"""

from collections.abc import Iterable

WINDOW_S = 30.0  # contract section 8
# 20,000 entries are about 2 MB; a count that is scaled from 10,000 or more is within one percent, mostly.
SEEN_MAX = 20_000
MAX_LEVEL = 32  # 2^32 times SEEN_MAX viewers; a level above comes from nobody honest


class Viewers:
    """`now_s` is any clock that only goes forward, the same for all calls."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._seen: dict[int, float] = {}
        self._level = 0

    @property
    def level(self) -> int:
        """Viewers whose last `level` bits are not 0 are not looked at."""
        return self._level

    def add(self, viewer: int, now_s: float) -> None:
        if viewer & self._mask:
            return
        self._seen.pop(viewer, None)
        self._seen[viewer] = now_s  # at the end: the dict is in the order of the last sight
        while len(self._seen) > SEEN_MAX:
            self._forget(now_s)
            if len(self._seen) > SEEN_MAX:
                self._raise_to(self._level + 1)

    def unite(self, viewers: Iterable[int], level: int, now_s: float) -> None:
        """Adds what another has seen a moment ago, who looked at every 2^level-th."""
        self._raise_to(min(max(self._level, level), MAX_LEVEL))
        for viewer in viewers:
            self.add(viewer, now_s)

    def count(self, now_s: float) -> int:
        self._forget(now_s)
        return len(self._seen) << self._level

    def take_since(self, since_s: float, now_s: float) -> list[int]:
        """Who was seen since then: what is to be told to another."""
        self._forget(now_s)
        found: list[int] = []
        for viewer, seen_s in reversed(self._seen.items()):
            if seen_s < since_s:
                break
            found.append(viewer)
        return found

    @property
    def _mask(self) -> int:
        return (1 << self._level) - 1

    def _raise_to(self, level: int) -> None:
        if level > self._level:
            self._level = level
            self._seen = {viewer: s for viewer, s in self._seen.items() if not viewer & self._mask}

    def _forget(self, now_s: float) -> None:
        while self._seen:
            viewer, seen_s = next(iter(self._seen.items()))
            if now_s - seen_s <= self._window_s:
                break
            del self._seen[viewer]
        if not self._seen:
            self._level = 0
