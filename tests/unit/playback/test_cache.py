"""The quota of what is made on demand: what is a cache, which shelf goes first, and what never goes."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from tests import footage
from tests.planned import planned
from tests.playing import Playing, Published, until

from fastpix_server.base import ids
from fastpix_server.db.pool import Database
from fastpix_server.media.storage import StorageJobs
from fastpix_server.playback import cache, service, shelves_store
from fastpix_server.playback.artifacts import InitOf, Picture, Protected, SegmentOf, Sheet
from fastpix_server.playback.cache import Quota, Uses
from fastpix_server.playback.shelves_store import Place
from fastpix_server.storage.open import Storage, open_store

SHELVES = ("source", "720p", "a0", "drm/720p", "pictures")
UNUSED_S = 100.0

clear = st.one_of(
    st.builds(SegmentOf, st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True), st.integers(0, 999_999)),
    st.builds(InitOf, st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True)),
)
wishes = st.one_of(
    clear,
    st.builds(Protected, clear),
    st.builds(Picture, st.integers(0, 10**9 - 1), st.integers(0, 9999), st.just(0), st.just("crop"), st.just("webp")),
    st.builds(Sheet, st.integers(0, 10), st.sampled_from(("jpg", "png"))),
)


@given(wishes)
def test_everything_that_can_be_wished_for_lies_on_its_shelf(wish) -> None:
    target = Place("t", "media/t/rev")
    shelf = cache.shelf_of_artifact(target, wish)
    assert {cache.shelf_of_key(target, key) for key in wish.keys(target)} == {shelf}


@pytest.mark.parametrize(
    "key",
    [
        "media/t/rev/files/capped-4k.mp4",
        "media/t/rev/audio.m4a",
        "media/t/rev/text/en.vtt",
        "media/t/rev/720p/notes.txt",
        "media/t/rev/720p/0.m4s/1.m4s",
        "media/t/rev/drm/pictures/sheet-i0.jpg",
        "media/t/old/720p/0.m4s",
        "media/t/revision/720p/0.m4s",
        "sources/t/original",
        "live/t/720p/0.m4s",
    ],
)
def test_what_nobody_can_wish_for_is_on_no_shelf_and_is_kept(key: str) -> None:
    assert cache.shelf_of_key(Place("t", "media/t/rev"), key) is None


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, size=4)
    yield opened
    await opened.close()


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_store(f"file://{tmp_path}/objects", {}, tmp_path / "work")


async def target(db: Database, *, kind: str = "planned") -> Place:
    target_id = ids.new_uuid()
    place = f"{'media' if kind == 'planned' else 'live'}/{target_id}"
    async with db.unit() as tx:
        await tx.execute(
            text(
                "insert into playback_targets (id, workspace_id, kind, place, source_key, plan, payload)"
                " values (:id, :id, :kind, :place, :source, :plan, :payload)"
            ),
            {
                "id": target_id,
                "kind": kind,
                "place": f"{place}/rev" if kind == "planned" else place,
                "source": f"sources/{target_id}/original" if kind == "planned" else None,
                "plan": "{}" if kind == "planned" else None,
                "payload": None if kind == "planned" else "{}",
            },
        )
    return Place(target_id, f"{place}/rev" if kind == "planned" else place)


async def fill_shelf(db: Database, storage: Storage, where: Place, shelf: str, size: int, age_s: float) -> None:
    name = f"{shelf}/sheet-i0.jpg" if shelf == "pictures" else f"{shelf}/0.m4s"
    await storage.objects.put(f"{where.place}/{name}", b"x" * size)
    await aged(db, where, shelf, age_s)


async def aged(db: Database, where: Place, shelf: str, age_s: float) -> None:
    async with db.unit() as tx:
        await tx.execute(
            text(
                "insert into playback_shelves (target_id, shelf, used_at)"
                " values (:id, :shelf, now() - make_interval(secs => :age)) on conflict (target_id, shelf)"
                " do update set used_at = excluded.used_at"
            ),
            {"id": where.id, "shelf": shelf, "age": age_s},
        )


async def count(db: Database, storage: Storage, *places: Place) -> None:
    for where in places:
        async with db.unit() as tx:
            folder = where.place.removesuffix("/rev")
            await cache.count(tx, folder, await storage.objects.list_sizes(folder))


async def total(db: Database) -> int:
    async with db.unit() as tx:
        return await shelves_store.total_bytes(tx)


@pytest.mark.parametrize("seed", range(6))
async def test_the_least_recently_used_go_first_and_no_more_than_needed(
    db: Database, storage: Storage, seed: int
) -> None:
    chance = random.Random(seed)
    places = [await target(db) for _ in range(3)]
    ages: dict[tuple[str, str], float] = {}
    sizes: dict[tuple[str, str], int] = {}
    for where in places:
        await storage.objects.put(f"sources/{where.id}/original", b"source")
        await storage.objects.put(f"{where.place}/files/kept.mp4", b"kept")
        for shelf in chance.sample(SHELVES, chance.randint(1, 5)):
            age_s = chance.choice((chance.uniform(0, UNUSED_S / 2), chance.uniform(2 * UNUSED_S, 9e6)))
            ages[where.id, shelf], sizes[where.id, shelf] = age_s, chance.randint(1, 5000)
            await fill_shelf(db, storage, where, shelf, sizes[where.id, shelf], age_s)
    await count(db, storage, *places)
    whole = sum(sizes.values())
    assert await total(db) == whole
    maximum = max(1, int(whole * chance.uniform(0, 1.1)))
    swept = await Quota(db, storage.objects, max_bytes=maximum, unused_s=UNUSED_S).keep()
    # The same by a plain list.
    expected, left = [], whole
    for use in sorted((use for use in ages if ages[use] > UNUSED_S), key=lambda use: -ages[use]):
        if whole <= maximum or left <= int(maximum * cache.LOW_WATER):
            break
        expected.append(use)
        left -= sizes[use]
    assert ([(s.target_id, s.shelf) for s in swept.dropped], swept.before_bytes, swept.after_bytes) == (
        expected,
        whole,
        left,
    )
    assert await total(db) == left
    for where in places:
        stored = await storage.objects.list_sizes(where.place)
        kept = {shelf for (target_id, shelf) in sizes if target_id == where.id and (target_id, shelf) not in expected}
        assert set(cache.by_shelf(where, stored)) == kept
        assert f"{where.place}/files/kept.mp4" in stored
        assert await storage.objects.get(f"sources/{where.id}/original") == b"source"
    # What was really there is what is said.
    await count(db, storage, *places)
    assert await total(db) == left


async def test_every_target_below_the_folder_of_a_media_is_counted_and_dropped_with_it(
    db: Database, storage: Storage
) -> None:
    """A media may have more targets than one: an added sound has its own, with an id and a place of its own."""
    film, sound, other = await target(db), await target(db), await target(db)
    place = f"media/{film.id}/tracks/{sound.id}/rev"
    async with db.unit() as tx:
        await tx.execute(text("update playback_targets set place = :p where id = :id"), {"p": place, "id": sound.id})
    sound = Place(sound.id, place)
    for where, shelf, size in ((film, "720p", 100), (sound, "a1", 10), (other, "720p", 1)):
        await fill_shelf(db, storage, where, shelf, size, 1e6)
        await storage.objects.put(f"{where.place}/whole.vtt", b"kept")
    await cache.Writes(db).note(sound.id)  # its media is counted
    jobs = StorageJobs(db, storage, cache_max_bytes=1)
    await jobs.count_due()
    assert await total(db) == 110
    async with db.unit() as tx:
        await tx.execute(text("delete from playback_writes"))
    swept = await jobs.keep_quota()
    assert {(one.target_id, one.shelf) for one in swept.dropped} == {(film.id, "720p"), (sound.id, "a1")}
    left = await storage.objects.list_sizes(f"media/{film.id}")
    assert sorted(left) == [f"{film.place}/whole.vtt", f"{sound.place}/whole.vtt"]
    assert len(await storage.objects.list_sizes(other.place)) == 2


async def test_without_a_quota_nothing_is_dropped(db: Database, storage: Storage) -> None:
    where = await target(db)
    await fill_shelf(db, storage, where, "720p", 5000, 1e6)
    await count(db, storage, where)
    assert (await Quota(db, storage.objects, max_bytes=0).keep()).dropped == ()


async def test_recordings_are_no_cache_whatever_their_names(db: Database, storage: Storage) -> None:
    where = await target(db, kind="recorded")
    await storage.objects.put(f"{where.place}/720p/0.m4s", b"the only copy")
    await storage.objects.put(f"{where.place}/pictures/sheet-i0.jpg", b"x")
    await count(db, storage, where)
    uses = Uses(db)
    uses.note(where, SegmentOf("720p", 0))
    await until(lambda: uses._sending is None)
    assert await total(db) == 0
    assert (await Quota(db, storage.objects, max_bytes=1, unused_s=0).keep()).dropped == ()
    assert len(await storage.objects.list_sizes(where.place)) == 2


async def test_a_shelf_that_is_used_after_it_was_chosen_stays(db: Database, storage: Storage) -> None:
    where = await target(db)
    await fill_shelf(db, storage, where, "720p", 50, 1e6)
    await count(db, storage, where)
    async with db.unit() as tx:
        [chosen] = await shelves_store.oldest(tx, unused_s=UNUSED_S, limit=9)
    uses = Uses(db)
    uses.note(where, SegmentOf("720p", 7))
    await until(lambda: uses._sending is None)
    quota = Quota(db, storage.objects, max_bytes=1, unused_s=UNUSED_S)
    assert await quota._drop(chosen) is None
    assert (await quota.keep()).dropped == ()
    assert len(await storage.objects.list_sizes(where.place)) == 1


async def test_a_target_that_is_being_written_loses_nothing(db: Database, storage: Storage) -> None:
    where = await target(db)
    await fill_shelf(db, storage, where, "720p", 50, 1e6)
    await count(db, storage, where)
    await cache.Writes(db).note(where.id)
    assert (await Quota(db, storage.objects, max_bytes=1, unused_s=UNUSED_S).keep()).dropped == ()


class Killed(BaseException):
    pass


async def test_a_process_killed_while_it_drops_costs_neither_bytes_nor_truth(
    db: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = await target(db)
    await fill_shelf(db, storage, where, "720p", 50, 1e6)
    await fill_shelf(db, storage, where, "a0", 60, 1e5)
    await count(db, storage, where)

    async def die(_prefix: str) -> int:
        raise Killed

    jobs = StorageJobs(db, storage, cache_max_bytes=30)
    with monkeypatch.context() as patch:
        patch.setattr(storage.objects, "delete_prefix", die)
        with pytest.raises(Killed):
            await jobs.keep_quota()
    assert await total(db) == 60  # it was claimed, and is there still
    await jobs.count_due()
    assert await total(db) == 110
    assert [shelf.shelf for shelf in (await jobs.keep_quota()).dropped] == ["720p", "a0"]
    assert await storage.objects.list_sizes(where.place) == {}


async def test_a_use_is_written_once_in_a_while_and_not_per_request(
    db: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, statements = await target(db), []
    real = shelves_store.note_uses

    async def counted(tx, uses) -> None:  # type: ignore[no-untyped-def]
        statements.append(len(uses))
        await real(tx, uses)

    monkeypatch.setattr(shelves_store, "note_uses", counted)
    uses = Uses(db)
    for k in range(1000):
        uses.note(where, SegmentOf("720p", k))
        uses.note(where, Protected(SegmentOf("720p", k)))
    await until(lambda: uses._sending is None)
    assert statements == [2]


@pytest.fixture
async def film(stage: Playing) -> Published:
    return await stage.publish(footage.bikes(), await planned(footage.bikes()))


async def test_what_was_dropped_is_made_again_when_it_is_asked_for(stage: Playing, film: Published) -> None:
    edge, jobs = await stage.edge(), StorageJobs(stage.db, stage.storage, cache_max_bytes=1)
    await stage.maker()
    where = Place(film.media_id, f"media/{film.media_id}/{film.plan.revision}")
    shelf = film.plan.videos[0].name
    for name in ("init.mp4", "0.m4s"):
        assert (await edge.get(film.url(shelf, name))).status_code == 200

    async def is_noted() -> bool:
        async with stage.db.unit() as tx:
            found = await tx.execute(text("select 1 from playback_shelves where shelf = :shelf"), {"shelf": shelf})
            return found.one_or_none() is not None

    await until(is_noted)
    await jobs.run()
    assert await stage.stored(film)  # it was used just now
    async with stage.db.unit() as tx:
        await tx.execute(text("update playback_shelves set used_at = now() - interval '1 hour'"))
        await tx.execute(text("update playback_writes set written_at = now() - interval '1 hour'"))
    await jobs.run()
    assert await stage.stored(film) == {}
    assert await stage.storage.objects.size(f"sources/{film.media_id}/original")
    for name in ("init.mp4", "0.m4s"):
        assert (await edge.get(film.url(shelf, name))).status_code == 200
    assert set(cache.by_shelf(where, await stage.storage.objects.list_sizes(where.place))) == {shelf}


async def test_the_background_makes_nothing_more_once_the_quota_is_reached(stage: Playing, film: Published) -> None:
    maker = await stage.maker(cache_max_bytes=1)
    other = await target(stage.db)
    await fill_shelf(stage.db, stage.storage, other, "720p", 5, 0)
    await count(stage.db, stage.storage, other)
    await maker.fill(film.media_id)
    assert not [key for key in await stage.stored(film) if key.endswith(".m4s")]
    edge = await stage.edge()  # viewers get what they ask for all the same
    assert (await edge.get(film.url(film.plan.videos[0].name, "0.m4s"))).status_code == 200


async def test_what_is_unpublished_leaves_no_row(stage: Playing, film: Published) -> None:
    await aged(stage.db, Place(film.media_id, ""), "720p", 5)
    await cache.Writes(stage.db).note(film.media_id)
    async with stage.db.unit() as tx:
        await service.unpublish(tx, film.media_id)
    async with stage.db.unit() as tx:
        for table in ("playback_shelves", "playback_writes"):
            found = await tx.execute(text(f"select count(*) from {table} where target_id = :id"), {"id": film.media_id})
            assert found.scalar_one() == 0
