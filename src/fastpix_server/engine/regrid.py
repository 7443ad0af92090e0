"""Puts the sound of an MP4 that was copied from a coarse container back on the grid of its own packets.

Matroska, FLV and ASF stamp packets in whole milliseconds, so a copied AAC track has packets of 1008 and 1056 samples
where each holds 1024. Segments that are made apart would then disagree by up to half a millisecond, which one hears
at the joins. Invariants: only `stts` changes, in place (a shorter table, `free` in what is left); real gaps stay gaps.
"""

import os
from pathlib import Path

import numpy as np

from fastpix_server.engine import boxes
from fastpix_server.engine.boxes import Box, BoxError

MAX_MOOV_BYTES = 256 << 20  # 12 hours at 60 frames a second with four sounds is about 80 MB
MAX_TOP_BOXES = 64  # our own muxer writes four

_ENTRY_BYTES = 8
_STTS_HEADER_BYTES = 16


def put_sound_on_grid(path: Path, packet_samples: list[int]) -> None:
    """Rewrite the timing of sound track i so that packets begin at multiples of `packet_samples[i]`; 0 leaves it.

    Multiples count from the track's first packet. The track's timescale must be its sample rate, as ffmpeg writes it.
    """
    if not any(packet_samples):
        return
    with path.open("r+b") as file:
        at, size = _find_moov(file.fileno())
        moov = bytearray(os.pread(file.fileno(), size, at))
        sounds = [t for t in boxes.walk(moov, 8) if t.kind == b"trak" and _is_sound(moov, t)]
        for track, samples in zip(sounds, packet_samples, strict=False):
            if samples:
                _regrid(moov, track, samples)
        os.pwrite(file.fileno(), moov, at)


def _find_moov(descriptor: int) -> tuple[int, int]:
    at, end = 0, os.fstat(descriptor).st_size
    for _ in range(MAX_TOP_BOXES):
        header = os.pread(descriptor, 16, at)
        if len(header) < 8:
            break
        size = int.from_bytes(header[:4], "big")
        size = int.from_bytes(header[8:16], "big") if size == 1 else size or end - at
        if header[4:8] == b"moov":
            if size > MAX_MOOV_BYTES:
                raise BoxError(f"a moov of {size} bytes")
            return at, size
        if size < 8:
            break
        at += size
    raise BoxError("no moov")


def _is_sound(moov: bytearray, track: Box) -> bool:
    handler = boxes.find(moov, (b"mdia", b"hdlr"), track.body, track.end)
    return handler is not None and moov[handler.body + 8 : handler.body + 12] == b"soun"


def _regrid(moov: bytearray, track: Box, samples: int) -> None:
    stts = boxes.find(moov, (b"mdia", b"minf", b"stbl", b"stts"), track.body, track.end)
    if stts is None or stts.size < _STTS_HEADER_BYTES + _ENTRY_BYTES:
        return
    old = np.frombuffer(bytes(moov[stts.body + 8 : stts.end]), ">u4").reshape(-1, 2).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(np.repeat(old[:, 1], old[:, 0]))])
    snapped = np.diff((starts + samples // 2) // samples * samples)
    snapped[-1] = max(snapped[-1], samples)
    changes = np.flatnonzero(np.diff(snapped)) + 1
    firsts = np.concatenate([[0], changes])
    counts = np.diff(np.concatenate([firsts, [len(snapped)]]))
    new = np.stack([counts, snapped[firsts]], 1).astype(">u4")
    if len(new) > len(old):  # the packets are not of that size: leave what was measured
        return
    table = boxes.build_full(b"stts", 0, 0, len(new).to_bytes(4, "big"), new.tobytes())
    left = stts.size - len(table)
    moov[stts.start : stts.end] = table + (boxes.build(b"free", bytes(left - 8)) if left else b"")
