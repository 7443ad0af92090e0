"""What every object store promises, checked on both."""

import asyncio
import os
from pathlib import Path

import pytest

from fastpix_server.storage.keys import InvalidKey
from fastpix_server.storage.open import Storage
from fastpix_server.storage.port import ObjectMissing


async def test_an_object_comes_back_as_it_was_put(storage: Storage) -> None:
    await storage.objects.put("media/a/init.mp4", b"first")
    await storage.objects.put("media/a/init.mp4", b"second, longer")
    assert await storage.objects.get("media/a/init.mp4") == b"second, longer"
    assert await storage.objects.size("media/a/init.mp4") == 14


async def test_an_empty_object_exists(storage: Storage) -> None:
    await storage.objects.put("empty", b"")
    assert await storage.objects.size("empty") == 0
    assert await storage.objects.get("empty") == b""
    assert [piece async for piece in storage.objects.stream("empty")] == []


async def test_a_missing_object_is_said_to_be_missing(storage: Storage) -> None:
    await storage.objects.put("folder/there", b"x")
    for key in ("nowhere", "folder", "folder/there/below"):
        assert await storage.objects.size(key) is None
        with pytest.raises(ObjectMissing):
            await storage.objects.get(key)
        with pytest.raises(ObjectMissing):
            await storage.objects.get_range(key, 0, 1)
        with pytest.raises(ObjectMissing):
            [piece async for piece in storage.objects.stream(key)]
        await storage.objects.delete(key)
    assert await storage.objects.get("folder/there") == b"x"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 4, b"0123"), (2, 5, b"234"), (8, 99, b"89"), (10, 20, b""), (5, 5, b""), (0, 10, b"0123456789")],
)
async def test_a_range_is_cut_at_the_objects_end(storage: Storage, start: int, end: int, expected: bytes) -> None:
    await storage.objects.put("digits", b"0123456789")
    assert await storage.objects.get_range("digits", start, end) == expected


async def test_a_large_object_streams_in_bounded_pieces(storage: Storage) -> None:
    data = os.urandom(9_500_001)
    await storage.objects.put("large", data)
    pieces = [piece async for piece in storage.objects.stream("large")]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 1024 * 1024
    middle = [piece async for piece in storage.objects.stream("large", 123_456, 8_888_888)]
    assert b"".join(middle) == data[123_456:8_888_888]


async def test_a_file_becomes_an_object_and_is_consumed(storage: Storage, tmp_path: Path) -> None:
    data = os.urandom(20_000_000)  # more than one part
    path = tmp_path / "made.mp4"
    path.write_bytes(data)
    await storage.objects.put_file("sources/x/normal.mp4", path)
    assert await storage.objects.get("sources/x/normal.mp4") == data
    assert not path.exists()


async def test_a_folder_lists_and_deletes_only_its_own(storage: Storage) -> None:
    for key in ("media/a/1.m4s", "media/a/deep/2.m4s", "media/ab/3.m4s", "other/4.m4s"):
        await storage.objects.put(key, key.encode())
    sizes = await storage.objects.list_sizes("media/a")
    assert sizes == {"media/a/1.m4s": 13, "media/a/deep/2.m4s": 18}
    assert await storage.objects.delete_prefix("media/a/") == 2
    assert await storage.objects.list_sizes("media/a") == {}
    assert await storage.objects.delete_prefix("media/a") == 0
    assert await storage.objects.get("media/ab/3.m4s") == b"media/ab/3.m4s"
    assert await storage.objects.list_sizes("media") == {"media/ab/3.m4s": 14}


async def test_readers_never_see_half_an_object(storage: Storage) -> None:
    bodies = [bytes([65 + n]) * 300_000 for n in range(6)]
    await storage.objects.put("contended", bodies[0])
    writers = [storage.objects.put("contended", body) for body in bodies]
    readers = [storage.objects.get("contended") for _ in range(12)]
    results = await asyncio.gather(*writers, *readers)
    assert {body for body in results if body is not None} <= set(bodies)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/abs",
        "a//b",
        "../up",
        "a/../b",
        "a/./b",
        ".tmp/x",
        "a/.hidden",
        "a b",
        "ä",
        "a\n",
        "a\x00",
        "x" * 201,
        "a/",
    ],
)
async def test_a_key_that_could_escape_is_refused(storage: Storage, key: str) -> None:
    with pytest.raises(InvalidKey):
        await storage.objects.put(key, b"x")
    with pytest.raises(InvalidKey):
        await storage.objects.get(key)
    with pytest.raises(InvalidKey):
        storage.objects.local_path(key)


async def test_nobody_deletes_everything_by_an_empty_prefix(storage: Storage) -> None:
    for prefix in ("", "/", ".", ".."):
        with pytest.raises(InvalidKey):
            await storage.objects.delete_prefix(prefix)


async def test_the_self_test_passes_and_leaves_nothing(storage: Storage) -> None:
    await storage.objects.self_test()
    assert await storage.objects.list_sizes("self-test") == {}


async def test_a_copy_outlives_what_it_was_copied_from(storage: Storage) -> None:
    await storage.objects.put("live/a/0.m4s", b"segment", durable=True)
    await storage.objects.copy("live/a/0.m4s", "live/b/0.m4s")
    await storage.objects.copy("live/a/0.m4s", "live/b/0.m4s")  # again, as a job that runs twice does
    await storage.objects.put("live/a/0.m4s", b"something else")
    assert await storage.objects.get("live/b/0.m4s") == b"segment"
    await storage.objects.delete_prefix("live/a")
    assert await storage.objects.get("live/b/0.m4s") == b"segment"
    assert list(await storage.objects.list_sizes("live")) == ["live/b/0.m4s"]
    with pytest.raises(ObjectMissing):
        await storage.objects.copy("live/a/0.m4s", "live/c/0.m4s")
