"""A whole platform for tests: `fastpix up` in a folder and on ports of its own.

Invariants: the tests' own FASTPIX_* environment has no part in it; it ends when `stop` is called and when this process
ends, however that happens (keeper.py); its folder is removed at the end. The server's packages are needed beside us,
and nothing of them is imported.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fastpix.testing.faults import Faults
from fastpix.testing.keeper import STOP_S

if TYPE_CHECKING:
    from fastpix import AsyncFastPix, FastPix

HOST = "127.0.0.1"
# An idle machine needs three; a runner of two cores that does other things as well needs many.
START_TIMEOUT_S = 90.0
_START_POLL_S = 0.05
_ASK_TIMEOUT_S = 5.0
# A port that was free a moment ago may be somebody else's: the next try takes others.
_STARTS_MAX = 3
_PORT_TAKEN = "Cannot listen on"
# Of the log, in an error: the last lines say what went wrong.
_TAIL_CHARS = 4000
# For the programs of one machine alone: receivers of webhooks and URL inputs are on it.
_LOOPBACK = "127.0.0.0/8,::1/128"
# Tests poll, and all share one access token; the limit is no part of what they test.
_RATE = "100000"
# What we decide, and what the other properties follow from.
OURS = frozenset(
    f"FASTPIX_{name}"
    for name in ("DATA_DIR", "HOST", "HTTP_PORT", "USERNAME", "PASSWORD", "RTMP_PORT", "SRT_PORT", "FAULTS")
)


class PlatformNotStarted(RuntimeError):
    """Why there is no platform to test against, with the end of its log."""


class Platform:
    """Not started when it is made. As a context manager it is started at the beginning and ended at the end.

    `settings` are variables of the server (docs/reference/settings.md) that replace ours or are added to them.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, *, start_timeout_s: float = START_TIMEOUT_S) -> None:
        taken = sorted(OURS & set(settings or {}))
        if taken:
            raise ValueError(f"{', '.join(taken)}: the fixture decides this itself")
        self._settings = dict(settings or {})
        self._start_timeout_s = start_timeout_s
        self._folder: Path | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._clients: list[FastPix] = []
        self.username = str(uuid.uuid4())
        self.password = secrets.token_urlsafe(24)
        self.http_port = self.rtmp_port = self.srt_port = 0
        self.started_in_s = 0.0

    # What tests ask it for

    @property
    def url(self) -> str:
        """Of everything: playback, pictures, uploads; the API is below `/v1`. No slash at the end."""
        return f"http://{HOST}:{self.http_port}"

    @property
    def rtmp_url(self) -> str:
        """Where encoders publish to; the stream key comes after it."""
        return f"rtmp://{HOST}:{self.rtmp_port}/live"

    @property
    def environ(self) -> dict[str, str]:
        """What an app needs in its environment to find us: base URL, username, password."""
        return {
            "FASTPIX_BASE_URL": f"{self.url}/v1/",
            "FASTPIX_USERNAME": self.username,
            "FASTPIX_PASSWORD": self.password,
        }

    def client(self, **options: Any) -> FastPix:
        """A client of this platform, with `options` of FastPix. It is closed when the platform ends, if not before."""
        from fastpix import FastPix

        made = FastPix(**self._credentials(), **options)
        self._clients.append(made)
        return made

    def async_client(self, **options: Any) -> AsyncFastPix:
        """The same, asynchronous: use it in an `async with`."""
        from fastpix import AsyncFastPix

        return AsyncFastPix(**self._credentials(), **options)

    @property
    def faults(self) -> Faults:
        return Faults(self.folder / "faults")

    def logs(self) -> str:
        """What all processes of the platform have written so far."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "platform.log").read_text(errors="replace")
        return ""

    @property
    def folder(self) -> Path:
        """Databases, objects and the log; it is removed at the end."""
        if self._folder is None:
            raise RuntimeError("The platform was not started, or has ended")
        return self._folder

    # Its life

    def start(self) -> None:
        """Returns when it is ready to serve. Raises PlatformNotStarted."""
        absent = missing_packages(metadata.requires("fastpix") or ())
        if absent:
            raise PlatformNotStarted(
                f"The platform's own packages are not installed ({', '.join(absent)}): pip install 'fastpix[server]'"
            )
        begun = time.monotonic()
        for left in reversed(range(_STARTS_MAX)):
            try:
                self._launch()
                self._wait_until_ready(begun + self._start_timeout_s)
                break
            except BaseException as fault:
                told = self.logs() if self._folder is not None else ""
                self.stop()
                if not (left and isinstance(fault, PlatformNotStarted) and _PORT_TAKEN in told):
                    raise
        self.started_in_s = time.monotonic() - begun

    def stop(self) -> None:
        """Ends it and removes its folder; does nothing when it is not there."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            assert keeper.stdin is not None
            keeper.stdin.close()
            try:
                keeper.wait(2 * STOP_S)
            except subprocess.TimeoutExpired:
                keeper.kill()
                keeper.wait()
        # The keeper has done it, unless the platform had ended by itself.
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Platform:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _launch(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fastpix-testing-"))
        (self._folder / "faults").mkdir()
        self.http_port, self.rtmp_port, self.srt_port = free_ports(3)
        with (self._folder / "platform.log").open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "fastpix.testing.keeper", str(self._folder)],
                env=self._environ(self._folder),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )

    def _environ(self, folder: Path) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FASTPIX_")}
        return {
            **inherited,
            "FASTPIX_HTTP_WORKERS": "1",
            "FASTPIX_RTMPS_PORT": "0",
            "FASTPIX_FETCH_ALLOW_CIDRS": _LOOPBACK,
            "FASTPIX_RATE_LIMIT_PER_S": _RATE,
            "FASTPIX_RATE_LIMIT_BURST": _RATE,
            # What nobody watches need not be encoded.
            "FASTPIX_BACKGROUND_FILL": "off",
            **self._settings,
            "FASTPIX_DATA_DIR": str(folder / "data"),
            "FASTPIX_HOST": HOST,
            "FASTPIX_HTTP_PORT": str(self.http_port),
            "FASTPIX_RTMP_PORT": str(self.rtmp_port),
            "FASTPIX_SRT_PORT": str(self.srt_port),
            "FASTPIX_FAULTS": str(folder / "faults"),
            "FASTPIX_USERNAME": self.username,
            "FASTPIX_PASSWORD": self.password,
        }

    def _credentials(self) -> dict[str, Any]:
        return {"username": self.username, "password": self.password, "base_url": f"{self.url}/v1/"}

    def _wait_until_ready(self, ends_at: float) -> None:
        assert self._keeper is not None
        while not self._is_ready():
            code = self._keeper.poll()
            if code is not None:
                raise PlatformNotStarted(f"The platform ended with {code}. Its log:\n{self._tail()}")
            if time.monotonic() > ends_at:
                raise PlatformNotStarted(
                    f"The platform was not ready within {self._start_timeout_s:g} s"
                    f" (fastpix_start_timeout_s in pytest's ini file). Its log:\n{self._tail()}"
                )
            time.sleep(_START_POLL_S)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=_ASK_TIMEOUT_S)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _tail(self) -> str:
        return self.logs()[-_TAIL_CHARS:]


def free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and for UDP, all different."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            tcp = held.enter_context(socket.socket())
            tcp.bind((HOST, 0))
            port = tcp.getsockname()[1]
            udp = held.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                udp.bind((HOST, port))
                found.append(port)
    return found


def missing_packages(requirements: Iterable[str]) -> list[str]:
    """Of a package's requirements, those of the extra "server" that are not installed."""
    missing = []
    for requirement in requirements:
        words, _, marker = requirement.partition(";")
        if "extra == 'server'" not in marker.replace('"', "'") or "sys_platform" in marker:
            continue
        name = re.split(r"[^A-Za-z0-9._-]", words.strip())[0]
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    return missing
