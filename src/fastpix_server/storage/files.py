"""Plain file steps that survive a power cut: sync the bytes, rename, sync the folder.

Invariants: folders are 0700 and files 0600; nothing here follows a name that came from a user.
"""

import os
import shutil
from pathlib import Path

DIR_MODE = 0o700
FILE_MODE = 0o600


def make_folder(path: Path) -> None:
    """Makes `path` and its missing parents, private to this user and durable."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir(mode=DIR_MODE)
    except FileExistsError:
        return
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Makes names in `path` durable: a rename lives in its folder, not in the file."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """os.write until everything is written: a signal or a full pipe may shorten one call."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_synced(path: Path, data: bytes) -> None:
    """A new file with durable bytes; its name is durable only after sync_folder."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        write_all(fd, data)
        os.fdatasync(fd)
    finally:
        os.close(fd)


def copy_synced(source: Path, target: Path) -> None:
    """A durable copy, for sources on another file system."""
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1024 * 1024)
        writer.flush()
        os.fdatasync(writer.fileno())
    target.chmod(FILE_MODE)


def replace(source: Path, target: Path) -> None:
    """Atomic rename into `target`'s folder, which is made when missing or removed meanwhile by a deletion."""
    for attempt in (1, 2, 3):  # a folder may vanish between making and renaming; twice in a row is not chance
        make_folder(target.parent)
        try:
            source.replace(target)
        except FileNotFoundError:
            if attempt == 3 or not source.exists():
                raise
        else:
            return
