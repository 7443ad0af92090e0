"""Local paths for programs that can only read files: the object itself, or a cached download of it.

Invariants: a path stays valid as long as its `async with` lasts; a cached file is whole (renamed after its size was
checked); one download per key at a time, on this machine, whatever the number of processes; the cache is bounded and
the files used least recently go first. One file larger than the whole bound is still served: work must go on.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from fastpix_server.storage import files
from fastpix_server.storage.port import ObjectMissing, ObjectStore, StorageError

CACHE_BYTES = 50 * 1024**3  # a work disk of ordinary size holds it; a setting for others
LOCK_POLL_S = 0.2  # how soon a waiter notices that another process finished the download
WRITE_BYTES = 8 * 1024 * 1024


class SourceFiles:
    """Use `async with sources.open(key) as path`."""

    def __init__(self, objects: ObjectStore, folder: Path, *, max_bytes: int = CACHE_BYTES) -> None:
        self._objects = objects
        self._folder = folder
        self._max_bytes = max_bytes

    @contextlib.asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[Path]:
        """A local path of the object's bytes, read only. Raises ObjectMissing."""
        direct = self._objects.local_path(key)
        if direct is not None:
            if not direct.is_file():
                raise ObjectMissing(key)
            yield direct
            return
        files.make_folder(self._folder)
        path = self._path(key)
        async with _shared(path, lambda: self._fetch(key, path)):
            os.utime(path)  # the moment of use: eviction goes by it
            yield path

    async def forget(self, key: str) -> None:
        """Removes this machine's copy of an object that was deleted; a copy in use stays until it is not."""
        if self._objects.local_path(key) is None:
            await asyncio.to_thread(self._drop, self._path(key))

    def _drop(self, path: Path) -> None:
        if not path.with_suffix(".lock").is_file():
            return  # there never was one
        with contextlib.suppress(BlockingIOError), _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            path.unlink(missing_ok=True)
            path.with_suffix(".part").unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / hashlib.sha256(key.encode()).hexdigest()

    async def _fetch(self, key: str, path: Path) -> None:
        size = await self._objects.size(key)
        if size is None:
            raise ObjectMissing(key)
        await asyncio.to_thread(self._make_room, size)
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.FILE_MODE)
        try:
            async for chunk in self._objects.stream(key):
                await asyncio.to_thread(files.write_all, fd, chunk)
            if os.fstat(fd).st_size != size:
                raise StorageError(f"object {key} came short")
        finally:
            os.close(fd)
        part.rename(path)

    def _make_room(self, size: int) -> None:
        """Removes the oldest unused files until `size` more fit, or nothing unused is left."""
        cached = sorted((p.stat().st_mtime, p) for p in self._folder.iterdir() if not p.suffix)
        total = sum(p.stat().st_size for _, p in cached)
        for _, path in cached:
            if total + size <= self._max_bytes:
                return
            with contextlib.suppress(BlockingIOError), _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                total -= path.stat().st_size
                path.unlink()


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    fd = _open_lock(path)
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)


@contextlib.asynccontextmanager
async def _shared(path: Path, fetch: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Holds `path` in place; fetches it first when it is missing and nobody else is doing so."""
    fd = _open_lock(path)
    try:
        while True:
            if _try_lock(fd, fcntl.LOCK_SH) and path.is_file():
                break
            if _try_lock(fd, fcntl.LOCK_EX):
                if not path.is_file():
                    await fetch()
            else:
                fcntl.flock(fd, fcntl.LOCK_UN)
                await asyncio.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(fd)  # and with it the lock


def _open_lock(path: Path) -> int:
    return os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.FILE_MODE)


def _try_lock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
