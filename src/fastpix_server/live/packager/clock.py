"""Repairs a publisher's clocks: pictures in steps that never go back, sound on its exact grid of samples.

Invariants: what comes out strictly grows, whatever goes in; a step between pictures is at most `MAX_STEP`; the sound's
grid never has a hole. Times that cannot be repaired are reported, never guessed: the caller begins a new epoch, or
tells the clock to go on from where it is.
"""

import dataclasses
from typing import Literal

from fastpix_server.ingest.model import CLOCK_HZ

# A picture that stands longer does not fit a part. Encoders that lose frames on a bad line leave such holes.
MAX_STEP = CLOCK_HZ // 2
# Two pictures at the same time, or a little back (a multiplexer's rounding): the second is moved, the clock is kept.
MAX_BACK = CLOCK_HZ // 10
MIN_STEP = CLOCK_HZ // 1000  # protocols with milliseconds cannot say less
_FIRST_STEP = CLOCK_HZ // 30
_USUAL_STEP_MAX = CLOCK_HZ // 5

# Sound may wander this far from the times it is stamped with before it is put right (lip sync: 45 ms is noticed).
RESYNC_S = 0.040
# A hole up to this long is silence; anything farther is another clock.
MAX_HOLE_S = 3.0


class Steps:
    """Decode times of pictures within one epoch, from its first picture on."""

    def __init__(self, first: int, start: int) -> None:
        """`first` is the publisher's time of the first picture, `start` its place on the session's clock."""
        self.now = start
        self.usual = _FIRST_STEP
        self._offset = start - first

    def step(self, dts: int) -> int | None:
        """How long after the picture before; None when the times have jumped."""
        delta = dts + self._offset - self.now
        if 0 < delta <= MAX_STEP:
            self.usual = min(delta, _USUAL_STEP_MAX) if delta >= MIN_STEP else self.usual
        elif -MAX_BACK <= delta <= 0:
            delta = MIN_STEP
        else:
            return None
        self.now += delta
        return delta

    def go_on(self, dts: int) -> int:
        """Whatever the time says, this picture comes the usual step after the one before."""
        self.now += self.usual
        self._offset = self.now - dts
        return self.usual


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """What to do with a frame of sound: take it after so many of silence, drop it, or see that its clock is another."""

    verdict: Literal["take", "drop", "jump"]
    silent_frames: int = 0


class Grid:
    """The sound's timeline within one epoch, in its own samples."""

    def __init__(self, *, rate_hz: int, frame_samples: int, base: int, start: int) -> None:
        """`base` on the publisher's clock is `start` on the session's, both in CLOCK_HZ."""
        self.rate_hz, self.frame_samples = rate_hz, frame_samples
        self.next = round(start * rate_hz / CLOCK_HZ)  # where the next frame goes
        self._base, self._start = base, start

    @property
    def next_s(self) -> float:
        return self.next / self.rate_hz

    def position(self, dts: int) -> int:
        return round((dts - self._base + self._start) * self.rate_hz / CLOCK_HZ)

    def begin_at(self, dts: int) -> None:
        """The first frame may lie up to one frame behind the first picture: then the grid starts with it."""
        if 0 <= self.position(dts) - self.next <= self.frame_samples:
            self.next = self.position(dts)

    def fit(self, dts: int) -> Fit:
        off = self.position(dts) - self.next
        if abs(off) <= max(RESYNC_S * self.rate_hz, self.frame_samples):
            return Fit("take")
        if abs(off) > MAX_HOLE_S * self.rate_hz:
            return Fit("jump")
        return Fit("take", max(1, round(off / self.frame_samples))) if off > 0 else Fit("drop")

    def take(self) -> int:
        """The place of the next frame, which is taken."""
        place = self.next
        self.next += self.frame_samples
        return place

    def go_on(self, dts: int) -> None:
        """This frame is the next one, whatever its time says."""
        self._base += round((self.position(dts) - self.next) * CLOCK_HZ / self.rate_hz)
