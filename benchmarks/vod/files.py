"""Files for download: from the request until their URL serves them, against ffmpeg's stream copy of the same streams,
and reading them by ranges, against nginx with the same file.

A file is written at once where its renditions are the source's own, and from stored segments otherwise. Both are
measured: the first with nearly ten minutes whose top rung is copied (H.264 with a key frame each 2 s, and AAC), while
the background fills the other rungs; the second with a minute of the same that is capped below its size, and after its
fill has ended: waiting for the fill is another figure. With the fill turned off, the second would never come.
"""

import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.live import peers
from benchmarks.running import Running
from benchmarks.table import Row
from benchmarks.vod.footage import FFMPEG, copyable, lasting

ROUNDS = 5
REPETITIONS = 12  # 9 min 36 s
RANGES = 300
RANGE_BYTES = 64 * 1024
MADE_WITHIN_S = 60.0
FILLED_WITHIN_S = 240.0
_LOOK_EVERY_S = 0.005
NAMES = {"capped_4k": "capped-4k.mp4", "audioOnly": "audio.m4a"}
_COPIES = {
    "capped_4k": ("-map", "0:v:0", "-map", "0:a", "-f", "mp4"),
    "audioOnly": ("-map", "0:a", "-f", "ipod"),
}


def rows(running: Running) -> list[Row]:
    """`running` fills in the background."""
    media_id, playback_id, _ = running.upload(copyable(REPETITIONS))
    assert "/source/" in _manifest(running, playback_id), "the top rung must be the source's own"
    out = [_made(running, media_id, playback_id, kind, copyable(REPETITIONS), "9.6 min, copied") for kind in NAMES]
    out += _read(running, media_id, playback_id)
    running.delete(media_id)
    media_id, playback_id, _ = running.upload(lasting(60), maxResolution="480p")
    assert "/source/" not in _manifest(running, playback_id), "nothing may be the source's own"
    _wait_for_fill(running, media_id)
    with tempfile.TemporaryDirectory() as folder:
        # The same streams as one file: what was made, once.
        made = Path(folder) / "made.mp4"
        _ask(running, media_id, playback_id, "capped_4k")
        made.write_bytes(httpx.get(_url(running, playback_id, "capped_4k"), timeout=60).raise_for_status().content)
        _take_away(running, media_id)
        out.append(_made(running, media_id, playback_id, "capped_4k", made, "1 min, from segments"))
    running.delete(media_id)
    return out


def _made(running: Running, media_id: str, playback_id: str, kind: str, same: Path, what: str) -> Row:
    """`same` is a file that holds the same streams."""
    taken, copies = [], []
    for _ in range(ROUNDS):
        taken.append(_ask(running, media_id, playback_id, kind))
        _take_away(running, media_id)
        copies.append(_copy_s(same, kind))
    ratio = statistics.median(a / b for a, b in zip(taken, copies, strict=True))
    return Row(
        f"mp4Support {kind} to its URL, {what}",
        f"{1000 * statistics.median(taken):.0f} ms",
        f"ffmpeg -c copy {1000 * statistics.median(copies):.0f} ms",
        ratio,
    )


def _ask(running: Running, media_id: str, playback_id: str, kind: str) -> float:
    with httpx.Client(timeout=30) as client:
        begin = time.perf_counter()
        _set(running, media_id, kind)
        while client.head(_url(running, playback_id, kind)).status_code != 200:
            assert time.perf_counter() - begin < MADE_WITHIN_S, "the file was not made"
            time.sleep(_LOOK_EVERY_S)
        return time.perf_counter() - begin


def _take_away(running: Running, media_id: str) -> None:
    _set(running, media_id, "none")


def _set(running: Running, media_id: str, choice: str) -> None:
    url = f"{running.base_url}/v1/on-demand/{media_id}/update-mp4Support"
    httpx.patch(url, json={"mp4Support": choice}, auth=running.auth, timeout=30).raise_for_status()


def _copy_s(source: Path, kind: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        argv = [FFMPEG, "-nostdin", "-v", "error", "-i", str(source), *_COPIES[kind]]
        begin = time.perf_counter()
        subprocess.run([*argv, "-c", "copy", "-movflags", "+faststart", f"{folder}/copy"], check=True)
        return time.perf_counter() - begin


def _read(running: Running, media_id: str, playback_id: str) -> list[Row]:
    _ask(running, media_id, playback_id, "capped_4k")
    url = _url(running, playback_id, "capped_4k")
    with peers.nginx() as nginx:
        begin = time.perf_counter()
        data = httpx.get(url, timeout=60).raise_for_status().content
        whole_s = time.perf_counter() - begin
        (nginx.muxed / "same.mp4").write_bytes(data)
        theirs = f"{nginx.http}/muxed/same.mp4"
        begin = time.perf_counter()
        httpx.get(theirs, timeout=60).raise_for_status().read()
        their_whole_s = time.perf_counter() - begin
        ours_ms, theirs_ms = _ranges_ms(url, len(data)), _ranges_ms(theirs, len(data))
    megabytes = len(data) / 1e6
    return [
        Row(
            "64 KiB at a random place of the MP4, p50 / p95",
            f"{_at(ours_ms, 50):.1f} / {_at(ours_ms, 95):.1f} ms",
            f"nginx {_at(theirs_ms, 50):.1f} / {_at(theirs_ms, 95):.1f} ms",
            _at(ours_ms, 50) / _at(theirs_ms, 50),
        ),
        Row(
            f"all of it, {megabytes:.0f} MB, one connection",
            f"{megabytes / whole_s:.0f} MB/s",
            f"nginx {megabytes / their_whole_s:.0f} MB/s",
            their_whole_s / whole_s,
        ),
    ]


def _ranges_ms(url: str, size: int) -> list[float]:
    chance, taken = random.Random(1), []
    with httpx.Client(timeout=30) as client:
        client.head(url)
        for _ in range(RANGES):
            first = chance.randrange(size - RANGE_BYTES)
            begin = time.perf_counter()
            answer = client.get(url, headers={"Range": f"bytes={first}-{first + RANGE_BYTES - 1}"})
            taken.append(1000 * (time.perf_counter() - begin))
            assert (answer.status_code, len(answer.content)) == (206, RANGE_BYTES)
    return taken


def _at(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _wait_for_fill(running: Running, media_id: str) -> None:
    end = time.monotonic() + FILLED_WITHIN_S
    while time.monotonic() < end:
        lines = (running.data_dir / "log").read_text(errors="replace").splitlines()
        if any("fill_done" in line and media_id in line for line in lines):
            return
        time.sleep(0.5)
    raise TimeoutError(media_id)


def _manifest(running: Running, playback_id: str) -> str:
    return httpx.get(f"{running.base_url}/{playback_id}.m3u8", timeout=30).raise_for_status().text


def _url(running: Running, playback_id: str, kind: str) -> str:
    return f"{running.base_url}/{playback_id}/{NAMES[kind]}"
