"""Bit rates that manifests promise: an upper bound from the rate caps until all segments exist, then the exact ones.

Invariant: a promised peak is never below what any stored segment window needs (RFC 8216, 4.3.4.2: the largest rate of
contiguous segments that together last 0.5 to 1.5 target durations).
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from fastpix_server.engine.plan import AudioRendition, Plan, Timeline, VideoRendition
from fastpix_server.playback.model import Measured

# x264 fills its buffer to 0.9 before the first frame (vbv-init), and our buffer is two seconds of the cap: this much
# can be spent on top of the cap in any window.
_BURST_S = 1.8
# moof, trun and styp around the samples, and x264's rare, small overdrafts of its buffer.
_OVERHEAD = 1.05
# ffmpeg's AAC encoder has no rate cap; on transients it was seen at up to 1.3 times its average over two seconds.
_AUDIO_PEAK = 1.4
# Windows are compared in floats; a window on the edge counts as inside.
_ROUNDING_S = 1e-6


def target_duration_s(lengths_s: Sequence[Fraction]) -> int:
    """EXT-X-TARGETDURATION: every duration, rounded to the nearest second, is at most this; never 0."""
    return max(1, max(math.floor(d + Fraction(1, 2)) for d in lengths_s))


def durations_s(plan: Plan, rendition: VideoRendition | AudioRendition) -> tuple[Fraction, ...]:
    return _durations_s(plan.timeline, isinstance(rendition, VideoRendition))


# A manifest asks for the same lengths once per rendition; each entry of a 12-hour film is 2 MB.
@functools.lru_cache(maxsize=64)
def _durations_s(timeline: Timeline, is_video: bool) -> tuple[Fraction, ...]:
    one = timeline.segment_s if is_video else timeline.audio_segment_s
    return tuple(one(k) for k in range(timeline.segment_count))


def rates(plan: Plan, rendition: VideoRendition | AudioRendition, measured: Mapping[str, Measured]) -> Measured:
    """What `rendition` needs: as measured, or else a bound that its segments will keep."""
    found = measured.get(rendition.name)
    if found is not None:
        return found
    if isinstance(rendition, AudioRendition):
        average = rendition.bitrate_bps * _OVERHEAD
        return Measured(math.ceil(average * _AUDIO_PEAK), math.ceil(average))
    average = math.ceil(rendition.average_bitrate_bps * _OVERHEAD)
    if rendition.kind == "copy":
        # The index of the source was read, so both figures are those of its own samples.
        return Measured(max(math.ceil(rendition.max_bitrate_bps * _OVERHEAD), average), average)
    burst = 1 + _BURST_S / _shortest_window_s(plan.timeline)
    return Measured(max(math.ceil(rendition.max_bitrate_bps * burst * _OVERHEAD), average), average)


def measure(sizes_bytes: Sequence[int], lengths_s: Sequence[Fraction]) -> Measured:
    """Exact peak and average of a rendition whose segments are all stored."""
    average = math.ceil(Fraction(sum(sizes_bytes) * 8) / sum(lengths_s))
    # Where everything is shorter than half a target duration, the whole is the only window there is.
    peak = max((size * 8 / length for size, length in _windows(sizes_bytes, lengths_s)), default=average)
    return Measured(max(math.ceil(peak), average), average)


def _windows(sizes: Sequence[int], lengths_s: Sequence[Fraction]) -> Iterator[tuple[int, float]]:
    """Size and length of every run of segments that lasts 0.5 to 1.5 target durations."""
    target_s = target_duration_s(lengths_s)
    low, high = target_s / 2 - _ROUNDING_S, target_s * 1.5 + _ROUNDING_S
    floats = [float(length) for length in lengths_s]
    for first in range(len(sizes)):
        size, length_s = 0, 0.0
        for k in range(first, len(sizes)):
            size, length_s = size + sizes[k], length_s + floats[k]
            if length_s > high:
                break
            if length_s >= low:
                yield size, length_s


@functools.lru_cache(maxsize=64)
def _shortest_window_s(timeline: Timeline) -> float:
    lengths_s = _durations_s(timeline, True)
    windows = _windows([0] * len(lengths_s), lengths_s)
    return min((length for _, length in windows), default=float(sum(lengths_s)))
