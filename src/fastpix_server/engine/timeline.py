"""The plan as data: one timeline, the same cuts for every rendition, exact before a frame is encoded.

Segment k is the frames [cuts[k], cuts[k+1]) of a constant-rate grid and the AAC frames
[audio_cuts[k], audio_cuts[k+1]) of a 1024-sample grid. The plan is stored with the media as JSON and is all
that playlists and encoders need: nobody looks at the source again to know where a segment begins.
"""

import bisect
import dataclasses
from fractions import Fraction
from typing import Literal

from fastpix_server.engine.edit import Edit, Piece
from fastpix_server.engine.source import VideoFacts

AAC_FRAME_SAMPLES = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class VideoRendition:
    """One rung. `copy` is the source's own samples repackaged; `encode` is made by x264."""

    name: str  # names the URL and the storage folder: "720p", "source"
    kind: Literal["encode", "copy"]
    width: int  # even; square pixels
    height: int
    max_bitrate_bps: int  # cap of the rate control (encode) or measured peak (copy)
    average_bitrate_bps: int  # estimate until measured
    crf: float  # encode only
    preset: str  # encode only
    codec: str  # RFC 6381: "avc1.64001f"


@dataclasses.dataclass(frozen=True, slots=True)
class AudioRendition:
    name: str  # "a0", "a1": one per audio stream of the source, stereo or mono AAC-LC
    kind: Literal["encode", "copy"]
    stream_index: int
    channels: int
    sample_rate_hz: int
    bitrate_bps: int
    language: str
    title: str  # what a player's menu shows; "default" for the only track
    codec: str  # "mp4a.40.2"


@dataclasses.dataclass(frozen=True, slots=True)
class Timeline:
    """Exact boundaries. For audio-only media `fps` is a nominal grid that only places the cuts."""

    fps: Fraction
    timescale: int  # ticks per second of every encoded video rendition
    frame_ticks: int  # ticks per frame: fps = timescale / frame_ticks
    cuts: tuple[int, ...]  # frame indices, first 0, last = number of frames
    audio_rate_hz: int
    audio_cuts: tuple[int, ...]  # AAC frame indices, same length as cuts; all 0 without audio

    @property
    def segment_count(self) -> int:
        return len(self.cuts) - 1

    @property
    def frames(self) -> int:
        return self.cuts[-1]

    @property
    def duration_s(self) -> float:
        return float(Fraction(self.cuts[-1] * self.frame_ticks, self.timescale))

    def start_s(self, k: int) -> Fraction:
        """Presentation time of segment k's first frame; k may be segment_count (the end)."""
        return Fraction(self.cuts[k] * self.frame_ticks, self.timescale)

    def segment_s(self, k: int) -> Fraction:
        return Fraction((self.cuts[k + 1] - self.cuts[k]) * self.frame_ticks, self.timescale)

    def audio_segment_s(self, k: int) -> Fraction:
        return Fraction((self.audio_cuts[k + 1] - self.audio_cuts[k]) * AAC_FRAME_SAMPLES, self.audio_rate_hz)

    def segment_at(self, time_s: float) -> int:
        """Index of the segment that shows `time_s`, clamped to the ends."""
        frame = int(time_s * self.timescale / self.frame_ticks)
        return min(max(bisect.bisect_right(self.cuts, frame) - 1, 0), self.segment_count - 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Everything that playlists, encoders and pictures need to know about one playable thing.

    `seeks_s[k]` is the time, in the file that segment k comes from, of its last key frame at or before segment k
    (where decoding starts; a rounding error may put it up to a quarter of a frame later), None for files without an
    index. `video` and `duration_s` repeat the facts of the base file that commands need; `video.keyframes_s` is None
    here, the seeks replace it. `edit` is None when the timeline is the base file's own.
    """

    revision: str  # short hash of all the rest: part of every segment URL, so that segments are immutable
    container: str
    start_s: float  # the file's own clock at time 0
    duration_s: float
    timeline: Timeline
    video: VideoFacts | None
    seeks_s: tuple[float | None, ...]
    videos: tuple[VideoRendition, ...]  # highest first
    audios: tuple[AudioRendition, ...]
    edit: Edit | None = None

    @property
    def is_audio_only(self) -> bool:
        return self.video is None

    def rendition(self, name: str) -> VideoRendition | AudioRendition | None:
        every: tuple[VideoRendition | AudioRendition, ...] = (*self.videos, *self.audios)
        return next((r for r in every if r.name == name), None)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """At least one: without an edit the whole of file 0."""
        if self.edit is not None and self.edit.pieces:
            return self.edit.pieces
        streams = tuple(audio.stream_index for audio in self.audios)
        return (Piece(first=0, file=0, in_s=Fraction(0), video=self.video, streams=streams),)

    def piece_at(self, k: int) -> Piece:
        """The piece that segment k belongs to."""
        return next(piece for piece in reversed(self.pieces) if piece.first <= k)

    def piece_end(self, piece: Piece) -> int:
        """The first segment after the piece."""
        return min((p.first for p in self.pieces if p.first > piece.first), default=self.timeline.segment_count)

    def file_s(self, k: int) -> Fraction:
        """Where segment k begins in the file that it comes from."""
        piece = self.piece_at(k)
        return piece.in_s + self.timeline.start_s(k) - self.timeline.start_s(piece.first)
