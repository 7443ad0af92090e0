"""Real uploads over real HTTP: one server of two processes, its database, its disk."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from tests.databases import Databases
from tests.unit.uploads import server as program

START_S = 90.0  # a busy machine; an idle one takes two


@dataclasses.dataclass
class Uploading:
    """A running server and what tests ask about."""

    database_url: str
    folder: Path
    port: int
    processes: int
    s3_endpoint: str = ""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [self.database_url, str(self.folder), str(self.port), str(self.processes), self.s3_endpoint]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.uploads.server", *argv], start_new_session=True
        )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.base}/v1/on-demand/uploads", auth=self.auth).status_code == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError("the server did not start")

    def kill(self) -> None:
        """kill -9 of the whole server, every process of it."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)  # its own session: only what this test started
        self.process.wait()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def auth(self) -> tuple[str, str]:
        return (program.USERNAME, program.PASSWORD)

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, f"{self.base}/v1/on-demand{path}", auth=self.auth, timeout=60, **options)

    def create(self, *, browser: bool = False, **body: Any) -> dict[str, Any]:
        headers = {"X-Client-Type": "web-browser"} if browser else {}
        answer = self.api("POST", "/upload", json={"corsOrigin": "*"} | body, headers=headers)
        assert answer.status_code == 201, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def rows(self, query: str, *values: object) -> list[Any]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(query, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def status(self, upload_id: str) -> str:
        return str(self.rows("select status from uploads where id = %s", upload_id)[0][0])

    def stored(self, upload_id: str) -> bytes:
        return (self.folder / "objects" / "sources" / upload_id / "original").read_bytes()

    def staged(self, upload_id: str) -> list[Path]:
        return list((self.folder / "objects" / ".staging").glob(f"{upload_id}*"))

    def events(self, upload_id: str) -> list[str]:
        found = self.rows("select type from events where object_id = %s order by position", upload_id)
        return [row[0] for row in found]

    def memory_bytes(self) -> int:
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        return max(child.memory_info().rss for child in [parent, *parent.children(recursive=True)])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def uploading(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uploading]:
    """Two server processes, so that consecutive requests land in either."""
    with databases.fresh() as url:
        running = Uploading(url, tmp_path_factory.mktemp("uploads"), free_port(), processes=2)
        running.start()
        yield running
        running.kill()


def put(url: str, data: bytes, first: int, total: int | str, **headers: str) -> httpx.Response:
    """One chunk as every uploader sends it."""
    return httpx.put(
        url,
        content=data,
        headers={"Content-Range": f"bytes {first}-{first + len(data) - 1}/{total}"} | headers,
        timeout=60,
    )


def ask(url: str, total: int | str) -> httpx.Response:
    """The status query."""
    return httpx.put(url, headers={"Content-Range": f"bytes */{total}", "Content-Length": "0"}, timeout=60)
