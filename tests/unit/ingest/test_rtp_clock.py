"""One clock out of two: wraps, arrival first, then sender reports in small steps."""

import itertools

from fastpix_server.ingest.model import CLOCK_HZ
from fastpix_server.ingest.rtp_clock import STEP_TICKS, CommonClock, Unwrapped


def test_a_wrap_is_a_step_forward_and_a_small_step_back_stays_one():
    clock = Unwrapped(2**32 - 3000)
    assert clock.advance(2**32 - 1) == 2**32 - 1
    assert clock.advance(2999) == 2**32 + 2999
    assert clock.advance(2**32 - 10) == 2**32 - 10
    assert clock.advance(3000) == 2**32 + 3000


def test_the_arrival_aligns_what_no_report_has_told_yet():
    clock = CommonClock()
    clock.begin("audio", 1_000, 10.0)
    clock.begin("video", 5_000_000, 10.2)
    assert clock.time("audio", 1_000) == 0
    assert clock.time("audio", 1_000 + 48_000) == CLOCK_HZ
    assert clock.time("video", 5_000_000) == CLOCK_HZ // 5


def reported() -> CommonClock:
    """Picture and sound were taken together; the picture's first packet arrived 200 ms after the sound's."""
    clock = CommonClock()
    clock.begin("audio", 1_000, 10.0)
    clock.begin("video", 5_000_000, 10.2)
    clock.time("audio", 1_000)
    clock.report("audio", 1_000 + 48_000, 501.0)
    clock.report("video", 5_000_000 + 2 * CLOCK_HZ, 502.0)
    return clock


def test_reports_move_the_picture_in_small_steps_to_where_the_sound_is():
    clock = reported()
    times = [clock.time("video", 5_000_000 + 3000 * n) for n in range(300)]
    gaps = {later - former for former, later in itertools.pairwise(times)}
    assert gaps == {3000 - STEP_TICKS, 3000}
    assert times[-1] == 3000 * 299  # what was taken together has one time: the sound's 0 is the picture's 0


def test_sound_is_never_moved():
    clock = reported()
    times = [clock.time("audio", 1_000 + 960 * n) for n in range(200)]
    assert times == [1800 * n for n in range(200)]


def test_a_report_that_is_off_by_seconds_is_not_believed():
    clock = reported()
    clock.report("video", 5_000_000 + 2 * CLOCK_HZ, 1502.0)
    assert clock.refused_reports == 1
    assert clock.time("video", 5_000_000) == CLOCK_HZ // 5 - STEP_TICKS


def test_a_drift_between_the_clocks_is_followed_by_later_reports():
    clock = reported()
    for n in range(400):
        clock.time("video", 5_000_000 + 3000 * n)
    # The picture's clock runs a thousandth too fast: after 100 s it shows 100 ms more.
    clock.report("audio", 1_000 + 48_000 * 100, 600.0)
    clock.report("video", 5_000_000 + 9000 * 100 * 10 + 9000, 600.0)
    for n in range(400, 700):
        last = clock.time("video", 5_000_000 + 3000 * n)
    assert last == 3000 * 699 - 9000
