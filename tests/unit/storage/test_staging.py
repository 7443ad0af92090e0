"""What every staging area promises, checked on both."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from fastpix_server.storage.open import Storage
from fastpix_server.storage.port import StorageError
from fastpix_server.storage.staging import StagingBusy, StagingGap, StagingMissing, StagingTooLarge

LIMIT = 10**9


async def pieces(data: bytes, piece_bytes: int = 70_000, *, breaks: bool = False) -> AsyncIterator[bytes]:
    for at in range(0, len(data), piece_bytes):
        await asyncio.sleep(0)
        yield data[at : at + piece_bytes]
    if breaks:
        raise ConnectionResetError("the client went away")


async def test_pieces_become_one_object(storage: Storage) -> None:
    data = os.urandom(5_000_000)
    assert await storage.staging.size("u1") == 0
    assert await storage.staging.append("u1", 0, pieces(data[:2_000_000]), max_size_bytes=LIMIT) == 2_000_000
    assert await storage.staging.append("u1", 2_000_000, pieces(data[2_000_000:]), max_size_bytes=LIMIT) == len(data)
    assert await storage.staging.size("u1") == len(data)
    assert await storage.staging.finish("u1", "sources/u1/original") == len(data)
    assert await storage.objects.get("sources/u1/original") == data
    assert await storage.staging.size("u1") == 0


async def test_finishing_twice_gives_the_same_answer(storage: Storage) -> None:
    await storage.staging.append("u1", 0, pieces(b"whole"), max_size_bytes=LIMIT)
    assert await storage.staging.finish("u1", "sources/u1/original") == 5
    assert await storage.staging.finish("u1", "sources/u1/original") == 5
    with pytest.raises(StagingMissing):
        await storage.staging.finish("u2", "sources/u2/original")


async def test_an_overlap_is_skipped_and_never_rewritten(storage: Storage) -> None:
    await storage.staging.append("u1", 0, pieces(b"0123456789"), max_size_bytes=LIMIT)
    assert await storage.staging.append("u1", 4, pieces(b"XXXXXXab", 3), max_size_bytes=LIMIT) == 12
    assert await storage.staging.append("u1", 2, pieces(b"YYY"), max_size_bytes=LIMIT) == 12
    await storage.staging.finish("u1", "o")
    assert await storage.objects.get("o") == b"0123456789ab"


async def test_a_gap_is_refused_with_the_true_size(storage: Storage) -> None:
    await storage.staging.append("u1", 0, pieces(b"0123"), max_size_bytes=LIMIT)
    with pytest.raises(StagingGap) as gap:
        await storage.staging.append("u1", 5, pieces(b"x"), max_size_bytes=LIMIT)
    assert gap.value.size_bytes == 4
    assert await storage.staging.size("u1") == 4


async def test_bytes_before_a_broken_connection_count(storage: Storage) -> None:
    data = os.urandom(3_333_333)
    with pytest.raises(ConnectionResetError):
        await storage.staging.append("u1", 0, pieces(data, breaks=True), max_size_bytes=LIMIT)
    assert await storage.staging.size("u1") == len(data)
    await storage.staging.append("u1", len(data), pieces(b"end"), max_size_bytes=LIMIT)
    await storage.staging.finish("u1", "o")
    assert await storage.objects.get("o") == data + b"end"


async def test_bytes_before_a_cancelled_task_count(storage: Storage) -> None:
    has_taken = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"arrived"
        has_taken.set()
        await asyncio.sleep(3600)

    task = asyncio.create_task(storage.staging.append("u1", 0, stuck(), max_size_bytes=LIMIT))
    await asyncio.wait_for(has_taken.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await storage.staging.size("u1") == 7
    assert await storage.staging.append("u1", 7, pieces(b"!"), max_size_bytes=LIMIT) == 8


@pytest.mark.parametrize(("limit", "fits"), [(10, True), (9, False), (0, False)])
async def test_the_size_limit_is_exact(storage: Storage, limit: int, fits: bool) -> None:
    sending = storage.staging.append("u1", 0, pieces(b"0123456789", 3), max_size_bytes=limit)
    if fits:
        assert await sending == 10
        return
    with pytest.raises(StagingTooLarge):
        await sending
    assert await storage.staging.size("u1") == limit


async def test_of_two_writers_one_learns_that_it_lost(storage: Storage) -> None:
    begun, go_on = {b"A": asyncio.Event(), b"B": asyncio.Event()}, asyncio.Event()

    async def slow(letter: bytes) -> AsyncIterator[bytes]:
        yield letter * 1000
        begun[letter].set()
        await go_on.wait()
        yield letter * 1000

    first = asyncio.create_task(storage.staging.append("u1", 0, slow(b"A"), max_size_bytes=LIMIT))
    await asyncio.wait_for(begun[b"A"].wait(), 60)
    second = asyncio.create_task(storage.staging.append("u1", 0, slow(b"B"), max_size_bytes=LIMIT))
    writes = asyncio.create_task(begun[b"B"].wait())
    await asyncio.wait({second, writes}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    writes.cancel()
    go_on.set()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert sorted(isinstance(result, StagingBusy) for result in results) == [False, True], results
    await storage.staging.finish("u1", "o")
    assert await storage.objects.get("o") in (b"A" * 2000, b"B" * 2000)


async def test_forgotten_bytes_are_gone_and_the_next_start_is_at_zero(storage: Storage) -> None:
    await storage.staging.append("u1", 0, pieces(b"old bytes"), max_size_bytes=LIMIT)
    await storage.staging.truncate0("u1")
    assert await storage.staging.size("u1") == 0
    await storage.staging.append("u1", 0, pieces(b"new"), max_size_bytes=LIMIT)
    await storage.staging.finish("u1", "o")
    assert await storage.objects.get("o") == b"new"


async def test_discarded_bytes_are_gone(storage: Storage) -> None:
    await storage.staging.append("u1", 0, pieces(b"bytes"), max_size_bytes=LIMIT)
    await storage.staging.discard("u1")
    await storage.staging.discard("u1")
    assert await storage.staging.size("u1") == 0
    with pytest.raises(StagingMissing):
        await storage.staging.finish("u1", "o")


async def test_a_finished_object_is_never_replaced_by_a_late_rival(storage: Storage) -> None:
    await storage.staging.append("u1", 0, pieces(b"the whole file"), max_size_bytes=LIMIT)
    await storage.staging.finish("u1", "o")
    await storage.staging.append("u1", 0, pieces(b"late"), max_size_bytes=LIMIT)
    assert await storage.staging.finish("u1", "o") == 14
    assert await storage.objects.get("o") == b"the whole file"
    assert await storage.staging.size("u1") == 0


async def test_a_late_gap_leaves_nothing_that_could_be_finished(storage: Storage) -> None:
    await storage.staging.append("u1", 0, pieces(b"the whole file"), max_size_bytes=LIMIT)
    await storage.staging.finish("u1", "o")
    with pytest.raises(StagingGap):
        await storage.staging.append("u1", 14, pieces(b"more"), max_size_bytes=LIMIT)
    assert await storage.staging.finish("u1", "o") == 14
    assert await storage.objects.get("o") == b"the whole file"


async def test_other_bytes_than_meant_are_not_finished(storage: Storage) -> None:
    await storage.staging.append("u1", 0, pieces(b"new beginning"), max_size_bytes=LIMIT)
    with pytest.raises(StagingMissing):
        await storage.staging.finish("u1", "o", size_bytes=2000)
    assert await storage.objects.size("o") is None
    assert await storage.staging.finish("u1", "o", size_bytes=13) == 13


async def test_finishers_and_rivals_at_once_end_in_the_whole_object(storage: Storage) -> None:
    data = os.urandom(300_000)
    for turn in range(10):
        name, key = f"u{turn}", f"o{turn}"
        await storage.staging.append(name, 0, pieces(data), max_size_bytes=LIMIT)
        rivals = [storage.staging.append(name, at, pieces(data[at:]), max_size_bytes=LIMIT) for at in (0, 100_000)]
        finishers = [storage.staging.finish(name, key, size_bytes=len(data)) for _ in range(4)]
        results = await asyncio.gather(*finishers, *rivals, return_exceptions=True)
        assert all(isinstance(result, int | StorageError) for result in results), results
        assert await storage.staging.finish(name, key) == len(data)
        assert await storage.objects.get(key) == data
