"""Objects as plain files under one folder of this machine.

Invariants: an object appears by one rename of synced bytes, so readers see all of it or nothing, also after a power
cut; the store's own work lies in dot folders (`.tmp`, `.trash`) that no key can name; folders 0700, files 0600.
Why not obstore's LocalStore: docs/decisions/0009-objects.md.
"""

import asyncio
import errno
import os
import shutil
import stat
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from fastpix_server.storage import files
from fastpix_server.storage.keys import check_key, check_prefix
from fastpix_server.storage.port import STREAM_CHUNK_BYTES, ObjectMissing, StorageMisconfigured

STALE_S = 24 * 3600.0  # a temporary file older than any upload or encode was left by a crash

# File systems without hard links (or with too many of one file), or with another device mounted inside.
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)


class LocalObjects:
    """An ObjectStore on a local file system."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._tmp = self.root / ".tmp"
        self._trash = self.root / ".trash"
        for folder in (self.root, self._tmp, self._trash):
            files.make_folder(folder)

    def local_path(self, key: str) -> Path:
        return self.root / check_key(key)

    async def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
        path = self.local_path(key)

        def write() -> None:
            tmp = self._tmp / uuid.uuid4().hex
            try:
                files.write_synced(tmp, data)
                files.replace(tmp, path)
                if durable:
                    files.sync_folder(path.parent)
            finally:
                tmp.unlink(missing_ok=True)

        await asyncio.to_thread(write)

    async def get(self, key: str) -> bytes:
        path = self.local_path(key)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ObjectMissing(key) from None

    async def get_range(self, key: str, start: int, end_exclusive: int) -> bytes:
        path = self.local_path(key)
        return await asyncio.to_thread(_read_range, path, key, start, end_exclusive)

    async def size(self, key: str) -> int | None:
        path = self.local_path(key)
        return await asyncio.to_thread(_file_size, path)

    async def put_file(self, key: str, path: Path) -> None:
        await asyncio.to_thread(self._adopt, path, self.local_path(key))

    def _adopt(self, source: Path, target: Path) -> None:
        """Moves a file in; the order is sync, rename, sync the folder: a crash leaves the old place or the new."""
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            files.replace(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            tmp = self._tmp / uuid.uuid4().hex
            try:
                files.copy_synced(source, tmp)
                files.replace(tmp, target)
            finally:
                tmp.unlink(missing_ok=True)
            source.unlink(missing_ok=True)
        else:
            target.chmod(files.FILE_MODE)
        files.sync_folder(target.parent)

    async def copy(self, key: str, to: str) -> None:
        source, target = self.local_path(key), self.local_path(to)
        await asyncio.to_thread(self._link, source, target, key)

    def _link(self, source: Path, target: Path, key: str) -> None:
        """Another name for the same file: objects are replaced whole and never written into, so none sees the other."""
        tmp = self._tmp / uuid.uuid4().hex
        try:
            try:
                tmp.hardlink_to(source)
            except (FileNotFoundError, NotADirectoryError):
                raise ObjectMissing(key) from None
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                files.copy_synced(source, tmp)
            files.replace(tmp, target)
        finally:
            tmp.unlink(missing_ok=True)  # a rename onto another name of the same file does nothing
        files.sync_folder(target.parent)

    async def delete(self, key: str) -> None:
        path = self.local_path(key)

        def remove() -> None:
            try:
                path.unlink(missing_ok=True)
            except (IsADirectoryError, NotADirectoryError, PermissionError):
                return

        await asyncio.to_thread(remove)

    async def delete_prefix(self, prefix: str) -> int:
        folder = self.root / check_prefix(prefix)
        return await asyncio.to_thread(self._drop_folder, folder)

    def _drop_folder(self, folder: Path) -> int:
        """One rename takes the whole folder away from readers; the slow part happens in the trash."""
        trash = self._trash / uuid.uuid4().hex
        try:
            folder.replace(trash)
        except (FileNotFoundError, NotADirectoryError):
            return 0
        count = len(_walk_sizes(trash, trash))
        shutil.rmtree(trash, ignore_errors=True)
        return count

    async def list_sizes(self, prefix: str) -> dict[str, int]:
        return await asyncio.to_thread(_walk_sizes, self.root, self.root / check_prefix(prefix))

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        path = self.local_path(key)
        fd = await asyncio.to_thread(_open_object, path, key)
        try:
            limit = os.fstat(fd).st_size if end is None else end
            while start < limit:
                chunk = await asyncio.to_thread(os.pread, fd, min(STREAM_CHUNK_BYTES, limit - start), start)
                if not chunk:
                    return
                start += len(chunk)
                yield chunk
        finally:
            os.close(fd)

    async def self_test(self) -> None:
        await asyncio.to_thread(self._sweep)
        try:
            await self.put("self-test", b"fastpix")
            if await self.get("self-test") != b"fastpix":
                raise StorageMisconfigured(f"The object folder {self.root} returned other bytes than were written.")
            await self.delete("self-test")
        except OSError as error:
            raise StorageMisconfigured(
                f"The object folder {self.root} cannot be used: {error.strerror}. "
                "Give this user read and write rights there, free some space, or change FASTPIX_STORAGE_URL."
            ) from error

    def _sweep(self) -> None:
        """Removes what crashed processes left behind; everything else in use is younger than a day."""
        for folder in (self._tmp, self._trash):
            for entry in folder.iterdir():
                try:
                    if time.time() - entry.lstat().st_mtime < STALE_S:
                        continue
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
                except FileNotFoundError:
                    continue  # another process sweeps too


def _file_size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _open_object(path: Path, key: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise ObjectMissing(key) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ObjectMissing(key)
    return fd


def _read_range(path: Path, key: str, start: int, end_exclusive: int) -> bytes:
    fd = _open_object(path, key)
    try:
        return os.pread(fd, max(0, end_exclusive - start), start)
    finally:
        os.close(fd)


def _walk_sizes(root: Path, folder: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            size = _file_size(path)
            if size is not None:  # deleted since the listing
                found[path.relative_to(root).as_posix()] = size
    return found
