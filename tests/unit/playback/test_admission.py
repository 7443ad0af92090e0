"""The cache in front of the tables: bounded, and never older than a change that was announced."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests import footage
from tests.planned import planned
from tests.playing import PATH_KEYS, Playing, Published

from fastpix_server.base import errors, ids
from fastpix_server.db.notify import Listener
from fastpix_server.playback import admission, service, store
from fastpix_server.playback.admission import Admission
from fastpix_server.playback.gate import Viewer


@pytest.fixture
async def film(stage: Playing) -> Published:
    return await stage.publish(footage.bikes(), await planned(footage.bikes()))


@pytest.fixture
async def listener(stage: Playing, film: Published) -> AsyncIterator[Listener]:
    """It does not hear of the film's beginning, which would drop what these tests are about."""
    made = Listener(stage.url)
    yield made
    await made.close()


@pytest.fixture
async def door(stage: Playing, listener: Listener) -> Admission:
    made = Admission(stage.db, listener, path_keys=PATH_KEYS)
    await listener.start()
    return made


async def test_a_known_id_is_answered_without_the_database(
    door: Admission, film: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await door.admit(film.playback_id, Viewer())

    async def no_more(*_: object) -> None:
        raise AssertionError("the database was asked again")

    monkeypatch.setattr(store, "find_id", no_more)
    monkeypatch.setattr(store, "find_any", no_more)
    assert await door.admit(film.playback_id, Viewer()) == first


async def test_a_thousand_new_viewers_read_the_id_and_the_plan_once(
    door: Admission, film: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []

    def counted(name: str) -> Callable[..., Awaitable[object]]:
        real = getattr(store, name)

        async def read(*args: object) -> object:
            reads.append(name)
            await asyncio.sleep(0.05)
            return await real(*args)

        return read

    for name in ("find_id", "find_any"):
        monkeypatch.setattr(store, name, counted(name))
    await asyncio.gather(*(door.admit(film.playback_id, Viewer()) for _ in range(1000)))
    assert reads == ["find_id", "find_any"]


async def test_an_answer_that_was_read_before_a_deletion_is_not_kept(
    stage: Playing, listener: Listener, door: Admission, film: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, was_read, is_announced = store.find_id, asyncio.Event(), asyncio.Event()

    async def slow(*args: object) -> object:
        found = await real(*args)  # type: ignore[arg-type]
        was_read.set()
        await is_announced.wait()
        return found

    monkeypatch.setattr(store, "find_id", slow)
    listener.on(admission.CHANGED, lambda _: is_announced.set())  # called after the door's own
    early = asyncio.create_task(door.admit(film.playback_id, Viewer()))
    await asyncio.wait_for(was_read.wait(), 60)
    async with stage.db.unit() as tx:
        assert await service.delete_id(tx, film.media_id, film.playback_id)
    await asyncio.wait_for(early, 60)
    with pytest.raises(errors.NotFound):
        await door.admit(film.playback_id, Viewer())


async def test_guessed_ids_do_not_push_real_ones_out(
    door: Admission, film: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_unknown", admission._Lru(3, admission.TTL_S))
    await door.admit(film.playback_id, Viewer())
    for _ in range(10):
        with pytest.raises(errors.Unauthorized):
            await door.admit(ids.new_uuid(), Viewer())
    assert len(door._unknown) == 3
    assert door._ids.get(film.playback_id) is not None


def test_the_least_recently_used_entry_goes_first() -> None:
    cache: admission._Lru[int] = admission._Lru(2, 60)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_an_entry_is_absent_after_its_time() -> None:
    cache: admission._Lru[int] = admission._Lru(2, -1)
    cache.put("a", 1)
    assert cache.get("a") is None
