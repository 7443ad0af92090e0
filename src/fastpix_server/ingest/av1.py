"""AV1 as far as ingest needs it: the size of the picture out of av1C, and temporal delimiters out of samples.

Sources: AV1 bitstream specification 5.3 (OBU), 5.5 (sequence header); AV1 in ISOBMFF 2.3 (av1C).
"""

from collections.abc import Iterator

from fastpix_server.ingest.bits import BitReader, Malformed
from fastpix_server.ingest.model import Track
from fastpix_server.ingest.nal import MAX_PARAMETER_SET_BYTES, check_size

_SEQUENCE_HEADER, _DELIMITER = 1, 2
_MAX_OBUS = 1024  # per sample; tiles may lie in OBUs of their own, 64 of them at most in level 6


def track(config: bytes) -> Track:
    """The track of an av1C body. Encoders put the sequence header into it; without one we cannot know the size."""
    if len(config) < 4 or config[0] != 0x81 or len(config) > MAX_PARAMETER_SET_BYTES:
        raise Malformed("not an AV1 configuration")
    for kind, start, end, body in _obus(config[4:]):
        if kind == _SEQUENCE_HEADER:
            width, height = _size(config[4 + body : 4 + end])
            return Track("av1", config, width, height)
        del start
    raise Malformed("an AV1 configuration without a sequence header")


def without_delimiters(data: bytes) -> bytes:
    """A sample as MP4 wants it. The common case, none there, copies nothing."""
    drop = [(start, end) for kind, start, end, _ in _obus(data) if kind == _DELIMITER]
    if not drop:
        return data
    kept, at = [], 0
    for start, end in drop:
        kept.append(data[at:start])
        at = end
    return b"".join((*kept, data[at:]))


def _obus(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Kind, start, end, and where the payload begins. Every OBU has its size, except that the last may lack it."""
    at = 0
    for _ in range(_MAX_OBUS):
        if at >= len(data):
            return
        header = data[at]
        if header & 0x80:
            raise Malformed("not an OBU")
        body = at + 1 + (header >> 2 & 1)
        if header & 2:
            size, body = _leb128(data, body)
        else:
            size = len(data) - body
        if size < 0 or body + size > len(data):
            raise Malformed("an OBU reaches past its sample")
        yield header >> 3 & 15, at, body + size, body
        at = body + size
    if at < len(data):
        raise Malformed("too many OBUs in one sample")


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(5):  # 32 bits
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * i)
        if not byte & 0x80:
            return value, at
    raise Malformed("an OBU size is cut off or too long")


def _size(header: bytes) -> tuple[int, int]:
    bits = BitReader(header)
    bits.skip(4)  # profile, still picture
    if bits.flag():  # reduced header
        bits.skip(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return check_size(bits.read(width_bits) + 1, bits.read(height_bits) + 1)


def _skip_operating_points(bits: BitReader) -> None:
    delay_bits, has_decoder_model = 0, False
    if bits.flag():  # timing info
        bits.skip(64)
        if bits.flag():  # equal picture interval
            bits.unsigned()
        has_decoder_model = bits.flag()
        if has_decoder_model:
            delay_bits = bits.read(5) + 1
            bits.skip(32 + 5 + 5)
    has_display_delay = bits.flag()
    for _ in range(bits.read(5) + 1):
        bits.skip(12)
        if bits.read(5) > 7:
            bits.skip(1)
        if has_decoder_model and bits.flag():
            bits.skip(2 * delay_bits + 1)
        if has_display_delay and bits.flag():
            bits.skip(4)
