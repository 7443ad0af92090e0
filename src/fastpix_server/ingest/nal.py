"""NAL units: between the byte stream (Annex B) and the length-prefixed form, and the bytes inside one.

Invariant: samples of ours are length-prefixed with four bytes, whatever the publisher used (ITU-T H.264 Annex B,
ISO/IEC 14496-15). The number of units per picture is bounded: a picture of empty units would cost us a loop each.
"""

import re
from collections.abc import Iterator, Sequence

from fastpix_server.ingest.bits import Malformed

MAX_UNITS_PER_SAMPLE = 1024  # a picture of 2160p in one slice per macroblock row has 135
MAX_PARAMETER_SET_BYTES = 4096  # real ones have 10 to 100 bytes; the length fields around them allow 64 KiB
MAX_LINES = 8192  # of a picture; an advertised size above it is an attack on players
MIN_LINES = 16

_START = re.compile(rb"\x00\x00\x01")


def split_byte_stream(data: bytes) -> list[bytes]:
    """The units between start codes. What stands before the first start code is dropped, trailing zeros as well."""
    starts = [m.start() for _, m in zip(range(MAX_UNITS_PER_SAMPLE + 1), _START.finditer(data), strict=False)]
    if len(starts) > MAX_UNITS_PER_SAMPLE:
        raise Malformed("too many NAL units in one picture")
    ends = [*starts, len(data)][1:]
    units = (data[start + 3 : end].rstrip(b"\x00") for start, end in zip(starts, ends, strict=True))
    return [unit for unit in units if unit]


def to_byte_stream(data: bytes) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in split_prefixed(data))


def join_prefixed(units: Sequence[bytes]) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def split_prefixed(data: bytes, prefix_size: int = 4) -> Iterator[bytes]:
    at = 0
    for _ in range(MAX_UNITS_PER_SAMPLE):
        if at == len(data):
            return
        size = int.from_bytes(data[at : at + prefix_size], "big")
        at += prefix_size
        if at + size > len(data):
            raise Malformed("a NAL unit reaches past its picture")
        yield data[at : at + size]
        at += size
    if at != len(data):
        raise Malformed("too many NAL units in one picture")


def check_prefixed(data: bytes) -> None:
    """Raises Malformed unless `data` is whole units of four-byte prefixes."""
    at, end = 0, len(data)
    for _ in range(MAX_UNITS_PER_SAMPLE):
        if at == end:
            return
        at += 4 + int.from_bytes(data[at : at + 4], "big")
        if at > end:
            raise Malformed("a NAL unit reaches past its picture")
    if at != end:
        raise Malformed("too many NAL units in one picture")


def payload(unit: bytes, header_size: int) -> bytes:
    """What a parameter set says, without its header and without emulation prevention bytes."""
    if len(unit) > MAX_PARAMETER_SET_BYTES:
        raise Malformed("a parameter set is too large")
    return unit[header_size:].replace(b"\x00\x00\x03", b"\x00\x00")


def check_size(width: int, height: int) -> tuple[int, int]:
    if not (MIN_LINES <= width <= MAX_LINES and MIN_LINES <= height <= MAX_LINES):
        raise Malformed(f"a picture of {width}x{height} is not taken")
    return width, height
