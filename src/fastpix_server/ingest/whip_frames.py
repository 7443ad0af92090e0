"""What comes out of RTP becomes tracks and samples: H.264 access units, Opus packets, one clock.

Invariants: the first sample is a key frame where there is video, and so is the first after a gap; times of a kind only
grow; a frame that cannot be used is counted, never an error.
"""

from collections.abc import Mapping, Sequence

from fastpix_server.ingest import h264, nal, sound
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import CLOCK_HZ, Kind, Sample, Sink, Track
from fastpix_server.ingest.rtp_clock import CommonClock

# Sound waits this long for the first picture, then goes alone: a camera may be slow, or covered by its owner.
VIDEO_WAIT_TICKS = 5 * CLOCK_HZ
_START_CODE = b"\0\0\0\1"
_NOT_IN_SAMPLES = frozenset({h264.SPS, h264.PPS, h264.DELIMITER, 10, 11, 12})  # and ends of sequence, filler
_CHANNELS = 2  # Opus in RTP is always announced as two (RFC 7587, 4.1)


class Frames:
    def __init__(self, sink: Sink, *, has_video: bool) -> None:
        self._sink = sink
        self._clock = CommonClock()
        self._is_waiting_for_video = has_video
        self._needs_key = True
        self._sets: tuple[tuple[bytes, ...], tuple[bytes, ...]] = ((), ())
        self._video: Track | None = None
        self._audio: Track | None = None
        self._last: dict[Kind, int] = {}
        self._first_audio: int | None = None
        self._dropped = 0
        self.reordered = 0

    @property
    def needs_key(self) -> bool:
        """Nothing goes on until a key frame comes."""
        return self._needs_key

    @property
    def counts(self) -> Mapping[str, float]:
        return {"dropped_frames": float(self._dropped), "reordered_frames": float(self.reordered)}

    def on_packet(self, kind: Kind, stamp: int, arrival_s: float) -> None:
        self._clock.begin(kind, stamp, arrival_s)

    def on_report(self, kind: Kind, stamp: int, wall_s: float) -> None:
        self._clock.report(kind, stamp, wall_s)

    def on_gap(self, kind: Kind) -> None:
        """What follows refers to pictures that never came, until the next key frame."""
        if kind == "video":
            self._needs_key = True

    def on_frame(self, kind: Kind, codec: str, data: bytes, stamp: int) -> bool:
        """Whether it was a key frame that could be used."""
        if kind == "audio" and codec == "opus":
            self._on_sound(data, self._clock.time("audio", stamp))
        elif kind == "video" and codec == "H264":
            return self._on_picture(data, stamp)
        return False

    def _on_sound(self, packet: bytes, dts: int) -> None:
        if not packet:
            return  # silence that was not sent
        if self._first_audio is None:
            self._first_audio = dts
        if self._is_waiting_for_video:
            if dts - self._first_audio < VIDEO_WAIT_TICKS:
                return
            self._is_waiting_for_video = False
        if self._audio is None:
            self._audio = sound.opus_track(_CHANNELS)
            self._sink.on_track(self._audio)
        self._emit(Sample("audio", dts, 0, True, packet))

    def _on_picture(self, data: bytes, stamp: int) -> bool:
        try:
            if not data.startswith(_START_CODE):
                raise Malformed("the beginning of the picture is missing")
            units = nal.split_byte_stream(data)
            self._take_parameter_sets(units)
        except Malformed:
            self._drop_until_key()
            return False
        is_key = any(h264.unit_type(unit) == h264.IDR for unit in units)
        body = [unit for unit in units if h264.unit_type(unit) not in _NOT_IN_SAMPLES]
        if not body:
            return False
        dts = self._clock.time("video", stamp)
        if self._video is None or (self._needs_key and not is_key):
            self._dropped += 1
            return False
        self._needs_key = self._is_waiting_for_video = False
        if "video" not in self._last:
            self._sink.on_track(self._video)
        self._emit(Sample("video", dts, 0, is_key, nal.join_prefixed(body)))
        return is_key

    def _take_parameter_sets(self, units: Sequence[bytes]) -> None:
        sps = tuple(unit for unit in units if h264.unit_type(unit) == h264.SPS) or self._sets[0]
        pps = tuple(unit for unit in units if h264.unit_type(unit) == h264.PPS) or self._sets[1]
        if (sps, pps) == self._sets or not sps or not pps:
            self._sets = (sps, pps)
            return
        self._video = h264.track(sps, pps)
        self._sets = (sps, pps)
        if "video" in self._last:
            self._sink.on_track(self._video)

    def _drop_until_key(self) -> None:
        self._dropped += 1
        self._needs_key = True

    def _emit(self, sample: Sample) -> None:
        if sample.dts <= self._last.get(sample.kind, -1):
            self.reordered += sample.kind == "video"
            self._dropped += 1
            return
        self._last[sample.kind] = sample.dts
        self._sink.on_sample(sample)
