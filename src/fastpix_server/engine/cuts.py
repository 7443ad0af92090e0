"""Where segments begin: on the frame grid for pictures, on the 1024-sample grid for sound.

Invariants: cuts are frame indices, strictly increasing from 0 to the number of frames; no segment is longer than
`MAX_SEGMENT_S`; sound's cuts follow the picture's to the nearest AAC frame and the last one covers the end.
"""

import bisect
import math
from collections.abc import Sequence
from fractions import Fraction

from fastpix_server.engine.timeline import AAC_FRAME_SAMPLES

# Measured: a cold segment of 2 s is there in 0.3-0.7 s, of 4 s in 0.6-1.25 s; 13 % more bits buy half the wait.
TARGET_S = 2
# Longer groups would make every segment as long as they are: then a grid, and decoding from the key frame before.
MAX_GOP_S = 4
# With the copy rung among them segments need no encoder at first, so they may be longer.
MAX_COPY_GOP_S = 6
# A cut is the candidate nearest to the target but at least half of it away, and a short last segment is merged.
MAX_SEGMENT_S = MAX_COPY_GOP_S + TARGET_S
AUDIO_ONLY_TARGET_S = 4  # sound is encoded 50 times faster than it plays: fewer requests win
# A key frame may be shown this much after a grid point and still be that point's frame.
_ON_GRID_FRAMES = 0.25


def target_frames(fps: Fraction) -> int:
    return max(1, round(TARGET_S * fps))


def grid_cuts(frames: int, step: int) -> tuple[int, ...]:
    """Every `step` frames; a last segment shorter than half a step is merged."""
    cuts = [*range(0, frames, step), frames]
    if len(cuts) > 2 and (cuts[-1] - cuts[-2]) * 2 < step:
        del cuts[-2]
    return tuple(cuts)


def key_cuts(frames: int, fps: Fraction, keys: Sequence[int], *, max_gop_s: int) -> tuple[int, ...] | None:
    """Cuts at key frames only (sorted grid indices), about 2 s apart; None when some group is longer than allowed."""
    step = target_frames(fps)
    ends = [*(key for key in keys if 0 < key < frames), frames]
    if any(b - a > max_gop_s * fps for a, b in zip([0, *ends], ends, strict=False)):
        return None
    cuts = [0]
    while cuts[-1] < frames:
        cuts.append(_next_cut(ends, cuts[-1], step))
    if len(cuts) > 2 and (cuts[-1] - cuts[-2]) * 2 < step:
        del cuts[-2]
    return tuple(cuts)


def _next_cut(ends: Sequence[int], last: int, step: int) -> int:
    """The candidate nearest to a step away from `last`, at least half a step away unless only the end is left."""
    first = min(bisect.bisect_left(ends, last + (step + 1) // 2), len(ends) - 1)
    after = min(bisect.bisect_left(ends, last + step, first), len(ends) - 1)
    before = max(after - 1, first)
    return min(ends[before], ends[after], key=lambda cut: abs(cut - last - step))


def key_frame_index(time_s: float, fps: Fraction) -> int:
    """The first grid frame that is not shown before the key frame at `time_s` (but for a rounding error)."""
    return max(0, math.ceil(time_s * float(fps) - _ON_GRID_FRAMES))


def seeks(cuts: Sequence[int], fps: Fraction, keyframes_s: Sequence[float] | None) -> tuple[float | None, ...]:
    """For each segment the last key frame from which its first frame can be decoded; None without an index."""
    return tuple(seek(cut / float(fps), fps, keyframes_s) for cut in cuts[:-1])


def seek(start_s: float, fps: Fraction, keyframes_s: Sequence[float] | None) -> float | None:
    """The last key frame from which the frame at `start_s` can be decoded."""
    if keyframes_s is None:
        return None
    at = bisect.bisect_right(keyframes_s, start_s + _ON_GRID_FRAMES / float(fps) + 1e-9)
    return max(0.0, keyframes_s[at - 1]) if at else 0.0


def audio_cuts(starts_s: Sequence[Fraction], end_s: Fraction, rate_hz: int) -> tuple[int, ...]:
    """AAC frame indices nearest to the segments' starts, then the end of the sound, rounded up."""
    frame_s = Fraction(AAC_FRAME_SAMPLES, rate_hz)
    cuts: list[int] = []
    for start_s in starts_s:
        nearest = round(start_s / frame_s)
        cuts.append(max(nearest, cuts[-1] + 1) if cuts else nearest)
    return (*cuts, max(math.ceil(end_s / frame_s), cuts[-1] + 1))
