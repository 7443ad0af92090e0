"""Cold start of the whole platform after installation, and what it uses when nobody is there."""

import statistics
import time

from benchmarks.running import platform
from benchmarks.table import Row

ROUNDS = 3
SETTLE_S = 5
IDLE_S = 10


def rows() -> list[Row]:
    starts, memories, cpus = [], [], []
    for _ in range(ROUNDS):
        with platform() as running:
            starts.append(running.start_s)
            time.sleep(SETTLE_S)
            before = running.cpu_s()
            time.sleep(IDLE_S)
            cpus.append((running.cpu_s() - before) / IDLE_S)
            memories.append(running.memory_bytes() / 1e6)
    start_s, memory_mb = statistics.median(starts), statistics.median(memories)
    return [
        Row("cold start, empty folder to ready", f"{start_s:.1f} s", aim="< 6 s", met=start_s < 6),
        Row("idle memory, all processes (PSS)", f"{memory_mb:.0f} MB", aim="< 500 MB", met=memory_mb < 500),
        Row("idle CPU", f"{100 * statistics.median(cpus):.1f} % of a core"),
    ]
