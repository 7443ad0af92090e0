"""Growing files on this machine's disk, in a folder beside the objects, so that finishing is one rename.

Invariants: `<name>.mark` holds the durable size and is itself synced after the data that it vouches for, so bytes past
the mark (written, but never synced) are cut off by the next writer; the writer holds an flock on `<name>.data`, which
the kernel drops with its process, so a crash leaves no lock behind.
"""

import asyncio
import fcntl
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from fastpix_server.storage import files
from fastpix_server.storage.keys import check_key, check_name
from fastpix_server.storage.staging import StagingBusy, StagingGap, StagingMissing, StagingTooLarge

WRITE_BYTES = 1024 * 1024  # one write call: fewer thread hops than network pieces, little enough memory per writer
SYNC_BYTES = 16 * 1024 * 1024  # a crash in a long download costs at most this much; a sync costs a few ms
_MARK_DIGITS = 20  # one short write inside one sector: it is old or new, never torn


class LocalStaging:
    """A Staging on the file system of the objects under `root`."""

    def __init__(self, root: Path) -> None:
        self._objects = root.absolute()
        self._folder = self._objects / ".staging"
        files.make_folder(self._folder)

    def local_path(self, name: str) -> Path:
        return self._folder / f"{check_name(name)}.data"

    async def size(self, name: str) -> int:
        return await asyncio.to_thread(self._durable_size, self.local_path(name))

    def _durable_size(self, data: Path) -> int:
        try:
            marked = int(data.with_suffix(".mark").read_text())
            return min(marked, data.stat().st_size)
        except (FileNotFoundError, ValueError):
            return 0

    async def append(self, name: str, offset: int, chunks: AsyncIterator[bytes], *, max_size_bytes: int) -> int:
        data = self.local_path(name)
        if offset > 0 and not data.exists():
            raise StagingGap(name, offset, 0)  # before a writer would leave an empty file behind
        writer = _Writer(name, data)  # on the loop: two quick calls, and a cancelled thread could not leak the lock
        try:
            await asyncio.to_thread(lambda: writer.begin(self._durable_size(data)))
            if offset > writer.durable:
                raise StagingGap(name, offset, writer.durable)
            await _pump(writer, chunks, skip=writer.durable - offset, room=max(0, max_size_bytes - writer.durable))
        finally:
            # Also for a broken client, a full disk or a cancelled task: what arrived counts.
            await asyncio.shield(asyncio.to_thread(writer.end))
        return writer.durable

    async def truncate0(self, name: str) -> None:
        data = self.local_path(name)

        def cut() -> None:
            writer = _Writer(name, data)
            try:
                writer.begin(0)
            finally:
                writer.end()

        await asyncio.to_thread(cut)

    async def finish(self, name: str, key: str, *, size_bytes: int | None = None) -> int:
        return await asyncio.to_thread(self._finish, name, self._objects / check_key(key), size_bytes)

    def _finish(self, name: str, target: Path, size_bytes: int | None) -> int:
        data = self.local_path(name)
        try:
            writer = _Writer(name, data, must_exist=True)
        except FileNotFoundError:
            return self._finished(name, target)
        try:
            if not target.is_file():  # asked under the lock: of two finishers the second finds the first one's object
                durable = self._durable_size(data)
                if durable == 0 or size_bytes not in (None, durable):
                    raise StagingMissing(name)
                writer.begin(durable)
                os.fsync(writer.fd)
                files.replace(data, target)
                files.sync_folder(target.parent)
            self._drop(data)
        finally:
            writer.end()
        return self._finished(name, target)

    def _finished(self, name: str, target: Path) -> int:
        try:
            size = target.stat().st_size
        except FileNotFoundError:
            raise StagingMissing(name) from None
        self.local_path(name).with_suffix(".mark").unlink(missing_ok=True)  # a crash may have left it behind
        return size

    def _drop(self, data: Path) -> None:
        data.with_suffix(".mark").unlink(missing_ok=True)
        data.unlink(missing_ok=True)

    async def discard(self, name: str) -> None:
        data = self.local_path(name)
        await asyncio.to_thread(self._drop, data)


async def _pump(writer: "_Writer", chunks: AsyncIterator[bytes], *, skip: int, room: int) -> None:
    """Moves the stream into the file: pieces gathered to WRITE_BYTES, a sync each SYNC_BYTES."""
    gathered: list[bytes] = []
    gathered_bytes = 0
    try:
        async for piece in chunks:
            chunk = piece[skip:] if skip else piece
            skip -= min(skip, len(piece))
            if len(chunk) > room:
                gathered.append(chunk[:room])
                raise StagingTooLarge(writer.name, writer.durable + room)
            room -= len(chunk)
            gathered.append(chunk)
            gathered_bytes += len(chunk)
            if gathered_bytes >= WRITE_BYTES:
                batch, gathered, gathered_bytes = b"".join(gathered), [], 0
                await asyncio.to_thread(writer.write, batch)
    finally:
        if gathered:
            await asyncio.shield(asyncio.to_thread(writer.write, b"".join(gathered)))


class _Writer:
    """The one open, locked end of a growing file. Its methods block: call them in a thread.

    A cancelled task leaves its thread running, so each method takes `_turn`: `end` waits for a write under way, and a
    write that comes after `end` finds the file closed and does nothing (its bytes were never acknowledged).
    """

    def __init__(self, name: str, data: Path, *, must_exist: bool = False) -> None:
        self.name = name
        self._data = data
        self.fd = _open_locked(name, data, 0 if must_exist else os.O_CREAT)
        self.durable = 0
        self._written = 0
        self._open = True
        self._turn = threading.Lock()

    def begin(self, durable: int) -> None:
        """Cuts off what no sync vouched for and stands at the end."""
        with self._turn:
            if not self._open:
                return
            if durable == 0:
                self._mark(0)  # before the cut: a crash between the two must not leave a mark above the file
            os.ftruncate(self.fd, durable)
            os.lseek(self.fd, durable, os.SEEK_SET)
            self.durable = self._written = durable

    def write(self, data: bytes) -> None:
        with self._turn:
            if not self._open:
                return
            files.write_all(self.fd, data)
            self._written += len(data)
            if self._written - self.durable >= SYNC_BYTES:
                self._sync()

    def _sync(self) -> None:
        if self._written > self.durable:
            os.fdatasync(self.fd)
            self._mark(self._written)
            self.durable = self._written

    def end(self) -> None:
        """Makes the rest durable and lets the next writer in."""
        with self._turn:
            if not self._open:
                return
            try:
                self._sync()
            finally:
                self._open = False
                os.close(self.fd)  # and with it the lock

    def _mark(self, size_bytes: int) -> None:
        path = self._data.with_suffix(".mark")
        known = path.exists()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, files.FILE_MODE)
        try:
            os.pwrite(fd, f"{size_bytes:0{_MARK_DIGITS}d}".encode(), 0)
            os.fdatasync(fd)
        finally:
            os.close(fd)
        if not known:
            files.sync_folder(path.parent)  # both names, data and mark, are new: make them durable too


def _open_locked(name: str, data: Path, create: int) -> int:
    """The file's descriptor with the exclusive lock. Raises StagingBusy, and FileNotFoundError without O_CREAT."""
    for _ in range(3):  # a finish or discard may take the file away between open and lock; more often is not chance
        fd = os.open(data, os.O_RDWR | create | os.O_CLOEXEC, files.FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(fd, data):
                return fd
        except BlockingIOError:
            os.close(fd)
            raise StagingBusy(name) from None
        os.close(fd)
    raise StagingBusy(name)


def _is_same_file(fd: int, path: Path) -> bool:
    ours = os.fstat(fd)
    try:
        theirs = path.stat()
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
