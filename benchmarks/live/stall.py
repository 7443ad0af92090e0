"""One stall of a viewer's line, and the way back to the edge: our own player page, a stream by RTMP and one by WHIP.

The line (all requests of the page) stands still until the picture does, and for `STALL_S` more. Two times count from
its return: until the viewer is within `NEAR_S` of where they were, and until the reserve that the stall left is gone.
"""

import statistics
import time
from collections.abc import Sequence

from playwright.sync_api import Error, Page, Route
from tests.publishers import Kind, Picture, missing, publisher

from benchmarks.live import glass, streams
from benchmarks.table import Row

KINDS: tuple[Kind, ...] = ("rtmp", "whip")
SMALL = Picture(width=426, height=240, fps=25, bitrate_bps=500_000)
STALL_S = 8.0
NEAR_S, AGAIN_S = 1.5, 0.3
_AIM_S = 10.0
_LIMIT_S = 120.0
_SAMPLE_S = 0.5


def rows(live: streams.Live) -> Sequence[Row]:
    return [row for kind in KINDS if not missing(kind) for row in _rows(live, kind)]


def _rows(live: streams.Live, kind: Kind) -> list[Row]:
    stream = live.create()
    with publisher(kind, stream.target, SMALL), glass.watching() as browser:
        live.wait_playable(stream)
        browser.wait(glass.JOIN_AFTER_S)
        browser.open("viewer", stream.page)
        browser.wait(glass.WARM_S)
        browser.take("viewer")
        browser.wait(5)
        before_s = _late_s(browser.take("viewer"))
        stand_still(browser.page, STALL_S)
        browser.take("viewer")  # of the time before it
        took = [_until(browser, before_s + more_s) for more_s in (NEAR_S, AGAIN_S)]
    live.delete(stream)
    near_s, again_s = took[0], took[0] + took[1]
    what = f"{kind}, {before_s:.2f} s late, a line that stands still for {STALL_S:g} s: from its return"
    return [
        Row(
            f"{what} until {NEAR_S:g} s later than before",
            f"{near_s:.1f} s",
            aim=f"< {_AIM_S:g} s",
            met=near_s < _AIM_S,
        ),
        Row(f"{what} until as before", f"{again_s:.1f} s"),
    ]


def stand_still(page: Page, seconds: float) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/*", hold)
    page.wait_for_function("() => fastpixPlayer.video.readyState < 3", timeout=60_000)
    page.wait_for_timeout(seconds * 1000)
    page.unroute("**/*")
    for route in held:
        try:
            route.continue_()
        except Error:  # the player has given it up
            continue


def _until(browser: glass.Watching, late_s: float) -> float:
    """Seconds until the viewer is no later than that."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < _LIMIT_S:
        browser.wait(_SAMPLE_S)
        seen = browser.take("viewer")
        if seen.late and _late_s(seen) <= late_s:
            return time.monotonic() - began_s
    return float("inf")


def _late_s(seen: glass.Seen) -> float:
    return statistics.median(ms for _, ms in seen.late) / 1000
