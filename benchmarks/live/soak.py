"""A long run: memory and latency must not drift, and publishers that fall and come back must cost nothing.

Three publishers (RTMP, SRT, WHIP where it can run), one viewer of the RTMP stream, in our own player page; the SRT
publisher is killed and started again four times. The first quarter is compared with the last.
"""

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psutil
from tests.publishers import Kind, Picture, missing, publisher

from benchmarks.live import glass, streams
from benchmarks.table import Row

KINDS: tuple[Kind, ...] = ("rtmp", "srt", "whip")
SMALL = Picture(width=426, height=240, fps=25, bitrate_bps=500_000)
SAMPLE_S = 5.0
TELL_S = 60.0
FALLS = 4
_MAX_GROWTH = 1.15
_MAX_DRIFT_S = 0.3


@dataclass
class Samples:
    ingest_bytes: list[float] = field(default_factory=list)
    http_bytes: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)  # median of each sample
    load: list[float] = field(default_factory=list)  # of the machine: what was running beside it
    stalls: int = 0
    jumps: int = 0


def rows(live: streams.Live, *, minutes: float) -> list[Row]:
    kinds = [kind for kind in KINDS if not missing(kind)]
    made = {kind: live.create() for kind in kinds}
    samples = Samples()
    with contextlib.ExitStack() as stack:
        running = {kind: stack.enter_context(publisher(kind, made[kind].target, SMALL)) for kind in kinds}
        for stream in made.values():
            live.wait_playable(stream)
        browser = stack.enter_context(glass.watching())
        browser.open("viewer", made["rtmp"].page)
        browser.wait(glass.WARM_S)
        browser.take("viewer")
        falls = _moments(minutes * 60, FALLS)
        told_s = 0.0
        for elapsed_s in _steps(browser, minutes * 60):
            _sample(live, browser, samples)
            if elapsed_s - told_s >= TELL_S:
                told_s = elapsed_s
                _tell(elapsed_s, samples)
            if falls and elapsed_s > falls[0]:
                falls.pop(0)
                running["srt"].kill()
                running["srt"].start()
        alive = [kind for kind in kinds if running[kind].is_running]
    for stream in made.values():
        live.delete(stream)
    return _judge(samples, minutes, len(alive), len(kinds))


def _steps(browser: glass.Watching, seconds: float) -> Iterator[float]:
    began_s = time.monotonic()
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        browser.wait(SAMPLE_S)
        yield elapsed_s


def _moments(seconds: float, count: int) -> list[float]:
    return [seconds * (number + 1) / (count + 1) for number in range(count)]


def _sample(live: streams.Live, browser: glass.Watching, samples: Samples) -> None:
    samples.ingest_bytes.append(float(live.ingest().memory_full_info().uss))
    samples.http_bytes.append(float(_http_bytes(live)))
    samples.load.append(os.getloadavg()[0])
    seen = browser.take("viewer")
    samples.stalls, samples.jumps = seen.stalls, seen.jumps
    if seen.late:
        samples.late_s.append(statistics.median(ms for _, ms in seen.late) / 1000)


def _tell(elapsed_s: float, samples: Samples) -> None:
    """On the way: a run of half an hour that is broken off has said something, too."""
    late = f"{statistics.median(samples.late_s[-12:]):.2f} s late" if samples.late_s else "nothing seen"
    memory = f"ingest {samples.ingest_bytes[-1] / 1e6:.0f} MB, http {samples.http_bytes[-1] / 1e6:.0f} MB"
    stalls = f"{samples.stalls} stalls, {samples.jumps} jumps"
    line = f"{elapsed_s / 60:.0f} min: {memory}, {late}, {stalls}, load {samples.load[-1]:.1f}"
    print(line, file=sys.stderr, flush=True)


def _http_bytes(live: streams.Live) -> int:
    """Of the HTTP processes: the supervisor's child of that role, and its workers."""
    for child in psutil.Process(live.running.process.pid).children():
        if child.cmdline()[-1:] == ["http"]:
            return sum(p.memory_full_info().uss for p in [child, *child.children(recursive=True)])
    raise LookupError("no http process")


def _judge(samples: Samples, minutes: float, alive: int, count: int) -> list[Row]:
    title = f"{minutes:g} min, {count} publishers, {FALLS} of them killed and back"
    made = [Row(f"{title}: publishers at the end", f"{alive} of {count}", aim=f"{count}", met=alive == count)]
    for name, values in (("ingest", samples.ingest_bytes), ("http", samples.http_bytes)):
        before, after = _ends(values)
        growth = after / before
        figure = f"{after / 1e6:.0f} MB"
        made.append(
            Row(
                f"{name}: memory in the last quarter",
                figure,
                f"the first {before / 1e6:.0f} MB",
                growth,
                f"< {_MAX_GROWTH:g}x",
                growth < _MAX_GROWTH,
            )
        )
    before, after = _ends(samples.late_s)
    drift_s = after - before
    made.append(
        Row(
            "glass to glass in the last quarter",
            f"{after:.2f} s",
            f"the first {before:.2f} s",
            after / before,
            f"+{_MAX_DRIFT_S:g} s at most",
            drift_s <= _MAX_DRIFT_S,
        )
    )
    load = f"{min(samples.load):.1f} to {max(samples.load):.1f}, median {statistics.median(samples.load):.1f}"
    return [
        *made,
        Row("stalls of the viewer", str(samples.stalls), aim="0", met=samples.stalls == 0),
        Row("jumps of the viewer to the edge", str(samples.jumps)),
        Row("load average of the machine meanwhile", load, f"{os.cpu_count()} cores"),
    ]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Medians of the first and the last quarter."""
    quarter = max(1, len(values) // 4)
    if len(values) < 2:
        raise RuntimeError("too short a run to compare its ends")
    return statistics.median(values[:quarter]), statistics.median(values[-quarter:])
