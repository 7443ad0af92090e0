"""`fastpix up`: the database and every role as our children; started, restarted when they die, and drained in order.

Invariants: nothing of ours outlives us (children.py). One supervisor per data folder (flock). A role that dies comes
back, after a pause that grows to RESTART_MAX_S while it keeps dying. After SIGTERM the platform is gone within 10 s:
each part has a budget, and SIGKILL at its end.
"""

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import secrets as random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from fastpix_server.app import children, secrets
from fastpix_server.app.postgres import EmbeddedPostgres, PostgresFault
from fastpix_server.app.settings import Settings
from fastpix_server.base import errors, log

_log = log.get(__name__)

RESTART_FIRST_S = 0.2
RESTART_MAX_S = 30.0
# A role that ran this long was healthy: its next death is a new story.
STABLE_S = 60.0
# Drain budgets; together under the 10 s that the run contract promises.
HTTP_DRAIN_S = 2.5
WORKER_DRAIN_S = 3.8
INGEST_DRAIN_S = 3.0  # beside the worker's
ANALYTICS_DRAIN_S = 0.9
DATABASE_DRAIN_S = 2.0
MIGRATE_TIMEOUT_S = 300
READY_TIMEOUT_S = 60
_READY_POLL_S = 0.05


class CannotStart(errors.FastpixError):
    """A sentence for the operator."""

    message = "cannot start"


@dataclasses.dataclass(slots=True)
class Role:
    """One child that must always run."""

    name: str
    drain_s: float
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    deaths: int = 0
    start_at: float = 0.0

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def note_death(self, now: float) -> float:
        """Counts it, and returns the pause before the next start."""
        if now - self.started_at >= STABLE_S:
            self.deaths = 0
        pause_s = restart_pause_s(self.deaths)
        self.deaths += 1
        self.start_at = now + pause_s
        self.process = None
        return pause_s


def restart_pause_s(deaths: int) -> float:
    """`deaths` so far in a row, without this one."""
    return min(RESTART_FIRST_S * 2.0 ** min(deaths, 20), RESTART_MAX_S)


class Supervisor:
    """run() once. `on_ready` is called when the platform first answers."""

    def __init__(self, settings: Settings, on_ready: Callable[[], None]) -> None:
        self._settings = settings
        self._on_ready = on_ready
        self._database = Role("postgres", DATABASE_DRAIN_S)
        self._http = Role("http", HTTP_DRAIN_S)
        self._inner = [Role("worker", WORKER_DRAIN_S), Role("ingest", INGEST_DRAIN_S)]
        # The first to start and the last to stop of the roles: the others ask it and write to it.
        self._analytics = Role("analytics", ANALYTICS_DRAIN_S)
        self._analytics_url = "" if settings.clickhouse_url else own_analytics_url()
        self._roles = [*([self._analytics] if self._analytics_url else []), *self._inner, self._http]
        self._postgres: EmbeddedPostgres | None = None
        self._environ: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._signals = 0

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; a second one ends the drain at once. Raises CannotStart and PostgresFault."""
        loop = asyncio.get_running_loop()
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(which, self._on_stop_signal)
        loop.add_signal_handler(signal.SIGCHLD, self._wake.set)
        with acquire_data_dir(self._settings.data_dir):
            check_port_is_free(self._settings)
            try:
                await self._start()
                await self._watch()
            finally:
                await self._drain()

    async def _start(self) -> None:
        """Every process is started at once: they load their modules while the database starts, and then wait for it."""
        if not self._settings.database_url:
            self._postgres = EmbeddedPostgres(self._settings.data_dir / "postgres")
        self._environ = role_environ(
            self._settings, self._postgres.url() if self._postgres else None, self._analytics_url
        )
        # In a process of its own: its libraries are not ours to keep in memory.
        migrating = self._spawn("prepare" if self._postgres else "migrate", held=True)
        for role in self._roles:
            self._launch(role, held=role is not self._analytics)  # which asks no other
        if self._postgres is not None:
            self._launch_database()
            await asyncio.to_thread(self._postgres.wait_ready)
        await self._migrate(migrating)
        if not self._signals:
            for role in self._roles:
                if role.process is not None:
                    _tell(role.process)

    async def _migrate(self, process: subprocess.Popen[bytes]) -> None:
        _tell(process)
        try:
            code = await asyncio.to_thread(process.wait, MIGRATE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise CannotStart(f"The database was not migrated within {MIGRATE_TIMEOUT_S} s.") from None
        if code != 0:
            raise CannotStart("The database could not be migrated; the lines above say why.")

    async def _watch(self) -> None:
        ready = asyncio.create_task(self._wait_ready(), name="wait-ready")
        try:
            while not self._signals:
                self._wake.clear()
                pause_s = await self._revive()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause_s)
        finally:
            ready.cancel()

    async def _revive(self) -> float | None:
        """Starts what is due; returns the time until something else is, None when all runs."""
        now = time.monotonic()
        next_at: float | None = None
        for role in (self._database, *self._roles):
            if role.process is None and role.started_at == 0.0:
                continue  # not ours: the database is somebody else's server
            if role.is_running():
                continue
            if role.process is not None:
                code, pause_s = role.process.returncode, role.note_death(now)
                _log.error("role_died", name=role.name, exit_code=code, restart_in_s=round(pause_s, 1))
            if role.start_at <= now:
                self._restart(role)
            else:
                next_at = min(next_at or role.start_at, role.start_at)
        return None if next_at is None else max(0.0, next_at - now)

    def _restart(self, role: Role) -> None:
        if role is not self._database:
            self._launch(role)
            return
        try:
            self._launch_database()
        except (PostgresFault, OSError) as fault:
            pause_s = role.note_death(time.monotonic())
            _log.error("database_not_restarted", error=str(fault), restart_in_s=pause_s)
            self._wake.set()

    def _launch_database(self) -> None:
        assert self._postgres is not None
        self._postgres.launch()
        self._database.process = self._postgres.process
        self._database.started_at = time.monotonic()
        _log.debug("role_started", name="postgres", pid=self._postgres.process.pid if self._postgres.process else None)

    def _launch(self, role: Role, *, held: bool = False) -> None:
        role.process = self._spawn(role.name, held=held)
        role.started_at = time.monotonic()
        _log.debug("role_started", name=role.name, pid=role.process.pid)

    def _spawn(self, name: str, *, held: bool = False) -> subprocess.Popen[bytes]:
        """In a session of its own: Ctrl-C reaches us alone, and we stop the children in order.

        A held one begins when it is told to.
        """
        return subprocess.Popen(
            [sys.executable, "-m", "fastpix_server.app", *(["--held"] if held else []), name],
            stdin=subprocess.PIPE if held else subprocess.DEVNULL,
            env=self._environ,
            start_new_session=True,
            preexec_fn=children.die_with_parent(),
        )

    async def _wait_ready(self) -> None:
        started = time.monotonic()
        while not await is_ready(self._settings):
            await asyncio.sleep(_READY_POLL_S)
            if time.monotonic() - started > READY_TIMEOUT_S:
                _log.error("platform_not_ready", waited_s=READY_TIMEOUT_S, ask="GET /health/ready")
                started = time.monotonic()
        self._on_ready()

    async def _drain(self) -> None:
        """HTTP first, so that nothing new begins; the database last, because the others still write."""
        _log.info("platform_stopping")
        await self._stop(self._http)
        await asyncio.gather(*(self._stop(role) for role in self._inner))
        await self._stop(self._analytics)
        if self._postgres is not None:
            await asyncio.to_thread(self._postgres.stop, self._database.drain_s)
        _log.info("platform_stopped")

    async def _stop(self, role: Role) -> None:
        if not role.is_running() or role.process is None:
            return
        role.process.terminate()
        deadline = time.monotonic() + role.drain_s
        while role.is_running() and self._signals < 2 and (left_s := deadline - time.monotonic()) > 0:
            self._wake.clear()  # set by SIGCHLD and by a second stop signal
            if role.is_running():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), left_s)
        if role.is_running():
            _log.warning("role_killed", name=role.name, after_s=role.drain_s)
            role.process.kill()
        await asyncio.to_thread(role.process.wait)

    def _on_stop_signal(self) -> None:
        self._signals += 1
        self._wake.set()


def _tell(process: subprocess.Popen[bytes]) -> None:
    """A held child begins; one that is dead is found out elsewhere."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.write(b"begin\n")
            process.stdin.close()


def own_analytics_url() -> str:
    """Where our own analytics role listens: a free port of this machine, and a password that only our children get."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://fastpix:{random.token_urlsafe(24)}@127.0.0.1:{port}"


def role_environ(settings: Settings, embedded_url: str | None, analytics_url: str = "") -> dict[str, str]:
    """What children see: our environment with the things that we decided filled in."""
    metrics = settings.data_dir / "run" / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)  # samples of processes that are gone
    secrets.prepare_folder(metrics.parent)
    secrets.prepare_folder(metrics)
    environ = {
        **os.environ,
        "FASTPIX_DATA_DIR": str(settings.data_dir),
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        # glibc keeps up to eight heaps per core for threads that hardly allocate.
        "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2"),
    }
    if embedded_url is not None:
        environ["FASTPIX_DATABASE_URL"] = embedded_url
    if analytics_url:
        environ["FASTPIX_CLICKHOUSE_URL"] = analytics_url
    return environ


@contextlib.contextmanager
def acquire_data_dir(data_dir: Path) -> Iterator[None]:
    """Holds the folder for the block. Raises CannotStart when another platform has it."""
    secrets.prepare_folder(data_dir)
    with open(data_dir / "lock", "a+") as lock:
        _lock(lock, data_dir)
        yield


def _lock(lock: IO[str], data_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        owner = lock.read(20).strip() or "unknown"
        raise CannotStart(
            f"fastpix already runs on {data_dir} (process {owner}). Stop it, or set FASTPIX_DATA_DIR to another folder."
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def check_port_is_free(settings: Settings) -> None:
    """Raises CannotStart with the remedy; the server itself would only leave a traceback."""
    host, port = settings.http.host, settings.http.port
    if reason := why_not_free(host, port):
        raise CannotStart(f"Cannot listen on {host} port {port}: {reason}. Set FASTPIX_HOST and FASTPIX_HTTP_PORT.")


def why_not_free(host: str, port: int) -> str:
    """Why nothing of ours could listen there; empty when it could."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as fault:
        return fault.strerror or str(fault)
    return ""


async def is_ready(settings: Settings) -> bool:
    """Asks our own /health/ready."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http.host, settings.http.host)  # noqa: S104
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, settings.http.port)
            try:
                writer.write(b"GET /health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
