"""1,000 viewers wait for the same next part: how fast are they all released?"""

import re
import resource
import select
import socket
import statistics
import time
from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

import httpx

from benchmarks.live import streams
from benchmarks.table import Row

VIEWERS = 1000
ROUNDS, TRIES = 5, 50
SETTLE_S = 0.1  # the server has read a thousand requests by then
_AIM_MS = 150
WITHIN_S = 60.0


def rows(live: streams.Live) -> list[Row]:
    stream = live.create()
    with streams.one_encode([f"[f=flv]{stream.target.rtmp}"]):
        live.wait_playable(stream)
        playlist = media_playlist(stream.manifest)
        time.sleep(4)  # some whole segments
        waves = _waves(playlist)
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


def _waves(playlist: str) -> list[tuple[float, float]]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    waves: list[tuple[float, float]] = []
    for _ in range(TRIES):
        wave = _wave(playlist)
        waves += [wave] if wave else []
        if len(waves) == ROUNDS:
            return waves
    raise TimeoutError(f"the next part always came before {VIEWERS} viewers waited for it")


def _wave(playlist: str) -> tuple[float, float] | None:
    """(median after the first answer, last after the first), in ms; None when the part came before all waited."""
    url = urlsplit(playlist)
    viewers = [socket.create_connection((url.hostname, url.port)) for _ in range(VIEWERS)]
    try:
        number, part = next_part(httpx.get(playlist, timeout=30).text)
        # Three parts ahead (or the next segment's first): a second is enough for everybody to wait when it comes.
        query = f"{url.query}&" if url.query else ""
        target = f"{url.path}?{query}_HLS_msn={number}&_HLS_part={part + 2}"
        request = f"GET {target} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
        for viewer in viewers:
            viewer.sendall(request)
        sent_s = time.perf_counter()
        done = sorted(_answered(viewers))
    finally:
        for viewer in viewers:
            viewer.close()
    if done[0] - sent_s < SETTLE_S:
        return None
    return (done[VIEWERS // 2] - done[0]) * 1000, (done[-1] - done[0]) * 1000


def _answered(viewers: Sequence[socket.socket]) -> list[float]:
    """When each one's first bytes came. No event loop: it would take as long for a thousand answers as the server does,
    on the same cores."""
    by_file = {viewer.fileno(): viewer for viewer in viewers}
    poll = select.epoll()
    for file in by_file:
        poll.register(file, select.EPOLLIN)
    done: list[float] = []
    until_s = time.perf_counter() + WITHIN_S
    with poll:
        while by_file and time.perf_counter() < until_s:
            for file, _ in poll.poll(1.0, VIEWERS):
                head = by_file[file].recv(64)
                done.append(time.perf_counter())
                if b" 200 " not in head:
                    raise RuntimeError(f"a viewer was refused: {head!r}")
                poll.unregister(file)
                del by_file[file]
    if by_file:
        raise TimeoutError(f"{len(by_file)} of {VIEWERS} were not answered")
    return done


def next_part(text: str) -> tuple[int, int]:
    """(segment, part) that the playlist's preload hint announces."""
    found = re.search(r'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="[^"]*?(\d+)\.(\d+)\.m4s', text)
    if found is None:
        raise RuntimeError(f"no preload hint in {text[-500:]}")
    return int(found[1]), int(found[2])
