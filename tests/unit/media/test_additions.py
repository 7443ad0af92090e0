"""Tracks and files beside a media's own renditions: from the request over their jobs to what viewers are shown."""

import asyncio
import ipaddress
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text
from tests import footage
from tests.unit.media.conftest import House
from tests.web_server import FileServer

from fastpix_server.base import errors
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.db.notify import Listener
from fastpix_server.media import additions, files, service, tracks, wire
from fastpix_server.media.file_jobs import FileJobs
from fastpix_server.media.jobs import MediaJobs
from fastpix_server.media.schemas import AddTrack, UpdateMp4Support, UpdateSourceAccess, UpdateTrack
from fastpix_server.media.track_jobs import TrackJobs
from fastpix_server.playback import service as playback
from fastpix_server.playback.model import Target
from fastpix_server.playback.worker import SegmentMaker
from fastpix_server.storage.open import Storage, open_store

LOOPBACK = AddressPolicy((ipaddress.IPv4Network("127.0.0.0/8"),))
SRT = "1\n00:00:01,000 --> 00:00:02,000\nHello\n"


class Works:
    """A media house with the hands of its worker; `drain` runs what is queued until nothing is left."""

    def __init__(self, house: House, folder: Path, web: Path, url: str) -> None:
        self.house = house
        self.storage: Storage = open_store(f"file://{folder}/objects", {}, folder / "work")
        self.folder = folder
        self.web = web
        self.url = url
        self.media_jobs = MediaJobs(house.db, self.storage, folder / "work")
        self.track_jobs = TrackJobs(house.db, self.storage, folder / "work", LOOPBACK)
        self.file_jobs = FileJobs(house.db, self.storage, folder / "work")

    def serve(self, name: str, content: bytes | str) -> str:
        data = content.encode() if isinstance(content, str) else content
        (self.web / name).write_bytes(data)
        return f"{self.url}/{name}"

    async def ready(self, source: Path, **options: object) -> str:
        media = await self.house.create(**options)
        incoming = self.folder / "incoming"
        shutil.copyfile(source, incoming)
        await self.storage.objects.put_file(service.source_key(media.id), incoming)
        async with self.house.db.unit() as tx:
            await service.begin_download(tx, media.id)
            await service.downloaded(tx, media.id, size_bytes=source.stat().st_size)
        await self.media_jobs.prepare(media.id)
        return media.id

    async def drain(self) -> None:
        handlers = {
            additions.TRACK_JOB: self.track_jobs.make,
            additions.FILE_JOB: self.file_jobs.make,
            additions.ERASE_JOB: self.track_jobs.erase,
        }
        done: set[int] = set()
        while True:
            async with self.house.db.unit() as tx:
                rows = await tx.execute(
                    text(
                        "select id, task_name, args from procrastinate_jobs where task_name = any(:names)"
                        " and (scheduled_at is null or task_name = :files) order by id"
                    ),
                    {"names": list(handlers), "files": additions.FILE_JOB},
                )
                jobs = [(row.id, row.task_name, row.args) for row in rows if row.id not in done]
            if not jobs:
                return
            for number, name, args in jobs:
                done.add(number)
                await handlers[name](**args)

    async def fill(self, *target_ids: str) -> None:
        maker = SegmentMaker(
            self.house.db, Listener(self.house.db.url), self.storage, machine_folder=self.folder, max_runners=1
        )
        for target_id in target_ids:
            await maker.fill(target_id)

    async def full(self, media_id: str) -> dict[str, object]:
        async with self.house.db.unit() as tx:
            media = await self.house.find(media_id)
            assert media is not None
            return wire.media_full(media, await playback.list_ids(tx, media_id))

    async def target(self, media_id: str) -> Target:
        async with self.house.db.unit() as tx:
            found = await playback.find_target(tx, media_id)
        assert isinstance(found, Target)
        return found

    async def add(self, media_id: str, url: str, type: str, code: str, name: str, **more: str) -> str:
        body = {"tracks": {"url": url, "type": type, "languageCode": code, "languageName": name, **more}}
        async with self.house.db.unit() as tx:
            track = await tracks.add(tx, self.house.workspace_id, media_id, AddTrack.model_validate(body))
        return track.id

    async def update(self, media_id: str, track_id: str, **body: str) -> None:
        async with self.house.db.unit() as tx:
            await tracks.update(tx, self.house.workspace_id, media_id, track_id, UpdateTrack.model_validate(body))

    async def delete(self, media_id: str, track_id: str) -> None:
        async with self.house.db.unit() as tx:
            await tracks.delete(tx, self.house.workspace_id, media_id, track_id)

    async def mp4_support(self, media_id: str, wanted: str) -> None:
        body = UpdateMp4Support.model_validate({"mp4Support": wanted})
        async with self.house.db.unit() as tx:
            await files.set_mp4_support(tx, self.house.workspace_id, media_id, body)

    async def types(self, media_id: str) -> list[str]:
        return [type for type, _ in await self.house.events(media_id)]

    async def stored(self, media_id: str, name: str) -> Path:
        file = (await self.target(media_id)).extras.file(name)
        assert file is not None
        path = self.storage.objects.local_path(file.key)
        assert path is not None
        assert path.stat().st_size == file.size_bytes or name.startswith("source")
        return path


@pytest.fixture
async def works(house: House, tmp_path: Path):
    web = tmp_path / "web"
    web.mkdir()
    with FileServer(web) as server:
        yield Works(house, tmp_path, web, server.url("").rstrip("/"))


def tone(path: Path, hz: int, seconds: float = 4) -> bytes:
    footage.ffmpeg("-f", "lavfi", "-i", f"sine=frequency={hz}:sample_rate=44100:duration={seconds}", str(path))
    return path.read_bytes()


def track_of(full: dict[str, object], track_id: str) -> dict[str, object]:
    [found] = [t for t in full["tracks"] if t["id"] == track_id]  # type: ignore[attr-defined]
    return found


async def test_what_was_wished_at_creation_is_there_after_ready(works: Works) -> None:
    url = works.serve("en.srt", SRT)
    inputs = [
        {"type": "subtitle", "url": url, "languageName": "English", "languageCode": "en"},
        {"type": "video", "url": "https://example.com/video.mp4"},
    ]
    media_id = await works.ready(
        footage.make("plain"), inputs=inputs, mp4Support="audioOnly,capped_4k", sourceAccess=True
    )
    full = await works.full(media_id)
    assert full["mp4Support"] == [
        {"type": "capped_4k", "status": "preparing", "ext": "mp4"},
        {"type": "audioOnly", "status": "preparing", "ext": "m4a"},
    ]
    assert (full["sourceAccess"], full["subtitleAvailable"]) == (True, False)
    assert [(t["type"], t["status"]) for t in full["tracks"]] == [
        ("video", "available"),
        ("audio", "available"),
        ("subtitle", "preparing"),
    ]
    await works.drain()
    full = await works.full(media_id)
    assert full["subtitleAvailable"] is True
    assert full["tracks"][2]["status"] == "available"
    assert full["mp4Support"] == [
        {"type": "capped_4k", "status": "ready", "ext": "mp4", "height": 360, "width": 640},
        {"type": "audioOnly", "status": "ready", "ext": "m4a"},
    ]
    assert await works.types(media_id) == [
        "video.media.created",
        "video.media.ready",
        "video.media.track.created",
        "video.media.source.ready",
        "video.media.track.ready",
        "video.media.updated",
        "video.media.mp4Support.ready",
    ]
    # Nothing was encoded: the source was copied, and every frame and click is where it was.
    source = footage.make("plain")
    mp4, m4a = [await works.stored(media_id, name) for name in ("capped-4k.mp4", "audio.m4a")]
    assert (footage.frame_numbers("-i", str(mp4)) == footage.frame_numbers("-i", str(source))).all()
    assert footage.decoded_md5("-i", str(mp4)) == footage.decoded_md5("-i", str(source))
    wanted = footage.click_samples("-i", str(source))
    for path in (mp4, m4a):
        assert (abs(footage.click_samples("-i", str(path))[1:] - wanted[1:]) <= 1).all()
    head = mp4.read_bytes()[: 1 << 20]
    assert head.index(b"moov") < head.index(b"mdat")
    assert (await works.stored(media_id, "source.mp4")).read_bytes() == source.read_bytes()


async def test_a_file_is_joined_from_segments_once_the_fill_has_made_them(works: Works) -> None:
    source = footage.make("surround")
    media_id = await works.ready(source)
    await works.mp4_support(media_id, "audioOnly,capped_4k")
    waiting = [file.id for file in (await works.house.find(media_id)).files]
    for file_id in waiting:
        await works.file_jobs.make(file_id, waited=3)
    assert {f["status"] for f in (await works.full(media_id))["mp4Support"]} == {"preparing"}
    async with works.house.db.unit() as tx:
        later = await tx.execute(
            text(
                "select (args ->> 'waited')::int, scheduled_at > now() + interval '5 s' from procrastinate_jobs"
                " where task_name = :name and scheduled_at is not null"
            ),
            {"name": additions.FILE_JOB},
        )
        assert [tuple(row) for row in later] == [(4, True)] * 2
    await works.fill(media_id)
    target = await works.target(media_id)
    dropped = target.segment_key(target.plan.audios[0].name, 1)  # the picture is the source's own
    await works.storage.objects.delete(dropped)  # as the cache does, to make room
    await works.file_jobs.make(waiting[0], waited=4)
    assert {f["status"] for f in (await works.full(media_id))["mp4Support"]} == {"preparing"}
    await works.fill(media_id)
    for file_id in waiting:
        await works.file_jobs.make(file_id, waited=4)
        await works.file_jobs.make(file_id, waited=4)  # a job may run twice
    assert {f["status"] for f in (await works.full(media_id))["mp4Support"]} == {"ready"}
    assert (await works.types(media_id)).count("video.media.mp4Support.ready") == 1
    mp4, m4a = [await works.stored(media_id, name) for name in ("capped-4k.mp4", "audio.m4a")]
    assert (footage.frame_numbers("-i", str(mp4)) == footage.frame_numbers("-i", str(source))).all()
    fps = float((await works.target(media_id)).plan.timeline.fps)
    flashes = footage.flash_frames("-i", str(mp4)) / fps
    clicks = footage.click_samples("-i", str(mp4)) / 48_000
    assert len(flashes) >= 6
    assert max(min(abs(clicks - flash)) for flash in flashes[1:-1]) < 0.02
    assert (abs(footage.click_samples("-i", str(m4a))[1:] / 48_000 - clicks[1:]) < 0.001).all()
    # The same again is refused, another choice removes and keeps, none removes all.
    with pytest.raises(errors.BadState, match="already"):
        await works.mp4_support(media_id, "audioOnly,capped_4k")
    await works.mp4_support(media_id, "audioOnly")
    assert [f["type"] for f in (await works.full(media_id))["mp4Support"]] == ["audioOnly"]
    assert (await works.target(media_id)).extras.file("capped-4k.mp4") is None
    await works.mp4_support(media_id, "none")
    assert "mp4Support" not in await works.full(media_id)
    with pytest.raises(errors.BadState):
        await works.mp4_support(media_id, "none")
    await works.drain()
    assert not mp4.exists()
    assert not m4a.exists()


async def test_a_file_that_cannot_be_made_is_failed_and_may_be_asked_for_again(works: Works) -> None:
    media_id = await works.ready(footage.make("no_audio"), mp4Support="audioOnly")
    await works.drain()
    assert (await works.full(media_id))["mp4Support"] == [{"type": "audioOnly", "status": "failed", "ext": "m4a"}]
    assert "video.media.mp4Support.ready" not in await works.types(media_id)
    await works.mp4_support(media_id, "audioOnly")
    assert (await works.full(media_id))["mp4Support"][0]["status"] == "preparing"


async def test_a_sound_without_a_video_and_a_video_without_sound_make_what_they_can(works: Works) -> None:
    sound = await works.ready(footage.make("audio_m4a"), mp4Support="audioOnly,capped_4k")
    silent = await works.ready(footage.make("no_audio"), mp4Support="capped_4k")
    await works.fill(sound)
    await works.drain()
    assert [f["status"] for f in (await works.full(sound))["mp4Support"]] == ["failed", "ready"]
    assert [f["status"] for f in (await works.full(silent))["mp4Support"]] == ["ready"]
    assert len(footage.click_samples("-i", str(await works.stored(sound, "audio.m4a")))) >= 6


async def test_source_access_opens_and_closes_with_its_events(works: Works) -> None:
    media_id = await works.ready(footage.make("mpegts"))
    for is_open in (True, True, False, False):
        async with works.house.db.unit() as tx:
            body = UpdateSourceAccess.model_validate({"sourceAccess": is_open})
            media = await files.set_source_access(tx, works.house.workspace_id, media_id, body)
        assert media.source_access is is_open
        file = (await works.target(media_id)).extras.file("source.ts")
        assert (file is not None) is is_open
        if file is not None:
            assert (file.key, file.media_type, file.lines) == (f"sources/{media_id}/original", "video/mp2t", 360)
    assert [t for t in await works.types(media_id) if "source" in t] == [
        "video.media.source.ready",
        "video.media.source.deleted",
    ]


async def test_a_sound_is_added_renamed_replaced_and_taken_away(works: Works, tmp_path: Path) -> None:
    media_id = await works.ready(footage.make("plain"))
    url = works.serve("german.mp3", tone(tmp_path / "a.mp3", 440))
    track_id = await works.add(media_id, url, "audio", "de", "Deutsch", title="Kommentar")
    assert track_of(await works.full(media_id), track_id) == {
        "id": track_id, "type": "audio", "status": "preparing", "languageCode": "de", "languageName": "Deutsch",
        "title": "Kommentar",
    }  # fmt: skip
    await works.drain()
    assert track_of(await works.full(media_id), track_id)["status"] == "available"
    target = await works.target(media_id)
    own, added = target.sounds
    assert (own.rendition.title, added.rendition.title, added.rendition.language) == ("default", "Deutsch", "de")
    assert added.target.part_of == media_id
    assert added.target.plan.timeline.cuts == target.plan.timeline.cuts
    assert added.target.source_key.endswith("-normal.mp4")  # positions in an MP3 are only guessed
    # Names are distinct per type, whoever else has them.
    for name in ("Deutsch", "deutsch", "default"):
        with pytest.raises(errors.BadState, match="Duplicate"):
            await works.add(media_id, url, "audio", "de", name)
    await works.add(media_id, url, "subtitle", "de", "Deutsch")
    await works.update(media_id, track_id, languageName="\u00d6sterreichisch", languageCode="de-AT", url=url)
    await works.update(media_id, target_own := (await works.house.find(media_id)).tracks[1].id, languageName="Original")
    renamed = (await works.target(media_id)).sounds
    assert [s.rendition.title for s in renamed] == ["Original", "\u00d6sterreichisch"]
    assert renamed[1].rendition.name == added.rendition.name
    with pytest.raises(errors.BadState):
        await works.delete(media_id, target_own)
    with pytest.raises(errors.BadState):
        await works.update(media_id, target_own, url=url)
    # A new file has new URLs; until it is there the old one plays on.
    await works.update(media_id, track_id, url=works.serve("other.wav", tone(tmp_path / "b.wav", 880)))
    assert (await works.target(media_id)).sounds[1].rendition.name == added.rendition.name
    assert track_of(await works.full(media_id), track_id)["status"] == "preparing"
    await works.drain()
    replaced = (await works.target(media_id)).sounds[1]
    assert replaced.rendition.name != added.rendition.name
    assert replaced.target.id == added.target.id == track_id
    assert not any(f"{track_id}/1/" in key for key in await works.storage.objects.list_sizes(f"sources/{media_id}"))
    await works.fill(track_id)
    await works.delete(media_id, track_id)
    assert [s.rendition.name for s in (await works.target(media_id)).sounds] == ["a0"]
    await works.drain()
    assert await works.storage.objects.list_sizes(f"media/{media_id}/tracks/{track_id}") == {}
    kinds = [t.removeprefix("video.media.") for t in await works.types(media_id)]
    assert kinds[2:5] == ["track.created", "track.ready", "updated"]
    assert kinds[-2:] == ["track.deleted", "updated"]
    with pytest.raises(errors.NotFound):
        await works.delete(media_id, track_id)


async def test_an_mp4_holds_every_sound_in_its_language_and_begins_with_the_first(works: Works, tmp_path: Path) -> None:
    media_id = await works.ready(footage.make("plain"))
    url = works.serve("german.wav", tone(tmp_path / "a.wav", 440))
    track_id = await works.add(media_id, url, "audio", "de-AT", "Deutsch")
    await works.drain()
    await works.mp4_support(media_id, "audioOnly,capped_4k")
    for file in (await works.house.find(media_id)).files:
        await works.file_jobs.make(file.id)
    # The added sound has to be made first: the MP4 waits for it, the M4A does not.
    assert [f["status"] for f in (await works.full(media_id))["mp4Support"]] == ["preparing", "ready"]  # type: ignore[attr-defined]
    await works.fill(track_id)  # the rest is the source's own
    await works.file_jobs.make((await works.house.find(media_id)).files[0].id, waited=1)
    mp4, m4a = [await works.stored(media_id, name) for name in ("capped-4k.mp4", "audio.m4a")]
    assert [languages_of(path) for path in (mp4, m4a)] == [[("und", 1), ("deu", 0)], [("und", 1)]]
    assert (footage.frame_numbers("-i", str(mp4)) == footage.frame_numbers("-i", str(footage.make("plain")))).all()


def languages_of(path: Path) -> list[tuple[str, int]]:
    """Of each sound its language, and whether players begin with it."""
    argv = [footage.FFPROBE, "-v", "error", "-select_streams", "a", "-show_streams", "-of", "json", str(path)]
    streams = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)["streams"]
    return [(stream["tags"]["language"], stream["disposition"]["default"]) for stream in streams]


@pytest.mark.parametrize(
    ("type", "content", "code"),
    [
        ("subtitle", "<html><body>login</body></html>", "source_is_web_page"),
        ("subtitle", "hello, this is no subtitle file at all", "subtitles_unreadable"),
        ("subtitle", "WEBVTT\n\n" + "x" * 5_000_000, "source_too_large"),
        ("audio", SRT, "source_is_text"),
        ("audio", bytes(range(256)) * 100, None),
        ("audio", footage.make("no_audio").read_bytes, "no_audio"),
        ("subtitle", None, "source_not_found"),
    ],
    ids=range(7),
)
async def test_a_bad_file_fails_its_track_alone_with_a_reason(works: Works, type: str, content, code) -> None:
    media_id = await works.ready(footage.make("plain"))
    content = content() if callable(content) else content
    url = f"{works.url}/missing" if content is None else works.serve("file", content)
    track_id = await works.add(media_id, url, type, "en", "English")
    await works.drain()
    full = await works.full(media_id)
    assert (full["status"], track_of(full, track_id)["status"]) == ("Ready", "failed")
    async with works.house.db.unit() as tx:
        found = await tx.execute(text("select data, status from events where type = 'video.media.track.failed'"))
        [(data, status)] = found.all()
    assert (data["id"], data["status"], status) == (track_id, "failed", "track_failed")
    assert code is None or data["failureReason"]["code"] == code
    assert works.url not in json.dumps(data["failureReason"])
    assert (await works.target(media_id)).extras.texts == ()


async def test_a_private_address_is_not_fetched_for_a_track(works: Works) -> None:
    works.track_jobs = TrackJobs(works.house.db, works.storage, works.folder / "work", AddressPolicy())
    media_id = await works.ready(footage.make("plain"))
    await works.add(media_id, works.serve("a.srt", SRT), "subtitle", "en", "English")
    await works.drain()
    async with works.house.db.unit() as tx:
        found = await tx.execute(text("select data from events where type = 'video.media.track.failed'"))
        assert found.scalar_one()["failureReason"]["code"] == "source_private"


async def test_a_track_of_a_media_that_is_not_ready_waits_for_it_and_a_deleted_one_leaves_nothing(works: Works) -> None:
    media = await works.house.create()
    url = works.serve("a.srt", SRT)
    track_id = await works.add(media.id, url, "subtitle", "en", "English")
    assert additions.TRACK_JOB not in await works.house.jobs()
    media_id = await works.ready(footage.make("plain"))
    second = await works.add(media_id, url, "subtitle", "en", "English")
    await works.delete(media_id, second)
    await works.drain()
    assert await works.storage.objects.list_sizes(f"sources/{media_id}/tracks") == {}
    async with works.house.db.unit() as tx:
        await service.fail(tx, media.id, "x", "y")
    with pytest.raises(errors.BadState):
        await works.add(media.id, url, "subtitle", "fr", "French")
    assert track_id


async def test_deleting_a_media_takes_its_added_sounds_out_of_the_public(works: Works, tmp_path: Path) -> None:
    media_id = await works.ready(footage.make("no_audio"))
    url = works.serve("a.wav", tone(tmp_path / "a.wav", 440))
    track_id = await works.add(media_id, url, "audio", "de", "Deutsch")
    await asyncio.gather(works.track_jobs.make(track_id, 1), works.track_jobs.make(track_id, 1))
    assert [s.rendition.title for s in (await works.target(media_id)).sounds] == ["Deutsch"]
    async with works.house.db.unit() as tx:
        await service.delete(tx, works.house.workspace_id, media_id)
        assert await playback.find_target(tx, track_id) is None
        left = await tx.execute(text("select count(*) from playback_extras"))
        assert left.scalar_one() == 0
    await works.media_jobs.erase(media_id)
    assert await works.storage.objects.list_sizes(f"sources/{media_id}") == {}
