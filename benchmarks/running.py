"""A whole platform of its own for a benchmark: free ports, an empty folder, stopped at the end."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

READY_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Running:
    base_url: str
    auth: tuple[str, str]
    data_dir: Path
    process: subprocess.Popen[bytes]
    start_s: float  # from exec to the first 200 of /health/ready

    def upload(self, path: Path, **settings: Any) -> tuple[str, str, float]:
        """Sends a file by direct upload; (media id, playback id, seconds from the last byte's answer to Ready).

        `settings` are further fields of `pushMediaSettings`.
        """
        with httpx.Client(base_url=self.base_url, auth=self.auth, timeout=120) as api:
            body = {"corsOrigin": "*", "pushMediaSettings": {"accessPolicy": "public", **settings}}
            upload = api.post("/v1/on-demand/upload", json=body).json()["data"]
            with path.open("rb") as file:
                headers = {"Content-Length": str(path.stat().st_size)}
                httpx.put(
                    upload["url"], content=iter(lambda: file.read(1 << 20), b""), headers=headers, timeout=600
                ).raise_for_status()
            done = time.perf_counter()
            media = self.wait_until_ready(api, upload["uploadId"])
            return media["id"], media["playbackIds"][0]["id"], time.perf_counter() - done

    @staticmethod
    def wait_until_ready(api: httpx.Client, media_id: str) -> dict[str, Any]:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            media = api.get(f"/v1/on-demand/{media_id}").json()["data"]
            if media["status"] == "Ready":
                return dict(media)
            assert media["status"] != "Failed", media
            time.sleep(0.03)  # 50 requests a second are allowed; leave room
        raise TimeoutError(media_id)

    def delete(self, media_id: str) -> None:
        httpx.delete(f"{self.base_url}/v1/on-demand/{media_id}", auth=self.auth, timeout=30).raise_for_status()

    def memory_bytes(self) -> int:
        """Proportional set size of the supervisor and everything below it: shared pages are counted once."""
        root = psutil.Process(self.process.pid)
        return sum(p.memory_full_info().pss for p in [root, *root.children(recursive=True)])

    def memory_by_process(self) -> list[tuple[str, int]]:
        """Name and PSS of each, the largest first."""
        root = psutil.Process(self.process.pid)
        every = [root, *root.children(recursive=True)]
        found = [(" ".join(p.cmdline()[-2:])[-60:], p.memory_full_info().pss) for p in every]
        return sorted(found, key=lambda one: -one[1])

    def cpu_s(self) -> float:
        root = psutil.Process(self.process.pid)
        return sum(sum(p.cpu_times()[:2]) for p in [root, *root.children(recursive=True)])


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def platform(**settings: str) -> Iterator[Running]:
    """`settings` become FASTPIX_* variables."""
    with tempfile.TemporaryDirectory(prefix="fastpix-bench-") as folder:
        port = free_port()
        environ = {k: v for k, v in os.environ.items() if not k.startswith("FASTPIX_")}
        environ |= {
            "FASTPIX_DATA_DIR": folder,
            "FASTPIX_HTTP_PORT": str(port),
            "FASTPIX_RTMP_PORT": "0",
            "FASTPIX_RTMPS_PORT": "0",
            "FASTPIX_SRT_PORT": "0",
            "FASTPIX_FETCH_ALLOW_CIDRS": "127.0.0.0/8",
            **settings,
        }
        begin = time.perf_counter()
        with open(Path(folder) / "log", "wb") as log:
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name("fastpix")), "up"], env=environ, stdout=log, stderr=log
            )
        try:
            yield _when_ready(process, port, Path(folder), begin)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


def _when_ready(process: subprocess.Popen[bytes], port: int, folder: Path, begin: float) -> Running:
    base_url = f"http://127.0.0.1:{port}"
    while time.perf_counter() - begin < READY_WITHIN_S:
        if process.poll() is not None:
            raise RuntimeError((folder / "log").read_text()[-2000:])
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{base_url}/health/ready", timeout=2).status_code == 200:
                saved = json.loads((folder / "credentials.json").read_text())
                return Running(
                    base_url, (saved["username"], saved["password"]), folder, process, time.perf_counter() - begin
                )
        time.sleep(0.02)
    raise TimeoutError("the platform did not become ready")
