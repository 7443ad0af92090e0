"""Requests per second over kept connections, by a client that costs as little as it can: it shares our cores."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

CONNECTIONS = 16
_HEAD_BYTES = 16_384


def rate_per_s(base_url: str, paths: Sequence[str], lasts_s: float) -> float:
    """Answers per second; each must be a 200 with its whole body."""
    return asyncio.run(_rate(base_url, paths, lasts_s))


async def _rate(base_url: str, paths: Sequence[str], lasts_s: float) -> float:
    host, port = urlsplit(base_url).hostname, urlsplit(base_url).port
    requests = [f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode() for path in paths]
    turns = itertools.count()
    begin_s = time.perf_counter()
    ends_s = begin_s + lasts_s
    counts = await asyncio.gather(
        *(_viewer(host or "", port or 80, requests, turns, ends_s) for _ in range(CONNECTIONS))
    )
    return sum(counts) / (time.perf_counter() - begin_s)


async def _viewer(host: str, port: int, requests: list[bytes], turns: "itertools.count[int]", ends_s: float) -> int:
    reader, writer = await asyncio.open_connection(host, port, limit=4 << 20)
    count = 0
    try:
        while time.perf_counter() < ends_s:
            writer.write(requests[next(turns) % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head[:_HEAD_BYTES]
            await reader.readexactly(_length(head))
            count += 1
    finally:
        writer.close()
    return count


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.index(b"content-length:") + 15
    return int(lower[start : lower.index(b"\r\n", start)])
