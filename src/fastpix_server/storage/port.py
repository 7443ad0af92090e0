"""What every object store can do, and how it fails.

Invariants: an object is whole or absent, for every reader and after a crash or power cut; objects are written once and
replaced only whole; keys are checked (keys.py) before anything else happens.

StorageError            ours or the machine's; worth another try
|-- ObjectMissing           there is no such object
`-- StorageMisconfigured    settings are wrong; the text says which and what to do
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

STREAM_CHUNK_BYTES = 1024 * 1024  # one piece of `stream`: large enough to be cheap, small enough to hold many


class StorageError(Exception):
    """The store did not do what was asked; the text says why, without secrets."""


class ObjectMissing(StorageError):
    def __init__(self, key: str) -> None:
        super().__init__(f"no object {key}")
        self.key = key


class StorageMisconfigured(StorageError):
    """A sentence for the operator: what is wrong and which setting mends it."""


class ObjectStore(Protocol):
    """Bytes under keys. Ranges are half open: `[start, end)`."""

    async def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """Stores `data` whole, replacing what was there. `durable`: it is there after a power cut, too, when this
        returns; without it a power cut may leave the object as it was before."""

    async def get(self, key: str) -> bytes:
        """Raises ObjectMissing."""

    async def get_range(self, key: str, start: int, end_exclusive: int) -> bytes:
        """Bytes of the range that exist: shorter, or empty, at the object's end. Raises ObjectMissing."""

    async def size(self, key: str) -> int | None:
        """Bytes of the object, or None when there is none."""

    async def put_file(self, key: str, path: Path) -> None:
        """Stores the file at `path` and consumes it: it is gone afterwards (moved when on the same file system)."""

    async def copy(self, key: str, to: str) -> None:
        """Another object with the same bytes, independent of the first, as cheaply as the store can (a hard link, a
        copy within the server). Raises ObjectMissing."""

    async def delete(self, key: str) -> None:
        """Deletes; a missing object is no error."""

    async def delete_prefix(self, prefix: str) -> int:
        """Deletes the folder `prefix` with all below it; how many objects went."""

    async def list_sizes(self, prefix: str) -> dict[str, int]:
        """Sizes of all objects below the folder `prefix`, by full key."""

    def local_path(self, key: str) -> Path | None:
        """Where the object is (or would be) on this machine's disk; None when it lives elsewhere."""

    def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The range in pieces of bounded size. Raises ObjectMissing at the first piece."""

    async def self_test(self) -> None:
        """Writes, reads, lists and deletes once; raises StorageMisconfigured in plain words."""
