"""A closed list of stored segments as a value: what a recording, or a clip of one, is made of.

A recording is a row of *stretches*. Within a stretch every rendition runs on without a break; between two of them lies
a discontinuity (another connection of the publisher, or a hole). Segments keep the numbers that they were stored
under, so numbers go on over stretches and may jump between them.

Invariants: all renditions of a stretch have the same segment numbers; the lead (the first rendition) has every one of
them, another may lack some (size 0), which players are told. Times are integers of each rendition's own clock, as in
the segments' `tfdt`. The timeline that viewers see begins at 0 and has no holes: it is the stretches end to end.
"""

import bisect
import dataclasses
import functools
import itertools
import math
from array import array
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

from fastpix_server.playback.model import Measured

# 32 bits: a segment lasts seconds and has megabytes. Arrays, as eight hours in four renditions are 57,600 segments.
_WORDS = "I"


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What manifests say of a rendition. Sizes and fps are 0 for audio, the others 0 for video.

    `kind` says how it came to be, as in a plan: `copy` is the publisher's own picture.
    """

    name: str
    media: Literal["video", "audio"]
    kind: Literal["copy", "encode"]
    codec: str  # RFC 6381
    timescale: int
    width: int
    height: int
    fps: float
    channels: int
    sample_rate_hz: int
    max_bitrate_bps: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One rendition in one stretch: duration and size of its segment number `first + k`; size 0 is a gap."""

    facts: Facts
    start_ticks: int
    durations: "array[int]"
    sizes: "array[int]"

    @property
    def has_gaps(self) -> bool:
        return 0 in self.sizes

    @property
    def longest_s(self) -> Fraction:
        return Fraction(max(self.durations), self.facts.timescale)

    def start_s(self, k: int) -> Fraction:
        """Of its k-th segment, from the beginning of the stretch; `k` may be the count (the end)."""
        return Fraction(sum(self.durations[:k]), self.facts.timescale)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """`epoch` names the init segments; `pdt_ms` is the wall clock of its first sample, ms since 1970."""

    epoch: int
    first: int
    pdt_ms: int
    tracks: tuple[Track, ...]

    @property
    def count(self) -> int:
        return len(self.tracks[0].durations)

    @property
    def duration_s(self) -> Fraction:
        return self.tracks[0].start_s(self.count)

    def track(self, name: str) -> Track | None:
        return next((t for t in self.tracks if t.facts.name == name), None)

    def part(self, low: int, high: int) -> "Stretch":
        """Its segments low <= k < high alone."""
        tracks = tuple(
            Track(t.facts, t.start_ticks + sum(t.durations[:low]), t.durations[low:high], t.sizes[low:high])
            for t in self.tracks
        )
        return Stretch(self.epoch, self.first + low, self.pdt_ms + int(self.tracks[0].start_s(low) * 1000), tracks)


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    """Where a moment of the timeline lies: the stored segment that shows it, and how far into that segment it is."""

    facts: Facts
    epoch: int
    number: int
    offset_s: Fraction
    length_s: Fraction


class Recording:
    """At least one stretch, each with at least one segment."""

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        if not stretches or not all(s.tracks and s.count for s in stretches):
            raise ValueError("a recording without segments")
        self.stretches = tuple(stretches)

    @functools.cached_property
    def renditions(self) -> tuple[Facts, ...]:
        """Every rendition once, as it was in the longest of its stretches, in the order of its first appearance."""
        found: dict[str, tuple[Fraction, Facts]] = {}
        for stretch in self.stretches:
            for track in stretch.tracks:
                known = found.get(track.facts.name)
                if known is None or stretch.duration_s > known[0]:
                    found[track.facts.name] = (stretch.duration_s, track.facts)
        return tuple(facts for _, facts in found.values())

    @property
    def videos(self) -> tuple[Facts, ...]:
        return tuple(f for f in self.renditions if f.media == "video")

    @property
    def audios(self) -> tuple[Facts, ...]:
        return tuple(f for f in self.renditions if f.media == "audio")

    @functools.cached_property
    def duration_s(self) -> Fraction:
        """Exact: the sum of what the lead's segments hold."""
        return sum((s.duration_s for s in self.stretches), Fraction(0))

    @functools.cached_property
    def measured(self) -> Mapping[str, Measured]:
        """Peak and average rate of each rendition, from the sizes of its stored segments."""
        found = {}
        for facts in self.renditions:
            tracks = [t for s in self.stretches if (t := s.track(facts.name)) is not None]
            found[facts.name] = _measure(tracks)
        return found

    def rendition(self, name: str) -> Facts | None:
        return next((f for f in self.renditions if f.name == name), None)

    def has_segment(self, name: str, number: int) -> bool:
        for stretch in self.stretches:
            k, track = number - stretch.first, stretch.track(name)
            if track is not None and 0 <= k < stretch.count:
                return track.sizes[k] > 0
        return False

    def has_epoch(self, name: str, epoch: int) -> bool:
        return any(s.epoch == epoch and s.track(name) is not None for s in self.stretches)

    def spot(self, at_s: Fraction, name: str) -> Spot | None:
        """The stored segment of that rendition which shows `at_s`, clamped to the ends; None where it has a gap."""
        left_s = max(at_s, Fraction(0))
        for stretch in self.stretches:
            if left_s < stretch.duration_s or stretch is self.stretches[-1]:
                return _spot(stretch, left_s, name)
            left_s -= stretch.duration_s
        return None

    def between(self, start_s: Fraction, end_s: Fraction) -> "Recording | None":
        """The segments that cover the range: its start goes down to a boundary, its end up. None when nothing does."""
        found: list[Stretch] = []
        begins_s = Fraction(0)
        for stretch in self.stretches:
            lead = stretch.tracks[0]
            edges = [0, *itertools.accumulate(lead.durations)]
            start, end = ((t - begins_s) * lead.facts.timescale for t in (start_s, end_s))
            low = max(bisect.bisect_right(edges, start) - 1, 0)
            high = min(bisect.bisect_left(edges, end), stretch.count)
            if low < high and start < edges[-1]:
                found.append(stretch.part(low, high))
            begins_s += stretch.duration_s
        return Recording(found) if found else None


def _measure(tracks: Sequence[Track]) -> Measured:
    """As rates.measure, in integers: eight hours must not hold up the event loop. Windows end at gaps and holes."""
    longest = max(d / t.facts.timescale for t in tracks for d in t.durations)
    target_s = max(1, math.floor(longest + 0.5))
    size_bytes = sum(sum(t.sizes) for t in tracks)
    length_s = sum(d / t.facts.timescale for t in tracks for d, size in zip(t.durations, t.sizes, strict=True) if size)
    average = math.ceil(size_bytes * 8 / length_s)
    peak = max((_peak(t, target_s) for t in tracks), default=0.0)
    return Measured(max(math.ceil(peak), average), average)


def _peak(track: Track, target_s: int) -> float:
    """The largest rate of a run of segments that lasts 0.5 to 1.5 target durations (RFC 8216, 4.3.4.2)."""
    timescale, durations, sizes = track.facts.timescale, track.durations, track.sizes
    low, high = target_s * timescale // 2, target_s * timescale * 3 // 2
    best = 0.0
    for first in range(len(sizes)):
        size, ticks = 0, 0
        for k in range(first, len(sizes)):
            size, ticks = size + sizes[k], ticks + durations[k]
            if ticks > high or not sizes[k]:
                break
            if ticks >= low:
                best = max(best, size * 8 * timescale / ticks)
    return best


def _spot(stretch: Stretch, at_s: Fraction, name: str) -> Spot | None:
    lead = stretch.tracks[0]
    ends = list(itertools.accumulate(lead.durations))
    k = min(bisect.bisect_right(ends, at_s * lead.facts.timescale), stretch.count - 1)
    track = stretch.track(name)
    if track is None or not track.sizes[k]:
        return None
    length_s = Fraction(track.durations[k], track.facts.timescale)
    offset_s = max(at_s - lead.start_s(k), Fraction(0))
    return Spot(track.facts, stretch.epoch, stretch.first + k, min(offset_s, length_s), length_s)


def to_json(recording: Recording) -> dict[str, Any]:
    """Plain JSON types; the facts of a rendition once for all stretches that share them."""
    shared: dict[Facts, int] = {}
    stretches = [
        {
            "epoch": stretch.epoch,
            "first": stretch.first,
            "pdt_ms": stretch.pdt_ms,
            "tracks": [
                {
                    "facts": shared.setdefault(track.facts, len(shared)),
                    "start_ticks": track.start_ticks,
                    "durations": track.durations.tolist(),
                    "sizes": track.sizes.tolist(),
                }
                for track in stretch.tracks
            ],
        }
        for stretch in recording.stretches
    ]
    return {"facts": [dataclasses.asdict(facts) for facts in shared], "stretches": stretches}


def from_json(data: Mapping[str, Any]) -> Recording:
    """The inverse of to_json. Raises KeyError or TypeError for what it did not write."""
    shared = [Facts(**facts) for facts in data["facts"]]
    return Recording(
        [
            Stretch(
                stretch["epoch"],
                stretch["first"],
                stretch["pdt_ms"],
                tuple(
                    Track(
                        shared[track["facts"]],
                        track["start_ticks"],
                        words(track["durations"]),
                        words(track["sizes"]),
                    )
                    for track in stretch["tracks"]
                ),
            )
            for stretch in data["stretches"]
        ]
    )


def words(values: Sequence[int]) -> "array[int]":
    return array(_WORDS, values)
