"""Init segments and parts as bytes: one track each, CMAF (ISO/IEC 23000-19), written without any copy of the media.

Invariants: a part is one moof with one traf and one mdat; its decode time has 64 bits and its composition offsets are
signed, so the first picture of a segment is shown at the segment's decode time although B-frames follow it.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from fastpix_server.engine.boxes import build, build_full
from fastpix_server.ingest.model import Track
from fastpix_server.live.packager.codecs import sound_of, timescale_of

TRACK_ID = 1
SYNC, NOT_SYNC = 0x02000000, 0x01010000  # depends on nothing | depends on others, is no sync sample

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_BASE_IS_MOOF, _HAS_DURATION, _HAS_FLAGS = 0x020000, 0x8, 0x20
_DATA_OFFSET, _DURATION, _SIZE, _FLAGS, _COMPOSITION = 0x1, 0x100, 0x200, 0x400, 0x800
_FTYP = build(b"ftyp", b"iso6" + struct.pack(">I", 0) + b"iso6cmfccmf2mp41")
_LANGUAGE_UND = 0x55C4


class MediaSample(NamedTuple):
    """A sample on a rendition's own timeline. `cts` may be negative."""

    duration: int
    cts: int
    is_key: bool
    data: bytes


def part(sequence: int, decode_time: int, samples: Sequence[MediaSample]) -> bytes:
    """moof + mdat. What is the same for every sample is written once."""
    durations = {s.duration for s in samples}
    keys = {s.is_key for s in samples}
    head_flags, defaults = _BASE_IS_MOOF, b""
    run_flags = _DATA_OFFSET | _SIZE
    columns: list[list[int]] = []
    if len(durations) == 1:
        head_flags |= _HAS_DURATION
        defaults += struct.pack(">I", samples[0].duration)
    else:
        run_flags |= _DURATION
        columns.append([s.duration for s in samples])
    columns.append([len(s.data) for s in samples])
    if len(keys) == 1:
        head_flags |= _HAS_FLAGS
        defaults += struct.pack(">I", SYNC if samples[0].is_key else NOT_SYNC)
    else:
        run_flags |= _FLAGS
        columns.append([SYNC if s.is_key else NOT_SYNC for s in samples])
    if any(s.cts for s in samples):
        run_flags |= _COMPOSITION
        columns.append([s.cts & 0xFFFFFFFF for s in samples])
    rows = [value for row in zip(*columns, strict=True) for value in row]
    table = struct.pack(f">{len(rows)}I", *rows)
    mfhd = build_full(b"mfhd", 0, 0, struct.pack(">I", sequence & 0xFFFFFFFF))
    tfhd = build_full(b"tfhd", 0, head_flags, struct.pack(">I", TRACK_ID), defaults)
    tfdt = build_full(b"tfdt", 1, 0, struct.pack(">Q", decode_time))
    trun_bytes = 20 + len(table)
    moof_bytes = 8 + len(mfhd) + 8 + len(tfhd) + len(tfdt) + trun_bytes
    trun = build_full(b"trun", 1, run_flags, struct.pack(">Ii", len(samples), moof_bytes + 8), table)
    moof = build(b"moof", mfhd, build(b"traf", tfhd, tfdt, trun))
    return moof + build(b"mdat", *(s.data for s in samples))


def init_segment(track: Track) -> bytes:
    """ftyp + moov. Raises BadTrack when the configuration cannot be used."""
    timescale = timescale_of(track)
    mvhd = build_full(
        b"mvhd",
        0,
        0,
        struct.pack(">4I", 0, 0, timescale, 0),
        struct.pack(">IH10x", 0x10000, 0x100),
        _MATRIX,
        bytes(24),
        struct.pack(">I", TRACK_ID + 1),
    )
    trex = build_full(b"trex", 0, 0, struct.pack(">5I", TRACK_ID, 1, 0, 0, 0))
    trak = build(b"trak", _track_header(track), _media(track, timescale))
    return _FTYP + build(b"moov", mvhd, trak, build(b"mvex", trex))


def _track_header(track: Track) -> bytes:
    return build_full(
        b"tkhd",
        0,
        7,  # enabled, in movie, in preview
        struct.pack(">5I8x", 0, 0, TRACK_ID, 0, 0),
        struct.pack(">4H", 0, 0, 0x100 if track.kind == "audio" else 0, 0),
        _MATRIX,
        struct.pack(">II", track.width << 16, track.height << 16),
    )


def _media(track: Track, timescale: int) -> bytes:
    is_sound = track.kind == "audio"
    mdhd = build_full(b"mdhd", 0, 0, struct.pack(">4I", 0, 0, timescale, 0), struct.pack(">HH", _LANGUAGE_UND, 0))
    hdlr = build_full(b"hdlr", 0, 0, bytes(4), b"soun" if is_sound else b"vide", bytes(12), b"live\0")
    header = build_full(b"smhd", 0, 0, bytes(4)) if is_sound else build_full(b"vmhd", 0, 1, bytes(8))
    dref = build_full(b"dref", 0, 0, struct.pack(">I", 1), build_full(b"url ", 0, 1))
    stbl = build(
        b"stbl",
        build_full(b"stsd", 0, 0, struct.pack(">I", 1), _sample_entry(track, timescale)),
        build_full(b"stts", 0, 0, bytes(4)),
        build_full(b"stsc", 0, 0, bytes(4)),
        build_full(b"stsz", 0, 0, bytes(8)),
        build_full(b"stco", 0, 0, bytes(4)),
    )
    return build(b"mdia", mdhd, hdlr, build(b"minf", header, build(b"dinf", dref), stbl))


def _sample_entry(track: Track, timescale: int) -> bytes:
    start = struct.pack(">6xH", 1)
    if track.kind == "audio":
        channels = min(sound_of(track).channels, 8)
        fixed = start + struct.pack(">8xHHHHI", channels, 16, 0, 0, timescale << 16 if timescale < 1 << 16 else 0)
        if track.codec == "opus":
            return build(b"Opus", fixed, build(b"dOps", track.config))
        return build(b"mp4a", fixed, build_full(b"esds", 0, 0, _decoder_description(track.config)))
    fixed = start + struct.pack(">16xHHIIIH32xHh", track.width, track.height, 0x480000, 0x480000, 0, 1, 24, -1)
    entry, record = {"h264": (b"avc1", b"avcC"), "hevc": (b"hvc1", b"hvcC"), "av1": (b"av01", b"av1C")}[track.codec]
    return build(entry, fixed, build(record, track.config))


def _decoder_description(config: bytes) -> bytes:
    """ES_Descriptor (ISO/IEC 14496-1, 7.2.6.5) around an AudioSpecificConfig."""
    specific = _descriptor(5, config)
    decoder = _descriptor(4, struct.pack(">BB3xII", 0x40, 0x15, 0, 0) + specific)
    return _descriptor(3, struct.pack(">HB", TRACK_ID, 0) + decoder + _descriptor(6, b"\2"))


def _descriptor(tag: int, body: bytes) -> bytes:
    size = len(body)
    return bytes((tag, size >> 21 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size & 0x7F)) + body
