"""From a publisher's RTMP `publish` to the first part that a viewer can see.

A relay between publisher and platform notes when the command passes. A part counts when it is listed, fetched, and
decodes to a picture together with its header; the time is that of the fetch, for what decodes it here is no player.
"""

import contextlib
import re
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import httpx
from tests.footage import count_pictures
from tests.publishers import Picture

from benchmarks.live import streams
from benchmarks.table import Row

AIM_S = 2.0
KEYS_EVERY_S = (2.0, 1.0)
_PUBLISH = b"\x02\x00\x07publish"  # an AMF0 string; FCPublish, which comes before it, is another
_POLL_S = 0.02


class Relay:
    """One RTMP connection, passed on to `target`. `published_s` (monotonic) once the command has passed."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None
        assert parts.port is not None
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtmp://127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"
        self.published_s: float | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            client = self._listener.accept()[0]
            with client, socket.create_connection(self._server) as server:
                self._pass(client, server)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        seen = b""
        while True:
            for ready in select.select([client, server], [], [])[0]:
                data = ready.recv(1 << 16)
                if not data:
                    return
                if ready is client and self.published_s is None:
                    seen = seen[-len(_PUBLISH) :] + data
                    if _PUBLISH in seen:
                        self.published_s = time.monotonic()
                (server if ready is client else client).sendall(data)

    def close(self) -> None:
        self._listener.close()


@contextlib.contextmanager
def relay(target: str) -> Iterator[Relay]:
    made = Relay(target)
    try:
        yield made
    finally:
        made.close()


def rows(live: streams.Live) -> Sequence[Row]:
    return [_row(live, every_s) for every_s in KEYS_EVERY_S]


def _row(live: streams.Live, key_every_s: float) -> Row:
    stream = live.create()
    picture = Picture(fps=30, key_every_s=key_every_s)
    with relay(stream.target.rtmp) as between, streams.one_encode([f"[f=flv]{between.url}"], picture):
        fetched_s = _first_picture(stream)
        assert between.published_s is not None
        took_s = fetched_s - between.published_s
    live.delete(stream)
    what = f"RTMP publish to the first part that shows a picture, key frames each {key_every_s:g} s"
    return Row(what, f"{took_s:.2f} s", aim=f"< {AIM_S:g} s", met=took_s < AIM_S)


def _first_picture(stream: streams.Stream) -> float:
    """When (monotonic) the first part had been fetched that decodes."""
    deadline = time.monotonic() + streams.READY_WITHIN_S
    with httpx.Client(timeout=10) as client:
        while time.monotonic() < deadline:
            if data := _first_part(client, stream.manifest):
                fetched_s = time.monotonic()
                if _shows_something(data):
                    return fetched_s
            time.sleep(_POLL_S)
    raise TimeoutError("no part came that shows a picture")


def _first_part(client: httpx.Client, manifest: str) -> bytes:
    """The oldest listed part of the first rendition of pictures, behind its header; empty while there is none."""
    answer = client.get(manifest)
    child = re.search(r"^[^#\n]+\.m3u8\S*", answer.text, re.MULTILINE) if answer.status_code == 200 else None
    if child is None:
        return b""
    listing = client.get(str(answer.url.join(child[0])))
    header = re.search('#EXT-X-MAP:URI="([^"]+)"', listing.text)
    part = re.search('#EXT-X-PART:[^\n]*URI="([^"]+)"', listing.text)
    if header is None or part is None:
        return b""
    found = [client.get(str(listing.url.join(name[1]))) for name in (header, part)]
    return b"".join(one.content for one in found) if all(one.status_code == 200 for one in found) else b""


def _shows_something(data: bytes) -> bool:
    with contextlib.suppress(subprocess.CalledProcessError):
        return count_pictures(data) > 0
    return False
