"""Counting different viewers in bounded memory."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpix_server.live import viewers as module
from fastpix_server.live.viewers import MAX_LEVEL, Viewers


def test_a_viewer_is_counted_once_and_for_half_a_minute_after_the_last_sight():
    seen = Viewers()
    seen.add(8, 0)
    for at_s in (0, 10, 20):
        seen.add(7, at_s)
    assert seen.count(20) == 2
    assert seen.count(31) == 1
    assert seen.count(50) == 1
    assert seen.count(51) == 0


def test_two_edges_count_nobody_twice():
    ours, theirs = Viewers(), Viewers()
    for viewer in range(100):
        ours.add(viewer, 1)
    for viewer in range(50, 150):
        theirs.add(viewer, 1)
    ours.unite(theirs.take_since(0, 1), theirs.level, 1)
    assert ours.count(1) == 150


def test_only_those_seen_since_the_last_time_are_told():
    seen = Viewers()
    for viewer in range(5):
        seen.add(viewer, viewer)
    seen.add(0, 9)
    assert sorted(seen.take_since(3, 10)) == [0, 3, 4]


def test_a_crowd_is_counted_in_bounded_memory_about_right():
    seen, numbers = Viewers(), random.Random(1)
    for _ in range(300_000):
        seen.add(numbers.getrandbits(64), 0)
    assert len(seen._seen) <= module.SEEN_MAX
    assert seen.count(0) == pytest.approx(300_000, rel=0.03)
    assert seen.count(31) == 0
    assert seen.level == 0


def test_a_count_that_was_thinned_out_elsewhere_stays_about_right():
    ours, theirs, numbers = Viewers(), Viewers(), random.Random(2)
    for _ in range(50_000):
        theirs.add(numbers.getrandbits(64), 0)
    for _ in range(5_000):
        ours.add(numbers.getrandbits(64), 0)
    ours.unite(theirs.take_since(0, 0), theirs.level, 0)
    assert ours.count(0) == pytest.approx(55_000, rel=0.05)


@given(st.integers(0, 255), st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_whatever_an_edge_says_is_taken_within_bounds(level, viewers):
    seen = Viewers()
    seen.unite(viewers, level, 0)
    assert seen.level <= MAX_LEVEL
    assert seen.count(0) <= len(viewers) << MAX_LEVEL
