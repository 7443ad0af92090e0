"""A session's segments become its recording: Ready at once, exact, playable, erased with its media."""

import asyncio
import io
import re
import subprocess
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from tests import footage, live_segments
from tests.playing import Playing
from tests.unit.live.conftest import Studio

from fastpix_server.jobs.registry import Registry
from fastpix_server.jobs.worker import Worker
from fastpix_server.live import recordings
from fastpix_server.live.model import SessionSpec
from fastpix_server.media import files
from fastpix_server.media import service as media
from fastpix_server.media.file_jobs import FileJobs
from fastpix_server.media.jobs import MediaJobs
from fastpix_server.media.schemas import UpdateMp4Support
from fastpix_server.playback import service as playback


async def finish(studio: Studio, spec: SessionSpec) -> bool:
    async with studio.db.unit() as tx:
        return await recordings.finish(tx, spec)


async def playback_id(studio: Studio, media_id: str) -> str:
    async with studio.db.unit() as tx:
        return (await playback.list_ids(tx, media_id))[0].id


async def recorded(studio: Studio, *, epochs: int = 1, **changes: object) -> SessionSpec:
    spec = studio.spec(**changes)
    await studio.record(spec, live_segments.session(epochs=epochs))
    await finish(studio, spec)
    return spec


async def test_a_recording_is_ready_as_soon_as_its_session_ends(studio: Studio) -> None:
    spec = studio.spec()
    await studio.record(spec, live_segments.session(epochs=2))
    running = await studio.described(spec.session_id)
    assert (running["status"], running["streamId"]) == ("Created", spec.stream_id)
    assert "duration" not in running
    begun_s = time.monotonic()
    assert await finish(studio, spec)
    assert time.monotonic() - begun_s < 60  # about 0.05 s on an idle machine
    ready = await studio.described(spec.session_id)
    assert ready["status"] == "Ready"
    assert ready["duration"] == 16.0  # exactly 2 x 240 frames at 30/s
    assert ready["sourceResolution"] == "360"
    assert [t["type"] for t in ready["tracks"]] == ["video", "audio"]  # type: ignore[attr-defined]
    assert ready["tracks"][0]["frameRate"] == "30.000"  # type: ignore[index]
    assert await studio.events(spec.session_id) == [
        "video.media.live_stream.created",
        "video.media.live_stream.ready",
        "video.media.ready",
    ]
    assert not await studio.journal(spec)


async def test_finishing_again_changes_nothing(studio: Studio) -> None:
    spec = await recorded(studio)
    before = await studio.described(spec.session_id)
    assert await finish(studio, spec)
    assert await studio.described(spec.session_id) == before
    assert len(await studio.events(spec.session_id)) == 3


async def test_a_job_finishes_what_a_dead_process_left(studio: Studio) -> None:
    spec = studio.spec()
    await studio.record(spec, live_segments.session())
    async with studio.db.unit() as tx:
        await recordings.schedule_finish(tx, spec)
        await recordings.schedule_finish(tx, spec)
    registry = Registry()
    recordings.RecordingJobs(studio.db, studio.storage.objects).register(registry)
    worker = Worker(studio.url, registry, {"default": 2})
    working = asyncio.create_task(worker.run())
    for _ in range(300):
        if (await studio.described(spec.session_id))["status"] == "Ready":
            break
        await asyncio.sleep(0.1)
    worker.stop()
    await working
    assert (await studio.described(spec.session_id))["status"] == "Ready"


async def test_a_session_without_a_segment_leaves_no_media(studio: Studio) -> None:
    spec = studio.spec()
    await studio.record(spec, [])
    assert not await finish(studio, spec)
    assert await studio.media(spec.session_id) is None
    assert await studio.events(spec.session_id) == []


async def test_a_session_that_is_not_recorded_leaves_no_media_and_its_segments_are_erased(studio: Studio) -> None:
    spec = studio.spec(is_recorded=False)
    await studio.record(spec, live_segments.session())
    assert await studio.journal(spec)  # for DVR and restarts
    assert not await finish(studio, spec)
    assert await studio.media(spec.session_id) is None
    assert await studio.jobs() == ["live.erase_session"]
    await recordings.RecordingJobs(studio.db, studio.storage.objects).erase(spec.session_id, spec.place)
    assert not await studio.storage.objects.list_sizes(spec.place)
    assert not await studio.journal(spec)


async def test_a_stream_names_its_recordings_once_they_are_ready(studio: Studio) -> None:
    from fastpix_server.media import recordings as of_media

    first = await recorded(studio)
    second = studio.spec(stream_id=first.stream_id)
    await studio.record(second, live_segments.session())
    async with studio.db.unit() as tx:
        assert await of_media.ready_ids_of(tx, [first.stream_id]) == {first.stream_id: [first.session_id]}
    await finish(studio, second)
    async with studio.db.unit() as tx:
        found = await of_media.ready_ids_of(tx, [first.stream_id])
    assert found == {first.stream_id: [first.session_id, second.session_id]}


async def test_deleting_the_media_erases_the_stored_segments(studio: Studio, tmp_path: Path) -> None:
    spec = await recorded(studio)
    other = await recorded(studio, stream_id=spec.stream_id)
    async with studio.db.unit() as tx:
        await media.delete(tx, studio.workspace_id, spec.session_id)
    await MediaJobs(studio.db, studio.storage, tmp_path).erase(spec.session_id)
    assert not await studio.storage.objects.list_sizes(spec.place)
    assert await studio.storage.objects.list_sizes(other.place)


async def test_a_media_that_was_deleted_while_its_session_ran_does_not_come_back(studio: Studio) -> None:
    spec, segments = studio.spec(), live_segments.session()
    await studio.record(spec, [s for s in segments if s.number < 2])
    async with studio.db.unit() as tx:
        await media.delete(tx, studio.workspace_id, spec.session_id)
    await studio.record(spec, [s for s in segments if s.number >= 2])  # the next process of the same session
    assert not await finish(studio, spec)
    assert await studio.media(spec.session_id) is None
    assert "live.erase_session" in await studio.jobs()


# -- what viewers get


async def _hls(client: httpx.AsyncClient, playback_id: str, folder: Path, rendition: str) -> Path:
    """The rendition's playlist and everything in it, in a folder where ffmpeg can read it."""
    master = (await client.get(f"/{playback_id}.m3u8")).text
    uri = next(line for line in master.splitlines() if f"/{rendition}/index.m3u8" in line and line[0] != "#")
    playlist = (await client.get(f"/{uri}")).text
    base = "/" + uri.rpartition("/")[0]
    for name in set(re.findall(r'URI="(init[^"]+)"', playlist)) | set(re.findall(r"^\d+\.m4s$", playlist, re.M)):
        answer = await client.get(f"{base}/{name}")
        assert answer.status_code == 200, name
        (folder / name).write_bytes(answer.content)
    (folder / "index.m3u8").write_text(playlist)
    return folder / "index.m3u8"


def _numbers(playlist: Path) -> np.ndarray:
    return footage.frame_numbers("-allowed_extensions", "ALL", "-protocol_whitelist", "file", "-i", str(playlist))


async def test_every_frame_of_both_connections_is_in_the_recording_once(
    studio: Studio, stage: Playing, tmp_path: Path
) -> None:
    spec = await recorded(studio, epochs=2)
    client = await stage.edge()
    playlist = await _hls(client, await playback_id(studio, spec.session_id), tmp_path, "source")
    assert _numbers(playlist).tolist() == [*range(240), *range(240)]
    text = playlist.read_text()
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    assert re.findall(r'MAP:URI="([^"]+)"', text) == ["init-0.mp4", "init-1.mp4"]
    assert "#EXT-X-PROGRAM-DATE-TIME:2025-10-09T08:53:20.000Z" in text
    assert text.endswith("#EXT-X-ENDLIST\n")
    lengths = [float(x) for x in re.findall(r"EXTINF:([0-9.]+)", text)]
    assert lengths == [2.0] * 8


async def test_the_multivariant_playlist_offers_each_rung_with_its_measured_rate(
    studio: Studio, stage: Playing
) -> None:
    spec = await recorded(studio)
    named = await playback_id(studio, spec.session_id)
    client = await stage.edge()
    text = (await client.get(f"/{named}.m3u8")).text
    assert re.findall(r"RESOLUTION=(\d+x\d+)", text) == ["640x360", "320x180"]
    sizes = await studio.storage.objects.list_sizes(f"{spec.place}/source")
    sound = await studio.storage.objects.list_sizes(f"{spec.place}/a0")
    average = sum(v for s in (sizes, sound) for k, v in s.items() if k.endswith(".m4s")) * 8 / 8
    assert int(re.findall(r"AVERAGE-BANDWIDTH=(\d+)", text)[0]) == pytest.approx(average, rel=0.02)
    ascending = (await client.get(f"/{named}.m3u8?renditionOrder=asc")).text
    assert re.findall(r"RESOLUTION=(\d+x\d+)", ascending) == ["320x180", "640x360"]
    capped = (await client.get(f"/{named}.m3u8?maxResolution=270p")).text
    assert re.findall(r"RESOLUTION=(\d+x\d+)", capped) == ["320x180"]
    assert (await client.get(f"/{named}.m3u8?maxResolution=99p")).status_code == 422


async def test_the_dash_manifest_has_a_period_per_connection(studio: Studio, stage: Playing) -> None:
    spec = await recorded(studio, epochs=2)
    named = await playback_id(studio, spec.session_id)
    client = await stage.edge()
    text = (await client.get(f"/{named}.mpd")).text
    assert re.findall(r'<Period id="(\d)" start="([^"]+)" duration="([^"]+)"', text) == [
        ("0", "PT0.000000S", "PT8.000000S"),
        ("1", "PT8.000000S", "PT8.000000S"),
    ]
    assert 'mediaPresentationDuration="PT16.000000S"' in text
    assert 'presentationTimeOffset="721920"' in text
    media_url, start = re.findall(r'media="([^"]+)"', text)[0], re.findall(r'startNumber="(\d+)"', text)
    assert set(start) == {"0", "4"}
    assert (await client.get("/" + media_url.replace("$Number$", "7"))).status_code == 200


async def test_a_rung_that_lacks_a_segment_says_so(studio: Studio, stage: Playing, tmp_path: Path) -> None:
    spec = studio.spec()
    segments = [s for s in live_segments.session() if (s.rendition.name, s.number) != ("180p", 1)]
    await studio.record(spec, segments)
    await finish(studio, spec)
    named = await playback_id(studio, spec.session_id)
    client = await stage.edge()
    low = (await client.get(f"/{named}/{spec.revision}/180p/index.m3u8")).text
    assert re.search(r"#EXT-X-GAP\n#EXTINF:2\.000000,\n1\.m4s", low)
    assert (await client.get(f"/{named}/{spec.revision}/180p/1.m4s")).status_code == 404
    assert "#EXT-X-GAP" not in (await client.get(f"/{named}/{spec.revision}/source/index.m3u8")).text
    assert (await studio.described(spec.session_id))["duration"] == 8.0


async def test_a_hole_in_the_source_is_a_discontinuity_for_all(studio: Studio, stage: Playing, tmp_path: Path) -> None:
    spec = studio.spec()
    await studio.record(spec, [s for s in live_segments.session() if s.number != 2])
    await finish(studio, spec)
    client = await stage.edge()
    playlist = await _hls(client, await playback_id(studio, spec.session_id), tmp_path, "source")
    assert _numbers(playlist).tolist() == [*range(120), *range(180, 240)]
    assert playlist.read_text().count("#EXT-X-DISCONTINUITY\n") == 1
    assert (await studio.described(spec.session_id))["duration"] == 6.0


def _picture_number(data: bytes) -> int:
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("L").resize((64, 36), Image.Resampling.BOX))
    return int(footage._numbers(picture[None])[0])


@pytest.mark.parametrize(
    ("at_s", "frame"), [("0", 0), ("2.5", 75), ("7.99", 239), ("8", 0), ("11.4", 102), ("16", 239)]
)
async def test_a_thumbnail_shows_the_frame_of_its_time(studio: Studio, stage: Playing, at_s: str, frame: int) -> None:
    """Times are those of the recording: 8 s is the first frame of the second connection."""
    spec = await recorded(studio, epochs=2)
    client = await stage.edge()
    await stage.maker()
    named = await playback_id(studio, spec.session_id)
    answer = await client.get(f"/{named}/thumbnail.png?time={at_s}&width=320")
    assert answer.status_code == 200, answer.text
    assert Image.open(io.BytesIO(answer.content)).size == (320, 180)
    assert _picture_number(answer.content) == frame


async def test_a_private_recording_needs_a_token(studio: Studio, stage: Playing) -> None:
    from fastpix_server.live.recorder import Recorder

    spec = studio.spec()
    kept = Recorder(studio.db, studio.storage.objects, spec, media_policy="private")
    for segment in live_segments.session():
        kept.on_segment(segment)
    await kept.close()
    await finish(studio, spec)
    named = await playback_id(studio, spec.session_id)
    client = await stage.edge()
    for path in (f"/{named}.m3u8", f"/{named}/{spec.revision}/source/0.m4s", f"/{named}/thumbnail.jpg"):
        assert (await client.get(path)).status_code == 401, path


async def test_a_recording_becomes_one_file_over_its_breaks(studio: Studio) -> None:
    spec = await recorded(studio, epochs=2)
    async with studio.db.unit() as tx:
        wish = UpdateMp4Support.model_validate({"mp4Support": "audioOnly,capped_4k"})
        wished = await files.set_mp4_support(tx, studio.workspace_id, spec.session_id, wish)
    jobs = FileJobs(studio.db, studio.storage, studio.folder / "work")
    for file in wished.files:
        await jobs.make(file.id)
    ready = await studio.described(spec.session_id)
    assert [(f["type"], f["status"]) for f in ready["mp4Support"]] == [  # type: ignore[attr-defined]
        ("capped_4k", "ready"),
        ("audioOnly", "ready"),
    ]
    async with studio.db.unit() as tx:
        target = await playback.find_target(tx, spec.session_id)
    assert target is not None
    mp4, m4a = [
        studio.storage.objects.local_path(file.key)
        for name in ("capped-4k.mp4", "audio.m4a")
        if (file := target.extras.file(name)) is not None
    ]
    numbers = footage.frame_numbers("-i", str(mp4))
    assert list(numbers) == [*range(240), *range(240)]
    # B-frames and all: frames are counted below, so the first has to be at 0 for the sound to fit.
    probe = [footage.FFPROBE, "-v", "error", "-show_entries", "stream=start_time", "-of", "csv=p=0", str(mp4)]
    starts = await asyncio.to_thread(subprocess.check_output, probe)
    assert [float(start) for start in starts.split()] == [0, 0]
    flashes = footage.flash_frames("-i", str(mp4)) / 30
    clicks = footage.click_samples("-i", str(mp4)) / 48_000
    # The sound of a connection may outlast its picture by a frame of AAC, which the decoder plays out at the break.
    apart = [min(abs(clicks - flash)) for flash in flashes[1:-1]]
    assert max(apart[:6]) < 0.03
    assert max(apart) < 0.05
    assert (abs(footage.click_samples("-i", str(m4a))[1:15] / 48_000 - clicks[1:15]) < 0.002).all()
