"""From when frames are shown to the constant-rate grid that we publish on.

Invariants: the grid's rate is an exact fraction of at most 60 frames a second; NTSC rates are exact (30000/1001); a
source is called variable unless every frame sits on its own grid point.
"""

import dataclasses
import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

MAX_GRID_FPS = 60  # faster sources lose frames: no common display shows more, and it would double the cost
MIN_SOURCE_FPS = 0.5
MAX_SOURCE_FPS = 240
STANDARD_RATES = (
    *(Fraction(n) for n in (10, 12, 15, 20)),
    *(Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30)),
    *(Fraction(48), Fraction(50), Fraction(60000, 1001), Fraction(60)),
    *(Fraction(100), Fraction(120000, 1001), Fraction(120), Fraction(240000, 1001), Fraction(240)),
)
# 23.976 and 24 are 0.1 % apart, so a measured rate within half of that has one nearest standard.
_SNAP = 0.0005
# Timescales of 600 or 1000 round times by up to 0.8 ms, a twentieth of a frame at 60 fps; jitter above this is real.
_ON_GRID_FRAMES = 0.25
_SINGLE_FRAME_FPS = Fraction(30)  # a video of one frame has no rate: any will do


@dataclasses.dataclass(frozen=True, slots=True)
class Cadence:
    fps: Fraction  # of the grid
    source_fps: float  # nominal rate of the source, which limits are checked against
    is_vfr: bool


def from_times(times_s: NDArray[np.float64]) -> Cadence:
    """The cadence of frames that are shown at these times (any order, seconds)."""
    times = np.sort(times_s)
    if len(times) < 2 or times[-1] - times[0] < 1e-6:  # less than any clock's tick
        return Cadence(_SINGLE_FRAME_FPS, float(_SINGLE_FRAME_FPS), is_vfr=False)
    average = (len(times) - 1) / float(times[-1] - times[0])
    constant = _constant_rate(times, average)
    if constant is not None:
        return Cadence(_capped(constant), float(constant), is_vfr=False)
    nominal = _typical_rate(np.diff(times), average)
    return Cadence(_capped(_nearest_standard(nominal)), nominal, is_vfr=True)


def from_rates(shortest: Fraction, average: Fraction) -> Cadence:
    """The cadence of a file without an index, from ffprobe's r_frame_rate and avg_frame_rate (0 when unknown)."""
    rate = average or shortest or _SINGLE_FRAME_FPS
    if shortest and abs(shortest / rate - 1) < Fraction(2, 100):
        return Cadence(_capped(snap(shortest)), float(rate), is_vfr=False)
    is_fields = shortest == 2 * rate  # interlaced streams report the field rate as the shortest
    fps = snap(rate) if is_fields else _nearest_standard(float(rate))
    return Cadence(_capped(fps), float(rate), is_vfr=not is_fields)


def snap(rate: Fraction) -> Fraction:
    """The standard rate that this one means to be, or the rate itself in moderate numbers."""
    nearest = _nearest_standard(float(rate))
    return nearest if abs(rate / nearest - 1) < _SNAP else rate.limit_denominator(1001)


def is_on_grid(times_s: NDArray[np.float64], fps: Fraction) -> bool:
    """Whether frames shown at these sorted times, the first at time 0 or later, each have a grid point of their own."""
    return _deviation(times_s, fps) <= _ON_GRID_FRAMES


def _typical_rate(intervals: NDArray[np.float64], average: float) -> float:
    """Frames a second between true neighbours: the mean of the usual intervals evens out coarse clocks."""
    median = float(np.median(intervals))
    if median <= 0:
        return average
    usual = intervals[(intervals > median * 0.7) & (intervals < median * 1.3)]
    return 1 / float(usual.mean() if len(usual) else median)


def _constant_rate(times: NDArray[np.float64], average: float) -> Fraction | None:
    """The rate on whose grid every frame sits, counted from the first one."""
    near = [rate for rate in STANDARD_RATES if abs(average / float(rate) - 1) < 4 * _SNAP]
    exact = Fraction(average).limit_denominator(1001)
    since_first = times - times[0]
    rates = sorted((_deviation(since_first, rate), rank, rate) for rank, rate in enumerate([*near, exact]) if rate)
    deviation, _, rate = rates[0]
    return rate if deviation <= _ON_GRID_FRAMES else None


def _deviation(times: NDArray[np.float64], fps: Fraction) -> float:
    """Largest distance of a frame from its grid point, in frames; infinite when two share one or one stays empty."""
    positions = times * float(fps)
    points = np.rint(positions)
    if len(points) > 1 and not bool((np.diff(points) == 1).all()):
        return math.inf
    return round(float(np.abs(positions - points).max(initial=0.0)), 6)


def _nearest_standard(rate: float) -> Fraction:
    return min(STANDARD_RATES, key=lambda standard: abs(math.log(rate / float(standard))))


def _capped(rate: Fraction) -> Fraction:
    """At most 60: a whole number of source frames for each grid frame (120 -> 60, 100 -> 50)."""
    return rate / math.ceil(rate / MAX_GRID_FPS)
