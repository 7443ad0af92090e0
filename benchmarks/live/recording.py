"""From the end of a broadcast to a recording that is Ready: nothing is encoded again."""

import statistics
import time

from tests.publishers import publisher

from benchmarks.live import streams
from benchmarks.table import Row

LENGTHS_S = (10, 60)
_AIM_S = 2.0


def rows(live: streams.Live) -> list[Row]:
    made = []
    for length_s in LENGTHS_S:
        taken = [_ready_s(live, length_s) for _ in range(3 if length_s < 30 else 1)]
        value = statistics.median(taken)
        made.append(
            Row(
                f"end of a broadcast of {length_s} s to Ready",
                f"{value:.2f} s",
                aim=f"< {_AIM_S:g} s",
                met=value < _AIM_S,
            )
        )
    return made


def _ready_s(live: streams.Live, length_s: float) -> float:
    stream = live.create()
    with publisher("rtmp", stream.target) as publishing:
        live.wait_playable(stream)
        time.sleep(length_s)
        publishing.stop()
        ended_s = time.monotonic()
        live.finish(stream)
        ready_s = live.media_ready_s(stream, ended_s)
    live.delete(stream)
    return ready_s
