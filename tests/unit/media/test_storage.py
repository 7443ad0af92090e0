"""What each media has in storage: the count, its report, its metrics, and that a deletion leaves nothing of it."""

import asyncio
import shutil
from pathlib import Path

import pytest
from tests import footage
from tests.unit.media.conftest import House
from tests.unit.storage import seaweed

from fastpix_server.base import ids
from fastpix_server.base.errors import ServiceFault
from fastpix_server.jobs.registry import Registry
from fastpix_server.media import service, storage, storage_store
from fastpix_server.media.jobs import MediaJobs
from fastpix_server.media.storage import StorageJobs
from fastpix_server.media.storage_store import Sizes
from fastpix_server.playback import store as playback_store
from fastpix_server.storage.open import Storage, open_store


def local(folder: Path) -> Storage:
    return open_store(f"file://{folder}/objects", {}, folder / "work")


async def prepared(house: House, kept: Storage, folder: Path) -> str:
    """A Ready media from real bytes."""
    media, source = await house.create(title="a film"), footage.make("plain")
    shutil.copyfile(source, folder / "incoming")
    await kept.objects.put_file(service.source_key(media.id), folder / "incoming")
    async with house.db.unit() as tx:
        await service.begin_download(tx, media.id)
        await service.downloaded(tx, media.id, size_bytes=source.stat().st_size)
    await MediaJobs(house.db, kept, folder / "work").prepare(media.id)
    return media.id


async def make(house: House, kept: Storage, media_id: str) -> str:
    """Things of every family, also some whose names this program does not know; the place of the plan."""
    async with house.db.unit() as tx:
        target = await playback_store.find_target(tx, media_id)
    assert target is not None
    name = target.plan.videos[0].name
    for key, size in {
        target.segment_key(name, 0): 100,
        target.fast_segment_key(name, 1): 10,
        target.init_key(name): 1,
        f"{target.place}/drm/{name}/0.m4s": 1000,
        f"{target.place}/pictures/sheet-i0.jpg": 10_000,
        f"{target.place}/files/new-kind.bin": 7,
        f"media/{media_id}/tracks/en.vtt": 70,
        f"sources/{media_id}/second": 5,
        f"live/{media_id}/source/0.m4s": 3,
    }.items():
        await kept.objects.put(key, b"x" * size)
    return target.place


@pytest.fixture(params=["local", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    if request.param == "local":
        yield local(tmp_path)
        return
    with seaweed.running() as endpoint:
        yield open_store(f"s3://{seaweed.BUCKET}/{ids.new_uuid()}", seaweed.options(endpoint), tmp_path / "work")


async def test_a_media_is_counted_kept_within_the_quota_and_erased_to_the_last_byte(
    house: House, kept: Storage, tmp_path: Path
) -> None:
    media_id, other_id = await prepared(house, kept, tmp_path), ids.new_uuid()
    place = await make(house, kept, media_id)
    await kept.objects.put(f"sources/{other_id}/original", b"another's")
    jobs = StorageJobs(house.db, kept, cache_max_bytes=1)
    await jobs.run()
    source = footage.make("plain").stat().st_size
    expected = Sizes(source_bytes=source + 5, cache_bytes=11_111, made_bytes=77, recording_bytes=3)
    async with house.db.unit() as tx:
        assert await storage_store.largest(tx, 9) == [(media_id, expected)]
        shown, count = await storage.report(tx, house.workspace_id, limit=10, offset=1)
    [entry] = shown["media"]
    assert (count, entry["mediaId"], entry["title"], entry["cacheBytes"]) == (1, media_id, "a film", 11_111)
    assert shown["totalBytes"] == entry["totalBytes"] == source + 11_196
    assert entry["objectCount"] == 10
    jobs._quota._unused_s = -1.0  # as if nobody had watched for long
    swept = await jobs.keep_quota()
    assert len(swept.dropped) == 3
    assert set(await kept.objects.list_sizes(place)) == {f"{place}/files/new-kind.bin"}
    async with house.db.unit() as tx:
        [(_, left)] = await storage_store.largest(tx, 9)
    assert left == Sizes(source + 5, 0, 77, 3)
    async with kept.sources.open(service.source_key(media_id)) as path:
        assert path.stat().st_size == source
    async with house.db.unit() as tx:
        await service.delete(tx, house.workspace_id, media_id)
    await MediaJobs(house.db, kept, tmp_path / "work").erase(media_id)
    for family in ("sources", "media", "live"):
        assert not [key for key in await kept.objects.list_sizes(family) if media_id in key]
    assert await kept.objects.get(f"sources/{other_id}/original") == b"another's"
    assert not [path for path in (tmp_path / "work").rglob("*") if path.is_file() and path.stat().st_size]
    async with house.db.unit() as tx:
        assert await storage_store.totals(tx) == (Sizes(), 0, 0)


async def test_a_change_is_counted_by_the_next_run_and_what_rests_is_not_looked_at_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, counted = local(tmp_path), []
    media = await house.create()
    jobs = StorageJobs(house.db, kept, cache_max_bytes=0)
    real = jobs.count

    async def watched(media_id: str) -> Sizes | None:
        counted.append(media_id)
        return await real(media_id)

    monkeypatch.setattr(jobs, "count", watched)
    await jobs.run()
    await jobs.run()
    assert counted == [media.id]
    await kept.objects.put(service.source_key(media.id), b"12345")
    async with house.db.unit() as tx:
        await service.begin_download(tx, media.id)
    await jobs.run()
    async with house.db.unit() as tx:
        assert (await storage_store.totals(tx))[0] == Sizes(source_bytes=5)
    assert counted == [media.id] * 2


async def test_an_erase_that_is_written_behind_is_tried_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, media_id = local(tmp_path), ids.new_uuid()
    jobs, real = MediaJobs(house.db, kept, tmp_path / "work"), kept.objects.delete_prefix
    await kept.objects.put(f"media/{media_id}/rev/720p/0.m4s", b"x")

    async def raced(prefix: str) -> int:
        count = await real(prefix)
        if prefix.startswith("media/"):
            await kept.objects.put(f"media/{media_id}/rev/720p/1.m4s", b"x")
        return count

    with monkeypatch.context() as patch:
        patch.setattr(kept.objects, "delete_prefix", raced)
        with pytest.raises(ServiceFault):
            await jobs.erase(media_id)
    await jobs.erase(media_id)
    assert await kept.objects.list_sizes(f"media/{media_id}") == {}


async def test_the_metrics_have_as_many_series_for_a_thousand_media_as_for_twenty(house: House) -> None:
    made = [await house.create() for _ in range(25)]
    async with house.db.unit() as tx:
        for size, media in enumerate(made):
            await storage_store.save(tx, media.id, Sizes(1, size, 0, 0), 2, media.created_at)
    text = (await storage.metrics_text(house.db, cache_max_bytes=4711)).decode()
    lines = [line for line in text.splitlines() if line.startswith("fastpix_storage_media_bytes{")]
    assert len(lines) == 4 * storage.TOP_MEDIA
    assert f'fastpix_storage_media_bytes{{kind="cache",media_id="{made[24].id}"}} 24.0' in lines
    assert made[4].id not in text
    assert f'fastpix_storage_bytes{{kind="cache"}} {float(sum(range(25)))}' in text
    assert "fastpix_cache_max_bytes 4711.0" in text
    assert "fastpix_storage_objects 50.0" in text


async def test_a_run_ends_before_the_next_one_begins_and_goes_on_there(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {(await house.create()).id for _ in range(3)}
    jobs = StorageJobs(house.db, local(tmp_path), cache_max_bytes=0)
    monkeypatch.setattr(storage, "RUN_S", 0.05)
    real, counted = jobs.count, []

    async def slow(media_id: str) -> Sizes | None:
        await asyncio.sleep(0.06)
        counted.append(media_id)
        return await real(media_id)

    monkeypatch.setattr(jobs, "count", slow)
    for _ in range(3):
        await jobs.run()
    assert len(counted) == 3
    assert set(counted) == made


def test_the_count_runs_by_the_clock(house: House, tmp_path: Path) -> None:
    registry = Registry()
    StorageJobs(house.db, local(tmp_path), cache_max_bytes=0).register(registry)
    assert [periodic.name for periodic in registry.periodic] == [storage.COUNT_JOB]
