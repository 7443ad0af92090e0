"""Growing files: bytes that arrive piece by piece until the whole becomes an object.

Invariants: `size` counts durable bytes only; bytes that `append` returned for survive a crash and a power cut; one
writer at a time per name; a stored byte never changes (an overlap is skipped, not rewritten); `finish` is idempotent.

StagingError
|-- StagingBusy       another writer has the name now; try again
|-- StagingGap        the offset lies beyond the durable bytes; carries their number
|-- StagingTooLarge   the bytes would pass the limit; what fits is kept
`-- StagingMissing    the bytes meant are not staged under the name, and the object is not there either
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from fastpix_server.storage.port import StorageError


class StagingError(StorageError):
    """Base: see the tree above."""


class StagingBusy(StagingError):
    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has another writer")


class StagingGap(StagingError):
    def __init__(self, name: str, offset: int, size_bytes: int) -> None:
        super().__init__(f"{name} has {size_bytes} bytes; offset {offset} would leave a gap")
        self.size_bytes = size_bytes


class StagingTooLarge(StagingError):
    def __init__(self, name: str, max_size_bytes: int) -> None:
        super().__init__(f"{name} would pass {max_size_bytes} bytes")
        self.max_size_bytes = max_size_bytes


class StagingMissing(StagingError):
    def __init__(self, name: str) -> None:
        super().__init__(f"nothing is staged under {name}")


class Staging(Protocol):
    """Names are single plain words (ids)."""

    async def size(self, name: str) -> int:
        """Durable bytes; 0 for an unknown name."""

    async def append(self, name: str, offset: int, chunks: AsyncIterator[bytes], *, max_size_bytes: int) -> int:
        """Stores the stream from `offset` on and returns the durable size.

        Bytes below the durable size are skipped. When `chunks` raises (a client went away) or the task is cancelled,
        what arrived is made durable first. Raises StagingBusy, StagingGap, StagingTooLarge.
        """

    async def truncate0(self, name: str) -> None:
        """Forgets the bytes, so that the next append starts at 0. Raises StagingBusy."""

    async def finish(self, name: str, key: str, *, size_bytes: int | None = None) -> int:
        """Turns the bytes into the object `key`; its size. Once more after success: the same answer.

        An object that is there already wins over whatever was staged since: a late rival must not replace it.
        With `size_bytes`, other than so many staged bytes are left alone. Raises StagingBusy, StagingMissing.
        """

    async def discard(self, name: str) -> None:
        """Drops the bytes; an unknown name is no error. A writer that is still active writes into the void."""

    def local_path(self, name: str) -> Path | None:
        """The growing file on this machine, or None when it lives elsewhere."""
