"""Fragmented files whose composition offsets are negative, rewritten for readers that get those wrong.

CMAF has offsets signed, so that a segment's first picture is shown at its decode time. ffmpeg (9.0) shows the pictures
of such a file late by the most negative offset that it has met, against the sound: whatever is made from the file would
have the sound early, by 80 ms with the B-frames of x264's presets. Invariant: every sample keeps its decode time,
its presentation time and its bytes; afterwards no offset is negative, and an edit list says where time 0 is.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fastpix_server.engine import boxes
from fastpix_server.engine.boxes import BoxError

MAX_HEADER_BYTES = 64 << 20  # of one moof or moov; those of ours have some kB
_COPY_BYTES = 1 << 20


def without_negatives(path: Path, out: Path) -> bool:
    """Writes `out` from `path`, a file of one track; False, and nothing written, when no offset is negative.

    Raises BoxError for what is no fragmented file, and OSError.
    """
    with path.open("rb") as file:
        depth = max((-boxes.lowest_composition(data) for kind, data, _ in _top(file) if kind == b"moof"), default=0)
        if depth == 0:
            return False
        with out.open("wb") as target:
            for kind, data, rest_bytes in _top(file):
                if kind == b"moof":
                    data = boxes.raise_compositions(data, depth)
                elif kind == b"moov":
                    data = _with_edit(data, depth)
                target.write(data)
                _copy(file, target, rest_bytes)
    return True


def _top(file: BinaryIO) -> Iterator[tuple[bytes, bytes, int]]:
    """Top-level boxes: headers whole; of others what was read, and how many bytes follow. There may be any number of
    them: a recording of eight hours has some hundred thousand."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(16)
        if not head:
            return
        if len(head) < 8:
            raise BoxError("a box header is cut off")
        size, kind, wide = int.from_bytes(head[:4], "big"), head[4:8], int.from_bytes(head[8:16], "big")
        size = wide if size == 1 else size
        if size < 8:
            raise BoxError(f"box {kind!r} of {size} bytes does not fit its parent")
        if kind in (b"moof", b"moov"):
            if size > MAX_HEADER_BYTES:
                raise BoxError(f"box {kind!r} has {size} bytes")
            file.seek(at)
            data = file.read(size)
            if len(data) < size:
                raise BoxError(f"box {kind!r} is cut off")
            yield kind, data, 0
        else:
            data = head[: min(16, size)]
            yield kind, data, size - len(data)
        at += size


def _copy(file: BinaryIO, target: BinaryIO, size: int) -> None:
    """From where the last read ended; `_top` read at most 16 bytes of this box."""
    while size > 0:
        piece = file.read(min(size, _COPY_BYTES))
        if not piece:
            raise BoxError("a box is cut off")
        target.write(piece)
        size -= len(piece)


def _with_edit(moov: bytes, media_time: int) -> bytes:
    """The moov of one track whose media is shown from that time on, or that much later than its edit list says."""
    outer = next(boxes.walk(moov))
    pieces: list[bytes] = []
    for box in boxes.walk(moov, outer.body, outer.end):
        whole = moov[box.start : box.end]
        pieces.append(_edited_track(whole, media_time) if box.kind == b"trak" else whole)
    return boxes.build(b"moov", *pieces)


def _edited_track(trak: bytes, media_time: int) -> bytes:
    found = boxes.find(trak, (b"trak", b"edts", b"elst"))
    if found is not None:
        return trak[: found.body] + _later(trak[found.body : found.end], media_time) + trak[found.end :]
    # One edit, to the end, at the usual speed.
    edit = boxes.build(b"edts", boxes.build_full(b"elst", 1, 0, struct.pack(">IQqI", 1, 0, media_time, 0x10000)))
    outer = next(boxes.walk(trak))
    pieces: list[bytes] = []
    for box in boxes.walk(trak, outer.body, outer.end):
        whole = trak[box.start : box.end]
        pieces += (edit, whole) if box.kind == b"mdia" else (whole,)
    return boxes.build(b"trak", *pieces)


def _later(edits: bytes, ticks: int) -> bytes:
    """The content of an elst, each edit that shows media that many ticks later in it."""
    form = struct.Struct(">QqI" if edits[:1] == b"\x01" else ">IiI")
    count = int.from_bytes(edits[4:8], "big")
    if len(edits) != 8 + form.size * count:
        raise BoxError(f"an edit list of {count} edits does not fit its box")
    try:
        moved = (
            form.pack(length, time if time < 0 else time + ticks, rate)
            for length, time, rate in form.iter_unpack(edits[8:])
        )
        return edits[:8] + b"".join(moved)
    except struct.error as large:
        raise BoxError("an edit does not fit its field") from large
