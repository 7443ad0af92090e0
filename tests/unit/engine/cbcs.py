"""Reads what the scheme cbcs wrote, from the standard's text alone (ISO/IEC 23001-7): no code of ours but the box walk.

Invariant: it shares nothing with the encryption under test, neither program nor library of boxes that writes.
"""

import dataclasses
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fastpix_server.engine import boxes


@dataclasses.dataclass(frozen=True)
class Tenc:
    crypt_blocks: int
    skip_blocks: int
    is_protected: int
    iv_size: int
    key_id: bytes
    constant_iv: bytes


def box(data: bytes, *path: bytes, start: int = 0) -> bytes | None:
    """The content of the box at `path`, without its header."""
    found = boxes.find(data, path, start)
    return None if found is None else data[found.body : found.end]


def sample_entry(init: bytes) -> tuple[bytes, bytes]:
    """(kind, child boxes) of the one sample entry."""
    stsd = box(init, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    assert stsd is not None
    size, kind = struct.unpack_from(">I4s", stsd, 8)
    assert struct.unpack_from(">I", stsd, 4)[0] == 1
    assert size + 8 == len(stsd)
    return kind, stsd[16 + (78 if kind in (b"avc1", b"encv") else 28) :]


def tenc(init: bytes) -> Tenc:
    _, children = sample_entry(init)
    found = box(children, b"sinf", b"schi", b"tenc")
    assert found is not None
    assert found[0] == 1  # version 1: it has a pattern
    return Tenc(found[5] >> 4, found[5] & 15, found[6], found[7], found[8:24], found[25 : 25 + found[24]])


def samples(segment: bytes) -> list[bytes]:
    """The data of every sample, as the one trun places it."""
    moof = next(b for b in boxes.walk(segment) if b.kind == b"moof")
    trun = boxes.find(segment, (b"traf", b"trun"), moof.body, moof.end)
    tfhd = boxes.find(segment, (b"traf", b"tfhd"), moof.body, moof.end)
    assert trun is not None
    assert tfhd is not None
    flags, count = struct.unpack_from(">II", segment, trun.body)
    at = trun.body + 8
    assert flags & 1
    place = moof.start + struct.unpack_from(">i", segment, at)[0]
    at += 8 if flags & 4 else 4
    fields = [f for f in (0x100, 0x200, 0x400, 0x800) if flags & f]
    assert 0x200 in fields
    out = []
    for _ in range(count):
        size = struct.unpack_from(">I", segment, at + 4 * fields.index(0x200))[0]
        at += 4 * len(fields)
        out.append(segment[place : place + size])
        place += size
    return out


def subsamples(segment: bytes, count: int) -> list[list[tuple[int, int]]]:
    """(clear bytes, protected bytes) of every sample, from senc; saiz and saio have to say the same."""
    moof = next(b for b in boxes.walk(segment) if b.kind == b"moof")
    senc = boxes.find(segment, (b"traf", b"senc"), moof.body, moof.end)
    assert senc is not None
    flags, listed = struct.unpack_from(">II", segment, senc.body)
    assert listed == count
    if not flags & 2:
        return [[] for _ in range(count)]
    at, out = senc.body + 8, []
    for _ in range(count):
        pairs = struct.unpack_from(">H", segment, at)[0]
        out.append([struct.unpack_from(">HI", segment, at + 2 + 6 * i) for i in range(pairs)])
        at += 2 + 6 * pairs
    assert at == senc.end
    saiz = boxes.find(segment, (b"traf", b"saiz"), moof.body, moof.end)
    saio = boxes.find(segment, (b"traf", b"saio"), moof.body, moof.end)
    assert saiz is not None
    assert saio is not None
    default, sized = struct.unpack_from(">BI", segment, saiz.body + 4)
    sizes = [default] * sized if default else list(segment[saiz.body + 9 : saiz.body + 9 + sized])
    assert sizes == [2 + 6 * len(pairs) for pairs in out]
    assert struct.unpack_from(">II", segment, saio.body + 4) == (1, senc.body + 8 - moof.start)
    return out


def decrypted(sample: bytes, pairs: list[tuple[int, int]], found: Tenc, key: bytes) -> bytes:
    """Without pairs the whole sample is one protected range."""
    out, at = bytearray(), 0
    for clear, protected in pairs or [(0, len(sample))]:
        out += sample[at : at + clear]
        out += _range(sample[at + clear : at + clear + protected], found, key)
        at += clear + protected
    assert at == len(sample)
    return bytes(out)


def _range(data: bytes, found: Tenc, key: bytes) -> bytes:
    """CBC from the constant IV, chained over the encrypted blocks of the range; its last partial block is clear."""
    cipher = Cipher(algorithms.AES(key), modes.CBC(found.constant_iv)).decryptor()
    out, at = bytearray(), 0
    crypt = 16 * found.crypt_blocks or len(data)
    while at < len(data):
        whole = min(crypt, len(data) - at) // 16 * 16
        if found.crypt_blocks and whole < crypt:
            break
        out += cipher.update(data[at : at + whole])
        skip = 16 * found.skip_blocks
        out += data[at + whole : at + whole + skip]
        at += whole + skip
        if not whole:
            break
    return bytes(out + data[len(out) :])
