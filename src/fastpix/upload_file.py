"""The two files of an upload: the one that is sent, and the one that remembers how far it came.

Invariants: a state file is replaced whole or not at all and is readable by its owner alone, since its URL opens the
upload; the hash in it is of exactly the bytes that the server has confirmed, so that another file with the same name is
found out before a byte of it is sent.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from fastpix import errors

READ_BYTES = 1 << 20
STATE_MAX_BYTES = 64 << 10  # a URL of 8 kB and some numbers


@dataclass(frozen=True)
class Progress:
    """`sent_bytes` were given to the network and may fall back when a connection breaks; `confirmed_bytes` are safe."""

    sent_bytes: int
    confirmed_bytes: int
    total_bytes: int

    @property
    def fraction(self) -> float:
        """From 0 to 1, of what was sent."""
        return self.sent_bytes / self.total_bytes


@dataclass(frozen=True)
class Uploaded:
    """A file that the server has whole. `sha256` is of every byte, `resumed_from_bytes` where this call began."""

    upload_id: str
    size_bytes: int
    sha256: str
    resumed_from_bytes: int

    @property
    def media_id(self) -> str:
        """The media has the id of its upload."""
        return self.upload_id


class Source:
    """A file that can be read at any place. It closes what it opened."""

    def __init__(self, file: str | os.PathLike[str] | BinaryIO) -> None:
        self._is_mine = isinstance(file, (str, os.PathLike))
        self._file: BinaryIO = open(file, "rb") if isinstance(file, (str, os.PathLike)) else file  # noqa: SIM115
        try:
            if not self._file.seekable():
                raise errors.UploadFailed(
                    "The file must be seekable: a lost connection is made up for by reading again"
                )
            self.size_bytes = self._file.seek(0, io.SEEK_END)
            if self.size_bytes == 0:
                raise errors.UploadFailed("The file is empty")
        except BaseException:
            self.close()
            raise

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes; FileChanged when the file has become shorter."""
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise errors.FileChanged(f"The file ends at {offset + len(data)} bytes; it had {self.size_bytes}")
        return data

    def close(self) -> None:
        if self._is_mine:
            self._file.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Prefix:
    """SHA-256 of the first `length` bytes of a file, longer and longer."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.length = 0

    def advance(self, to: int) -> str:
        """The hash of the first `to` bytes, in hex. It never goes back."""
        while self.length < to:
            piece = self._source.read(self.length, min(READ_BYTES, to - self.length))
            self._hash.update(piece)
            self.length += len(piece)
        return self._hash.hexdigest()


class State(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a new process needs to go on. `sha256` is of the first `confirmed_bytes`."""

    version: int = 1
    base_url: str
    upload_id: str
    url: str
    size_bytes: int
    confirmed_bytes: int = 0
    sha256: str = ""


def load(path: Path, *, base_url: str, size_bytes: int) -> State | None:
    """None when there is no such file. What is no state of this file and server is refused, and not overwritten."""
    try:
        with path.open("rb") as file:
            content = file.read(STATE_MAX_BYTES)
    except FileNotFoundError:
        return None
    try:
        state = msgspec.json.decode(content, type=State)
    except (msgspec.MsgspecError, UnicodeError) as fault:
        raise errors.UploadFailed(f"{path} is no state of an upload ({fault}); remove it to begin anew") from fault
    if state.version != 1 or state.base_url != base_url:
        raise errors.UploadFailed(f"{path} is of an upload to {state.base_url}; remove it to begin anew")
    if state.size_bytes != size_bytes or state.confirmed_bytes > size_bytes:
        raise errors.FileChanged(f"The file has {size_bytes} bytes, the upload of {path} began with {state.size_bytes}")
    return state


def save(path: Path, state: State) -> None:
    """By a rename; only the owner may read it."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(state))
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def forget(path: Path) -> None:
    path.unlink(missing_ok=True)
