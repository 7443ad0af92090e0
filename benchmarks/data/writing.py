"""Beacons: how many are acknowledged (which is after fdatasync), how long that takes, and when the API shows them.

Beside them, in the same run: the same beacons of a workspace that does not exist, which are parsed and dropped. The
difference is the price of keeping.
"""

import asyncio
import itertools
import json
import time
import uuid
from urllib.parse import urlsplit

import httpx

from benchmarks.running import Running, platform
from benchmarks.table import Row

CONNECTIONS = 32
LASTS_S = 10.0
EVENTS = 4  # of a request: what a player has to say after ten seconds
FRESH_VIEWS = 10
FRESH_AIM_S = 2.0
FRESH_MAX_S = 60.0
# The engine gives memory back after five seconds of silence; jobs ask it something every minute.
IDLE_S = 45.0
IDLE_AIM_MB = 500


def rows() -> list[Row]:
    with platform(FASTPIX_BEACON_RATE_PER_S="0") as running:
        saved = json.loads((running.data_dir / "credentials.json").read_text())
        key = saved["workspaceKey"]
        fresh = _freshness(running, key)
        dropped, _ = asyncio.run(_send(running.base_url, "nobody"))
        kept, took = asyncio.run(_send(running.base_url, key))
    took.sort()
    p50_ms, p99_ms = (took[int(len(took) * share)] * 1000 for share in (0.5, 0.99))
    fresh.sort()
    return [
        Row("beacons acknowledged", f"{kept:.0f} requests/s", f"dropped unread {dropped:.0f}/s", kept / dropped),
        Row("events acknowledged", f"{kept * EVENTS:.0f} /s"),
        Row(f"acknowledged after, {CONNECTIONS} connections", f"p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms"),
        Row(
            "beacon to API",
            f"p50 {fresh[len(fresh) // 2]:.2f} s, worst {fresh[-1]:.2f} s",
            aim=f"< {FRESH_AIM_S:.0f} s",
            met=fresh[-1] < FRESH_AIM_S,
        ),
    ]


def idle() -> list[Row]:
    """The memory of a whole platform that has nothing to do: all its processes, shared pages counted once."""
    with platform() as running:
        time.sleep(IDLE_S)
        used = running.memory_bytes() / 1_000_000
        processes = running.memory_by_process()
    rows = [
        Row("memory of an idle platform (PSS)", f"{used:.0f} MB", aim=f"< {IDLE_AIM_MB} MB", met=used < IDLE_AIM_MB)
    ]
    return rows + [Row(f"of it {name}", f"{size / 1_000_000:.0f} MB") for name, size in processes]


def _request(key: str) -> bytes:
    """A view of its own: the worst case for whoever merges."""
    view, now = str(uuid.uuid4()), int(time.time() * 1000)
    own = {"wsid": key, "veid": view, "plinid": view, "bedn": "example", "vdid": "film", "vitp": now}
    state = {"vest": now, "vdtt": "A film", "viid": view[:6], "plwt": 1280, "plht": 720, "plswna": "hls.js"}
    names = ("viewBegin", "play", "playing", "pulse")
    events = [
        {**own, "vesqnu": n, "plsqnu": n, "evna": name, "plphti": n * 10, **(state if n == 1 else {"vewati": n * 10})}
        for n, name in enumerate(names, start=1)
    ]
    return json.dumps({"metadata": {"transmission_timestamp": now}, "events": events}).encode()


async def _send(base_url: str, key: str) -> tuple[float, list[float]]:
    """Requests per second, and the seconds that each took."""
    host, port = urlsplit(base_url).hostname or "", urlsplit(base_url).port or 80
    bodies = itertools.cycle([_request(key) for _ in range(2_000)])
    took: list[float] = []
    begin = time.perf_counter()
    ends = begin + LASTS_S
    await asyncio.gather(*(_player(host, port, bodies, took, ends) for _ in range(CONNECTIONS)))
    return len(took) / (time.perf_counter() - begin), took


async def _player(host: str, port: int, bodies: "itertools.cycle[bytes]", took: list[float], ends: float) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    head = f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: text/plain\r\nContent-Length: "
    try:
        while (begin := time.perf_counter()) < ends:
            body = next(bodies)
            writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            took.append(time.perf_counter() - begin)
    finally:
        writer.close()


def _freshness(running: Running, key: str) -> list[float]:
    """Seconds from the acknowledgement of a view's first beacon to its first appearance in the API."""
    found = []
    with httpx.Client(base_url=running.base_url, auth=running.auth, timeout=30) as client:
        for _ in range(FRESH_VIEWS):
            body = _request(key)
            view = json.loads(body)["events"][0]["veid"]
            client.post("/", content=body, headers={"Content-Type": "text/plain"}).raise_for_status()
            begin = time.perf_counter()
            while client.get(f"/v1/data/viewlist/{view}").status_code != 200:
                assert time.perf_counter() - begin < FRESH_MAX_S, "the view did not come"
                time.sleep(0.05)
            found.append(time.perf_counter() - begin)
    return found
