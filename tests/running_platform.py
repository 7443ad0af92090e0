"""A whole platform as people run it: `fastpix up` in a folder of its own, on a free port."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

# Those of the session that have been started, by the name of their fixture.
SHARED: dict[str, "RunningPlatform"] = {}

READY_TIMEOUT_S = 90  # a busy machine of two cores; an idle one takes three
STOP_TIMEOUT_S = 60  # ten are promised to a machine that does nothing else


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environ(**extra: str) -> dict[str, str]:
    """The environment without settings of the developer's own platform."""
    return {**{k: v for k, v in os.environ.items() if not k.startswith("FASTPIX_")}, **extra}


class RunningPlatform:
    """start() returns when it is ready. `username` and `password` are those of `credentials.json`."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.data_dir = folder / "data"
        self.log_path = folder / "platform.log"
        self._environ = clean_environ(
            FASTPIX_DATA_DIR=str(self.data_dir),
            FASTPIX_FETCH_ALLOW_CIDRS="127.0.0.0/8",
            FASTPIX_HTTP_WORKERS="1",
            # Tests poll, and share one access token; the limit itself has tests of its own.
            FASTPIX_RATE_LIMIT_PER_S="1000",
            FASTPIX_RATE_LIMIT_BURST="1000",
        )
        self._choose_ports()
        self._environ.update(environ)
        self.process: subprocess.Popen[bytes]

    def _choose_ports(self) -> None:
        self.port, self.rtmp_port, self.rtmps_port, self.srt_port = (free_port() for _ in range(4))
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._environ.update(
            FASTPIX_HTTP_PORT=str(self.port),
            FASTPIX_RTMP_PORT=str(self.rtmp_port),
            FASTPIX_RTMPS_PORT=str(self.rtmps_port),
            FASTPIX_SRT_PORT=str(self.srt_port),
        )

    @property
    def username(self) -> str:
        return self.credentials["username"]

    @property
    def password(self) -> str:
        return self.credentials["password"]

    @property
    def credentials(self) -> dict[str, str]:
        return dict(json.loads((self.data_dir / "credentials.json").read_text()))

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def launch(self) -> "subprocess.Popen[bytes]":
        """Starts it without waiting."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fastpix", "up"],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data_dir.parent,
                start_new_session=True,
            )
        return self.process

    def start(self) -> None:
        self.launch()
        self.wait_until_ready()

    def start_elsewhere(self) -> None:
        """After a long stop: the ports may be somebody else's by now."""
        self._choose_ports()
        self.start()

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            assert self.process.poll() is None, f"the platform ended: {self.log()[-3000:]}"
            assert time.monotonic() < deadline, f"the platform is not ready: {self.log()[-3000:]}"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.base_url}/health/ready", timeout=5).status_code == 200
        return False

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def role(self, name: str) -> psutil.Process:
        """The process that the supervisor started for a role: worker, ingest, http or postgres."""
        for child in psutil.Process(self.process.pid).children():
            command = child.cmdline()
            if name == "postgres" and command and command[0].endswith("/postgres"):
                return child
            if "fastpix_server.app" in command and command[-1] == name:
                return child
        raise AssertionError(f"no role {name}")

    def stop(self) -> None:
        """SIGTERM; SIGKILL when that does not end it in time."""
        if not hasattr(self, "process") or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
