"""Encryption of finished segments (ISO/IEC 23001-7, scheme `cbcs`): segments by Shaka Packager, headers by us.

Invariants: what comes back was counted against the clear segment (samples, durations, decode time), so that encrypted
and clear renditions share one timeline; the key is on no command line and in no file; a header is a function of the
clear header and the key, so one header fits every segment whenever it was made. docs/decisions/0018-cbcs.md.
"""

import asyncio
import base64
import contextlib
import dataclasses
import os
import struct
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from fastpix_server.base.errors import ServiceFault
from fastpix_server.engine import binaries, boxes
from fastpix_server.engine.boxes import Box, BoxError
from fastpix_server.engine.fragments import MAX_BOX_BYTES
from fastpix_server.engine.launch import FIRST_OUTPUT_FD
from fastpix_server.engine.run import run
from fastpix_server.engine.sandbox import MIB, Limits

KEY_BYTES = 16
IV_BYTES = 16
SCHEME = b"cbcs"
COMMON_SYSTEM = uuid.UUID("1077efec-c0b2-4d02-ace3-3c1e52e2fb4b")
WIDEVINE_SYSTEM = uuid.UUID("edef8ba9-79d6-4ace-a3c8-27dcd51d21ed")

# One encrypted block of 16 bytes, nine in the clear (the pattern of the scheme, 10.4.2); sound is encrypted whole.
_VIDEO_PATTERN, _AUDIO_PATTERN = 0x19, 0x00
_SCHEME_VERSION = 0x00010000
# Fixed fields before the child boxes of a sample entry (ISO/IEC 14496-12, 12.1.3 and 12.2.3).
_ENTRY_FIELDS = {b"vide": 78, b"soun": 28}
_PROTECTED_ENTRY = {b"vide": b"encv", b"soun": b"enca"}
# A new fragment has aux data per sample: a few hundred bytes in a thousand; the rest is a margin for its headers.
_GROWTH = 2
# One run takes 70 ms; a segment of the bound above takes under a second.
_LIMITS = Limits(cpu_s=30, wall_s=30.0, memory_bytes=2048 * MIB, file_bytes=MAX_BOX_BYTES * _GROWTH)
_ENDLESS_S = 100_000  # longer than any segment: one comes in, one goes out

Kind = Literal["video", "audio"]


@dataclasses.dataclass(frozen=True, slots=True)
class ContentKey:
    """`key_id` is a UUID; it and the IV are public."""

    key_id: str
    key: bytes = dataclasses.field(repr=False)
    iv: bytes

    @property
    def id_bytes(self) -> bytes:
        return uuid.UUID(self.key_id).bytes


async def protect_segment(init: bytes, segment: bytes, kind: Kind, key: ContentKey) -> bytes:
    """`segment` encrypted; `init` is its clear header. Raises ServiceFault."""
    with tempfile.TemporaryDirectory(prefix="fastpix-protect-") as name:
        folder = Path(name)
        await asyncio.to_thread((folder / "in.mp4").write_bytes, init + segment)
        with _key_pipe(key) as flags:
            finished = await run(command(folder, kind), limits=_LIMITS, max_output_bytes=MIB, inherited=[flags])
        out = folder / "0.m4s"
        if not finished.is_ok or not out.is_file():
            raise ServiceFault("protect_failed", "A segment could not be encrypted.")
        made = await asyncio.to_thread(out.read_bytes)
    try:
        return _checked(made, segment)
    except (BoxError, struct.error) as broken:
        raise ServiceFault("protect_failed", f"A segment was encrypted wrongly: {broken}.") from broken


def command(folder: Path, kind: Kind) -> list[str]:
    """Reads in.mp4 of the folder, writes 0.m4s and a header that nobody needs. The key comes by a pipe."""
    return [
        binaries.packager(),
        f"in={folder}/in.mp4,stream={kind},init_segment={folder}/init.mp4,segment_template={folder}/$Number$.m4s",
        "--enable_raw_key_encryption",
        f"--flagfile=/proc/self/fd/{FIRST_OUTPUT_FD}",
        f"--protection_scheme={SCHEME.decode()}",
        "--clear_lead=0",
        "--start_segment_number=0",
        f"--segment_duration={_ENDLESS_S}",
        "--segment_sap_aligned=false",
        "--fragment_sap_aligned=false",
        "--generate_sidx_in_media_segments=false",
        # Otherwise pictures of a segment that begins with reordered ones would move.
        "--mp4_reset_initial_composition_offset_to_zero=false",
    ]


@contextlib.contextmanager
def _key_pipe(key: ContentKey) -> Iterator[int]:
    """The reading end of a pipe that holds the flags. Not stdin: uvloop makes that a socket, which cannot be opened."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "w", encoding="ascii") as flags:  # 200 bytes: a pipe holds them without a reader
            flags.write(f"--keys=label=:key_id={key.id_bytes.hex()}:key={key.key.hex()}\n--iv={key.iv.hex()}\n")
        yield reading
    finally:
        os.close(reading)


def _checked(made: bytes, clear: bytes) -> bytes:
    """The encrypted segment with the sequence number of the clear one. Raises BoxError unless they correspond."""
    fragments = [box for box in boxes.walk(made) if box.kind == b"moof"]
    [before] = [box for box in boxes.walk(clear) if box.kind == b"moof"]
    if len(fragments) != 1:
        raise BoxError(f"{len(fragments)} fragments came out of one")
    moof, was = made[fragments[0].start : fragments[0].end], clear[before.start : before.end]
    now, then = boxes.fragment_totals(moof), boxes.fragment_totals(was)
    if (now.samples, now.duration_ticks) != (then.samples, then.duration_ticks):
        raise BoxError(f"{then.samples} samples became {now.samples}, or their durations changed")
    if boxes.decode_time(moof) != boxes.decode_time(was):
        raise BoxError("it moved on the timeline")
    numbered, number = _inside(made, b"moof", b"mfhd"), _inside(clear, b"moof", b"mfhd")
    patched = bytearray(made)
    patched[numbered.body + 4 : numbered.body + 8] = clear[number.body + 4 : number.body + 8]
    return bytes(patched)


def protected_init(init: bytes, key: ContentKey) -> bytes:
    """The header of encrypted segments from that of the clear ones. Raises ServiceFault for one that is not ours."""
    try:
        return _protected(init, key)
    except (BoxError, struct.error, KeyError) as broken:
        raise ServiceFault("protect_failed", f"A header could not be changed: {broken}.") from broken


def _protected(init: bytes, key: ContentKey) -> bytes:
    path = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    holders = [_inside(init, *path[: depth + 1]) for depth in range(len(path))]
    stsd = holders[-1]
    hdlr = _inside(init, b"moov", b"trak", b"mdia", b"hdlr")
    handler = init[hdlr.body + 8 : hdlr.body + 12]
    entries = list(boxes.walk(init, stsd.body + 8, stsd.end))
    if len(entries) != 1 or any(holder.body - holder.start != 8 for holder in (*holders, entries[0])):
        raise BoxError("a header of ours has one sample entry and sizes of 32 bits")
    entry = entries[0]
    if entry.size < 8 + _ENTRY_FIELDS[handler]:
        raise BoxError("a sample entry is cut off")
    pattern = _VIDEO_PATTERN if handler == b"vide" else _AUDIO_PATTERN
    sinf = boxes.build(
        b"sinf",
        boxes.build(b"frma", entry.kind),
        boxes.build_full(b"schm", 0, 0, SCHEME, struct.pack(">I", _SCHEME_VERSION)),
        boxes.build(b"schi", _tenc(pattern, key)),
    )
    systems = common_pssh(key.key_id) + widevine_pssh(key.key_id)
    changed = bytearray(init)
    for holder in holders:
        grown = holder.size + len(sinf) + (len(systems) if holder is holders[0] else 0)
        struct.pack_into(">I", changed, holder.start, grown)
    struct.pack_into(">I4s", changed, entry.start, entry.size + len(sinf), _PROTECTED_ENTRY[handler])
    moov = holders[0]
    return bytes(changed[: entry.end] + sinf + changed[entry.end : moov.end] + systems + changed[moov.end :])


def _tenc(pattern: int, key: ContentKey) -> bytes:
    """Version 1: protected, no IV per sample, one constant IV (ISO/IEC 23001-7, 8.2)."""
    return boxes.build_full(b"tenc", 1, 0, bytes((0, pattern, 1, 0)), key.id_bytes, bytes((len(key.iv),)), key.iv)


def common_pssh(key_id: str) -> bytes:
    """The box of the W3C common system (version 1): what ClearKey reads."""
    return boxes.build_full(
        b"pssh", 1, 0, COMMON_SYSTEM.bytes, struct.pack(">I", 1), uuid.UUID(key_id).bytes, struct.pack(">I", 0)
    )


def widevine_pssh(key_id: str) -> bytes:
    """Widevine's box: a protocol buffer with the key id (field 2) and the scheme as a number (field 9)."""
    data = bytes((2 << 3 | 2, KEY_BYTES)) + uuid.UUID(key_id).bytes + bytes((9 << 3,)) + _varint(SCHEME)
    return boxes.build_full(b"pssh", 0, 0, WIDEVINE_SYSTEM.bytes, struct.pack(">I", len(data)), data)


def base64_of(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _varint(four: bytes) -> bytes:
    number, out = int.from_bytes(four, "big"), bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def _inside(data: bytes, *path: bytes) -> Box:
    found = boxes.find(data, path)
    if found is None:
        raise BoxError(f"there is no {b'/'.join(path).decode()}")
    return found
