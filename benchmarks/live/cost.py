"""What a stream costs: CPU of copied 5 Mb/s streams against nginx-rtmp, and of a 720p stream with its lower rungs."""

import os
import subprocess
import time
from collections.abc import Callable

from tests.publishers import Picture

from benchmarks.live import peers, streams
from benchmarks.table import Row

STREAMS = 8
SETTLE_S = 6.0


def rows(live: streams.Live, nginx: peers.Nginx, *, seconds: float) -> list[Row]:
    ours = _copied(live, seconds)
    theirs = _relayed(nginx, seconds)
    per_core = 1 / ours
    ladder = _laddered(live, seconds)
    return [
        Row(
            f"CPU of a copied 5 Mb/s stream ({STREAMS} at once), ingest process",
            f"{ours:.2%} of a core",
            f"nginx-rtmp with HLS {theirs:.2%}",
            ours / theirs,
        ),
        Row("copied 5 Mb/s streams per core (extrapolated)", f"{per_core:.0f}", f"nginx-rtmp {1 / theirs:.0f}"),
        Row(
            "CPU of a 1280x720 stream with its lower rung, ingest and encoder",
            f"{ladder:.1%} of a core",
            f"the machine has {os.cpu_count()}",
        ),
    ]


def _copied(live: streams.Live, seconds: float) -> float:
    made = [live.create() for _ in range(STREAMS)]
    with streams.looping([stream.target.rtmp for stream in made]) as senders:
        for stream in made:
            live.wait_playable(stream)
        share = _share(lambda: _cpu_s(live), seconds)
        _check(senders)
        encoders = [child for child in live.ingest().children(recursive=True) if "ffmpeg" in child.name()]
        if encoders:
            raise RuntimeError("a copied stream has an encoder: this is not the case to be measured")
    for stream in made:
        live.delete(stream)
    return share / STREAMS


def _relayed(nginx: peers.Nginx, seconds: float) -> float:
    with streams.looping([f"{nginx.rtmp}/cost{number}" for number in range(STREAMS)]) as senders:
        share = _share(nginx.cpu_s, seconds)
        _check(senders)
    return share / STREAMS


def _laddered(live: streams.Live, seconds: float) -> float:
    stream = live.create()
    picture = Picture(width=1280, height=720, fps=30, bitrate_bps=3_000_000)
    with streams.one_encode([f"[f=flv]{stream.target.rtmp}"], picture):
        live.wait_playable(stream)
        share = _share(lambda: _cpu_s(live), seconds)
    live.delete(stream)
    return share


def _share(cpu_s: Callable[[], float], seconds: float) -> float:
    """CPU-seconds per second, after the start has settled."""
    time.sleep(SETTLE_S)
    before, began_s = cpu_s(), time.monotonic()
    time.sleep(seconds)
    return (cpu_s() - before) / (time.monotonic() - began_s)


def _cpu_s(live: streams.Live) -> float:
    """Of the ingest process and its encoders, those that have ended included."""
    root = live.ingest()
    times = root.cpu_times()
    own = times.user + times.system + times.children_user + times.children_system
    return own + sum(sum(child.cpu_times()[:2]) for child in root.children(recursive=True))


def _check(senders: list["subprocess.Popen[bytes]"]) -> None:
    dead = sum(sender.poll() is not None for sender in senders)
    if dead:
        raise RuntimeError(f"{dead} of {len(senders)} publishers ended early")
