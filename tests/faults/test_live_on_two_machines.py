"""Two machines with an ingest and an HTTP process each, over one PostgreSQL and one S3 server: a stream outlives the
machine that takes it, and either machine shows it. Each machine has a loopback address and a data folder of its own."""

import base64
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from tests.footage import count_pictures
from tests.publishers import Picture, Target, publisher
from tests.running_platform import clean_environ, free_port
from tests.unit.storage import seaweed

pytestmark = pytest.mark.timeout(240)

T = TypeVar("T")

WAIT_S = 60
USERNAME, PASSWORD = "two-machines", "the-same-on-both"
SMALL = Picture(width=320, height=180, fps=25, bitrate_bps=300_000, key_every_s=1.0)


class Machine:
    """An ingest process and an HTTP process (API and edge) on one address."""

    def __init__(self, address: str, folder: Path, **shared: str) -> None:
        self.address, self.http_port, self.rtmp_port = address, free_port(), free_port()
        self.base_url = f"http://{address}:{self.http_port}"
        self._log = folder / f"{address}.log"
        self._environ = clean_environ(
            FASTPIX_DATA_DIR=str(folder / address),
            FASTPIX_HOST=address,
            FASTPIX_HTTP_PORT=str(self.http_port),
            FASTPIX_HTTP_WORKERS="1",
            FASTPIX_RTMP_PORT=str(self.rtmp_port),
            FASTPIX_RTMPS_PORT="0",
            FASTPIX_SRT_PORT="0",
            FASTPIX_ORIGIN_HOST=address,
            FASTPIX_USERNAME=USERNAME,
            FASTPIX_PASSWORD=PASSWORD,
            **shared,
        )
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, role: str) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "fastpix_server.app", role]
            started = subprocess.Popen(
                command, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._running[role] = started
        return started

    def kill(self) -> None:
        """The power fails."""
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]

    def manifest(self, playback_id: str) -> str | None:
        answer = httpx.get(f"{self.base_url}/{playback_id}.m3u8", timeout=30)
        return answer.text if answer.status_code == 200 else None

    def playlist(self, playback_id: str) -> str:
        """Of the source, with `\\n` before each line; empty when it cannot be had now."""
        path = re.search(r"^.*/source/index\.m3u8\S*", self.manifest(playback_id) or "", re.MULTILINE)
        answer = httpx.get(f"{self.base_url}/{path[0].lstrip('/')}", timeout=30) if path else None
        return "\n" + answer.text if answer is not None and answer.status_code == 200 else ""

    def picture(self, playback_id: str) -> bytes:
        """The newest whole segment, behind its header."""
        path = re.search(r"^.*/source/index\.m3u8", self.manifest(playback_id) or "", re.MULTILINE)
        assert path is not None
        folder = f"{self.base_url}/{path[0].lstrip('/').rpartition('/')[0]}"
        text = self.playlist(playback_id)
        init, segment = re.findall(r'URI="(init-\d+\.mp4)"', text)[-1], re.findall(r"\n(\d+\.m4s)", text)[-1]
        bodies = [httpx.get(f"{folder}/{name}", timeout=30).raise_for_status().content for name in (init, segment)]
        return b"".join(bodies)


@pytest.fixture
def machines(database_url: str, tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    with seaweed.running() as endpoint, contextlib.ExitStack() as closing:
        shared = {
            "FASTPIX_DATABASE_URL": database_url,
            "FASTPIX_STORAGE_URL": f"s3://{seaweed.BUCKET}/live",
            "FASTPIX_S3_ENDPOINT": endpoint,
            "FASTPIX_S3_ACCESS_KEY_ID": seaweed.ACCESS_KEY,
            "FASTPIX_S3_SECRET_ACCESS_KEY": seaweed.SECRET_KEY,
            "FASTPIX_MASTER_KEY": base64.b64encode(bytes(range(32))).decode(),
        }
        pair = Machine("127.0.0.2", tmp_path, **shared), Machine("127.0.0.3", tmp_path, **shared)
        for machine in pair:
            closing.callback(machine.kill)
        assert pair[0].run("migrate").wait(WAIT_S) == 0, pair[0].log()
        for machine in pair:
            machine.run("http")
            machine.run("ingest")
        yield pair


def until(condition: Callable[[], T], what: str, machine: Machine) -> T:
    end = time.monotonic() + WAIT_S
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if found := condition():
                return found
        assert time.monotonic() < end, f"waited in vain for {what}: {machine.log()}"
        time.sleep(0.2)


def test_a_stream_outlives_the_machine_that_takes_it_and_either_machine_shows_it(
    machines: tuple[Machine, Machine],
) -> None:
    first, second = machines
    api = httpx.Client(base_url=second.base_url, auth=(USERNAME, PASSWORD), timeout=60)
    body = {"playbackSettings": {"accessPolicy": "public"}, "inputMediaSettings": {"maxResolution": "1080p"}}

    def create() -> dict[str, object] | None:
        answer = api.post("/v1/live/streams", json=body)
        return dict(answer.json()["data"]) if answer.status_code == 201 else None

    stream = until(create, "the API", second)
    path, playback_id = f"/v1/live/streams/{stream['streamId']}", str(stream["playbackIds"][0]["id"])  # type: ignore[index]

    def read(what: str = "") -> dict[str, object]:
        return dict(api.get(path + what).json()["data"])

    def is_listening(machine: Machine) -> bool:
        return machine.log().count("ingest_started") > 0

    def target(machine: Machine) -> Target:
        return Target(rtmp=f"rtmp://{machine.address}:{machine.rtmp_port}/live/{stream['streamKey']}")

    for machine in machines:
        until(lambda machine=machine: is_listening(machine), "its ingest", machine)
    with publisher("rtmp", target(first), SMALL) as encoder:
        for machine in machines:  # the second asks the first, over its address
            until(lambda machine=machine: machine.playlist(playback_id).count("\n#EXTINF") >= 2, "segments", machine)
            assert count_pictures(machine.picture(playback_id)) > 10
        with publisher("rtmp", target(second), SMALL) as rival:
            assert rival.wait(WAIT_S) != 0, "the stream belongs to the first machine"
        first.kill()
        encoder.kill()

    def goes_on() -> bool:
        """An encoder that tries again and again, as they do, until the lease of the dead machine has run out."""
        with publisher("rtmp", target(second), SMALL) as again:
            while again.is_running:
                if "\n#EXT-X-DISCONTINUITY\n" in second.playlist(playback_id) and read()["status"] == "active":
                    return read("/health")["connections"] == 2 and count_pictures(second.picture(playback_id)) > 10
                time.sleep(0.2)
        return False

    assert until(goes_on, "the same session on the second machine", second)
    text = second.playlist(playback_id)
    assert "\n0.m4s" in text, "what the dead machine had stored is still listed"
    assert text.count("\n#EXT-X-DISCONTINUITY\n") == 1
    # Of the dead machine's segments these are the ones in the journal: the last one or two may have died with it.
    listed_s = sum(float(length) for length in re.findall(r"(?<!#EXT-X-GAP)\n#EXTINF:([\d.]+)", text))
    api.put(f"{path}/finish").raise_for_status()
    [media_id] = until(lambda: read().get("mediaIds"), "the recording", second)  # type: ignore[misc]
    media = until(
        lambda: found if (found := api.get(f"/v1/on-demand/{media_id}").json()["data"])["status"] == "Ready" else None,
        "Ready",
        second,
    )
    assert media["duration"] > listed_s - 0.1, "what was listed is in the recording"
