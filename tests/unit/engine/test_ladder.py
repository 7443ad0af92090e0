from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpix_server.engine import ladder
from fastpix_server.engine.ladder import TIERS, rungs
from fastpix_server.engine.timeline import VideoRendition

STANDARD = TIERS["standard"]


def sizes(width: int, height: int, cap: int = 1080, quality: str = "standard") -> list[tuple[str, int, int]]:
    made = rungs(width, height, Fraction(30), max_short_side=cap, tier=TIERS[quality])
    return [(r.name, r.width, r.height) for r in made]


def test_a_full_hd_source_gets_the_four_steps_that_viewers_know():
    assert sizes(1920, 1080) == [
        ("1080p", 1920, 1080),
        ("720p", 1280, 720),
        ("480p", 854, 480),
        ("270p", 480, 270),
    ]


def test_portrait_is_the_same_ladder_turned():
    assert sizes(1080, 1920) == [(n, h, w) for n, w, h in sizes(1920, 1080)]


def test_square_and_ultra_wide_keep_their_shape_and_are_named_by_the_short_side():
    assert sizes(720, 720)[0] == ("720p", 720, 720)
    assert sizes(2560, 1080)[:2] == [("1080p", 2560, 1080), ("720p", 1706, 720)]


def test_four_k_needs_to_be_asked_for():
    assert sizes(3840, 2160)[0] == ("1080p", 1920, 1080)
    assert [s[0] for s in sizes(3840, 2160, 2160)] == ["2160p", "1440p", "1080p", "720p", "480p", "270p"]


def test_the_largest_resolution_caps_and_never_enlarges():
    assert sizes(1280, 720, 480)[0] == ("480p", 854, 480)
    assert sizes(1280, 720, 2160)[0] == ("720p", 1280, 720)
    assert sizes(640, 360, 360)[0] == ("360p", 640, 360)


def test_a_source_a_little_over_the_cap_is_scaled_to_it():
    assert sizes(1920, 1088)[0] == ("1080p", 1906, 1080)
    assert sizes(1920, 1088, 1440)[0] == ("1080p", 1920, 1088)


def test_a_source_between_two_steps_keeps_its_own_size():
    assert [s[0] for s in sizes(1600, 900)] == ["900p", "720p", "480p", "270p"]
    assert [s[0] for s in sizes(1920, 800)] == ["800p", "480p", "270p"]  # 720p would be nearly the same
    assert sizes(640, 272) == [("270p", 640, 272)]


@pytest.mark.parametrize(
    ("source", "made"),
    [((160, 120), ("120p", 160, 120)), ((427, 241), ("241p", 426, 240)), ((96, 64), ("64p", 96, 64))],
)
def test_a_source_below_the_lowest_step_gets_one_rung_of_its_own_even_size(source, made):
    assert sizes(*source) == [made]


def test_pro_and_premium_have_more_steps_and_better_pictures():
    pro, premium = (rungs(1920, 1080, Fraction(30), max_short_side=1080, tier=TIERS[q]) for q in ("pro", "premium"))
    standard = rungs(1920, 1080, Fraction(30), max_short_side=1080, tier=STANDARD)
    assert [r.name for r in pro] == ["1080p", "720p", "540p", "480p", "360p", "270p"]
    assert [(t[0].crf, t[0].preset) for t in (standard, pro, premium)] == [
        (23, "faster"),
        (21, "faster"),
        (20, "medium"),
    ]
    assert standard[0].max_bitrate_bps < pro[0].max_bitrate_bps < premium[0].max_bitrate_bps


def test_caps_follow_pixels_and_high_rates():
    at_30, at_60 = (ladder.max_bitrate_bps(1280, 720, Fraction(f), STANDARD) for f in (30, 60))
    assert (at_30, at_60) == (2_800_000, 3_920_000)
    assert ladder.max_bitrate_bps(1920, 1080, Fraction(30), STANDARD) == pytest.approx(5_300_000, rel=0.03)


@pytest.mark.parametrize(
    ("width", "height", "fps", "bitrate", "codec"),
    [
        (426, 240, 30, 500_000, "avc1.640015"),
        (640, 360, 30, 900_000, "avc1.64001e"),
        (854, 480, 30, 1_400_000, "avc1.64001f"),
        (1280, 720, 30, 2_800_000, "avc1.64001f"),
        (1280, 720, 60, 3_900_000, "avc1.640020"),
        (1920, 1080, 30, 5_400_000, "avc1.640028"),
        (1920, 1080, 60, 7_500_000, "avc1.64002a"),
        (2560, 1440, 30, 9_000_000, "avc1.640032"),
        (3840, 2160, 30, 16_000_000, "avc1.640033"),
        (3840, 2160, 60, 22_000_000, "avc1.640034"),
    ],
)
def test_the_codec_string_names_the_lowest_level_that_holds_the_rung(width, height, fps, bitrate, codec):
    assert ladder.h264_codec(width, height, Fraction(fps), bitrate) == codec


def fits(rung: VideoRendition, width: int, height: int) -> bool:
    return rung.width <= max(width, 16) and rung.height <= max(height, 16)


@given(
    st.integers(2, 16384),
    st.integers(2, 16384),
    st.sampled_from([480, 720, 1080, 1440, 2160]),
    st.sampled_from(list(TIERS)),
)
def test_any_size_gives_even_rungs_that_shrink_and_never_enlarge(width, height, cap, quality):
    made = rungs(width, height, Fraction(30), max_short_side=cap, tier=TIERS[quality])
    assert made
    assert len({r.name for r in made}) == len(made)
    assert all(r.width % 2 == 0 and r.height % 2 == 0 for r in made)
    assert all(fits(r, width, height) and max(r.width, r.height) <= ladder.MAX_LONG_SIDE for r in made)
    assert all(min(r.width, r.height) <= cap for r in made)
