"""FLV tag bodies to tracks and samples, and back: what RTMP carries, and what ffmpeg children read on stdin.

Invariants: a codec that is not taken is `Malformed`, a track or packet type that is not needed is skipped; a track is
reported again only when its configuration differs; times are unwrapped to 64 bits. Sources: Adobe FLV 10.1 annex E;
Enhanced RTMP v2 (ExVideoTagHeader, ExAudioTagHeader).
"""

from typing import NamedTuple

from fastpix_server.ingest import av1, h264, hevc, nal, sound
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import CLOCK_HZ, Kind, Sample, Track

AUDIO, VIDEO, SCRIPT = 8, 9, 18
_TICKS_PER_MS = CLOCK_HZ // 1000

_LEGACY_AVC, _LEGACY_HEVC, _LEGACY_AAC = 7, 12, 10  # 12: how encoders in China sent HEVC before Enhanced RTMP
_ENHANCED_AUDIO = 9
_KEY_FRAME, _INTER_FRAME, _COMMAND_FRAME = 1, 2, 5
_SEQUENCE_START, _CODED, _CODED_X, _METADATA, _MODIFIED = 0, 1, 3, 4, 7
_AUDIO_MULTITRACK, _VIDEO_MULTITRACK = 5, 6
_ONE_TRACK, _MANY_TRACKS = 0, 1
_MAX_TRACKS = 16  # of one packet
_MAX_MODIFIERS = 8  # of one packet; the specification knows one kind
_VIDEO_CODECS = {b"avc1": "h264", b"hvc1": "hevc", b"av01": "av1"}
_AUDIO_CODECS = {b"mp4a": "aac", b"Opus": "opus"}
_FOURCCS = {"hevc": b"hvc1", "av1": b"av01", "opus": b"Opus"}
_AAC_TAG = b"\xaf"  # AAC; rate, width and channels say always this, the configuration counts


class Demuxer:
    """Tag bodies in, tracks and samples out."""

    def __init__(self) -> None:
        self._video: Track | None = None
        self._audio: Track | None = None
        self._video_config = b""
        self._audio_config = b""
        self._prefix_size = 4
        self._clock: int | None = None  # the last time, unwrapped, in ms

    def feed(self, kind: int, timestamp_ms: int, body: bytes) -> list[Track | Sample]:
        if not body:
            return []
        dts = self._unwrap(timestamp_ms) * _TICKS_PER_MS
        if kind == VIDEO:
            return self._enhanced_video(dts, body) if body[0] & 0x80 else self._legacy_video(dts, body)
        if kind == AUDIO:
            is_enhanced = body[0] >> 4 == _ENHANCED_AUDIO
            return self._enhanced_audio(dts, body) if is_enhanced else self._legacy_audio(dts, body)
        return []

    def _unwrap(self, timestamp_ms: int) -> int:
        """32 bits to 64: the value nearest to the last one. The first stays as it is."""
        if self._clock is None:
            self._clock = timestamp_ms
        else:
            step = (timestamp_ms - self._clock + 0x80000000) % 0x100000000 - 0x80000000
            self._clock += step
        return self._clock

    def _legacy_video(self, dts: int, body: bytes) -> list[Track | Sample]:
        frame, codec = body[0] >> 4, body[0] & 15
        if frame == _COMMAND_FRAME:
            return []
        if codec not in (_LEGACY_AVC, _LEGACY_HEVC):
            raise Malformed(f"FLV video codec {codec} is not taken")
        if len(body) < 5:
            raise Malformed("a video tag is cut off")
        name = "h264" if codec == _LEGACY_AVC else "hevc"
        if body[1] == 0:
            return self._video_track(name, body[5:])
        if body[1] != 1:
            return []
        return self._picture(name, dts, _signed24(body, 2), frame == _KEY_FRAME, body[5:])

    def _enhanced_video(self, dts: int, body: bytes) -> list[Track | Sample]:
        frame = body[0] >> 4 & 7
        if frame == _COMMAND_FRAME or body[0] & 15 == _METADATA:
            return []
        packet, fourcc, data = _open(body, _VIDEO_MULTITRACK)
        name = _VIDEO_CODECS.get(fourcc)
        if name is None:
            raise Malformed("an enhanced video codec that is not taken")
        if packet == _SEQUENCE_START:
            return self._video_track(name, data) if data else []
        cts_ms = 0
        if packet == _CODED and name != "av1":
            cts_ms, data = _signed24(data, 0), data[3:]
        elif packet not in (_CODED, _CODED_X):
            return []
        return self._picture(name, dts, cts_ms, frame == _KEY_FRAME, data)

    def _video_track(self, name: str, config: bytes) -> list[Track | Sample]:
        if self._video and self._video.codec == name and config == self._video_config:
            return []
        if name == "av1":
            self._video = av1.track(config)
        elif name == "h264":
            record = h264.parse_record(config)
            self._prefix_size = record.prefix_size
            self._video = h264.track(record.sps, record.pps)
        else:
            hevc_record = hevc.parse_record(config)
            self._prefix_size = hevc_record.prefix_size
            self._video = hevc.track(hevc_record.sets)
        self._video_config = config
        return [self._video]

    def _picture(self, name: str, dts: int, cts_ms: int, is_key: bool, data: bytes) -> list[Track | Sample]:
        if self._video is None or self._video.codec != name or not data:
            return []
        if name == "av1":
            data = av1.without_delimiters(data)
        elif self._prefix_size == 4:
            nal.check_prefixed(data)
        else:
            data = nal.join_prefixed(list(nal.split_prefixed(data, self._prefix_size)))
        return [Sample("video", dts, cts_ms * _TICKS_PER_MS, is_key, data)]

    def _legacy_audio(self, dts: int, body: bytes) -> list[Track | Sample]:
        codec = body[0] >> 4
        if codec != _LEGACY_AAC:
            raise Malformed(f"FLV audio codec {codec} is not taken")
        if len(body) < 2:
            return []
        return self._audio_track("aac", body[2:]) if body[1] == 0 else self._frame("aac", dts, body[2:])

    def _enhanced_audio(self, dts: int, body: bytes) -> list[Track | Sample]:
        packet, fourcc, data = _open(body, _AUDIO_MULTITRACK)
        name = _AUDIO_CODECS.get(fourcc)
        if name is None:
            raise Malformed("an enhanced audio codec that is not taken")
        if packet == _SEQUENCE_START:
            return self._audio_track(name, data)
        return self._frame(name, dts, data) if packet == _CODED else []

    def _audio_track(self, name: str, config: bytes) -> list[Track | Sample]:
        if not config or (self._audio and self._audio.codec == name and config == self._audio_config):
            return []
        self._audio = sound.aac_track(config) if name == "aac" else sound.opus_track_from_head(config)
        self._audio_config = config
        return [self._audio]

    def _frame(self, name: str, dts: int, data: bytes) -> list[Track | Sample]:
        if self._audio is None or self._audio.codec != name or not data:
            return []
        return [Sample("audio", dts, 0, True, data)]


def _signed24(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 3], "big", signed=True)


def _skip_modifiers(body: bytes, packet: int) -> tuple[int, int]:
    """The packet type behind the modifiers (nanosecond offsets, of no use to us), and where it goes on."""
    at = 1
    for _ in range(_MAX_MODIFIERS):
        if packet != _MODIFIED:
            return packet, at
        size = (body[at] if at < len(body) else 0) + 1
        at += 1
        if size == 256:
            size = int.from_bytes(body[at : at + 2], "big") + 1
            at += 2
        at += size
        if at >= len(body):
            raise Malformed("a tag is cut off")
        packet, at = body[at] & 15, at + 1
    raise Malformed("too many modifiers in one tag")


def _open(body: bytes, multitrack: int) -> tuple[int, bytes, bytes]:
    """An enhanced tag's packet type, codec and payload. Of several tracks the first is taken: the others are for
    players that choose, which get their choice from us. A packet that has only another one has no payload."""
    packet, at = _skip_modifiers(body, body[0] & 15)
    if packet != multitrack:
        return packet, body[at : at + 4], body[at + 4 :]
    if at >= len(body) or body[at] >> 4 not in (_ONE_TRACK, _MANY_TRACKS):
        raise Malformed("a multitrack tag that is not taken")
    is_many, packet = body[at] >> 4 == _MANY_TRACKS, body[at] & 15
    fourcc, at = body[at + 1 : at + 5], at + 5
    if not is_many:
        return packet, fourcc, body[at + 1 :] if body[at : at + 1] == b"\x00" else b""
    for _ in range(_MAX_TRACKS):
        size = int.from_bytes(body[at + 1 : at + 4], "big")
        if at + 4 + size > len(body):
            raise Malformed("a multitrack tag is cut off")
        if body[at] == 0:
            return packet, fourcc, body[at + 4 : at + 4 + size]
        at += 4 + size
        if at >= len(body):
            return packet, fourcc, b""
    raise Malformed("too many tracks in one tag")


def tag(kind: int, timestamp_ms: int, body: bytes) -> bytes:
    """One FLV tag with the size of itself behind it, as files and pipes have them."""
    time = (timestamp_ms & 0xFFFFFF).to_bytes(3, "big") + bytes((timestamp_ms >> 24 & 0xFF,))
    head = bytes((kind,)) + len(body).to_bytes(3, "big") + time + b"\x00\x00\x00"
    return b"".join((head, body, (len(body) + 11).to_bytes(4, "big")))


class Message(NamedTuple):
    """What RTMP calls a message and FLV a tag: AUDIO or VIDEO, a time, and the same body in both."""

    kind: int
    timestamp_ms: int
    body: bytes


class Packer:
    """Tracks and samples in, messages out. Times begin at 0 with the first sample."""

    def __init__(self) -> None:
        self._tracks: dict[Kind, Track] = {}
        self._first_dts: int | None = None

    def track(self, track: Track, dts: int | None = None) -> Message:
        """The sequence header. A change of a running track stands at `dts`."""
        self._tracks[track.kind] = track
        codec, config = track.codec, track.config
        if codec == "h264":
            return Message(VIDEO, self._ms(dts), bytes((_KEY_FRAME << 4 | _LEGACY_AVC, 0, 0, 0, 0)) + config)
        if codec in ("hevc", "av1"):
            start = bytes((0x80 | _KEY_FRAME << 4 | _SEQUENCE_START,))
            return Message(VIDEO, self._ms(dts), start + _FOURCCS[codec] + config)
        if codec == "aac":
            return Message(AUDIO, self._ms(dts), _AAC_TAG + b"\x00" + config)
        start = bytes((_ENHANCED_AUDIO << 4 | _SEQUENCE_START,))
        return Message(AUDIO, self._ms(dts), start + _FOURCCS["opus"] + sound.opus_head(track))

    def sample(self, sample: Sample) -> Message:
        """A sample whose track was not given is a mistake of the caller's."""
        codec = self._tracks[sample.kind].codec
        if self._first_dts is None:
            self._first_dts = sample.dts
        time_ms, cts_ms = self._ms(sample.dts), _milliseconds(sample.cts)
        if sample.kind == "audio":
            head = _AAC_TAG + b"\x01" if codec == "aac" else bytes((_ENHANCED_AUDIO << 4 | _CODED,)) + _FOURCCS["opus"]
            return Message(AUDIO, time_ms, head + sample.data)
        frame = _KEY_FRAME if sample.is_key else _INTER_FRAME
        cts = (cts_ms & 0xFFFFFF).to_bytes(3, "big")
        if codec == "h264":
            head = bytes((frame << 4 | _LEGACY_AVC, 1)) + cts
        else:
            head = bytes((0x80 | frame << 4 | _CODED,)) + _FOURCCS[codec] + (cts if codec == "hevc" else b"")
        return Message(VIDEO, time_ms, head + sample.data)

    def _ms(self, dts: int | None) -> int:
        """Before the beginning there is nothing: what jumps back beyond it stays at 0."""
        if dts is None or self._first_dts is None:
            return 0
        return max(0, _milliseconds(dts - self._first_dts))


class Muxer:
    """The same as an FLV byte stream, for ffmpeg's stdin."""

    def __init__(self) -> None:
        self._packer = Packer()

    @staticmethod
    def header(*, has_video: bool, has_audio: bool) -> bytes:
        return b"FLV\x01" + bytes((has_audio << 2 | has_video,)) + b"\x00\x00\x00\x09\x00\x00\x00\x00"

    def track(self, track: Track, dts: int | None = None) -> bytes:
        return tag(*self._packer.track(track, dts))

    def sample(self, sample: Sample) -> bytes:
        return tag(*self._packer.sample(sample))


def _milliseconds(ticks: int) -> int:
    return (ticks + _TICKS_PER_MS // 2) // _TICKS_PER_MS
