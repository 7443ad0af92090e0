"""AAC and Opus as far as ingest needs them: what their configurations say, and AAC frames out of ADTS.

Sources: ISO/IEC 14496-3 1.6.2.1 (AudioSpecificConfig) and 1.A.3 (ADTS), RFC 7845 5.1 (OpusHead), "Encapsulation of
Opus in ISOBMFF" 4.3.2 (dOps).
"""

import dataclasses
import struct

from fastpix_server.ingest.bits import BitReader, Malformed
from fastpix_server.ingest.model import Track

AAC_FRAME_SAMPLES = 1024
ADTS_HEADER_BYTES = 7
OPUS_RATE_HZ = 48_000

_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_CHANNELS = (0, 1, 2, 3, 4, 5, 6, 8)
_LC, _SBR, _PS = 2, 5, 29
_MAX_CONFIG_BYTES = 64  # five bytes are usual, a program config element makes 40
_ADTS_SYNC = 0xFFF


def aac_track(config: bytes) -> Track:
    """The track of an AudioSpecificConfig. The rate is the core's: a frame is 1024 samples of it, SBR or not."""
    if len(config) > _MAX_CONFIG_BYTES:
        raise Malformed("an AAC configuration is too large")
    bits = BitReader(config)
    kind, rate_hz, layout = _object_type(bits), _rate_hz(bits), bits.read(4)
    if kind in (_SBR, _PS):
        _rate_hz(bits)
        kind = _object_type(bits)
    if kind != _LC:
        raise Malformed("an AAC that is neither LC nor HE")
    if not 1 <= layout < len(_CHANNELS):
        raise Malformed("an AAC channel layout that is not taken")
    return Track("aac", config, sample_rate_hz=rate_hz, channels=_CHANNELS[layout])


def _object_type(bits: BitReader) -> int:
    kind = bits.read(5)
    return 32 + bits.read(6) if kind == 31 else kind


def _rate_hz(bits: BitReader) -> int:
    index = bits.read(4)
    rate_hz = bits.read(24) if index == 15 else _RATES_HZ[index] if index < len(_RATES_HZ) else 0
    if not 7350 <= rate_hz <= 96000:
        raise Malformed("an AAC sampling rate that does not exist")
    return rate_hz


@dataclasses.dataclass(frozen=True, slots=True)
class AdtsHeader:
    """One header: the configuration it stands for, and how long header and frame are together."""

    config: bytes
    rate_hz: int
    header_size: int
    frame_size: int


def parse_adts(data: bytes, at: int) -> AdtsHeader:
    """The header at `at`; the caller has seen to it that seven bytes are there."""
    if len(data) < at + ADTS_HEADER_BYTES or data[at] << 4 | data[at + 1] >> 4 != _ADTS_SYNC:
        raise Malformed("no ADTS header where one belongs")
    kind, rate_index = (data[at + 2] >> 6) + 1, data[at + 2] >> 2 & 15
    layout = (data[at + 2] & 1) << 2 | data[at + 3] >> 6
    frame_size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    header_size = 7 if data[at + 1] & 1 else 9
    if frame_size <= header_size or rate_index >= len(_RATES_HZ) or data[at + 6] & 3:
        raise Malformed("an ADTS header that is not taken")
    config = struct.pack(">H", kind << 11 | rate_index << 7 | layout << 3)
    return AdtsHeader(config, _RATES_HZ[rate_index], header_size, frame_size)


def to_adts(track: Track, frame: bytes) -> bytes:
    """The frame behind an ADTS header. HE-AAC is announced by its core, as ADTS always does."""
    rate_index = _RATES_HZ.index(track.sample_rate_hz) if track.sample_rate_hz in _RATES_HZ else 4
    layout = _CHANNELS.index(track.channels) if track.channels in _CHANNELS else 2
    size = len(frame) + ADTS_HEADER_BYTES
    fields = _ADTS_SYNC << 44 | 1 << 40 | (_LC - 1) << 38 | rate_index << 34 | layout << 30 | size << 13 | 0x7FF << 2
    return fields.to_bytes(7, "big") + frame


def opus_track_from_head(head: bytes) -> Track:
    """The track of an OpusHead, as Ogg and FLV carry it (little-endian); dOps is the same in big-endian."""
    if len(head) < 19 or head[:8] != b"OpusHead" or head[8] >> 4:
        raise Malformed("not an Opus header")
    channels, (skip, rate_hz, gain), family = head[9], struct.unpack_from("<HIh", head, 10), head[18]
    mapping = head[19 : 21 + channels] if family else b""
    if not 1 <= channels <= 8 or (family and len(mapping) != 2 + channels) or (not family and channels > 2):
        raise Malformed("an Opus channel layout that is not taken")
    config = struct.pack(">BBHIhB", 0, channels, skip, rate_hz, gain, family) + mapping
    return Track("opus", config, sample_rate_hz=OPUS_RATE_HZ, channels=channels)


def opus_track(channels: int, *, pre_skip: int = 312) -> Track:
    """Opus of one or two channels where the protocol only says how many (RTP, MPEG-TS). 312 is libopus' own delay."""
    config = struct.pack(">BBHIhB", 0, channels, pre_skip, OPUS_RATE_HZ, 0, 0)
    return Track("opus", config, sample_rate_hz=OPUS_RATE_HZ, channels=channels)


def opus_head(track: Track) -> bytes:
    """The OpusHead of a track, for FLV."""
    config = track.config
    if len(config) < 11:
        raise Malformed("not a dOps")
    channels, skip, rate_hz, gain, family = struct.unpack_from(">BHIhB", config, 1)
    return b"OpusHead" + struct.pack("<BBHIhB", 1, channels, skip, rate_hz, gain, family) + config[11:]


# Samples of 48 kHz per frame, by the configuration number in the first byte of a packet (RFC 6716, 3.1).
_OPUS_FRAMES = (*(480, 960, 1920, 2880) * 3, *(480, 960) * 2, *(120, 240, 480, 960) * 4)


def opus_packet_samples(packet: bytes) -> int:
    """How long a packet plays, in samples of 48 kHz."""
    if not packet:
        raise Malformed("an empty Opus packet")
    code = packet[0] & 3
    frames = 1 if code == 0 else 2 if code < 3 else packet[1] & 63 if len(packet) > 1 else 0
    samples = frames * _OPUS_FRAMES[packet[0] >> 3]
    if not 0 < samples <= 5760:  # 120 ms, the longest that there is
        raise Malformed("an Opus packet of a strange length")
    return samples
