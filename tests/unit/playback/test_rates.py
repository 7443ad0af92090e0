import math
from fractions import Fraction

import pytest
from tests.unit.playback.plans import LADDER, plan, rung, sound, timeline

from fastpix_server.playback.model import Measured
from fastpix_server.playback.rates import durations_s, measure, rates, target_duration_s


def test_a_target_duration_covers_every_rounded_segment() -> None:
    lengths = [Fraction(2), Fraction(5, 2), Fraction(249, 100)]
    assert target_duration_s(lengths) == 3  # 2.5 rounds up
    assert target_duration_s([Fraction(249, 100)]) == 2
    assert target_duration_s([Fraction(1, 10)]) == 1


def test_measured_rates_are_exact() -> None:
    two = Fraction(2)
    assert measure([1000, 3000, 2000], [two, two, two]) == Measured(12_000, 8_000)


def test_a_short_last_segment_alone_is_no_window_of_the_peak() -> None:
    # 0.5 s is less than half of the target duration of 2 s: only together with its neighbour does it count.
    found = measure([1000, 1000, 1000], [Fraction(2), Fraction(2), Fraction(1, 2)])
    assert found.peak_bps == math.ceil(2000 * 8 / 2.5)


def test_one_very_short_segment_is_its_own_window() -> None:
    assert measure([500], [Fraction(1, 4)]) == Measured(16_000, 16_000)


def test_an_estimate_is_never_below_what_the_rate_caps_let_through() -> None:
    # A cap of 2.8 Mb/s with a buffer of two seconds, 0.9 full at the start, over the real length of a segment.
    estimate = rates(plan(), LADDER[1], {})
    shortest_s = float(min(durations_s(plan(), LADDER[1])))
    assert estimate.peak_bps >= 2_800_000 * (1 + 1.8 / shortest_s)
    assert estimate.average_bps <= estimate.peak_bps


def test_shorter_segments_can_burst_higher() -> None:
    short = plan(times=timeline(per_segment=30))
    assert rates(short, LADDER[1], {}).peak_bps > rates(plan(), LADDER[1], {}).peak_bps


def test_what_was_measured_replaces_the_estimate() -> None:
    assert rates(plan(), LADDER[1], {"720p": Measured(2, 1)}) == Measured(2, 1)


def test_a_copied_rung_needs_what_its_source_needs() -> None:
    source = rung("source", 1920, 1080, 6_000_000, "copy")
    assert rates(plan(), source, {}).peak_bps == pytest.approx(6_300_000, rel=0.01)


def test_sound_has_its_own_grid_of_lengths() -> None:
    made = plan()
    video, audio = durations_s(made, LADDER[0]), durations_s(made, sound())
    assert len(video) == len(audio)
    assert sum(audio) == Fraction(made.timeline.audio_cuts[-1] * 1024, 48000)
    assert video != audio
