"""Edited media from the request to Ready: files fetched and copied, the plan, the events, what a clip is made of."""

import dataclasses
import ipaddress
import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests import footage
from tests.web_server import FileServer

from fastpix_server.base import errors, ids
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.engine.encode import encode_audio, encode_video
from fastpix_server.engine.inits import make_init
from fastpix_server.engine.plan import VideoRendition
from fastpix_server.media import links, recordings, service
from fastpix_server.media.fetch import MediaFetch
from fastpix_server.media.jobs import MediaJobs
from fastpix_server.media.schemas import PushMediaSettings
from fastpix_server.playback import service as playback
from fastpix_server.playback import store as playback_store
from fastpix_server.playback.borrowing import borrow
from fastpix_server.playback.recording import Facts, Recording, Stretch, Track, words
from fastpix_server.storage.open import Storage, open_store

LOOPBACK = AddressPolicy((ipaddress.IPv4Network("127.0.0.0/8"),))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_store(f"file://{tmp_path}/objects", {}, tmp_path / "work")


class Editing:
    """The two jobs over one database and store, with a web server beside them."""

    def __init__(self, house, storage: Storage, work: Path, server: FileServer, files: Path) -> None:  # type: ignore[no-untyped-def]
        self.house, self.storage, self.server, self.files = house, storage, server, files
        self.fetcher = MediaFetch(house.db, storage, LOOPBACK, work_dir=work)
        self.jobs = MediaJobs(house.db, storage, work)

    def url(self, kind: str) -> str:
        path = footage.make(kind)
        shutil.copyfile(path, self.files / path.name)
        return self.server.url(path.name)

    async def ready(self, *inputs: dict[str, object], **options: object):  # type: ignore[no-untyped-def]
        media = await self.house.create(inputs=list(inputs), **options)
        await self.fetcher.fetch(media.id)
        await self.jobs.prepare(media.id)
        return await self.house.find(media.id)

    async def target(self, media_id: str):  # type: ignore[no-untyped-def]
        async with self.house.db.unit() as tx:
            return await playback_store.find_target(tx, media_id)

    async def fill(self, media_id: str, folder: Path) -> None:
        """Every segment of the best picture and the first sound, stored as the fill would."""
        target = await self.target(media_id)
        paths = [self.storage.objects.local_path(key) for key in (target.source_key, *target.other_source_keys)]
        count = target.plan.timeline.segment_count

        async def keep(name: str, k: int, data: bytes) -> None:
            await self.storage.objects.put(target.segment_key(name, k), data)

        rungs = [v for v in target.plan.videos[:1] if isinstance(v, VideoRendition)]
        await encode_video(target.plan, paths[0], rungs, 0, count, keep, others=paths[1:], fast=True)
        for audio in target.plan.audios:
            await encode_audio(target.plan, paths[0], audio, 0, count, keep, others=paths[1:])
        for rendition in (*rungs, *target.plan.audios):
            await self.storage.objects.put(target.init_key(rendition.name), await make_init(target.plan, rendition))


@pytest.fixture
def editing(house, storage, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    with FileServer(files) as server:
        yield Editing(house, storage, tmp_path / "work", server, files)


async def test_cuts_joins_and_their_events_become_one_media(editing):
    mark = editing.files / "mark.png"
    footage.ffmpeg("-f", "lavfi", "-i", "color=red:size=64x32", "-frames:v", "1", str(mark))
    media = await editing.ready(
        {
            "type": "video",
            "url": editing.url("plain"),
            "startTime": 1,
            "endTime": 7,
            "introUrl": editing.url("mpegts"),  # has no index: is remuxed beside
            "expungeSegments": ["2-3"],
            "segments": [{"url": editing.url("tiny"), "insertAt": 4}],
        },
        {"type": "watermark", "url": editing.server.url("mark.png"), "width": "25%"},
    )
    assert (media.status, media.failure_description) == ("Ready", None)
    assert media.duration_s == pytest.approx(8 + 5 + 8, abs=0.1)
    target = await editing.target(media.id)
    assert [piece.file for piece in target.plan.pieces] == [1, 0, 0, 2, 0]
    assert [key.rsplit("/")[-1] for key in target.other_source_keys] == ["1-normal.mp4", "2", "3-mark.mov"]
    events = [name for name, _ in await editing.house.events(media.id)]
    assert events == [
        "video.media.created",
        "video.media.intro.ready",
        "video.media.expungeSegments.ready",
        "video.media.segments.ready",
        "video.media.watermark.ready",
        "video.media.ready",
    ]


async def test_a_clip_has_bytes_of_its_own_and_leaves_its_source_alone(editing):
    source = await editing.ready({"type": "video", "url": editing.url("plain")})
    before = await editing.storage.objects.get(service.source_key(source.id))
    clip = await editing.ready({"type": "video", "url": f"fp_mediaId://{source.id}", "startTime": 2.5, "endTime": 4})
    assert (clip.status, clip.source_media_id, clip.duration_s) == ("Ready", source.id, 1.5)
    async with editing.house.db.unit() as tx:
        found, total = await service.clips_page(tx, source.workspace_id, source.id, limit=10, offset=1, order="desc")
    assert (total, [one["id"] for one in found], found[0]["duration"]) == (1, [clip.id], 1.5)
    assert await editing.storage.objects.get(service.source_key(source.id)) == before
    async with editing.house.db.unit() as tx:
        await service.delete(tx, source.workspace_id, source.id)
    await editing.jobs.erase(source.id)
    assert await editing.storage.objects.get(service.source_key(clip.id)) == before
    with pytest.raises(errors.NotFound):
        await editing.house.create(inputs=[{"type": "video", "url": f"fp_mediaId://{source.id}"}])


async def test_segments_that_a_cut_does_not_touch_are_taken_over_from_the_source(editing, tmp_path):
    source = await editing.ready({"type": "video", "url": editing.url("plain")})
    lending = await editing.target(source.id)
    rung = lending.plan.videos[-1]
    path = editing.storage.objects.local_path(lending.source_key)

    async def lend(name: str, k: int, data: bytes) -> None:
        await editing.storage.objects.put(lending.segment_key(name, k), data)

    await encode_video(lending.plan, path, [rung], 0, lending.plan.timeline.segment_count, lend)
    clip = await editing.ready(
        {"type": "video", "url": f"fp_mediaId://{source.id}", "startTime": 1, "expungeSegments": ["5.6-6"]}
    )
    target = await editing.target(clip.id)

    async def put(_target_id: str, key: str, data: bytes) -> None:
        await editing.storage.objects.put(key, data)

    shop = SimpleNamespace(objects=editing.storage.objects, put=put)
    count = target.plan.timeline.segment_count
    borrowed = [k for k in range(count) if await borrow(shop, target, rung.name, k)]
    # The source is cut every 40 frames: whole ones are [40, 160) and [200, 240).
    assert (count, borrowed) == (7, [1, 2, 3, 6])
    own = editing.storage.objects.local_path(target.source_key)

    async def keep(name: str, k: int, data: bytes) -> None:
        await editing.storage.objects.put(target.segment_key(name, k), data)

    for k in set(range(count)) - set(borrowed):
        await encode_video(target.plan, own, [rung], k, k + 1, keep)
    stream = tmp_path / "clip.mp4"
    parts = [await editing.storage.objects.get(target.segment_key(rung.name, k)) for k in range(count)]
    stream.write_bytes(await make_init(target.plan, rung) + b"".join(parts))
    assert footage.frame_numbers("-i", str(stream)).tolist() == [*range(30, 168), *range(180, 240)]
    async with editing.house.db.unit() as tx:
        await service.delete(tx, source.workspace_id, source.id)
    await editing.jobs.erase(source.id)
    assert not await borrow(shop, target, rung.name, 1), "what is gone is encoded"


async def test_a_clip_of_an_edited_media_shows_what_its_viewers_saw(editing, tmp_path):
    edited = await editing.ready(
        {"type": "video", "url": editing.url("plain"), "startTime": 1, "expungeSegments": ["3-5"]}
    )
    clip = await editing.house.create(
        inputs=[{"type": "video", "url": f"fp_mediaId://{edited.id}", "startTime": 1, "endTime": 3}]
    )
    await editing.fetcher.fetch(clip.id)
    assert (await editing.house.find(clip.id)).status == "Downloading"  # waits for the segments of the other
    assert (await editing.house.jobs()).count("media.fetch") == 3
    await editing.fill(edited.id, tmp_path)
    await editing.fetcher.fetch(clip.id)
    original = editing.storage.objects.local_path(service.source_key(clip.id))
    assert footage.frame_numbers("-i", str(original)).tolist() == [*range(30, 90), *range(150, 240)]
    clicks = footage.click_samples("-i", str(original))
    assert (clicks / 48000)[1:4] == pytest.approx(np.array([1, 2, 3]), abs=0.001)
    await editing.jobs.prepare(clip.id)
    clip = await editing.house.find(clip.id)
    assert (clip.status, clip.duration_s) == ("Ready", 2.0)


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"startTime": 9}, "nothing_left"),
        ({"expungeSegments": ["0-5", "4-8"]}, "nothing_left"),
        ({"introUrl": "audio_m4a"}, "no_video"),
        ({"outroUrl": "text.html"}, "source_is_web_page"),
    ],
)
async def test_an_edit_that_cannot_be_made_fails_with_a_reason_for_its_owner(editing, item, code):
    (editing.files / "text.html").write_text("<!doctype html><title>no video</title>")
    named = {k: editing.url(v) if v == "audio_m4a" else editing.server.url(v) if k == "outroUrl" else v
             for k, v in item.items()}  # fmt: skip
    media = await editing.ready({"type": "video", "url": editing.url("plain"), **named})
    assert (media.status, media.failure_code) == ("Failed", code)
    assert [name for name, _ in await editing.house.events(media.id)][-1] == "video.media.failed"


async def test_an_upload_is_cut_and_joined_once_its_bytes_and_the_others_are_there(editing):
    settings = {
        "startTime": 1,
        "endTime": 3,
        "optimizeAudio": True,
        "inputs": [{"type": "video", "outroUrl": editing.url("p25")}],
    }
    upload_id = ids.new_uuid()
    await editing.storage.objects.put(service.source_key(upload_id), footage.make("plain").read_bytes())
    async with editing.house.db.unit() as tx:
        await service.create_from_upload(
            tx,
            upload_id=upload_id,
            workspace_id=editing.house.workspace_id,
            options=PushMediaSettings.model_validate(settings),
            source_url="http://upload/url",
            size_bytes=1,
        )
    assert await editing.house.jobs() == ["media.fetch"]
    await editing.fetcher.fetch(upload_id)
    await editing.jobs.prepare(upload_id)
    media = await editing.house.find(upload_id)
    assert (media.status, media.optimize_audio) == ("Ready", True)
    assert media.duration_s == pytest.approx(2 + 8, abs=0.05)
    target = await editing.target(upload_id)
    [gain_db] = target.plan.edit.gains_db
    assert gain_db != 0
    assert [name for name, _ in await editing.house.events(upload_id)] == [
        "video.upload.media_created",
        "video.media.outro.ready",
        "video.media.optimizeAudio.ready",
        "video.media.ready",
    ]


async def recorded(editing, runs: list[tuple[int, int]]) -> str:  # type: ignore[no-untyped-def]
    """A recording whose connections (runs of segments) are parts of one clip, as the packager would have stored it."""
    source = await editing.ready({"type": "video", "url": editing.url("plain")})
    target = await editing.target(source.id)
    plan, media_id = target.plan, ids.new_uuid()
    rungs, audio = plan.videos[-1:], dataclasses.replace(plan.audios[0], kind="encode")
    place, path = f"live/{media_id}", editing.storage.objects.local_path(target.source_key)

    async def keep(name: str, k: int, data: bytes) -> None:
        await editing.storage.objects.put(f"{place}/{name}/{k}.m4s", data)

    count = plan.timeline.segment_count
    await encode_video(plan, path, rungs, 0, count, keep, fast=True)
    await encode_audio(plan, path, audio, 0, count, keep)
    timeline = plan.timeline
    facts = (
        Facts(rungs[0].name, "video", "encode", rungs[0].codec, timeline.timescale, rungs[0].width, rungs[0].height,
              float(timeline.fps), 0, 0, rungs[0].max_bitrate_bps),
        Facts("a0", "audio", "encode", audio.codec, timeline.audio_rate_hz, 0, 0, 0, 2, 48000, 128_000),
    )  # fmt: skip
    stretches = []
    for epoch, (first, end) in enumerate(runs, 1):
        for rendition in (*rungs, audio):
            init = await make_init(plan, rendition)
            await editing.storage.objects.put(f"{place}/{rendition.name}/init-{epoch}.mp4", init)
        video = [(b - a) * timeline.frame_ticks for a, b in itertools.pairwise(timeline.cuts[first : end + 1])]
        sound = [(b - a) * 1024 for a, b in itertools.pairwise(timeline.audio_cuts[first : end + 1])]
        tracks = (
            Track(facts[0], timeline.cuts[first] * timeline.frame_ticks, words(video), words([1] * len(video))),
            Track(facts[1], timeline.audio_cuts[first] * 1024, words(sound), words([1] * len(sound))),
        )
        stretches.append(Stretch(epoch, first, 0, tracks))
    async with editing.house.db.unit() as tx:
        await recordings.create(
            tx,
            media_id=media_id,
            workspace_id=editing.house.workspace_id,
            stream_id="ab" * 16,
            origin="live",
            policy="private",
            max_resolution="1080p",
        )
        await recordings.adopt(tx, media_id, Recording(stretches), place=place, revision="r")
    return media_id


async def test_the_manifest_of_a_live_clip_is_that_part_of_the_recording_to_the_frame(editing):
    media_id = await recorded(editing, [(0, 2), (3, 6)])  # segments of 40 frames; the third got lost between two
    async with editing.house.db.unit() as tx:
        [name] = await playback.list_ids(tx, media_id)
    manifest = f"{links.stream_url()}/{name.id}.m3u8?start=1s&end=5&clipAccess=public"
    clip = await editing.ready({"type": "video", "url": manifest})
    assert (clip.status, clip.source_media_id) == ("Ready", media_id)
    assert clip.duration_s == pytest.approx(4, abs=0.001)
    original = editing.storage.objects.local_path(service.source_key(clip.id))
    whole = [*range(80), *range(120, 240)]
    assert footage.frame_numbers("-i", str(original)).tolist() == whole
    target = await editing.target(clip.id)
    assert target.plan.file_s(0) == 1
    with pytest.raises(errors.Invalid):
        await editing.house.create(inputs=[{"type": "video", "url": manifest, "startTime": 2}])
    with pytest.raises(errors.NotFound):
        await editing.house.create(inputs=[{"type": "video", "url": f"{links.stream_url()}/{media_id}.m3u8?start=1"}])
    place = f"live/{media_id}"
    [other_init] = [
        k for k in await editing.storage.objects.list_sizes(place) if k.endswith("/init-2.mp4") and "/a0/" not in k
    ]
    await editing.storage.objects.put(f"{place}/a0/init-2.mp4", await editing.storage.objects.get(other_init))
    other = await editing.ready({"type": "video", "url": f"fp_mediaId://{media_id}"})
    assert (other.status, other.failure_code) == ("Failed", "recording_changes")
