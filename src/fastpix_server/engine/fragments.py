"""Fragments as they leave a pipe: read whole, checked against the plan, moved to their place on the timeline.

Invariants: nothing is believed that was not counted (frames, duration, size), a fragment is bounded in memory, and a
finished segment is `styp` + one `moof` + one `mdat` (CMAF, ISO/IEC 23000-19).
"""

import asyncio
import dataclasses
import struct
from collections.abc import AsyncIterator, Sequence

from fastpix_server.engine import boxes
from fastpix_server.engine.boxes import BoxError
from fastpix_server.engine.plan import AAC_FRAME_SAMPLES

# One segment of one rung. 50 Mb/s for 10 s is 63 MB; more than this is a runaway encoder.
MAX_BOX_BYTES = 128 << 20
ADTS_HEADER_BYTES = 7
ADTS_MAX_FRAME_BYTES = 8191  # 13 bits of length

_HEADER = struct.Struct(">I4s")
# Defaults of an audio fragment: base is the moof; duration 1024; a sync sample that depends on nothing.
_TFHD_FLAGS = 0x020000 | 0x8 | 0x20
_SYNC_SAMPLE = 0x02000000
_TRUN_FLAGS = 0x1 | 0x200  # data offset; a size per sample
_MFHD_BYTES, _TFHD_BYTES, _TFDT_BYTES, _TRUN_BYTES, _BOX_BYTES = 16, 24, 20, 20, 8


class FragmentError(ValueError):
    """What came out of the encoder is not what the plan says."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fragment:
    moof: bytes
    mdat: bytes  # with its header


async def read_boxes(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
    """(kind, whole box) in order until the end. A box that is cut off ends the stream: its process has failed."""
    while True:
        try:
            header = await reader.readexactly(_HEADER.size)
            size, kind = _HEADER.unpack(header)
            if not _HEADER.size <= size <= MAX_BOX_BYTES:
                raise FragmentError(f"a box {kind!r} of {size} bytes")
            yield kind, header + await reader.readexactly(size - _HEADER.size)
        except asyncio.IncompleteReadError:
            return


async def read_fragments(reader: asyncio.StreamReader) -> AsyncIterator[Fragment]:
    """Every moof with its mdat; init boxes and the random access table at the end are passed over."""
    moof = b""
    async for kind, box in read_boxes(reader):
        if kind == b"moof":
            moof = box
        elif kind == b"mdat" and moof:
            yield Fragment(moof, box)
            moof = b""


async def read_init(reader: asyncio.StreamReader) -> bytes:
    """ftyp and moov, and the rest of the stream dropped. Empty when there was none."""
    parts = [box async for kind, box in read_boxes(reader) if kind in (b"ftyp", b"moov")]
    return b"".join(parts)


def fragment_of(segment: bytes) -> Fragment:
    """The moof and mdat of a finished segment. Raises FragmentError."""
    try:
        parts = {box.kind: segment[box.start : box.end] for box in boxes.walk(segment)}
        return Fragment(parts[b"moof"], parts[b"mdat"])
    except (BoxError, KeyError) as broken:
        raise FragmentError("a stored segment is no fragment") from broken


def video_segment(fragment: Fragment, *, index: int, frames: int, frame_ticks: int, decode_time: int) -> bytes:
    """The finished segment. Raises FragmentError when it has not exactly `frames` frames of `frame_ticks` each."""
    try:
        totals = boxes.fragment_totals(fragment.moof)
        if totals.samples != frames or totals.duration_ticks != frames * frame_ticks:
            raise FragmentError(
                f"segment {index}: {totals.samples} frames and {totals.duration_ticks} ticks, planned {frames} frames "
                f"and {frames * frame_ticks} ticks"
            )
        moof = boxes.patch_fragment(fragment.moof, sequence=index + 1, decode_time=decode_time)
    except BoxError as broken:
        raise FragmentError(f"segment {index}: {broken}") from broken
    return boxes.STYP + moof + fragment.mdat


def audio_segment(frames: Sequence[bytes], *, index: int, decode_time: int) -> bytes:
    """AAC frames as one fragment. `decode_time` counts samples."""
    sizes = [len(f) for f in frames]
    trun_bytes = _TRUN_BYTES + 4 * len(sizes)
    moof_bytes = _BOX_BYTES + _MFHD_BYTES + _BOX_BYTES + _TFHD_BYTES + _TFDT_BYTES + trun_bytes
    data_offset = moof_bytes + _BOX_BYTES
    moof = boxes.build(
        b"moof",
        boxes.build_full(b"mfhd", 0, 0, struct.pack(">I", index + 1)),
        boxes.build(
            b"traf",
            boxes.build_full(b"tfhd", 0, _TFHD_FLAGS, struct.pack(">III", 1, AAC_FRAME_SAMPLES, _SYNC_SAMPLE)),
            boxes.build_full(b"tfdt", 1, 0, struct.pack(">Q", decode_time)),
            boxes.build_full(
                b"trun", 0, _TRUN_FLAGS, struct.pack(f">II{len(sizes)}I", len(sizes), data_offset, *sizes)
            ),
        ),
    )
    return boxes.STYP + moof + boxes.build(b"mdat", *frames)


async def read_adts(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """AAC frames without their ADTS headers, until the end."""
    while True:
        try:
            header = await reader.readexactly(ADTS_HEADER_BYTES)
            yield await reader.readexactly(adts_payload_bytes(header))
        except asyncio.IncompleteReadError:
            return


def adts_payload_bytes(header: bytes) -> int:
    """Size of the frame behind a 7-byte ADTS header (ISO/IEC 13818-7, 6.2; ffmpeg writes no checksum)."""
    if len(header) != ADTS_HEADER_BYTES or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        raise FragmentError("not an ADTS frame")
    if not header[1] & 1:
        raise FragmentError("an ADTS frame with a checksum")
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if size < ADTS_HEADER_BYTES:
        raise FragmentError("an ADTS frame shorter than its header")
    return size - ADTS_HEADER_BYTES
