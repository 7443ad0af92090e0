from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpix_server.engine import cadence


def times(fps: Fraction, count: int, *, tick_hz: int | None = None) -> np.ndarray:
    exact = np.arange(count) * float(1 / fps)
    return np.round(exact * tick_hz) / tick_hz if tick_hz else exact


@pytest.mark.parametrize(
    "fps", [Fraction(24000, 1001), Fraction(24), Fraction(30000, 1001), Fraction(30), Fraction(60)]
)
@pytest.mark.parametrize("count", [48, 200, 5000])
@pytest.mark.parametrize("tick_hz", [600, 1000, 90000, None])
def test_rounded_clocks_still_give_the_exact_standard_rate(fps, count, tick_hz):
    found = cadence.from_times(times(fps, count, tick_hz=tick_hz))
    assert (found.fps, found.is_vfr) == (fps, False)


@pytest.mark.parametrize(
    ("source", "grid"),
    [
        (Fraction(120), Fraction(60)),
        (Fraction(120000, 1001), Fraction(60000, 1001)),
        (Fraction(240), Fraction(60)),
        (Fraction(100), Fraction(50)),
        (Fraction(90), Fraction(45)),
        (Fraction(144), Fraction(48)),
        (Fraction(17), Fraction(17)),
    ],
)
def test_fast_sources_are_halved_until_sixty_and_odd_rates_are_kept(source, grid):
    assert cadence.from_times(times(source, 500)).fps == grid


def test_dropped_frames_are_variable_on_the_rate_between_neighbours():
    kept = np.array([t for i, t in enumerate(times(Fraction(30), 300)) if i % 7 != 3])
    found = cadence.from_times(kept)
    assert (found.fps, found.is_vfr) == (Fraction(30), True)


def test_a_coarse_clock_does_not_turn_variable_ntsc_into_thirty():
    steady = times(Fraction(30000, 1001), 300, tick_hz=1000)
    found = cadence.from_times(np.delete(steady, range(60, 100)))
    assert (found.fps, found.is_vfr) == (Fraction(30000, 1001), True)


def test_rates_without_an_index_are_snapped_and_fields_are_not_frames():
    assert cadence.from_rates(Fraction(2997, 100), Fraction(2997, 100)).fps == Fraction(30000, 1001)
    woven = cadence.from_rates(Fraction(60000, 1001), Fraction(30000, 1001))
    assert (woven.fps, woven.is_vfr) == (Fraction(30000, 1001), False)
    vague = cadence.from_rates(Fraction(90000), Fraction(29))
    assert (vague.fps, vague.is_vfr) == (Fraction(30000, 1001), True)
    assert cadence.from_rates(Fraction(0), Fraction(0)).fps == 30


def test_a_single_frame_has_a_rate_all_the_same():
    assert cadence.from_times(np.array([0.0])).fps == 30


@given(st.lists(st.floats(0, 1000, allow_nan=False), min_size=2, max_size=60))
def test_any_times_give_a_positive_rate_of_at_most_sixty(values):
    found = cadence.from_times(np.array(values))
    assert 0 < found.fps <= 60
