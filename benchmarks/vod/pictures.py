"""Pictures of an hour of video: single ones at random times, the sheet for previews, moving ones.

Each is compared with one ffmpeg that seeks to the same time of the same file and writes one JPEG. Nobody fills
meanwhile: the figures are what the first viewer of a picture waits, and the next one.
"""

import random
import statistics
import subprocess
import time

import httpx

from benchmarks.running import Running
from benchmarks.table import Row
from benchmarks.vod.footage import FFMPEG, lasting

LENGTH_S = 3600
PICTURES = 30
ROUNDS = 3
FIRST_BYTE_S = 120


def rows(running: Running) -> list[Row]:
    """`running` must have its background fill turned off."""
    media_id, playback_id, _ = running.upload(lasting(LENGTH_S))
    base_url = f"{running.base_url}/{playback_id}"
    chance = random.Random(7)
    times = [round(chance.uniform(0, LENGTH_S - 1), 2) for _ in range(PICTURES)]
    with httpx.Client(timeout=FIRST_BYTE_S) as client:
        _get_s(client, f"{base_url}/thumbnail.jpg?time=1")  # the worker has opened the source
        out = _stills(client, base_url, times)
        one_s = statistics.median(_ffmpeg_s(at_s) for at_s in times[:10])
        out += _sheets(client, base_url, one_s)
        out += _moving(client, base_url, times, one_s)
    running.delete(media_id)
    return out


def _stills(client: httpx.Client, base_url: str, times: list[float]) -> list[Row]:
    cold, cached, theirs = [], [], []
    for at_s in times:
        url = f"{base_url}/thumbnail.jpg?time={at_s}"
        cold.append(_get_s(client, url))
        cached.append(_get_s(client, url))
        theirs.append(_ffmpeg_s(at_s))
    return [
        Row(
            "thumbnail.jpg at a random time of 60 min, first, p50 / p95",
            _both(cold),
            f"ffmpeg -ss T -frames:v 1: {_both(theirs)}",
            statistics.median(a / b for a, b in zip(cold, theirs, strict=True)),
        ),
        Row("the same again, p50 / p95", _both(cached)),
    ]


def _sheets(client: httpx.Client, base_url: str, one_s: float) -> list[Row]:
    out = []
    for name in ("spritesheet", "advanced-spritesheet"):
        told = _get_s(client, f"{base_url}/{name}.json")
        tiles = len(client.get(f"{base_url}/{name}.json").json()["tiles"])
        first = told + _get_s(client, f"{base_url}/{name}.jpg")
        again = _get_s(client, f"{base_url}/{name}.jpg")
        out.append(
            Row(
                f"{name}.json and .jpg of 60 min, {tiles} tiles, first",
                f"{first:.2f} s ({1000 * first / tiles:.0f} ms a tile)",
                f"one picture by ffmpeg {1000 * one_s:.0f} ms, times {tiles}",
                first / (one_s * tiles),
            )
        )
        out.append(Row(f"{name}.json / {name}.jpg again", f"{1000 * told:.1f} / {1000 * again:.1f} ms"))
    return out


def _moving(client: httpx.Client, base_url: str, times: list[float], one_s: float) -> list[Row]:
    out = []
    for form in ("gif", "webp"):
        taken, sizes = [], []
        for at_s in times[:ROUNDS]:
            start_s = min(at_s, LENGTH_S - 6)
            url = f"{base_url}/clip.{form}?start={start_s}&end={start_s + 5}"
            taken.append(_get_s(client, url))
            sizes.append(len(client.get(url).content))
        median_s = statistics.median(taken)
        out.append(
            Row(
                f"clip.{form} of 5 s (320 wide, 15 a second, {statistics.median(sizes) / 1e6:.1f} MB), first",
                f"{median_s:.2f} s",
                f"one picture by ffmpeg {1000 * one_s:.0f} ms",
                median_s / one_s,
            )
        )
    return out


def _get_s(client: httpx.Client, url: str) -> float:
    begin = time.perf_counter()
    client.get(url).raise_for_status()
    return time.perf_counter() - begin


def _ffmpeg_s(at_s: float) -> float:
    argv = [FFMPEG, "-nostdin", "-v", "error", "-ss", str(at_s), "-i", str(lasting(LENGTH_S))]
    begin = time.perf_counter()
    subprocess.run([*argv, "-frames:v", "1", "-f", "image2pipe", "-c:v", "mjpeg", "-"], check=True, capture_output=True)
    return time.perf_counter() - begin


def _both(seconds: list[float]) -> str:
    p95 = statistics.quantiles(seconds, n=100, method="inclusive")[94]
    return f"{1000 * statistics.median(seconds):.0f} / {1000 * p95:.0f} ms"
