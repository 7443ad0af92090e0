"""Boxes of the copy rendition: its init segment, its fragments, and what must be known of a sample description.

Invariants: the sample description is the source's own, byte for byte but for the data reference; a fragment is
styp + moof + mdat with a 64-bit decode time and signed composition offsets (CMAF, ISO/IEC 23000-19).
"""

import dataclasses
import struct

import numpy as np

from fastpix_server.engine.boxes import STYP, BoxError, build, build_full, find
from fastpix_server.engine.mp4 import Samples, Track

_SYNC, _NOT_SYNC = 0x02000000, 0x01010000  # depends on nothing | depends on others, is no sync sample
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_VIDEO_ENTRY_BYTES, _SOUND_ENTRY_BYTES = 86, 36  # fixed part of a sample entry, its header included
_ENTRY_START = 16  # of the first sample entry within stsd
_AAC_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


@dataclasses.dataclass(frozen=True, slots=True)
class AvcConfig:
    profile: int
    nal_length_bytes: int
    codec: str  # RFC 6381


def avc_config(stsd: bytes) -> AvcConfig | None:
    """The avcC box of an avc1 sample description."""
    body = _inside_entry(stsd, _VIDEO_ENTRY_BYTES, b"avcC")
    if body is None or len(body) < 7 or not body[5] & 0x1F:  # parameter sets must be here, not in the samples
        return None
    return AvcConfig(body[1], (body[4] & 3) + 1, f"avc1.{body[1:4].hex()}")


def is_aac_lc(stsd: bytes, rate_hz: int, channels: int) -> bool:
    """Whether an mp4a description says AAC-LC of 1024-sample frames with this rate and these channels, and no SBR."""
    if struct.unpack_from(">H", stsd, _ENTRY_START + 16)[0] != 0:  # QuickTime's own layouts differ
        return False
    body = _inside_entry(stsd, _SOUND_ENTRY_BYTES, b"esds")
    config = _decoder_config(body[4:]) if body else None
    if config is None or len(config) < 2:
        return False
    bits = int.from_bytes(config[:2], "big")
    kind, rate, layout, tail = bits >> 11, bits >> 7 & 0xF, bits >> 3 & 0xF, bits & 7
    has_sbr = any(struct.unpack_from(">H", config, at)[0] >> 5 == 0x2B7 for at in range(2, len(config) - 1))
    is_announced = rate < len(_AAC_RATES_HZ) and _AAC_RATES_HZ[rate] == rate_hz and layout == channels
    return kind == 2 and is_announced and not tail & 4 and not (has_sbr and _sbr_is_on(config))


def _sbr_is_on(config: bytes) -> bool:
    """After the sync word 0x2B7 come 5 bits of type (5 is SBR) and the flag."""
    return len(config) >= 5 and config[3] & 0x1F == 5 and bool(config[4] & 0x80)


def _inside_entry(stsd: bytes, fixed_bytes: int, kind: bytes) -> bytes | None:
    """The content of a box inside the first sample entry. Stray bytes at its end are common in QuickTime files."""
    end = _ENTRY_START + struct.unpack_from(">I", stsd, _ENTRY_START)[0]
    try:
        box = find(stsd, (kind,), _ENTRY_START + fixed_bytes, min(end, len(stsd)))
    except BoxError:
        return None
    return stsd[box.body : box.end] if box else None


def _decoder_config(data: bytes) -> bytes | None:
    """AudioSpecificConfig: descriptor 5 inside 4 inside 3 (ISO/IEC 14496-1)."""
    for tag, header in ((3, 3), (4, 13), (5, 0)):
        if not data or data[0] != tag:
            return None
        length, at = 0, 1
        while at < min(5, len(data)):
            byte = data[at]
            length, at = length << 7 | byte & 0x7F, at + 1
            if not byte & 0x80:
                break
        data = data[at : at + length][header:]
    return data


def init_segment(track: Track, media_time: int) -> bytes:
    """ftyp + moov of one track. `media_time` ticks are skipped by an edit (composition delay, priming)."""
    is_video = track.kind == "vide"
    mvhd = build_full(
        b"mvhd",
        0,
        0,
        struct.pack(">4I", 0, 0, track.timescale, 0),
        struct.pack(">IH10x", 0x10000, 0x100),
        _MATRIX,
        bytes(24),
        struct.pack(">I", 2),
    )
    trex = build_full(b"trex", 0, 0, struct.pack(">5I", 1, 1, 0, 0, 0))
    trak = build(b"trak", _track_header(track, is_video), _edit(media_time), _media(track, is_video))
    brands = b"iso6" + struct.pack(">I", 0) + b"iso6cmfcmp41"
    return build(b"ftyp", brands) + build(b"moov", mvhd, trak, build(b"mvex", trex))


def _track_header(track: Track, is_video: bool) -> bytes:
    return build_full(
        b"tkhd",
        0,
        7,  # enabled, in movie, in preview
        struct.pack(">5I8x", 0, 0, 1, 0, 0),
        struct.pack(">4H", 0, 0, 0 if is_video else 0x100, 0),
        _MATRIX,
        struct.pack(">II", track.width << 16, track.height << 16),
    )


def _edit(media_time: int) -> bytes:
    if media_time == 0:
        return b""
    return build(b"edts", build_full(b"elst", 1, 0, struct.pack(">IQqI", 1, 0, media_time, 0x10000)))


def _media(track: Track, is_video: bool) -> bytes:
    language = sum((ord(c) - 0x60 & 0x1F) << shift for c, shift in zip(track.language, (10, 5, 0), strict=False))
    mdhd = build_full(b"mdhd", 0, 0, struct.pack(">4IHH", 0, 0, track.timescale, 0, language, 0))
    hdlr = build_full(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, track.kind.encode()), b"fastpix\0")
    header = build_full(b"vmhd", 0, 1, bytes(8)) if is_video else build_full(b"smhd", 0, 0, bytes(4))
    dinf = build(b"dinf", build_full(b"dref", 0, 0, struct.pack(">I", 1), build_full(b"url ", 0, 1)))
    stbl = build(
        b"stbl",
        _description(track.stsd),
        build_full(b"stts", 0, 0, bytes(4)),
        build_full(b"stsc", 0, 0, bytes(4)),
        build_full(b"stsz", 0, 0, bytes(8)),
        build_full(b"stco", 0, 0, bytes(4)),
    )
    return build(b"mdia", mdhd, hdlr, build(b"minf", header, dinf, stbl))


def _description(stsd: bytes) -> bytes:
    """The source's stsd, pointing at our only data reference."""
    own = bytearray(stsd)
    struct.pack_into(">H", own, _ENTRY_START + 14, 1)
    return bytes(own)


def fragment(
    samples: Samples, first: int, end: int, sequence: int, decode_time: int, data: bytes, *, every_is_sync: bool
) -> bytes:
    """Samples [first, end) in decode order with their bytes. Only the first picture is a sync sample for players:
    it alone was checked, and key frames of open groups would mislead them."""
    flags = np.full(end - first, _SYNC if every_is_sync else _NOT_SYNC, np.int64)
    flags[0] = _SYNC
    shift = samples.pts[first:end] - samples.dts[first:end]
    rows = np.stack([samples.duration[first:end], samples.size[first:end], flags, shift], 1)
    table = rows.astype(">i4").tobytes()

    def moof(data_offset: int) -> bytes:
        tfhd = build_full(b"tfhd", 0, 0x20000, struct.pack(">I", 1))
        tfdt = build_full(b"tfdt", 1, 0, struct.pack(">Q", decode_time))
        trun = build_full(b"trun", 1, 0xF01, struct.pack(">Ii", end - first, data_offset), table)
        mfhd = build_full(b"mfhd", 0, 0, struct.pack(">I", sequence))
        return build(b"moof", mfhd, build(b"traf", tfhd, tfdt, trun))

    return STYP + moof(len(moof(0)) + 8) + build(b"mdat", data)
