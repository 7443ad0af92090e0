"""1,000 viewers wait for the same next part: how fast are they all released?"""

import asyncio
import re
import resource
import statistics
import time
from urllib.parse import urljoin, urlsplit

import httpx

from benchmarks.live import streams
from benchmarks.table import Row

VIEWERS = 1000
ROUNDS = 5
_AIM_MS = 250


def rows(live: streams.Live) -> list[Row]:
    stream = live.create()
    with streams.one_encode([f"[f=flv]{stream.target.rtmp}"]):
        live.wait_playable(stream)
        playlist = media_playlist(stream.manifest)
        time.sleep(4)  # some whole segments
        waves = asyncio.run(_waves(playlist))
    live.delete(stream)
    half, last = (statistics.median(wave[place] for wave in waves) for place in range(2))
    return [
        Row(
            f"{VIEWERS} blocked playlist requests: the last answer after the first",
            f"{last:.0f} ms (half of them {half:.0f} ms; {ROUNDS} waves)",
            aim=f"< {_AIM_MS} ms",
            met=last < _AIM_MS,
        )
    ]


def media_playlist(manifest: str) -> str:
    """The first variant's."""
    lines = httpx.get(manifest, timeout=30).raise_for_status().text.splitlines()
    return urljoin(manifest, next(line for line in lines if line and not line.startswith("#")))


class _Viewer(asyncio.Protocol):
    """One request, and when the first byte of its answer came: as little of our own work as there can be."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.head = b""

    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self.head = data[:64]
            self.answered.set_result(time.perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(exc or ConnectionError("closed without an answer"))


async def _waves(playlist: str) -> list[tuple[float, float]]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    return [await _wave(playlist) for _ in range(ROUNDS)]


async def _wave(playlist: str) -> tuple[float, float]:
    """(median after the first answer, last after the first), in ms."""
    loop = asyncio.get_running_loop()
    url = urlsplit(playlist)
    made = [await loop.create_connection(_Viewer, url.hostname, url.port) for _ in range(VIEWERS)]
    async with httpx.AsyncClient(timeout=30) as client:
        number, part = next_part((await client.get(playlist)).text)
    # Two parts ahead, so that everybody waits when it comes.
    query = f"{url.query}&" if url.query else ""
    target = f"{url.path}?{query}_HLS_msn={number}&_HLS_part={part + 1}"
    request = f"GET {target} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
    for transport, _ in made:
        transport.write(request)
    done = sorted(await asyncio.wait_for(asyncio.gather(*(viewer.answered for _, viewer in made)), 60))
    refused = [viewer.head for _, viewer in made if b" 200 " not in viewer.head]
    for transport, _ in made:
        transport.abort()
    if refused:
        raise RuntimeError(f"{len(refused)} of {VIEWERS} were refused: {refused[0]!r}")
    return (done[VIEWERS // 2] - done[0]) * 1000, (done[-1] - done[0]) * 1000


def next_part(text: str) -> tuple[int, int]:
    """(segment, part) that the playlist's preload hint announces."""
    found = re.search(r'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="[^"]*?(\d+)\.(\d+)\.m4s', text)
    if found is None:
        raise RuntimeError(f"no preload hint in {text[-500:]}")
    return int(found[1]), int(found[2])
