"""What the PES packets of one stream of a transport stream hold: pictures, AAC frames, Opus packets.

Invariants: a picture is given only when everything since the last key frame arrived; parameter sets live in the track,
not in samples, and a track is given again when they change. Sources: ISO/IEC 13818-1 2.14 and 2.17, ISO/IEC 14496-3
1.A.3, "Opus in MPEG-TS" (draft of the Opus project, as encoders write it).
"""

import abc
from collections.abc import Sequence
from typing import Protocol

from fastpix_server.ingest import h264, hevc, nal, sound
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import CLOCK_HZ, Kind, Sample, Track

_H264, _HEVC, _ADTS, _PRIVATE = 0x1B, 0x24, 0x0F, 0x06
_MAX_CTS = 10 * CLOCK_HZ  # further from its decoding time nothing is presented
_MAX_FRAMES_PER_PES = 256  # AAC; muxers put 1 to 20 into one
_MAX_PARTIAL_FRAME_BYTES = 8192  # the length field of ADTS ends there
_MAX_PARAMETER_SETS = 16

Found = list[Track | Sample]


class Target(Protocol):
    """Understands the payloads of one stream."""

    kind: Kind

    def take(self, dts: int | None, cts: int, payload: bytes) -> Found: ...

    def lose(self) -> None:
        """Something is missing between the last payload and the next."""


def open_stream(stream_type: int, descriptors: bytes) -> Target | None:
    """Who takes a stream of this type; None when nobody does."""
    if stream_type == _H264:
        return H264Pictures()
    if stream_type == _HEVC:
        return HevcPictures()
    if stream_type == _ADTS:
        return AacFrames()
    if stream_type == _PRIVATE:
        channels = _opus_channels(descriptors)
        return OpusPackets(channels) if channels else None
    return None


class _Pictures(abc.ABC):
    """Byte stream to samples; what differs between H.264 and HEVC is in the two classes below."""

    kind: Kind = "video"

    def __init__(self) -> None:
        self._track: Track | None = None
        self._is_waiting = True  # for a key frame

    def lose(self) -> None:
        self._is_waiting = True

    def take(self, dts: int | None, cts: int, payload: bytes) -> Found:
        if dts is None:
            raise Malformed("a picture without a time")
        units = nal.split_byte_stream(payload)
        found: Found = []
        track = self._updated(units)
        if track is not None and track != self._track:
            self._track = track
            found.append(track)
        data, is_key = self._sample(units)
        if is_key:
            self._is_waiting = False
        if data and self._track is not None and not self._is_waiting:
            found.append(Sample("video", dts, cts if abs(cts) <= _MAX_CTS else 0, is_key, data))
        return found

    @abc.abstractmethod
    def _updated(self, units: Sequence[bytes]) -> Track | None:
        """The track with the parameter sets among `units`; None when there are none, or not yet all."""

    @abc.abstractmethod
    def _sample(self, units: Sequence[bytes]) -> tuple[bytes, bool]:
        """The picture in length-prefixed form, and whether it is a key frame."""


class H264Pictures(_Pictures):
    def __init__(self) -> None:
        super().__init__()
        self._sps: list[bytes] = []
        self._pps: list[bytes] = []

    def _updated(self, units: Sequence[bytes]) -> Track | None:
        sps = [unit for unit in units if h264.unit_type(unit) == h264.SPS]
        pps = [unit for unit in units if h264.unit_type(unit) == h264.PPS]
        if not sps and not pps:
            return None
        if sps:
            self._sps, self._pps = _distinct(sps), _distinct(pps) or self._pps
        else:
            self._pps = _distinct([*self._pps, *pps])
        return h264.track(self._sps, self._pps) if self._sps and self._pps else None

    def _sample(self, units: Sequence[bytes]) -> tuple[bytes, bool]:
        kept = [unit for unit in units if h264.unit_type(unit) not in h264.NOT_IN_SAMPLES]
        return nal.join_prefixed(kept), h264.is_key(units)


class HevcPictures(_Pictures):
    def __init__(self) -> None:
        super().__init__()
        self._sets: dict[int, list[bytes]] = {}

    def _updated(self, units: Sequence[bytes]) -> Track | None:
        is_changed = False
        for kind in (hevc.VPS, hevc.SPS, hevc.PPS):
            sets = [unit for unit in units if len(unit) > 2 and hevc.unit_type(unit) == kind]
            if sets:
                is_changed = True
                self._sets[kind] = _distinct(sets)
        return hevc.track(self._sets) if is_changed and len(self._sets) == 3 else None

    def _sample(self, units: Sequence[bytes]) -> tuple[bytes, bool]:
        kept = [unit for unit in units if hevc.unit_type(unit) not in hevc.NOT_IN_SAMPLES]
        return nal.join_prefixed(kept), hevc.is_key(kept)


def _distinct(units: Sequence[bytes]) -> list[bytes]:
    kept = list(dict.fromkeys(units))
    if len(kept) > _MAX_PARAMETER_SETS:
        raise Malformed("too many parameter sets")
    return kept


class AacFrames:
    """ADTS frames, several per PES packet, which may lie across two. Times between them are counted, not guessed."""

    kind: Kind = "audio"

    def __init__(self) -> None:
        self._track: Track | None = None
        self._partial = b""
        self._next_dts: int | None = None

    def lose(self) -> None:
        self._partial = b""
        self._next_dts = None

    def take(self, dts: int | None, cts: int, payload: bytes) -> Found:
        data, at = self._partial + payload, 0
        begins_here = len(self._partial)  # the time is that of the first frame which begins in this packet
        self._partial = b""
        found: Found = []
        base, frames, rate_hz = self._next_dts, 0, sound.OPUS_RATE_HZ
        for _ in range(_MAX_FRAMES_PER_PES):
            if at >= begins_here and dts is not None:
                base, frames, dts = dts, 0, None
            if len(data) - at < sound.ADTS_HEADER_BYTES:
                break
            header = sound.parse_adts(data, at)
            if at + header.frame_size > len(data):
                break
            if base is not None:
                self._take_frame(header, data[at + header.header_size : at + header.frame_size], base, frames, found)
            at += header.frame_size
            frames, rate_hz = frames + 1, header.rate_hz
        self._next_dts = None if base is None else base + _aac_ticks(frames, rate_hz)
        if len(data) - at > _MAX_PARTIAL_FRAME_BYTES:
            raise Malformed("too many AAC frames in one packet")
        self._partial = data[at:]
        return found

    def _take_frame(self, header: sound.AdtsHeader, frame: bytes, base: int, frames: int, found: Found) -> None:
        if self._track is None or self._track.config != header.config:
            self._track = sound.aac_track(header.config)
            found.append(self._track)
        dts = base + _aac_ticks(frames, header.rate_hz)
        found.append(Sample("audio", dts, 0, True, frame))


def _aac_ticks(frames: int, rate_hz: int) -> int:
    return frames * sound.AAC_FRAME_SAMPLES * CLOCK_HZ // rate_hz


class OpusPackets:
    """Opus access units, each behind a control header that says how long it is."""

    kind: Kind = "audio"

    def __init__(self, channels: int) -> None:
        self._track = sound.opus_track(channels)
        self._is_known = False

    def lose(self) -> None:
        """Packets stand for themselves."""

    def take(self, dts: int | None, cts: int, payload: bytes) -> Found:
        if dts is None:
            raise Malformed("an Opus packet without a time")
        found: Found = []
        at, samples = 0, 0
        while at < len(payload):
            packet, at = _opus_unit(payload, at)
            if not self._is_known:
                self._is_known = True
                found.append(self._track)
            found.append(Sample("audio", dts + samples * CLOCK_HZ // sound.OPUS_RATE_HZ, 0, True, packet))
            samples += sound.opus_packet_samples(packet)
        return found


def _opus_unit(payload: bytes, at: int) -> tuple[bytes, int]:
    if len(payload) < at + 3 or payload[at] != 0x7F or payload[at + 1] & 0xE0 != 0xE0:
        raise Malformed("no Opus control header where one belongs")
    flags, at, size = payload[at + 1], at + 2, 0
    while at < len(payload):
        byte = payload[at]
        size, at = size + byte, at + 1
        if byte != 255:
            break
    at += (2 if flags & 0x10 else 0) + (2 if flags & 0x08 else 0)  # trims at start and end
    if flags & 0x04:
        at += 1 + (payload[at] if at < len(payload) else 0)
    if not size or at + size > len(payload):
        raise Malformed("an Opus packet is cut off")
    return payload[at : at + size], at + size


def _opus_channels(descriptors: bytes) -> int:
    """1 or 2 when a registration says Opus and its extension a simple layout; else 0."""
    at, is_opus, channels = 0, False, 0
    while at + 2 <= len(descriptors):
        kind, size = descriptors[at], descriptors[at + 1]
        body = descriptors[at + 2 : at + 2 + size]
        if kind == 0x05 and body[:4] == b"Opus":
            is_opus = True
        elif kind == 0x7F and len(body) >= 2 and body[0] == 0x80 and body[1] in (1, 2):
            channels = body[1]
        at += 2 + size
    return channels if is_opus else 0
