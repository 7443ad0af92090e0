"""Clocks of publishers are repaired, or said to be another clock."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from fastpix_server.live.packager.clock import MAX_BACK, MAX_STEP, Fit, Grid, Steps


@given(st.lists(st.integers(-(1 << 40), 1 << 40), max_size=200))
def test_pictures_always_go_forward_by_at_most_the_longest_step(times: list[int]):
    steps = Steps(0, 900)
    for dts in times:
        before = steps.now
        step = steps.step(dts)
        if step is None:
            assert steps.now == before
            step = steps.go_on(dts)
        assert 0 < step <= MAX_STEP
        assert steps.now == before + step


@pytest.mark.parametrize(("delta", "step"), [(3000, 3000), (MAX_STEP, MAX_STEP), (0, 90), (-MAX_BACK, 90)])
def test_small_faults_of_a_multiplexer_do_not_change_the_clock(delta: int, step: int):
    steps = Steps(0, 0)
    steps.step(9000)
    assert steps.step(9000 + delta) == step
    assert steps.step(9000 + max(delta, 0) + 6000) == 6000 + max(delta, 0) - step


@pytest.mark.parametrize("delta", [MAX_STEP + 1, -MAX_BACK - 1, 1 << 33])
def test_a_jump_is_reported_and_changes_nothing(delta: int):
    steps = Steps(0, 0)
    assert steps.step(3000) == 3000
    assert steps.step(3000 + delta) is None
    assert steps.step(6000) == 3000


def grid() -> Grid:
    return Grid(rate_hz=48_000, frame_samples=1024, base=90_000, start=180_000)


def test_sound_lies_on_its_exact_grid_whatever_the_rounding_of_its_times():
    sound = grid()
    places = []
    for k in range(200):
        dts = 90_000 + round(k * 1024 / 48 + (k % 3 - 1)) * 90  # milliseconds, and a millisecond of jitter
        assert sound.fit(dts) == Fit("take")
        places.append(sound.take())
    assert places == [96_000 + 1024 * k for k in range(200)]


@pytest.mark.parametrize(
    ("off_ms", "fit"),
    [
        (39, Fit("take")),
        (45, Fit("take", 2)),
        (1000, Fit("take", 47)),
        (-39, Fit("take")),
        (-60, Fit("drop")),
        (3100, Fit("jump")),
        (-3100, Fit("jump")),
    ],
)
def test_sound_that_is_off_is_filled_up_or_dropped_or_of_another_clock(off_ms: int, fit: Fit):
    assert grid().fit(90_000 + off_ms * 90) == fit


def test_after_going_on_the_frame_is_the_next_one():
    sound = grid()
    sound.go_on(123_456_789)
    assert sound.fit(123_456_789) == Fit("take")
    assert sound.fit(123_456_789 + 90_000) == Fit("take", 47)
