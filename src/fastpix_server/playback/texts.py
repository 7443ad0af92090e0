"""Where the segments of subtitle tracks begin: at cuts of the media, but only every ten seconds.

A segment of text is a few hundred bytes, so one for each segment of the picture would be requests for nothing.
RFC 8216 (6.2.4) lets subtitles of finished media have a target duration of their own.
"""

import functools
import itertools
from fractions import Fraction

from fastpix_server.engine.timeline import Timeline

SEGMENT_S = 10


@functools.lru_cache(maxsize=64)
def starts_s(timeline: Timeline) -> tuple[Fraction, ...]:
    """Starts of all segments, and the end of the media."""
    found = [Fraction(0)]
    for k in range(1, timeline.segment_count):
        start_s = timeline.start_s(k)
        if start_s - found[-1] >= SEGMENT_S:
            found.append(start_s)
    return (*found, timeline.start_s(timeline.segment_count))


def durations_s(timeline: Timeline) -> tuple[Fraction, ...]:
    return tuple(b - a for a, b in itertools.pairwise(starts_s(timeline)))


def window_ms(timeline: Timeline, k: int) -> tuple[int, int]:
    """What segment k covers in milliseconds, rounded down, so that windows meet."""
    starts = starts_s(timeline)
    return int(starts[k] * 1000), int(starts[k + 1] * 1000)


def segment_count(timeline: Timeline) -> int:
    return len(starts_s(timeline)) - 1
