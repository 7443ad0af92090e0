"""What a decoder configuration says: the name for playlists, the rate of the sound, and how silence is written.

Invariants: a configuration that is cut off or makes no sense raises `BadTrack`, and only that; the caller leaves the
track out. Sources: RFC 6381 and the codecs' own bindings (ISO/IEC 14496-15 annex E, AV1-ISOBMFF 5), ISO/IEC 14496-3.
"""

import dataclasses

from fastpix_server.ingest.model import CLOCK_HZ, Track

MAX_CONFIG_BYTES = 64 * 1024  # parameter sets have a few hundred bytes; an init segment is sent to every viewer
OPUS_RATE_HZ = 48_000  # of its timeline, whatever was sampled (RFC 7845)
OPUS_FRAME_SAMPLES = 960  # 20 ms, what every WebRTC sender and ffmpeg choose
AAC_FRAME_SAMPLES = 1024
# An Opus packet of 20 ms without any coded sound (RFC 6716, 3.1: CELT, full band, one frame).
_OPUS_SILENCE = b"\xf8\xff\xfe"

_AAC_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_AAC_LC, _SBR, _PS = 2, 5, 29
_SCE, _CPE, _LFE, _END = 0, 1, 3, 7
# Elements of each channel configuration, ISO/IEC 14496-3 table 1.19.
_ELEMENTS: dict[int, tuple[int, ...]] = {
    1: (_SCE,),
    2: (_CPE,),
    3: (_SCE, _CPE),
    4: (_SCE, _CPE, _SCE),
    5: (_SCE, _CPE, _CPE),
    6: (_SCE, _CPE, _CPE, _LFE),
    7: (_SCE, _CPE, _CPE, _CPE, _LFE),
}


class BadTrack(ValueError):
    """The publisher's configuration of a track cannot be used."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sound:
    """The exact grid of a sound track: frames of `frame_samples` at `rate_hz`, and a frame that is silent.

    `silence` is empty when we cannot write any (more than 7.1 channels): then gaps stay gaps.
    """

    rate_hz: int
    channels: int
    frame_samples: int
    silence: bytes


def timescale_of(track: Track) -> int:
    """Ticks per second of the track's media: the clock of ingest for pictures, whole samples for sound."""
    return sound_of(track).rate_hz if track.kind == "audio" else CLOCK_HZ


def rfc6381(track: Track) -> str:
    """The name for CODECS. Raises BadTrack."""
    config = track.config
    if len(config) > MAX_CONFIG_BYTES:
        raise BadTrack("a configuration too large")
    try:
        if track.codec == "h264":
            return f"avc1.{_at_least(config, 7)[1:4].hex()}"
        if track.codec == "hevc":
            return _hevc(_at_least(config, 23))
        if track.codec == "av1":
            return _av1(_at_least(config, 4))
        if track.codec == "aac":
            return f"mp4a.40.{_AscReader(config).kind()}"
        return "opus"
    except IndexError as short:
        raise BadTrack("a configuration that is cut off") from short


def _at_least(config: bytes, size: int) -> bytes:
    if len(config) < size:
        raise BadTrack("a configuration that is cut off")
    return config


def _hevc(config: bytes) -> str:
    space = ("", "A", "B", "C")[config[1] >> 6]
    tier = "H" if config[1] & 0x20 else "L"
    compatibility = int(f"{int.from_bytes(config[2:6], 'big'):032b}"[::-1], 2)
    constraints = "".join(f".{byte:X}" for byte in config[6:12].rstrip(b"\0"))
    return f"hvc1.{space}{config[1] & 0x1F}.{compatibility:X}.{tier}{config[12]}{constraints}"


def _av1(config: bytes) -> str:
    profile, level, flags = config[1] >> 5, config[1] & 0x1F, config[2]
    bits = (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    return f"av01.{profile}.{level:02d}{'H' if flags & 0x80 else 'M'}.{bits:02d}"


def sound_of(track: Track) -> Sound:
    """The grid of a sound track, from its configuration alone. Raises BadTrack."""
    if track.codec == "opus":
        channels = track.channels or (track.config[1] if len(track.config) > 1 else 2)
        return Sound(OPUS_RATE_HZ, channels, OPUS_FRAME_SAMPLES, _OPUS_SILENCE)
    return _AscReader(track.config).sound()


class _AscReader:
    """AudioSpecificConfig, ISO/IEC 14496-3 1.6.2.1."""

    def __init__(self, config: bytes) -> None:
        if not 2 <= len(config) <= MAX_CONFIG_BYTES:
            raise BadTrack("an AudioSpecificConfig of impossible size")
        self._left = len(config[:32]) * 8  # everything we look at lies in the first bytes
        self._bits = int.from_bytes(config[:32], "big")

    def _take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise BadTrack("an AudioSpecificConfig that is cut off")
        return self._bits >> self._left & (1 << count) - 1

    def _object(self) -> int:
        kind = self._take(5)
        return 32 + self._take(6) if kind == 31 else kind

    def _rate(self) -> int:
        index = self._take(4)
        if index == 15:
            return self._take(24)
        if index >= len(_AAC_RATES_HZ):
            raise BadTrack("a sampling rate that does not exist")
        return _AAC_RATES_HZ[index]

    def kind(self) -> int:
        return self._object()

    def sound(self) -> Sound:
        """The core's rate counts: a frame of 1024 core samples lasts as long with SBR as without."""
        kind, rate_hz, layout = self._object(), self._rate(), self._take(4)
        if kind in (_SBR, _PS):
            self._rate()
            kind = self._object()
        if kind != _AAC_LC:
            raise BadTrack(f"AAC of object type {kind}")
        if not 7350 <= rate_hz <= 96_000:
            raise BadTrack(f"AAC at {rate_hz} Hz")
        frame_samples = 960 if self._take(1) else AAC_FRAME_SAMPLES
        channels = {7: 8}.get(layout, layout) or 2  # 0: the layout is described in-band; stereo in practice
        return Sound(rate_hz, channels, frame_samples, silent_aac(layout))


def silent_aac(layout: int) -> bytes:
    """A raw_data_block (ISO/IEC 14496-3, 4.4.2) of the given channel configuration whose spectrum is empty."""
    bits = ""
    tags = dict.fromkeys((_SCE, _CPE, _LFE), 0)
    for element in _ELEMENTS.get(layout, ()):
        bits += f"{element:03b}{tags[element]:04b}"
        tags[element] += 1
        gain, info, tools = "0" * 8, "0" * 11, "000"  # long window, no scale factor bands | no pulse, TNS, gain control
        bits += f"1{info}00" + (gain + tools) * 2 if element == _CPE else gain + info + tools
    if not bits:
        return b""
    bits += f"{_END:03b}"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
