"""Local paths for ffmpeg: direct on disk, cached from S3."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.storage import seaweed

from fastpix_server.storage.open import Storage, open_store
from fastpix_server.storage.port import ObjectMissing


async def test_a_source_is_a_path_with_its_bytes(storage: Storage) -> None:
    data = os.urandom(2_000_000)
    await storage.objects.put("sources/m/original", data)
    async with storage.sources.open("sources/m/original") as path:
        assert path.read_bytes() == data


async def test_a_missing_source_is_said_to_be_missing(storage: Storage) -> None:
    with pytest.raises(ObjectMissing):
        async with storage.sources.open("sources/none/original"):
            pass


@pytest.fixture
def remote(s3_endpoint: str, tmp_path: Path) -> Storage:
    """S3 with a cache of 2.5 MB."""
    url = f"s3://{seaweed.BUCKET}/{uuid.uuid4().hex}"
    return open_store(url, seaweed.options(s3_endpoint), tmp_path, source_cache_bytes=2_500_000)


def _cached(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in (tmp_path / "sources").iterdir())


async def test_many_readers_cause_one_download(remote: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    await remote.objects.put("s", os.urandom(1_000_000))
    downloads = 0
    original = remote.objects.stream

    def counted(key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        nonlocal downloads
        downloads += 1
        return original(key, start, end)

    monkeypatch.setattr(remote.objects, "stream", counted)

    async def read() -> int:
        async with remote.sources.open("s") as path:
            return path.stat().st_size

    assert await asyncio.gather(*(read() for _ in range(8))) == [1_000_000] * 8
    assert await read() == 1_000_000
    assert downloads == 1


async def test_the_oldest_unused_copies_leave_a_full_cache(remote: Storage, tmp_path: Path) -> None:
    for key in ("a", "b", "c"):
        await remote.objects.put(key, key.encode() * 1_000_000)
    paths = {}
    for key in ("a", "b", "a", "c"):  # b is the one used least recently when c comes
        async with remote.sources.open(key) as path:
            paths[key] = path
        await asyncio.sleep(0.02)
    assert {key: path.exists() for key, path in paths.items()} == {"a": True, "b": False, "c": True}
    assert _cached(tmp_path) <= 2_500_000


async def test_a_copy_in_use_is_never_taken_away(remote: Storage, tmp_path: Path) -> None:
    for key in ("a", "b", "c"):
        await remote.objects.put(key, key.encode() * 2_000_000)
    async with remote.sources.open("a") as first, remote.sources.open("b") as second:
        assert first.read_bytes() == b"a" * 2_000_000
        assert second.read_bytes() == b"b" * 2_000_000
    async with remote.sources.open("c"):
        assert _cached(tmp_path) == 2_000_000


async def test_a_broken_download_leaves_nothing_that_looks_whole(
    remote: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await remote.objects.put("s", os.urandom(1_000_000))

    async def broken(key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        yield b"part"
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(remote.objects, "stream", broken)
        with pytest.raises(ConnectionResetError):
            async with remote.sources.open("s"):
                pass
    async with remote.sources.open("s") as path:
        assert path.stat().st_size == 1_000_000
