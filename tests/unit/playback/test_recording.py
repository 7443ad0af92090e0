"""A recording as a value: its rates are those of the rule for planned media, its ranges cover what they name."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.playback.test_targets import PICTURE, SOUND, recording

from fastpix_server.playback.rates import measure
from fastpix_server.playback.recording import Recording, Stretch, Track, words

SEGMENTS = st.lists(st.tuples(st.integers(9_000, 540_000), st.integers(1, 5_000_000)), min_size=1, max_size=40)


def of(segments: list[tuple[int, int]]) -> Recording:
    track = Track(PICTURE, 0, words([d for d, _ in segments]), words([s for _, s in segments]))
    return Recording([Stretch(0, 0, 0, (track,))])


@given(SEGMENTS)
def test_the_measured_rates_are_those_of_the_exact_rule(segments: list[tuple[int, int]]) -> None:
    found = of(segments).measured["source"]
    exact = measure([s for _, s in segments], [Fraction(d, 90_000) for d, _ in segments])
    assert found.average_bps == pytest.approx(exact.average_bps, abs=1)
    assert found.peak_bps == pytest.approx(exact.peak_bps, abs=1)


@given(SEGMENTS, st.integers(0, 200), st.integers(1, 100))
def test_a_range_is_covered_by_the_least_segments(segments: list[tuple[int, int]], start: int, length: int) -> None:
    whole = of(segments)
    start_s, end_s = Fraction(start, 4), Fraction(start + length, 4)
    part = whole.between(start_s, end_s)
    if start_s >= whole.duration_s:
        assert part is None
        return
    assert part is not None
    [stretch] = part.stretches
    track = whole.stretches[0].tracks[0]
    begins_s, ends_s = track.start_s(stretch.first), track.start_s(stretch.first + stretch.count)
    assert begins_s <= start_s < begins_s + Fraction(track.durations[stretch.first], 90_000)
    assert min(end_s, whole.duration_s) <= ends_s
    assert ends_s - Fraction(stretch.tracks[0].durations[-1], 90_000) < end_s


def test_a_range_may_reach_over_a_discontinuity() -> None:
    whole = recording()
    part = whole.between(Fraction(5, 2), Fraction(13, 2))
    assert part is not None
    assert [(s.first, s.count) for s in part.stretches] == [(1, 2), (3, 1)]
    assert part.stretches[0].pdt_ms == whole.stretches[0].pdt_ms + 2000
    assert part.stretches[1].tracks[0].start_ticks == 540_000
    assert [t.facts.name for t in part.stretches[1].tracks] == ["source", "a0"]


@pytest.mark.parametrize(
    ("at_s", "number", "offset_s"),
    [(-1, 0, 0), (0, 0, 0), (1.5, 0, 1.5), (2, 1, 0), (6, 3, 0), (8.5, 4, 0.5), (99, 4, 1.0333333)],
)
def test_a_moment_lies_in_one_segment(at_s: float, number: int, offset_s: float) -> None:
    spot = recording().spot(Fraction(at_s), "source")
    assert spot is not None
    assert (spot.number, float(spot.offset_s)) == (number, pytest.approx(offset_s))


def test_a_moment_in_a_gap_lies_nowhere() -> None:
    assert recording().spot(Fraction(17, 2), "a0") is None
    assert SOUND.name == "a0"
