"""Keys change while viewers watch, over real HTTP: no good request is refused, and what was revoked ends in time."""

import asyncio
import base64
import contextlib
import itertools
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from tests import footage
from tests.journeys.gated import House
from tests.running_platform import RunningPlatform, clean_environ, free_port
from tests.unit.keys.signing import claims, token
from tests.web_server import FileServer

from fastpix_server.keys.model import KeyPair

VIEWERS = 4
# The guide: within seconds. Notifications take milliseconds, a lost one 5 s (door.KEYS_TTL_S); a busy machine more.
REVOKED_WITHIN_S = 6.0
EACH_PHASE_REQUESTS = 60
PHASE_TIMEOUT_S = 60
PROBE_PAUSE_S = 0.1
PAUSE_S = 0.02  # between two requests of a viewer: it is the change that is tried here, not the speed


class Load:
    """Viewers in threads, each loading manifests and all that they lead to, again and again."""

    def __init__(self, base_urls: Callable[[], list[str]], manifest: Callable[[], str]) -> None:
        self.refused: list[tuple[str, int, str]] = []
        self.count = 0
        self.sessions: Counter[tuple[str, int]] = Counter()  # by the manifest's URL and the viewer
        self._base_urls = base_urls
        self._manifest = manifest
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._watch, args=(i,), daemon=True) for i in range(VIEWERS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)

    def phase(self) -> None:
        """Returns when every viewer has done its part of some more requests."""
        self.wait(lambda goal=self.count + EACH_PHASE_REQUESTS: self.count >= goal)

    def wait(self, condition: Callable[[], bool]) -> None:
        end_s = time.monotonic() + PHASE_TIMEOUT_S
        while not condition():
            assert time.monotonic() < end_s, (self.count, self.refused[:3])
            time.sleep(0.02)

    def _watch(self, number: int) -> None:
        turns = itertools.count(number)
        # A connection stays with one process: every request makes a new one.
        with httpx.Client(timeout=30, limits=httpx.Limits(max_keepalive_connections=0)) as http:
            while not self._end.is_set():
                manifest = self._manifest()
                master = self._get(http, manifest, turns)
                if master is not None:
                    self._play(http, manifest, master, turns)
                    self.sessions[manifest, number] += 1

    def _play(self, http: httpx.Client, manifest: str, master: str, turns: Iterator[int]) -> None:
        playlists = [urljoin(manifest, line) for line in master.splitlines() if line and line[0] != "#"]
        listed = self._get(http, playlists[0], turns)
        for line in (listed or "").splitlines():
            if line and line[0] != "#" and not self._end.is_set():
                self._get(http, urljoin(playlists[0], line), turns)

    def _get(self, http: httpx.Client, path: str, turns: Iterator[int]) -> str | None:
        """From one edge after the other, as behind a balancer: one that does not answer is passed over."""
        self._end.wait(PAUSE_S)
        for _ in range(50):
            bases = self._base_urls()
            with contextlib.suppress(httpx.TransportError):
                answer = http.get(bases[next(turns) % len(bases)] + path)
                with self._lock:
                    self.count += 1
                    if answer.status_code != 200:
                        self.refused.append((path, answer.status_code, answer.text[:200]))
                return answer.text if answer.status_code == 200 and "m3u8" in path else None
            time.sleep(0.05)
        with self._lock:
            self.refused.append((path, 0, "no edge answered"))
        return None


def test_a_signing_key_is_replaced_without_one_refused_good_request(platform: RunningPlatform) -> None:
    auth = (platform.username, platform.password)
    with FileServer(footage.bikes().parent) as files, httpx.Client(base_url=platform.base_url, timeout=60) as http:
        media = http.post(
            "/v1/on-demand",
            auth=auth,
            json={"inputs": [{"type": "video", "url": files.url("bikes.mp4")}], "accessPolicy": "private"},
        ).json()["data"]
        playback_id = media["playbackIds"][0]["id"]

        def new_key() -> tuple[str, str]:
            """A key's id, and a manifest URL with a token that it signed."""
            made = http.post("/v1/iam/signing-keys", auth=auth).json()["data"]
            pair = KeyPair(base64.b64decode(made["privateKey"]).decode(), "")
            text = token(claims(playback_id, kid=made["id"]), kid=made["id"], key=pair)
            return made["id"], f"/{playback_id}.m3u8?token={text}"

        kid_a, by_a = new_key()
        end_s = time.monotonic() + 60
        while (master := http.get(by_a)).status_code != 200:
            assert time.monotonic() < end_s, master.text
            time.sleep(0.1)
        path_of_a = next(f"/{line}" for line in master.text.splitlines() if line and line[0] != "#")
        current = [by_a]
        with Load(lambda: [platform.base_url], lambda: current[0]) as load:
            load.phase()
            _, by_b = new_key()
            current[0] = by_b  # at once: a key works from the moment it was answered
            load.phase()
            # As the guide says: A is deleted when its last token is out of use.
            load.wait(lambda: all(load.sessions[by_b, viewer] for viewer in range(VIEWERS)))
            answer = http.delete(f"/v1/iam/signing-keys/{kid_a}", auth=auth)
            assert answer.status_code == 200
            deleted_s = time.monotonic()
            _probe([by_a, path_of_a], platform.base_url, deleted_s)
            load.phase()
            last = _probe([by_a, path_of_a], platform.base_url, deleted_s)
        assert load.refused == []
        assert load.count >= 3 * EACH_PHASE_REQUESTS
        assert last[200] == 0


def _probe(paths: list[str], base_url: str, deleted_s: float) -> Counter[int]:
    """Asks for what the deleted key had opened; after the promised time nothing of it may be served any more."""
    seen: Counter[int] = Counter()
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=base_url, timeout=30, limits=limits) as http:
        while True:
            asked_s = time.monotonic()
            for path in paths:
                status = http.get(path).status_code
                seen[status] += 1
                assert status in (200, 401)
                if asked_s > deleted_s + REVOKED_WITHIN_S:
                    assert status == 401, (
                        f"{path[:60]} was served {asked_s - deleted_s:.1f} s after its key was deleted"
                    )
            if asked_s > deleted_s + REVOKED_WITHIN_S:
                return seen
            time.sleep(PROBE_PAUSE_S)


class Edges:
    """`fastpix edge` processes over one database and folder, as on several machines."""

    def __init__(self, house: House, folder: Path, count: int) -> None:
        self._environ = {
            "FASTPIX_DATABASE_URL": house.stage.url,
            "FASTPIX_STORAGE_URL": f"file://{house.stage.folder}/objects",
            "FASTPIX_MASTER_KEY": secrets.token_hex(32),
            "FASTPIX_HTTP_WORKERS": "1",
        }
        self._folder = folder
        self._ports = [free_port() for _ in range(count)]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * count

    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self._ports]

    def start(self, i: int, number: int) -> None:
        with (self._folder / f"edge-{i}.log").open("ab") as log:
            self._processes[i] = subprocess.Popen(
                [sys.executable, "-m", "fastpix", "edge"],
                env=clean_environ(
                    **self._environ,
                    FASTPIX_DATA_DIR=str(self._folder / f"edge-{i}"),
                    FASTPIX_HTTP_PORT=str(self._ports[i]),
                    FASTPIX_PATH_KEY_NUMBER=str(number),
                ),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end_s = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.urls()[i]}/health/live", timeout=5).status_code == 200:
                    return
            assert time.monotonic() < end_s, (self._folder / f"edge-{i}.log").read_text()
            time.sleep(0.05)

    def stop(self, i: int) -> None:
        process = self._processes[i]
        if process is None:
            return
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        self._processes[i] = None

    def restart(self, i: int, number: int) -> None:
        self.stop(i)
        self.start(i, number)


@pytest.fixture
async def edges(house: House, tmp_path: Path) -> AsyncIterator[Edges]:
    made = Edges(house, tmp_path, 2)
    try:
        for i in range(2):
            await asyncio.to_thread(made.start, i, 1)
        yield made
    finally:
        for i in range(2):
            await asyncio.to_thread(made.stop, i)


async def test_the_path_key_is_replaced_on_one_edge_after_the_other_without_a_refusal(
    house: House, edges: Edges
) -> None:
    """What is in players from before stays good; two steps later it does not."""

    def walk() -> None:
        manifest = house.url("/{id}.m3u8", text=house.good())
        [before] = _children(edges.urls()[0] + manifest)
        assert f"/{house.video.playback_id}/1." in before
        with Load(edges.urls, lambda: manifest) as load:
            load.phase()
            edges.restart(0, 2)
            [after] = _children(edges.urls()[0] + manifest)
            assert f"/{house.video.playback_id}/2." in after
            load.phase()
            edges.restart(1, 2)
            load.phase()
            for url in edges.urls():
                assert [httpx.get(url + path, timeout=30).status_code for path in (before, after)] == [200, 200]
        assert load.refused == []
        edges.restart(1, 3)
        assert [httpx.get(edges.urls()[1] + path, timeout=30).status_code for path in (before, after)] == [401, 200]

    await asyncio.to_thread(walk)


def _children(url: str) -> list[str]:
    answer = httpx.get(url, timeout=30)
    assert answer.status_code == 200, answer.text
    return [f"/{line}" for line in answer.text.splitlines() if line and line[0] != "#"]
