"""H.264 as far as ingest needs it: the size of the picture, avcC out of parameter sets, which pictures are key.

Sources: ITU-T H.264 7.3.2.1 (sequence parameter set), ISO/IEC 14496-15 5.3.3 (AVCDecoderConfigurationRecord).
"""

import dataclasses
from collections.abc import Sequence

from fastpix_server.ingest import nal
from fastpix_server.ingest.bits import BitReader, Malformed
from fastpix_server.ingest.model import Track

IDR, SEI, SPS, PPS, DELIMITER = 5, 6, 7, 8, 9
NOT_IN_SAMPLES = frozenset({SPS, PPS, DELIMITER, 10, 11, 12})  # the configuration has them, or nobody: ends, filler
_RECOVERY_POINT = 6

_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_MAX_SETS = 32  # pic_parameter_set_id goes to 255, avcC counts SPS in 5 bits; encoders use one or two


@dataclasses.dataclass(frozen=True, slots=True)
class Sps:
    """What we read of a sequence parameter set; the size is what is shown (after cropping)."""

    profile: int
    compatibility: int
    level: int
    chroma_format: int
    bit_depth: int
    width: int
    height: int


def unit_type(unit: bytes) -> int:
    return unit[0] & 0x1F


def parse_sps(unit: bytes) -> Sps:
    if len(unit) < 4 or unit_type(unit) != SPS:
        raise Malformed("not an H.264 sequence parameter set")
    bits = BitReader(nal.payload(unit, 1))
    profile, compatibility, level = bits.read(8), bits.read(8), bits.read(8)
    bits.unsigned()  # id
    chroma_format, bit_depth, is_separate = 1, 8, False
    if profile in _HIGH_PROFILES:
        chroma_format = bits.unsigned()
        if chroma_format > 3:
            raise Malformed("an unknown chroma format")
        is_separate = chroma_format == 3 and bits.flag()
        bit_depth = 8 + bits.unsigned()
        bits.unsigned()  # chroma bit depth
        bits.skip(1)
        if bits.flag():
            _skip_scaling_matrix(bits, 8 if chroma_format != 3 else 12)
    bits.unsigned()  # log2_max_frame_num
    _skip_picture_order(bits)
    bits.unsigned()  # reference frames
    bits.skip(1)
    width_mbs, height_units = bits.unsigned() + 1, bits.unsigned() + 1
    is_frame_only = bits.flag()
    if not is_frame_only:
        bits.skip(1)
    bits.skip(1)
    height_factor = 1 if is_frame_only else 2
    width, height = width_mbs * 16, height_units * 16 * height_factor
    if bits.flag():
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        sub_width = 2 if chroma_format in (1, 2) and not is_separate else 1
        sub_height = 2 if chroma_format == 1 and not is_separate else 1
        width -= (left + right) * sub_width
        height -= (top + bottom) * sub_height * height_factor
    nal.check_size(width, height)
    return Sps(profile, compatibility, level, chroma_format, bit_depth, width, height)


def _skip_scaling_matrix(bits: BitReader, lists: int) -> None:
    for i in range(lists):
        if not bits.flag():
            continue
        last = following = 8
        for _ in range(16 if i < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last


def _skip_picture_order(bits: BitReader) -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.skip(1)
        bits.signed()
        bits.signed()
        count = bits.unsigned()
        if count > 255:
            raise Malformed("too many reference offsets")
        for _ in range(count):
            bits.signed()
    elif kind > 2:
        raise Malformed("an unknown picture order")


def track(sps: Sequence[bytes], pps: Sequence[bytes]) -> Track:
    """The track that these parameter sets describe, with an avcC of four-byte prefixes."""
    if not sps or not pps or len(sps) > 31 or len(pps) > _MAX_SETS:
        raise Malformed("H.264 without usable parameter sets")
    first = parse_sps(sps[0])
    parts = [bytes((1, first.profile, first.compatibility, first.level, 0xFF, 0xE0 | len(sps)))]
    parts += [len(unit).to_bytes(2, "big") + nal_checked(unit) for unit in sps]
    parts.append(bytes((len(pps),)))
    parts += [len(unit).to_bytes(2, "big") + nal_checked(unit) for unit in pps]
    if first.profile in (100, 110, 122, 144):
        parts.append(bytes((0xFC | first.chroma_format, 0xF8 | (first.bit_depth - 8 & 7), 0xF8, 0)))
    return Track("h264", b"".join(parts), first.width, first.height)


def nal_checked(unit: bytes) -> bytes:
    if not unit or len(unit) > nal.MAX_PARAMETER_SET_BYTES:
        raise Malformed("a parameter set of a strange size")
    return unit


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """An AVCDecoderConfigurationRecord, taken apart."""

    prefix_size: int
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]


def parse_record(config: bytes) -> Record:
    if len(config) < 7 or config[0] != 1:
        raise Malformed("not an H.264 configuration")
    prefix_size = (config[4] & 3) + 1
    if prefix_size == 3:
        raise Malformed("NAL unit lengths of three bytes")
    sps, at = _read_sets(config, 6, config[5] & 31)
    if at >= len(config):
        raise Malformed("an H.264 configuration is cut off")
    pps, _ = _read_sets(config, at + 1, config[at])
    return Record(prefix_size, tuple(sps), tuple(pps))


def _read_sets(config: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    sets = []
    for _ in range(count):
        size = int.from_bytes(config[at : at + 2], "big")
        unit = config[at + 2 : at + 2 + size]
        if at + 2 + size > len(config):
            raise Malformed("an H.264 configuration is cut off")
        sets.append(nal_checked(unit))
        at += 2 + size
    return sets, at


def is_key(units: Sequence[bytes]) -> bool:
    """An IDR picture, or a recovery point with its own parameter sets (open groups of pictures, intra refresh)."""
    kinds = {unit_type(unit) for unit in units}
    if IDR in kinds:
        return True
    return SPS in kinds and any(_has_recovery_point(unit) for unit in units if unit_type(unit) == SEI)


def _has_recovery_point(unit: bytes) -> bool:
    """Walks the messages of a SEI unit (7.3.2.3.1); nothing of it is believed beyond its length."""
    at = 1
    while at + 2 < len(unit):
        kind, at = _sum_of_bytes(unit, at)
        size, at = _sum_of_bytes(unit, at)
        if kind == _RECOVERY_POINT:
            return True
        at += size
    return False


def _sum_of_bytes(unit: bytes, at: int) -> tuple[int, int]:
    total = 0
    while at < len(unit) and unit[at] == 0xFF:
        total += 255
        at += 1
    return total + (unit[at] if at < len(unit) else 0), at + 1
