"""The write-ahead log of beacons: what is acknowledged is on this machine's disk, until ClickHouse has it.

Invariants: `append` returns after its lines were written and synced (one write and one fdatasync for all who wait).
Each process writes into a folder of its own, under a lock that ends with it: whoever can take the lock of a folder may
adopt its segments. A line that is torn at the end of a segment was never acknowledged. What is neither written nor
flushed is bounded: at the limit `append` refuses, and the beacon is sent again later.
"""

import asyncio
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prometheus_client import Gauge

from fastpix_server.base import errors, log

_log = log.get(__name__)

# A segment is closed, so that it can be inserted, after this time or size.
SEGMENT_MAX_S = 0.5
SEGMENT_MAX_BYTES = 16 * 1024 * 1024
# Lines that wait for the next write: a disk that is this far behind is not coping.
WAITING_MAX_BYTES = 32 * 1024 * 1024
# Segments that wait for ClickHouse, per process: about half an hour of 500 beacons a second.
BACKLOG_MAX_BYTES = 1024 * 1024 * 1024
RETRY_AFTER_S = 10
_LOCK = "lock"
_UNFINISHED = "."
_OPEN, _CLOSED = ".open", ".closed"

_BACKLOG = Gauge(
    "fastpix_beacon_backlog_bytes",
    "Acknowledged beacons that ClickHouse does not have yet",
    multiprocess_mode="livesum",
)


class Wal:
    """Open it in a running event loop, and close() it there."""

    def __init__(self, folder: Path, *, backlog_max_bytes: int = BACKLOG_MAX_BYTES) -> None:
        self._root = folder
        self._backlog_max_bytes = backlog_max_bytes
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._waiting_bytes = 0
        self._closed_bytes = 0
        self._wake = asyncio.Event()
        # Set when a segment is closed; who flushes clears it.
        self.has_closed = asyncio.Event()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="wal")
        self._fd = -1
        self._path = Path()
        self._size = 0
        self._began_at = 0.0
        self._is_closing = False
        self.own = folder / uuid.uuid4().hex
        self._lock_fd = _made_and_locked(self.own)
        self._task = asyncio.create_task(self._run(), name="beacon-log")

    @property
    def backlog_bytes(self) -> int:
        return self._closed_bytes + self._size + self._waiting_bytes

    async def append(self, lines: Sequence[bytes]) -> None:
        """Returns once the lines are on the disk. Raises errors.TooMany at the limits, Unavailable for a bad disk."""
        data = b"".join(line + b"\n" for line in lines)
        if not data:
            return
        is_full = self.backlog_bytes + len(data) > self._backlog_max_bytes
        if is_full or self._waiting_bytes + len(data) > WAITING_MAX_BYTES:
            raise errors.TooMany(RETRY_AFTER_S, "Too many beacons wait to be stored.")
        if self._is_closing:
            raise errors.Unavailable("The server is stopping.")
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((data, written))
        self._waiting_bytes += len(data)
        self._wake.set()
        await written

    def flushed(self, segment: Path, size_bytes: int) -> None:
        """ClickHouse has the segment: it goes."""
        segment.unlink(missing_ok=True)
        if segment.parent == self.own:
            self._closed_bytes -= size_bytes
        _BACKLOG.set(self.backlog_bytes)

    def segments(self) -> list[Path]:
        """Closed segments of this process, oldest first."""
        return sorted(self.own.glob(f"*{_CLOSED}"))

    async def close(self) -> None:
        """Everything that was appended is written, and the last segment is closed."""
        self._is_closing = True
        self._wake.set()
        await self._task
        self._writer.shutdown()

    def release(self) -> None:
        """After close(): what is left may be adopted by others."""
        if not self.segments():
            shutil.rmtree(self.own, ignore_errors=True)
        os.close(self._lock_fd)
        _BACKLOG.set(0)

    async def _run(self) -> None:
        while True:
            timeout_s = None if not self._size else max(0.0, self._began_at + SEGMENT_MAX_S - time.monotonic())
            try:
                await asyncio.wait_for(self._wake.wait(), timeout_s)
            except TimeoutError:
                pass
            self._wake.clear()
            if self._waiting:
                await self._write_group()
            if self._size and (self._is_closing or self._is_due()):
                self._close_segment()
            if self._is_closing and not self._waiting:
                return

    def _is_due(self) -> bool:
        return self._size >= SEGMENT_MAX_BYTES or time.monotonic() - self._began_at >= SEGMENT_MAX_S

    async def _write_group(self) -> None:
        group, self._waiting = self._waiting, []
        data = b"".join(lines for lines, _ in group)
        fault: Exception | None = None
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._write, data)
        except OSError as found:
            _log.error("beacon_log_failed", error=str(found))
            fault = errors.Unavailable("The beacon log cannot be written.")
        self._waiting_bytes -= len(data)
        for _, written in group:
            if written.done():  # its client went away; the lines are kept all the same
                continue
            if fault is None:
                written.set_result(None)
            else:
                written.set_exception(fault)
        _BACKLOG.set(self.backlog_bytes)

    def _write(self, data: bytes) -> None:
        """In the writer's thread. After a failure the segment ends where it was: nothing may follow a torn line."""
        if self._fd < 0:
            self._path = self.own / f"{time.time_ns():020d}{_OPEN}"
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            _sync_folder(self.own)
            self._began_at = time.monotonic()
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)

    def _close_segment(self) -> None:
        os.close(self._fd)
        self._path.rename(self._path.with_suffix(_CLOSED))
        self._closed_bytes += self._size
        self._fd, self._size = -1, 0
        self.has_closed.set()

    def adoptable(self) -> Generator["Adopted", None, None]:
        """Folders of processes that ended, each held until the caller is done with it."""
        for folder in sorted(self._root.iterdir()) if self._root.is_dir() else ():
            if folder == self.own or folder.name.startswith(_UNFINISHED):
                continue
            try:
                fd = os.open(folder / _LOCK, os.O_RDWR)
            except (FileNotFoundError, NotADirectoryError):  # no log, or adopted by another process just now
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                continue
            try:
                yield Adopted(folder)
            finally:
                os.close(fd)


class Adopted:
    """The folder of a process that ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def segments(self) -> list[Path]:
        """All of them, also the one that was open."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(path for path in found if path.suffix in (_OPEN, _CLOSED))

    def remove(self) -> None:
        """When nothing is left in it."""
        if not self.segments():
            shutil.rmtree(self.folder, ignore_errors=True)


def _made_and_locked(folder: Path) -> int:
    """The folder appears under its name when its lock is held: before, another process could adopt it."""
    unfinished = folder.with_name(_UNFINISHED + folder.name)
    unfinished.mkdir(parents=True, mode=0o700)
    fd = os.open(unfinished / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    unfinished.rename(folder)
    _sync_folder(folder.parent)
    return fd


def whole_lines(data: bytes) -> list[bytes]:
    """The lines of a segment without a torn last one."""
    return data[: data.rfind(b"\n") + 1].splitlines()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
