"""From the last byte to Ready, against a stream copy of the same file; a long file against a short one."""

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.running import Running
from benchmarks.table import Row
from benchmarks.vod.footage import FFMPEG, lasting

ROUNDS = 3
LENGTHS_S = (60, 600, 3600)


def _copy_s(source: Path) -> float:
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        subprocess.run(
            [FFMPEG, "-nostdin", "-v", "error", "-i", str(source), "-c", "copy", f"{folder}/copy.mp4"], check=True
        )
        return time.perf_counter() - begin


def rows(running: Running) -> list[Row]:
    ready: dict[int, list[float]] = {}
    copies: dict[int, list[float]] = {}
    for _ in range(ROUNDS):
        for length_s in LENGTHS_S:
            source = lasting(length_s)
            media_id, _, ready_s = running.upload(source)
            running.delete(media_id)
            ready.setdefault(length_s, []).append(ready_s)
            copies.setdefault(length_s, []).append(_copy_s(source))
    out = []
    for length_s in LENGTHS_S:
        ratio = statistics.median(a / b for a, b in zip(ready[length_s], copies[length_s], strict=True))
        out.append(
            Row(
                f"last byte to Ready, {length_s // 60} min source",
                f"{1000 * statistics.median(ready[length_s]):.0f} ms",
                f"stream copy {1000 * statistics.median(copies[length_s]):.0f} ms",
                ratio,
                "<= 5x",
                ratio <= 5,
            )
        )
    ratio = statistics.median(a / b for a, b in zip(ready[3600], ready[60], strict=True))
    out.append(
        Row(
            "Ready, 60 min against 1 min",
            f"{1000 * statistics.median(ready[3600]):.0f} ms",
            f"{1000 * statistics.median(ready[60]):.0f} ms",
            ratio,
            "<= 3x",
            ratio <= 3,
        )
    )
    return out
