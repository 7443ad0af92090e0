"""From a source's size and the wanted quality to the encoded rungs, highest first.

Invariants: no rung is larger than the source; sizes are even and keep the picture's shape; a rung is named after its
short side ("720p" is 1280x720, 720x1280 and 720x720 alike); codec strings are those of the profile and level that the
encoder is forced to.
"""

import dataclasses
from fractions import Fraction

from fastpix_server.engine.timeline import VideoRendition


@dataclasses.dataclass(frozen=True, slots=True)
class Tier:
    """What a media quality means."""

    rungs: tuple[int, ...]
    preset: str
    crf: float
    bitrate_factor: float  # on the cap of the rate control
    audio_bitrate_bps: int  # stereo


# Standard's steps are those that viewers of the service know: 1080, 720, 480, 270. The lowest doubles as the rung that
# a cold start is served from, and 270p is made in half the time of 360p. The others fill in between.
TIERS = {
    "standard": Tier((2160, 1440, 1080, 720, 480, 270), "faster", 23, 1.0, 128_000),
    "pro": Tier((2160, 1440, 1080, 720, 540, 480, 360, 270), "faster", 21, 1.25, 160_000),
    "premium": Tier((2160, 1440, 1080, 720, 540, 480, 360, 270), "medium", 20, 1.5, 192_000),
}

# 2.8 Mb/s bounds 720p at up to 30 frames a second. Bits grow slower than pixels: the power 0.8 gives 5.4 Mb/s at
# 1080p, 1.5 at 480p, 0.6 at 270p, within a tenth of the tables that large services publish, and it also fits
# portrait, square and ultra-wide pictures.
_CAP_720P_BPS = 2_800_000
_PIXELS_720P = 1280 * 720
_CAP_POWER = 0.8
_HIGH_RATE_FPS = 32  # above it neighbouring frames are more alike: 1.4 times the bits for twice the frames
_HIGH_RATE_FACTOR = 1.4
# Capped CRF leaves most of the cap unused on ordinary content (measured 31-44 % on film at CRF 23).
_AVERAGE_SHARE = 0.45

# A rung of the source's own size is worth making when it has a tenth more lines than the next standard one; when the
# next is that close (1.25) it is dropped, for its picture is nearly the same.
_OWN_SIZE_FROM = 1.1
_TOO_CLOSE = 1.25
_NEARLY_EQUAL = 1.03  # 272 lines are called 270p and not scaled

MAX_LONG_SIDE = 4096  # H.264 decoders in phones and televisions take no more
_MIN_SIDE = 16  # one macroblock


@dataclasses.dataclass(frozen=True, slots=True)
class _Level:
    """H.264 annex A, table A-1. Bit rates in kb/s for Baseline and Main; High has 1.25 times as many."""

    idc: int
    macroblocks_per_s: int
    macroblocks: int
    dpb_macroblocks: int
    bitrate_kbps: int


_LEVELS = tuple(
    _Level(*row)
    for row in (
        (10, 1485, 99, 396, 64),
        (11, 3000, 396, 900, 192),
        (12, 6000, 396, 2376, 384),
        (13, 11880, 396, 2376, 768),
        (20, 11880, 396, 2376, 2000),
        (21, 19800, 792, 4752, 4000),
        (22, 20250, 1620, 8100, 4000),
        (30, 40500, 1620, 8100, 10000),
        (31, 108000, 3600, 18000, 14000),
        (32, 216000, 5120, 20480, 20000),
        (40, 245760, 8192, 32768, 20000),
        (42, 522240, 8704, 34816, 50000),
        (50, 589824, 22080, 110400, 135000),
        (51, 983040, 36864, 184320, 240000),
        (52, 2073600, 36864, 184320, 240000),
        (60, 4177920, 139264, 696320, 240000),
        (62, 16711680, 139264, 696320, 800000),
    )
)
_REFERENCE_FRAMES = 4  # what x264 keeps with a B pyramid and the presets of all tiers


def rungs(width: int, height: int, fps: Fraction, *, max_short_side: int, tier: Tier) -> tuple[VideoRendition, ...]:
    """The encoded ladder for a displayed size, highest first; never empty."""
    short = min(width, height)
    limit = min(short, max_short_side)
    lines = _lines(limit, tier)
    own = short if short == limit else 0
    return tuple(_rung(n, width, height, fps, tier, own) for n in lines)


def _lines(limit: int, tier: Tier) -> list[int]:
    """Short sides of the rungs up to `limit`, with one of its own for a source between two standard sizes."""
    chosen = [n for n in tier.rungs if n <= limit]
    if not chosen:
        return [limit]
    if limit >= chosen[0] * _OWN_SIZE_FROM:
        return [limit, *(chosen[1:] if limit < chosen[0] * _TOO_CLOSE else chosen)]
    return chosen


def _rung(lines: int, width: int, height: int, fps: Fraction, tier: Tier, own: int) -> VideoRendition:
    """`own` is the source's short side, 0 when that is over the cap."""
    is_own_size = lines <= own <= lines * _NEARLY_EQUAL
    wide, high = _fitted(width, height, own if is_own_size else lines)
    cap = max_bitrate_bps(wide, high, fps, tier)
    return VideoRendition(
        name=f"{lines}p",
        kind="encode",
        width=wide,
        height=high,
        max_bitrate_bps=cap,
        average_bitrate_bps=round(cap * _AVERAGE_SHARE),
        crf=tier.crf,
        preset=tier.preset,
        codec=h264_codec(wide, high, fps, cap),
    )


def _fitted(width: int, height: int, lines: int) -> tuple[int, int]:
    """The picture's shape with a short side of `lines`, smaller when the long side would be too long."""
    scale = min(1.0, lines / min(width, height))
    scale = min(scale, MAX_LONG_SIDE / max(width, height))
    return _even(width, scale), _even(height, scale)


def _even(side: int, scale: float) -> int:
    """Nearest even number, but never more than the source has (nor less than one macroblock)."""
    nearest = round(side * scale / 2) * 2
    return max(_MIN_SIDE, min(nearest, side - side % 2))


def max_bitrate_bps(width: int, height: int, fps: Fraction, tier: Tier) -> int:
    """Cap of the rate control, in whole 10 kb/s."""
    cap = _CAP_720P_BPS * (width * height / _PIXELS_720P) ** _CAP_POWER * tier.bitrate_factor
    if fps > _HIGH_RATE_FPS:
        cap *= _HIGH_RATE_FACTOR
    return max(100_000, int(round(cap / 10_000) * 10_000))


def h264_codec(width: int, height: int, fps: Fraction, bitrate_bps: int) -> str:
    """RFC 6381 name of H.264 High at the lowest level that holds the picture, its rate and its bits."""
    return f"avc1.6400{_level(width, height, fps, bitrate_bps):02x}"


def _level(width: int, height: int, fps: Fraction, bitrate_bps: int) -> int:
    across, down = -(-width // 16), -(-height // 16)
    macroblocks = across * down
    for level in _LEVELS:
        longest = (8 * level.macroblocks) ** 0.5  # A.3.1: neither side may be longer
        if (
            macroblocks <= level.macroblocks
            and max(across, down) <= longest
            and macroblocks * fps <= level.macroblocks_per_s
            and macroblocks * _REFERENCE_FRAMES <= level.dpb_macroblocks
            and 2 * bitrate_bps <= level.bitrate_kbps * 1250  # the buffer is twice the rate, and bounded alike
        ):
            return level.idc
    return _LEVELS[-1].idc
