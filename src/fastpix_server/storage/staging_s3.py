"""Growing files in a bucket: each appended piece is an object named by its offset.

Invariants: a part object is created only where none is (If-None-Match), at the end of the chain that its writer saw, so
of two writers on two machines exactly one wins each offset and the other learns it; the durable size is the length of
the unbroken chain from offset 0; memory is one part per writer.
"""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastpix_server.storage.keys import check_key, check_name
from fastpix_server.storage.port import StorageError
from fastpix_server.storage.s3 import S3Objects
from fastpix_server.storage.staging import StagingBusy, StagingGap, StagingMissing, StagingTooLarge

PART_BYTES = (
    16 * 1024 * 1024
)  # equals the chunk of most uploaders, so a chunk is one request; also the memory per writer
MAX_PARTS = 65_536  # 64 GiB in 1 MiB pieces; a client that drips smaller ones is told that the upload is too large
_FOLDER = "staging"


class S3Staging:
    """A Staging beside the objects of the same bucket."""

    def __init__(self, objects: S3Objects) -> None:
        self._objects = objects

    def local_path(self, name: str) -> Path | None:
        check_name(name)
        return None

    async def size(self, name: str) -> int:
        return sum(size for _, size in await self._chain(name))

    async def _chain(self, name: str) -> list[tuple[str, int]]:
        """The parts that follow each other from offset 0, as (key, size)."""
        listed = await self._objects.list_sizes(f"{_FOLDER}/{check_name(name)}")
        chain: list[tuple[str, int]] = []
        end = 0
        while (key := _part_key(name, end)) in listed and listed[key] > 0:
            chain.append((key, listed[key]))
            end += listed[key]
        return chain

    async def append(self, name: str, offset: int, chunks: AsyncIterator[bytes], *, max_size_bytes: int) -> int:
        chain = await self._chain(name)
        durable = sum(size for _, size in chain)
        if offset > durable:
            raise StagingGap(name, offset, durable)
        writer = _Writer(self._objects, name, durable, len(chain))
        skip, room = durable - offset, max(0, max_size_bytes - durable)
        try:
            async for piece in chunks:
                chunk = piece[skip:] if skip else piece
                skip -= min(skip, len(piece))
                if len(chunk) > room:
                    await writer.add(chunk[:room])
                    raise StagingTooLarge(name, max_size_bytes)
                room -= len(chunk)
                await writer.add(chunk)
        except (StagingBusy, StagingTooLarge):
            raise
        finally:
            await writer.flush()  # a broken client's bytes count; a lost race has emptied the buffer already
        return writer.durable

    async def truncate0(self, name: str) -> None:
        await self.discard(name)

    async def finish(self, name: str, key: str, *, size_bytes: int | None = None) -> int:
        stored = await self._objects.size(check_key(key))
        if stored is None:
            chain = await self._chain(name)
            stored = sum(size for _, size in chain)
            if stored == 0 or size_bytes not in (None, stored):
                raise StagingMissing(name)
            # A rival that finishes at the same time takes parts away: then this stream breaks, and nothing is stored.
            await self._objects.put_stream(key, self._read(chain), stored)
        await self.discard(name)
        return stored

    async def _read(self, chain: list[tuple[str, int]]) -> AsyncIterator[bytes]:
        for key, size in chain:
            data = await self._objects.get(key)  # checked against the hash that was stored with it
            if len(data) != size:
                raise StorageError(f"part {key} changed its size")
            yield data

    async def discard(self, name: str) -> None:
        """The last parts go first: a crash half way leaves a shorter chain, never one with another's tail."""
        listed = await self._objects.list_sizes(f"{_FOLDER}/{check_name(name)}")
        for key in sorted(listed, reverse=True):
            await self._objects.delete(key)


class _Writer:
    """Gathers bytes into parts and puts each at the end of the chain."""

    def __init__(self, objects: S3Objects, name: str, durable: int, parts: int) -> None:
        self._objects = objects
        self._name = name
        self._parts = parts
        self._buffer = bytearray()
        self.durable = durable

    async def add(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            take = PART_BYTES - len(self._buffer)
            self._buffer += view[:take]
            view = view[take:]
            if len(self._buffer) == PART_BYTES:
                await self.flush()

    async def flush(self) -> None:
        if not self._buffer:
            return
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._parts >= MAX_PARTS:
            raise StagingTooLarge(self._name, self.durable)
        key = _part_key(self._name, self.durable)
        if not await self._objects.put_new(key, data) and not await self._is_same(key, data):
            raise StagingBusy(self._name)
        self.durable += len(data)
        self._parts += 1

    async def _is_same(self, key: str, data: bytes) -> bool:
        """A lost answer makes our own retry look like a rival's part: equal bytes are no conflict."""
        return hashlib.sha256(await self._objects.get(key)).digest() == hashlib.sha256(data).digest()


def _part_key(name: str, offset: int) -> str:
    return f"{_FOLDER}/{name}/{offset:016d}"
