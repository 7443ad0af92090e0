"""ISO BMFF boxes: walk and find them in bytes, build them, and patch the few fields that our fragments need.

Invariants: nothing is read outside the given range, a box never reaches past its parent, and a walk ends after a
bounded number of boxes. Broken structure raises `BoxError`; the caller knows whose bytes they were and says so.
Source of the rules: ISO/IEC 14496-12 (sections 4.2, 8.8) and 23000-19 (CMAF).
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

Bytes = bytes | bytearray | memoryview

# A moov has tens of children, a fragment fewer. More than this is an attack on our time.
MAX_BOXES_PER_WALK = 4096
# A fragment of ours has at most a few thousand samples; the field itself allows four thousand million.
MAX_SAMPLES_PER_FRAGMENT = 1_000_000

STYP = struct.pack(">I4s4sI4s4s", 24, b"styp", b"msdh", 0, b"msdh", b"cmfc")

_HEADER = struct.Struct(">I4s")
_TFHD_BASE_DATA_OFFSET, _TFHD_DESCRIPTION, _TFHD_DURATION, _TFHD_SIZE = 0x1, 0x2, 0x8, 0x10
_TRUN_DATA_OFFSET, _TRUN_FIRST_FLAGS = 0x1, 0x4
_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_COMPOSITION = 0x100, 0x200, 0x400, 0x800


class BoxError(ValueError):
    """The bytes are not the boxes that they claim to be."""


class Box(NamedTuple):
    """A box inside some buffer: `start` is its first header byte, `body` its first content byte."""

    kind: bytes
    start: int
    body: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


class FragmentTotals(NamedTuple):
    """Sums over every sample of a one-track moof."""

    samples: int
    duration_ticks: int
    data_size_bytes: int  # 0 when the fragment leaves sizes to defaults that it does not carry


def walk(data: Bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Boxes of one level, in order. Raises BoxError when one is malformed or reaches past `end`."""
    stop = len(data) if end is None else min(end, len(data))
    at = start
    for _ in range(MAX_BOXES_PER_WALK):
        if at >= stop:
            return
        box = _read(data, at, stop)
        yield box
        at = box.end
    raise BoxError(f"more than {MAX_BOXES_PER_WALK} boxes side by side")


def _read(data: Bytes, at: int, stop: int) -> Box:
    if at + 8 > stop:
        raise BoxError("a box header is cut off")
    size, kind = _HEADER.unpack_from(data, at)
    header = 8
    if size == 1:
        if at + 16 > stop:
            raise BoxError("a large box header is cut off")
        size, header = struct.unpack_from(">Q", data, at + 8)[0], 16
    elif size == 0:  # "to the end of what holds me"
        size = stop - at
    if size < header or at + size > stop:
        raise BoxError(f"box {kind!r} of {size} bytes does not fit its parent")
    return Box(kind, at, at + header, at + size)


def find(data: Bytes, path: Sequence[bytes], start: int = 0, end: int | None = None) -> Box | None:
    """The first box at `path` (`[b"moov", b"trak"]`) below the range, or None."""
    for box in walk(data, start, end):
        if box.kind == path[0]:
            return box if len(path) == 1 else find(data, path[1:], box.body, box.end)
    return None


def build(kind: bytes, *parts: bytes) -> bytes:
    size = 8 + sum(map(len, parts))
    if size > 0xFFFFFFFF:
        raise BoxError(f"box {kind!r} would need a 64-bit size")
    return b"".join((_HEADER.pack(size, kind), *parts))


def build_full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return build(kind, struct.pack(">I", version << 24 | flags), *parts)


def patch_fragment(moof: bytes | bytearray, *, sequence: int, decode_time: int) -> bytes:
    """The same one-track moof with its sequence number and its decode time replaced.

    The tfdt must be of version 1 (64 bits), as ffmpeg and copyrung write it: a wider one would move the data.
    """
    patched = bytearray(moof)
    mfhd = find(patched, (b"moof", b"mfhd"))
    tfdt = find(patched, (b"moof", b"traf", b"tfdt"))
    if mfhd is None or mfhd.size < 16 or tfdt is None or tfdt.size < 20 or patched[tfdt.body] != 1:
        raise BoxError("a fragment lacks mfhd or a 64-bit tfdt")
    struct.pack_into(">I", patched, mfhd.body + 4, sequence)
    struct.pack_into(">Q", patched, tfdt.body + 4, decode_time)
    return bytes(patched)


def decode_time(moof: Bytes) -> int:
    """The tfdt of a one-track moof."""
    tfdt = find(moof, (b"moof", b"traf", b"tfdt"))
    if tfdt is None or tfdt.size < 16 or tfdt.size < (20 if moof[tfdt.body] == 1 else 16):
        raise BoxError("a fragment has no tfdt")
    form = ">Q" if moof[tfdt.body] == 1 else ">I"
    return int(struct.unpack_from(form, moof, tfdt.body + 4)[0])


def fragment_totals(moof: Bytes, *, default_duration: int = 0, default_size: int = 0) -> FragmentTotals:
    """Counts what the single traf of a moof holds. The defaults are those of the init segment's trex."""
    traf = find(moof, (b"moof", b"traf"))
    if traf is None:
        raise BoxError("a fragment has no traf")
    samples = duration = size = 0
    try:
        for box in walk(moof, traf.body, traf.end):
            if box.kind == b"tfhd":
                default_duration, default_size = _header_defaults(moof, box, default_duration, default_size)
            elif box.kind == b"trun":
                run = _run_totals(moof, box, default_duration, default_size)
                samples, duration, size = samples + run[0], duration + run[1], size + run[2]
    except struct.error as short:
        raise BoxError("a fragment header is cut off") from short
    return FragmentTotals(samples, duration, size)


def _header_defaults(moof: Bytes, tfhd: Box, duration: int, size: int) -> tuple[int, int]:
    flags = struct.unpack_from(">I", moof, tfhd.body)[0] & 0xFFFFFF
    at = tfhd.body + 8 + (8 if flags & _TFHD_BASE_DATA_OFFSET else 0) + (4 if flags & _TFHD_DESCRIPTION else 0)
    if flags & _TFHD_DURATION:
        duration = struct.unpack_from(">I", moof, at)[0]
        at += 4
    if flags & _TFHD_SIZE:
        size = struct.unpack_from(">I", moof, at)[0]
    return duration, size


def _run_totals(moof: Bytes, trun: Box, default_duration: int, default_size: int) -> tuple[int, int, int]:
    flags: int
    count: int
    flags, count = struct.unpack_from(">II", moof, trun.body)
    at = trun.body + 8 + (4 if flags & _TRUN_DATA_OFFSET else 0) + (4 if flags & _TRUN_FIRST_FLAGS else 0)
    fields = [f for f in (_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_COMPOSITION) if flags & f]
    if count > MAX_SAMPLES_PER_FRAGMENT or at + 4 * len(fields) * count > trun.end:
        raise BoxError(f"a trun of {count} samples does not fit its box")
    words: tuple[int, ...] = struct.unpack_from(f">{len(fields) * count}I", moof, at)

    def total(field: int, default: int) -> int:
        if field not in fields:
            return default * count
        return sum(words[fields.index(field) :: len(fields)])

    return count, total(_TRUN_DURATION, default_duration), total(_TRUN_SIZE, default_size)


def lowest_composition(moof: Bytes) -> int:
    """The most negative composition offset of a one-track moof in ticks; 0 when none is negative."""
    lowest = 0
    for box in _boxes_of_track(moof):
        if box.kind == b"trun" and (offsets := _Run.read(moof, box).compositions()):
            lowest = min(lowest, *offsets)
    return lowest


def raise_compositions(moof: Bytes, ticks: int) -> bytes:
    """The same one-track moof with every composition offset that much greater, those of 0 which are not written too.

    The data has to follow at the same distance, as in fragments whose base is the moof.
    """
    runs = {box.start: _Run.read(moof, box) for box in _boxes_of_track(moof) if box.kind == b"trun"}
    growth = sum(run.growth for run in runs.values())
    moof_box = next(walk(moof))
    pieces: list[bytes] = []
    for box in walk(moof, moof_box.body, moof_box.end):
        if box.kind != b"traf":
            pieces.append(bytes(moof[box.start : box.end]))
            continue
        inner = [
            runs[one.start].raised(ticks, growth) if one.kind == b"trun" else bytes(moof[one.start : one.end])
            for one in walk(moof, box.body, box.end)
        ]
        pieces.append(build(b"traf", *inner))
    return build(b"moof", *pieces)


def _boxes_of_track(moof: Bytes) -> list[Box]:
    traf = find(moof, (b"moof", b"traf"))
    if traf is None:
        raise BoxError("a fragment has no traf")
    return list(walk(moof, traf.body, traf.end))


class _Run(NamedTuple):
    """A trun taken apart: `words` are its table, `width` columns a sample."""

    flags: int
    samples: int
    data_offset: int
    first_flags: bytes
    width: int
    words: tuple[int, ...]

    @classmethod
    def read(cls, moof: Bytes, box: Box) -> "_Run":
        try:
            flags, count = struct.unpack_from(">II", moof, box.body)
            at, data_offset, first_flags = box.body + 8, 0, b""
            if flags & _TRUN_DATA_OFFSET:
                data_offset = struct.unpack_from(">i", moof, at)[0]
                at += 4
            if flags & _TRUN_FIRST_FLAGS:
                first_flags = bytes(moof[at : at + 4])
                at += 4
            width = sum(bool(flags & f) for f in (_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_COMPOSITION))
            if count > MAX_SAMPLES_PER_FRAGMENT or at + 4 * width * count > box.end:
                raise BoxError(f"a trun of {count} samples does not fit its box")
            words = struct.unpack_from(f">{width * count}i", moof, at)
        except struct.error as short:
            raise BoxError("a fragment header is cut off") from short
        return cls(flags, count, data_offset, first_flags, width, words)

    @property
    def growth(self) -> int:
        return 0 if self.flags & _TRUN_COMPOSITION else 4 * self.samples

    def compositions(self) -> tuple[int, ...]:
        """Those that are written: the last column. Version 0 has no negative ones."""
        if not self.flags & _TRUN_COMPOSITION:
            return ()
        return self.words[self.width - 1 :: self.width] if self.flags >> 24 else ()

    def raised(self, ticks: int, growth: int) -> bytes:
        kept = self.width - bool(self.flags & _TRUN_COMPOSITION)
        rows: list[int] = []
        for k in range(self.samples):
            row = self.words[k * self.width : (k + 1) * self.width]
            rows += (*row[:kept], (row[kept] if kept < self.width else 0) + ticks)
        offset = struct.pack(">i", self.data_offset + growth) if self.flags & _TRUN_DATA_OFFSET else b""
        flags = self.flags & 0xFFFFFF | _TRUN_COMPOSITION
        try:
            table = struct.pack(f">{len(rows)}i", *rows)
        except struct.error as large:
            raise BoxError("a composition offset does not fit its field") from large
        return build_full(b"trun", 1, flags, struct.pack(">I", self.samples), offset, self.first_flags, table)
