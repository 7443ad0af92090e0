"""A cold segment over HTTP: near and far, short and long sources, idle and while the background fills."""

import itertools
import re
import statistics
import time
from urllib.parse import urljoin

import httpx

from benchmarks.running import Running
from benchmarks.table import Row
from benchmarks.vod.footage import lasting

ROUNDS = 5
START_UP_HEIGHT = 480  # the first variant of the manifest
SETTLE_S = 2.0
# The aims were set for a 360p and a 720p rung; our ladder has rungs on both sides of the former.
AIMS_S = {(480, "first"): 0.3, (720, "first"): 0.7, (480, "far"): 0.5, (720, "far"): 0.95}


def rungs_of(base_url: str, playback_id: str) -> dict[int, str]:
    """Height -> media playlist URL, of the encoded rungs."""
    url = f"{base_url}/{playback_id}.m3u8"
    lines = httpx.get(url).raise_for_status().text.splitlines()
    found = {}
    for line, uri in itertools.pairwise(lines):
        size = re.search(r"RESOLUTION=\d+x(\d+)", line)
        if size and "/source/" not in uri:
            found[int(size[1])] = urljoin(url, uri)
    return found


def segments_of(playlist_url: str) -> list[str]:
    lines = httpx.get(playlist_url).raise_for_status().text.splitlines()
    return [urljoin(playlist_url, line) for line in lines if line and not line.startswith("#")]


def fetch(url: str) -> None:
    httpx.get(url, timeout=60).raise_for_status()


def cold(running: Running, length_s: int, height: int, where: str, *, wait_s: float = 0) -> float:
    """One cold segment of a media that nobody has watched.

    Reading the manifest starts the first segment of the start-up rung, so that one is timed from the manifest on, as
    a player sees it; the others after that has settled, as when a viewer switches or seeks.
    """
    media_id, playback_id, _ = running.upload(lasting(length_s))
    time.sleep(wait_s)
    begin = time.perf_counter()
    rungs = rungs_of(running.base_url, playback_id)
    segments = segments_of(rungs[height])
    if (height, where) != (START_UP_HEIGHT, "first"):
        time.sleep(SETTLE_S)
        begin = time.perf_counter()
    fetch(segments[0] if where == "first" else segments[-3])
    taken_s = time.perf_counter() - begin
    running.delete(media_id)
    return taken_s


def rows(running: Running) -> list[Row]:
    """`running` must have its background fill turned off."""
    taken: dict[tuple[int, int, str], list[float]] = {}
    for _ in range(ROUNDS):
        for length_s in (60, 3600):
            for height in (480, 720):
                for where in ("first", "far"):
                    taken.setdefault((length_s, height, where), []).append(cold(running, length_s, height, where))
    out = []
    for (height, where), aim_s in AIMS_S.items():
        short, long = taken[60, height, where], taken[3600, height, where]
        median_s = statistics.median(long)
        out.append(
            Row(
                f"cold {where} segment, {height}p, 60 min source",
                f"{median_s:.2f} s",
                f"1 min source {statistics.median(short):.2f} s",
                statistics.median(a / b for a, b in zip(long, short, strict=True)),
                f"<= {aim_s} s",
                median_s <= aim_s,
            )
        )
    return out


def rows_while_filling(idle: Running, filling: Running) -> list[Row]:
    """Far seeks: with the background at work (second platform) against without it, in turn."""
    pairs = []
    for _ in range(ROUNDS):
        pairs.append((cold(filling, 600, 720, "far", wait_s=2), cold(idle, 600, 720, "far", wait_s=2)))
    ratio = statistics.median(a / b for a, b in pairs)
    return [
        Row(
            "cold far segment, 720p, while the background fills",
            f"{statistics.median(a for a, _ in pairs):.2f} s",
            f"idle {statistics.median(b for _, b in pairs):.2f} s",
            ratio,
            "<= 1.3x",
            ratio <= 1.3,
        )
    ]
