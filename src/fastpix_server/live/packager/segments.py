"""One rendition of a running session: samples in, parts and segments out, and the newest of them kept in memory.

Invariants: numbers of segments grow by one; a part never lasts longer than `PART_MAX_S` unless one single sample does;
within an epoch each part's decode time is the end of the part before it, unless a whole segment is missing (a gap).
Where a segment begins is decided outside (`Cut`), the same for every rendition.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from fastpix_server.ingest.model import CLOCK_HZ, Track
from fastpix_server.live.model import PART_TARGET_S, FinishedSegment, RenditionInfo
from fastpix_server.live.packager import mp4
from fastpix_server.live.packager.codecs import rfc6381, timescale_of
from fastpix_server.live.packager.mp4 import MediaSample

# What PART-TARGET announces. Parts aim at a third of a second; frames and frames of sound do not divide it evenly. The
# distance between the two leaves every usual rate from 10 pictures a second on a part of an allowed length.
PART_MAX_S = 0.35
# RFC 8216bis 4.4.4.9: every part but the last of a segment lasts at least this share of PART-TARGET.
PART_MIN_SHARE = 0.85
# How far over its aim a part may go so that it is not one frame short: 8 frames of 23.976/s are 0.3337 s.
_SLACK_S = 0.001
# A viewer may go back about a minute.
WINDOW_S = 60.0
# At 30,000 segments (12 hours of 1.5 s) a list for going back to the beginning is 2 MB; older entries leave it.
MAX_ENTRIES = 30_000


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """Where a segment begins, in every rendition. `start` counts CLOCK_HZ on the session's clock."""

    number: int
    epoch: int
    start: int
    pdt_ms: int
    is_discontinuity: bool


class Placed(NamedTuple):
    """A sample at its place on the session's clock, in ticks of its rendition's timescale."""

    time: int  # decode time
    duration: int
    cts: int
    is_key: bool
    data: bytes


@dataclasses.dataclass(slots=True)
class Part:
    duration: int
    is_independent: bool
    data: bytes


@dataclasses.dataclass(slots=True)
class Segment:
    """`parts` is emptied when the data leaves memory; what playlists need stays. A gap has no data at all."""

    number: int
    epoch: int
    start: int
    duration: int
    timescale: int
    pdt_ms: int
    is_discontinuity: bool
    is_done: bool = False
    is_gap: bool = False
    size_bytes: int = 0
    parts: list[Part] = dataclasses.field(default_factory=list)

    @property
    def duration_s(self) -> float:
        return self.duration / self.timescale

    @property
    def is_in_memory(self) -> bool:
        return bool(self.parts)


class Rendition:
    """Fed by the packager; asked by playlists. `on_change` after every part, `on_segment` after every whole segment."""

    def __init__(
        self, name: str, on_change: Callable[["Rendition"], None], on_segment: Callable[[FinishedSegment], None]
    ) -> None:
        self.name = name
        self.info: RenditionInfo | None = None
        self.inits: dict[int, bytes] = {}
        self.infos: dict[int, RenditionInfo] = {}  # what it was in each epoch
        self.segments: deque[Segment] = deque()
        self.held_bytes = 0
        self.peak_bps = 0
        self.fps = 0.0
        self._on_change, self._on_segment = on_change, on_segment
        self._samples: list[MediaSample] = []
        self._part_start = 0
        self._grid_start = 0  # of the open segment, in our own ticks
        self._sequence = 0
        self._frames = 0

    # -- writing ------------------------------------------------------------------------------------------------

    def begin(self, epoch: int, track: Track) -> None:
        """A new epoch with its own init segment. Raises BadTrack before anything has changed."""
        init = mp4.init_segment(track)
        self.describe(epoch, track)
        self.inits[epoch] = init

    def describe(self, epoch: int, track: Track) -> None:
        """What manifests say of it. Raises BadTrack."""
        self.info = self.infos[epoch] = RenditionInfo(
            name=self.name,
            kind=track.kind,
            codec_family=track.codec,
            codec=rfc6381(track),
            timescale=timescale_of(track),
            width=track.width,
            height=track.height,
            fps=self.fps,
            bitrate_bps=self.peak_bps,
            channels=track.channels,
            sample_rate_hz=track.sample_rate_hz,
        )

    @property
    def open_segment(self) -> Segment | None:
        return self.segments[-1] if self.segments and not self.segments[-1].is_done else None

    @property
    def next_number(self) -> int | None:
        return self.segments[-1].number + 1 if self.segments else None

    def open(self, cut: Cut) -> None:
        """The next sample begins segment `cut.number`; the segment before it is whole."""
        self.close()
        assert self.info is not None
        self._grid_start = round(cut.start * self.info.timescale / CLOCK_HZ)
        self._frames = 0
        self.segments.append(
            Segment(
                number=cut.number,
                epoch=cut.epoch,
                start=self._grid_start,
                duration=0,
                timescale=self.info.timescale,
                pdt_ms=cut.pdt_ms,
                is_discontinuity=cut.is_discontinuity,
            )
        )
        self._forget_entries()

    def add(self, sample: Placed) -> None:
        """Goes into the open segment; parts close as they fill."""
        segment = self.segments[-1]
        if self._samples and sample.time + sample.duration - self._part_start > PART_MAX_S * segment.timescale:
            self.close_part()
        if not self._samples:
            self._part_start = sample.time
            if not segment.parts:
                segment.start = sample.time
        self._samples.append(MediaSample(sample.duration, sample.cts, sample.is_key, sample.data))
        self._frames += 1
        if self._is_part_full(segment, sample):
            self.close_part()

    def _is_part_full(self, segment: Segment, last: Placed) -> bool:
        """Assumes that the next sample lasts as long as this one."""
        assert self.info is not None
        scale = segment.timescale
        end = last.time + last.duration
        length = end - self._part_start
        if length + last.duration > PART_MAX_S * scale:
            return True
        if length < PART_MIN_SHARE * PART_MAX_S * scale:
            return False
        if self.info.kind == "audio":  # the frame whose end is nearest to the pictures' grid is the last
            return end + last.duration / 2 > self._grid_start + (len(segment.parts) + 1) * PART_TARGET_S * scale
        return length + last.duration > (PART_TARGET_S + _SLACK_S) * scale

    def close_part(self) -> None:
        """What has been collected becomes a part that viewers can load."""
        if not self._samples:
            return
        self._sequence += 1
        segment = self.segments[-1]
        data = mp4.part(self._sequence, self._part_start, self._samples)
        duration = sum(s.duration for s in self._samples)
        segment.parts.append(Part(duration, self._samples[0].is_key, data))
        segment.duration += duration
        segment.size_bytes += len(data)
        self.held_bytes += len(data)
        self._samples = []
        self._on_change(self)

    def close(self) -> None:
        """The open segment is whole, however short; one without a sample vanishes."""
        segment = self.open_segment
        if segment is None:
            return
        self.close_part()
        if not segment.parts:
            self.segments.pop()
            return
        segment.is_done = True
        self._measure(segment)
        assert self.info is not None
        self.info = dataclasses.replace(self.info, fps=round(self.fps, 3), bitrate_bps=self.peak_bps)
        self._on_segment(
            FinishedSegment(
                rendition=self.info,
                number=segment.number,
                epoch=segment.epoch,
                start_ticks=segment.start,
                duration_ticks=segment.duration,
                pdt_ms=segment.pdt_ms,
                is_discontinuity=segment.is_discontinuity,
                init=self.inits[segment.epoch],
                data=b"".join(part.data for part in segment.parts),
            )
        )
        self._on_change(self)

    def skip(self, cut: Cut, duration: int) -> None:
        """Segment `cut.number` will never exist here. `duration` counts CLOCK_HZ, as long as it lasts elsewhere."""
        self.close()
        self.segments.append(
            Segment(
                number=cut.number,
                epoch=cut.epoch,
                start=cut.start,
                duration=duration,
                timescale=CLOCK_HZ,
                pdt_ms=cut.pdt_ms,
                is_discontinuity=cut.is_discontinuity,
                is_done=True,
                is_gap=True,
            )
        )
        self._forget_entries()
        self._on_change(self)

    def restore(self, segments: Iterable[Segment]) -> None:
        """Segments of an earlier process, oldest first; their data lies in storage."""
        self.segments.extend(segments)
        self._forget_entries()

    def _measure(self, segment: Segment) -> None:
        if segment.duration_s >= PART_TARGET_S:
            self.peak_bps = max(self.peak_bps, round(segment.size_bytes * 8 / segment.duration_s))
            self.fps = self._frames / segment.duration_s

    # -- forgetting ---------------------------------------------------------------------------------------------

    def _forget_entries(self) -> None:
        while len(self.segments) > MAX_ENTRIES:
            self._release(self.segments.popleft())

    def forget_before(self, number: int) -> None:
        """Entries below `number` leave memory altogether."""
        while self.segments and self.segments[0].number < number and self.segments[0].is_done:
            self._release(self.segments.popleft())
        if self.segments:
            for epoch in [e for e in self.infos if e < self.segments[0].epoch]:
                self.inits.pop(epoch, None)
                del self.infos[epoch]

    def release_before(self, number: int) -> None:
        """The data of segments below `number` leaves memory, and init segments of epochs before; entries stay."""
        for segment in reversed(self.segments):
            if segment.number < number:
                if segment.parts:
                    self._release(segment)
                elif not segment.is_gap:
                    break  # all before it have been released, too
        first = self.find(number)
        for epoch in [e for e in self.inits if first is not None and e < first.epoch]:
            del self.inits[epoch]

    def release_oldest(self) -> bool:
        """The data of the oldest whole segment in memory leaves it. False when there is none."""
        for segment in self.segments:
            if segment.is_done and segment.is_in_memory:
                self._release(segment)
                return True
        return False

    def _release(self, segment: Segment) -> None:
        self.held_bytes -= sum(len(part.data) for part in segment.parts)
        segment.parts = []

    # -- reading ------------------------------------------------------------------------------------------------

    def find(self, number: int) -> Segment | None:
        """The entry of a segment, whole or open, when it is known."""
        if not self.segments:
            return None
        at = number - self.segments[0].number
        return self.segments[at] if 0 <= at < len(self.segments) else None

    def has(self, number: int, part: int | None) -> bool:
        """Whether a playlist of now contains it (RFC 8216bis, 6.2.5.2).

        A part behind the last one of a whole segment stands for the first part of the next segment.
        """
        segment = self.find(number)
        if segment is None:
            return bool(self.segments) and number < self.segments[0].number
        if segment.is_gap:
            return True
        if part is None:
            return segment.is_done
        if part < len(segment.parts):
            return True
        following = self.find(number + 1)
        return segment.is_done and following is not None and (following.is_done or bool(following.parts))

    def last_part(self) -> tuple[int, int] | None:
        """Number of the newest segment that can be loaded from, and of its newest part."""
        for segment in reversed(self.segments):
            if segment.parts:
                return segment.number, len(segment.parts) - 1
            if segment.is_done:
                return segment.number, 0
        return None
