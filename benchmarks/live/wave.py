"""1,000 viewers wait for the same next part: how fast are they all released?"""

import asyncio
import re
import resource
import statistics
import time
from urllib.parse import urljoin

import aiohttp
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
    first, half, last = (statistics.median(wave[place] for wave in waves) for place in range(3))
    return [
        Row(
            f"{VIEWERS} blocked playlist requests: the last answer after the first",
            f"{last:.0f} ms (half of them {half:.0f} ms; {ROUNDS} waves)",
            aim=f"< {_AIM_MS} ms",
            met=last < _AIM_MS,
        ),
        Row("the first answer after the part's newest picture", f"{first:.0f} ms, of which the part itself 500 ms"),
    ]


def media_playlist(manifest: str) -> str:
    """The first variant's."""
    lines = httpx.get(manifest, timeout=30).raise_for_status().text.splitlines()
    return urljoin(manifest, next(line for line in lines if line and not line.startswith("#")))


async def _waves(playlist: str) -> list[tuple[float, float, float]]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as client:
        return [await _wave(client, playlist) for _ in range(ROUNDS)]


async def _wave(client: aiohttp.ClientSession, playlist: str) -> tuple[float, float, float]:
    """(first answer after it was asked for, median after the first, last after the first), in ms."""
    async with client.get(playlist) as answer:
        number, part = next_part(await answer.text())
    # Two parts ahead, so that everybody waits when it comes.
    url = f"{playlist}{'&' if '?' in playlist else '?'}_HLS_msn={number}&_HLS_part={part + 1}"
    began_s = time.perf_counter()
    done = sorted(await asyncio.gather(*(_ask(client, url) for _ in range(VIEWERS))))
    return (done[0] - began_s) * 1000, (done[VIEWERS // 2] - done[0]) * 1000, (done[-1] - done[0]) * 1000


async def _ask(client: aiohttp.ClientSession, url: str) -> float:
    async with client.get(url) as answer:
        body = await answer.read()
        if answer.status != 200 or b"#EXTM3U" not in body:
            raise RuntimeError(f"{answer.status} {body[:200]!r}")
        return time.perf_counter()


def next_part(text: str) -> tuple[int, int]:
    """(segment, part) that the playlist's preload hint announces."""
    found = re.search(r'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="[^"]*?(\d+)\.(\d+)\.m4s', text)
    if found is None:
        raise RuntimeError(f"no preload hint in {text[-500:]}")
    return int(found[1]), int(found[2])
