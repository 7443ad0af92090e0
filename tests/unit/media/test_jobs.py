"""Prepare and erase over real files, a real database, a real store and the real engine."""

import asyncio
import contextlib
import shutil
from pathlib import Path

import pytest
from sqlalchemy import text
from tests import footage

from fastpix_server.base import ids
from fastpix_server.base.errors import ServiceFault
from fastpix_server.jobs.registry import Registry
from fastpix_server.media import jobs, service, wire
from fastpix_server.media.jobs import MediaJobs
from fastpix_server.media.schemas import PushMediaSettings
from fastpix_server.playback import service as playback
from fastpix_server.playback import store as playback_store
from fastpix_server.storage.open import Storage, open_store


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_store(f"file://{tmp_path}/objects", {}, tmp_path / "work")


@pytest.fixture
def worker(house, storage, tmp_path) -> MediaJobs:
    return MediaJobs(house.db, storage, tmp_path / "work")


@pytest.fixture
def stored(house, storage, tmp_path):
    """Stores the file at `path` as the source of a new media that is `Downloaded`."""

    async def store_it(path: Path, **options: object) -> str:
        media = await house.create(**options)
        shutil.copyfile(path, tmp_path / "incoming")
        await storage.objects.put_file(service.source_key(media.id), tmp_path / "incoming")
        async with house.db.unit() as tx:
            await service.begin_download(tx, media.id)
            await service.downloaded(tx, media.id, size_bytes=path.stat().st_size)
        return media.id

    return store_it


async def described(house, media_id, *, is_list=False):
    async with house.db.unit() as tx:
        return wire.media_full(await house.find(media_id), await playback.list_ids(tx, media_id), is_list=is_list)


async def target_of(house, media_id):
    async with house.db.unit() as tx:
        return await playback_store.find_target(tx, media_id)


async def test_a_stored_file_becomes_ready_with_its_facts_tracks_plan_and_event(house, worker, stored):
    media_id = await stored(footage.make("plain"))
    await worker.prepare(media_id)
    full = await described(house, media_id)
    assert (full["status"], full["isAudioOnly"], full["subtitleAvailable"]) == ("Ready", False, False)
    assert (full["sourceResolution"], full["aspectRatio"]) == ("360", "16:9")
    video, audio = full["tracks"]
    assert video == {
        "id": video["id"],
        "type": "video",
        "width": 640,
        "height": 360,
        "frameRate": video["frameRate"],
        "status": "available",
    }
    assert video["frameRate"] == "30.000"
    assert list(audio) == ["id", "type", "status", "languageCode", "languageName"]
    assert (audio["type"], audio["languageCode"], audio["languageName"]) == ("audio", "und", "default")
    assert ids.is_uuid(video["id"])
    listed = await described(house, media_id, is_list=True)
    assert [t["status"] for t in listed["tracks"]] == ["Ready", "Ready"]
    target = await target_of(house, media_id)
    assert target.place == f"media/{media_id}/{target.plan.revision}"
    assert target.source_key == f"sources/{media_id}/original"
    assert full["duration"] == round(target.plan.duration_s, 3)
    assert await house.events(media_id) == [
        ("video.media.created", "media_created"),
        ("video.media.ready", "media_ready"),
    ]
    info = wire.input_info(await house.find(media_id))
    assert (info["file"]["containerFormat"], info["file"]["tracks"]) == ("mp4", full["tracks"])


async def test_the_event_of_a_ready_media_shows_it_as_the_api_does(house, worker, stored):
    media_id = await stored(footage.make("plain"), title="t")
    await worker.prepare(media_id)
    async with house.db.unit() as tx:
        result = await tx.execute(text("select data from events where type = 'video.media.ready'"))
        data = result.scalar_one()
    assert data == {**await described(house, media_id), "status": "ready"}


async def test_preparing_twice_or_at_once_makes_it_ready_once(house, worker, stored):
    media_id = await stored(footage.make("plain"))
    await asyncio.gather(worker.prepare(media_id), worker.prepare(media_id))
    tracks = (await described(house, media_id))["tracks"]
    await worker.prepare(media_id)
    assert (await described(house, media_id))["tracks"] == tracks
    assert len(await house.events(media_id)) == 2


@pytest.mark.parametrize("status", ["Created", "Validating", "In Queue", "Processing"])
async def test_a_worker_that_died_in_any_status_is_replaced_by_the_next(house, worker, stored, status):
    media_id = await stored(footage.make("plain"))
    await house.put_status(media_id, status)
    await worker.prepare(media_id)
    assert (await house.find(media_id)).status == "Ready"


@pytest.mark.parametrize("status", ["Ready", "Failed"])
async def test_a_settled_media_is_left_alone(house, worker, stored, status):
    media_id = await stored(footage.make("plain"))
    await house.put_status(media_id, status)
    await worker.prepare(media_id)
    assert (await house.find(media_id)).status == status
    assert await target_of(house, media_id) is None


@pytest.mark.parametrize("kind", ["text", "html", "zero_length", "moov_missing", "m3u8", "png", "noise"])
async def test_a_file_that_is_no_media_fails_with_a_reason_for_its_owner(house, worker, stored, kind):
    media_id = await stored(footage.make(kind))
    await worker.prepare(media_id)
    full = await described(house, media_id)
    assert full["status"] == "Failed"
    reason = full["failureReason"]
    assert reason["code"].replace("_", "").isalnum()
    assert len(reason["description"]) > 15
    assert "/" not in reason["description"].replace("audio/", "").replace("video/", "")
    assert (await house.events(media_id))[-1] == ("video.media.failed", "media_failed")
    assert await target_of(house, media_id) is None


async def test_audio_alone_has_neither_picture_nor_ratio(house, worker, stored):
    media_id = await stored(footage.make("audio_mp3"))
    await worker.prepare(media_id)
    full = await described(house, media_id)
    assert (full["status"], full["isAudioOnly"]) == ("Ready", True)
    assert {"sourceResolution", "aspectRatio"}.isdisjoint(full)
    assert [t["type"] for t in full["tracks"]] == ["audio"]


async def test_a_container_without_an_index_is_normalised_beside_the_original(house, worker, stored, storage):
    media_id = await stored(footage.make("mpegts"))
    await worker.prepare(media_id)
    target = await target_of(house, media_id)
    assert target.source_key == f"sources/{media_id}/normal.mp4"
    assert set(await storage.objects.list_sizes(f"sources/{media_id}")) == {
        f"sources/{media_id}/original",
        f"sources/{media_id}/normal.mp4",
    }
    assert wire.input_info(await house.find(media_id))["file"]["containerFormat"] == "ts"
    assert list((worker._work_dir).glob("normalise-*")) == []


async def test_the_resolution_asked_for_caps_the_plan(house, worker, stored):
    capped = await stored(footage.bigbuckbunny(), maxResolution="480p")
    await worker.prepare(capped)
    plan = (await target_of(house, capped)).plan
    assert max(min(r.width, r.height) for r in plan.videos) == 480


async def test_a_media_deleted_while_it_is_prepared_is_not_published_and_leaves_no_bytes(
    house, worker, stored, storage, monkeypatch
):
    media_id = await stored(footage.make("mpegts"))
    real = jobs.remux

    async def delete_then_remux(*arguments):
        async with house.db.unit() as tx:
            await service.delete(tx, house.workspace_id, media_id)
        await real(*arguments)

    monkeypatch.setattr(jobs, "remux", delete_then_remux)
    await worker.prepare(media_id)
    assert await target_of(house, media_id) is None
    assert await storage.objects.list_sizes(f"sources/{media_id}") == {}


async def test_a_source_that_vanished_is_our_fault_and_tried_again(house, worker, stored, storage):
    media_id = await stored(footage.make("plain"))
    await storage.objects.delete(service.source_key(media_id))
    with pytest.raises(ServiceFault):
        await worker.prepare(media_id)
    assert (await house.find(media_id)).status == "Validating"
    await worker.give_up(media_id, error="boom: /secret/path")
    full = await described(house, media_id)
    assert (full["status"], full["failureReason"]["code"]) == ("Failed", "service_fault")
    assert "/secret" not in full["failureReason"]["description"]


async def test_giving_up_on_a_media_that_became_ready_changes_nothing(house, worker, stored):
    media_id = await stored(footage.make("plain"))
    await worker.prepare(media_id)
    await worker.give_up(media_id, error="late")
    assert (await house.find(media_id)).status == "Ready"


async def test_an_erase_removes_every_byte_of_its_media_and_of_no_other(storage, worker):
    mine, other = ids.new_uuid(), ids.new_uuid()
    for media_id in (mine, other):
        for name in ("sources/{}/original", "media/{}/rev/720p/0.m4s", "media/{}/rev/pictures/a.jpg"):
            await storage.objects.put(name.format(media_id), b"x")
    await worker.erase(mine)
    await worker.erase(mine)
    assert await storage.objects.list_sizes(f"sources/{mine}") == {}
    assert await storage.objects.list_sizes(f"media/{mine}") == {}
    assert len(await storage.objects.list_sizes(f"media/{other}")) == 2


async def test_an_uploaded_media_keeps_its_id_and_starts_with_its_own_event(house):
    upload_id = ids.new_uuid()
    async with house.db.unit() as tx:
        media = await service.create_from_upload(
            tx,
            upload_id=upload_id,
            workspace_id=house.workspace_id,
            options=PushMediaSettings.model_validate({"title": "t", "accessPolicy": "private"}),
            source_url="http://test/upload/x",
            size_bytes=7,
        )
    assert (media.id, media.status, media.title) == (upload_id, "Created", "t")
    assert await house.events(upload_id) == [("video.upload.media_created", "media_created")]
    assert await house.jobs() == ["media.prepare"]


def test_the_jobs_are_registered_under_the_names_that_the_service_queues(worker):
    registry = Registry()
    worker.register(registry)
    assert {(job.name, job.queue) for job in registry.jobs} == {
        (service.PREPARE_JOB, "prepare"),
        (service.ERASE_JOB, "default"),
    }
    with contextlib.suppress(ValueError):
        worker.register(registry)
        pytest.fail("a name was taken twice")
