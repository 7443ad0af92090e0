"""HEVC as far as ingest needs it: the size of the picture, hvcC out of parameter sets, which pictures are key.

Sources: ITU-T H.265 7.3.2.2 (sequence parameter set), ISO/IEC 14496-15 8.3.3 (HEVCDecoderConfigurationRecord).
"""

import dataclasses
from collections.abc import Mapping, Sequence

from fastpix_server.ingest import nal
from fastpix_server.ingest.bits import BitReader, Malformed
from fastpix_server.ingest.model import Track

VPS, SPS, PPS, DELIMITER = 32, 33, 34, 35
NOT_IN_SAMPLES = frozenset({VPS, SPS, PPS, DELIMITER, 36, 37, 38})  # the configuration has them, or nobody
_FIRST_KEY, _LAST_KEY = 16, 21  # BLA, IDR and CRA pictures: a decoder may begin there
_MAX_ARRAYS = 16  # VPS, SPS, PPS and two kinds of SEI are what the format allows
_MAX_SETS_PER_ARRAY = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Sps:
    """What we read of a sequence parameter set; the size is what is shown (after the conformance window)."""

    sub_layers: int
    is_nested: bool
    profile_tier_level: bytes  # the 12 general bytes, as hvcC repeats them
    chroma_format: int
    bit_depth_luma: int
    bit_depth_chroma: int
    width: int
    height: int


def unit_type(unit: bytes) -> int:
    return (unit[0] >> 1) & 0x3F


def parse_sps(unit: bytes) -> Sps:
    if len(unit) < 16 or unit_type(unit) != SPS:
        raise Malformed("not an HEVC sequence parameter set")
    body = nal.payload(unit, 2)
    bits = BitReader(body)
    bits.skip(4)
    sub_layers, is_nested = bits.read(3) + 1, bits.flag()
    if sub_layers > 7:
        raise Malformed("too many sub-layers")
    bits.skip(12 * 8)
    _skip_sub_layers(bits, sub_layers)
    bits.unsigned()  # id
    chroma_format = bits.unsigned()
    if chroma_format > 3:
        raise Malformed("an unknown chroma format")
    is_separate = chroma_format == 3 and bits.flag()
    width, height = bits.unsigned(), bits.unsigned()
    if bits.flag():
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        width -= (left + right) * (2 if chroma_format in (1, 2) and not is_separate else 1)
        height -= (top + bottom) * (2 if chroma_format == 1 and not is_separate else 1)
    luma, chroma = 8 + bits.unsigned(), 8 + bits.unsigned()
    if luma > 16 or chroma > 16:
        raise Malformed("a bit depth above 16")
    nal.check_size(width, height)
    return Sps(sub_layers, is_nested, body[1:13], chroma_format, luma, chroma, width, height)


def _skip_sub_layers(bits: BitReader, sub_layers: int) -> None:
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers - 1)]
    if present:
        bits.skip(2 * (8 - len(present)))
    for has_profile, has_level in present:
        bits.skip((88 if has_profile else 0) + (8 if has_level else 0))


def track(sets: Mapping[int, Sequence[bytes]]) -> Track:
    """The track that these parameter sets (by NAL unit type) describe, with an hvcC of four-byte prefixes."""
    if not all(sets.get(kind) for kind in (VPS, SPS, PPS)):
        raise Malformed("HEVC without its three parameter sets")
    sps = parse_sps(sets[SPS][0])
    head = (
        bytes((1,))
        + sps.profile_tier_level
        + b"\xf0\x00\xfc"  # no spatial segmentation limit, parallelism unknown
        + bytes((0xFC | sps.chroma_format, 0xF8 | sps.bit_depth_luma - 8, 0xF8 | sps.bit_depth_chroma - 8))
        + b"\x00\x00"  # average frame rate unknown
        + bytes((sps.sub_layers << 3 | sps.is_nested << 2 | 3, 3))
    )
    arrays = []
    for kind in (VPS, SPS, PPS):
        units = sets[kind][:_MAX_SETS_PER_ARRAY]
        arrays.append(bytes((0x80 | kind,)) + len(units).to_bytes(2, "big"))
        for unit in units:
            if not unit or len(unit) > nal.MAX_PARAMETER_SET_BYTES:
                raise Malformed("a parameter set of a strange size")
            arrays.append(len(unit).to_bytes(2, "big") + unit)
    return Track("hevc", head + b"".join(arrays), sps.width, sps.height)


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """An HEVCDecoderConfigurationRecord, taken apart. `sets` are by NAL unit type."""

    prefix_size: int
    sets: dict[int, tuple[bytes, ...]]


def parse_record(config: bytes) -> Record:
    if len(config) < 23 or config[0] != 1:
        raise Malformed("not an HEVC configuration")
    prefix_size = (config[21] & 3) + 1
    if prefix_size == 3:
        raise Malformed("NAL unit lengths of three bytes")
    arrays, at = config[22], 23
    if arrays > _MAX_ARRAYS:
        raise Malformed("too many arrays in an HEVC configuration")
    sets: dict[int, tuple[bytes, ...]] = {}
    for _ in range(arrays):
        if at + 3 > len(config):
            raise Malformed("an HEVC configuration is cut off")
        kind, count = config[at] & 0x3F, int.from_bytes(config[at + 1 : at + 3], "big")
        if count > _MAX_SETS_PER_ARRAY:
            raise Malformed("too many parameter sets")
        at += 3
        units = []
        for _ in range(count):
            size = int.from_bytes(config[at : at + 2], "big")
            if at + 2 + size > len(config):
                raise Malformed("an HEVC configuration is cut off")
            units.append(config[at + 2 : at + 2 + size])
            at += 2 + size
        sets[kind] = sets.get(kind, ()) + tuple(units)
    return Record(prefix_size, sets)


def is_key(units: Sequence[bytes]) -> bool:
    return any(_FIRST_KEY <= unit_type(unit) <= _LAST_KEY for unit in units)
