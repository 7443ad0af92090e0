"""Clips of a live stream: shown at once, kept once, independent of the recording that they were cut from."""

import datetime
import re
from fractions import Fraction
from pathlib import Path
from typing import Literal

import httpx
import pytest
from tests import footage, live_segments
from tests.playing import Playing, until
from tests.unit.keys import signing
from tests.unit.live.conftest import Studio
from tests.unit.live.test_recordings import finish, playback_id

from fastpix_server.base import errors, ids
from fastpix_server.keys import store as keys_store
from fastpix_server.live import clips
from fastpix_server.live.clips import ClipJobs, Range
from fastpix_server.live.model import SessionSpec
from fastpix_server.media import recordings as of_media
from fastpix_server.media import service as media
from fastpix_server.media.jobs import MediaJobs
from fastpix_server.playback import service as playback
from fastpix_server.playback.service import LiveSession


async def on_air(
    studio: Studio,
    spec: SessionSpec,
    *,
    origin: str | None = "http://127.0.0.1:9",
    access_policy: Literal["public", "private"] = "public",
) -> str:
    """The stream of that session, published; its playback id."""
    stream_id = spec.stream_id
    session = LiveSession(
        id=spec.session_id,
        revision=spec.revision,
        place=spec.place,
        origin=origin,
        is_dvr=False,
        is_running=origin is not None,
        started_at=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    )
    async with studio.db.unit() as tx:
        named = await playback.create_id(
            tx, workspace_id=spec.workspace_id, target_id=stream_id, access_policy=access_policy
        )
        await playback.publish_live(tx, target_id=stream_id, workspace_id=spec.workspace_id, session=session)
    return named.id


async def clips_of(studio: Studio, spec: SessionSpec) -> list[dict[str, object]]:
    async with studio.db.unit() as tx:
        found, total = await of_media.clips_page(
            tx, studio.workspace_id, spec.stream_id, limit=50, offset=1, order="asc"
        )
    assert total == len(found)
    return found


async def ended(studio: Studio) -> tuple[SessionSpec, str]:
    """A session of 16 s in two connections that is over and recorded."""
    spec = studio.spec()
    await studio.record(spec, live_segments.session(epochs=2))
    await finish(studio, spec)
    return spec, await on_air(studio, spec, origin=None)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, None),
        ({"clipAccess": "private"}, None),
        ({"start": "10", "end": "40"}, Range(10, 40, None)),
        ({"start": "10s", "end": "40s", "clipAccess": "private"}, Range(10, 40, "private")),
        ({"start": "0", "end": "5000"}, Range(0, 1200, None)),
        ({"start": "7"}, Range(7, None, None)),
    ],
)
def test_a_range_is_read_from_the_address(params: dict[str, str], expected: Range | None) -> None:
    assert clips.parse(params) == expected


@pytest.mark.parametrize(
    ("params", "fields"),
    [
        ({"start": "-1", "end": "5"}, {"start"}),
        ({"start": "1.5", "end": "5"}, {"start"}),
        ({"start": "5", "end": "5"}, {"start", "end"}),
        ({"start": "9", "end": "5"}, {"start", "end"}),
        ({"end": "5"}, {"start"}),
        ({"start": "1", "end": "x", "clipAccess": "drm"}, {"end", "clipAccess"}),
        ({"start": "9999999", "end": "5"}, {"start"}),
    ],
)
def test_a_bad_range_is_refused_with_its_fields(params: dict[str, str], fields: set[str]) -> None:
    with pytest.raises(errors.Invalid) as refused:
        clips.parse(params)
    assert {f.field for f in refused.value.fields} == fields


async def _shown(client: httpx.AsyncClient, url: str, rendition: str = "source") -> tuple[str, str]:
    """The media playlist of a clip and the folder of its segments."""
    answer = await client.get(url)
    assert answer.status_code == 200, answer.text
    uri = next(line for line in answer.text.splitlines() if f"/{rendition}/index.m3u8" in line and line[0] != "#")
    return (await client.get(f"/{uri}")).text, "/" + uri.partition("?")[0].rpartition("/")[0]


async def test_a_clip_of_an_ended_stream_shows_the_covering_segments(
    studio: Studio, stage: Playing, tmp_path: Path
) -> None:
    _, named = await ended(studio)
    client = await stage.edge()
    text, base = await _shown(client, f"/{named}.m3u8?start=3s&end=9s")
    assert re.findall(r"^(\d+)\.m4s$", text, re.M) == ["1", "2", "3", "4"]
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    for name in {*re.findall(r'URI="(init[^"]+)"', text), *re.findall(r"^\d+\.m4s$", text, re.M)}:
        (tmp_path / name).write_bytes((await client.get(f"{base}/{name}")).content)
    (tmp_path / "index.m3u8").write_text(text)
    numbers = footage.frame_numbers("-allowed_extensions", "ALL", "-i", str(tmp_path / "index.m3u8"))
    assert numbers.tolist() == [*range(60, 240), *range(60)]
    dash = (await client.get(f"/{named}.mpd?start=3&end=9")).text
    assert 'mediaPresentationDuration="PT8.000000S"' in dash


async def test_without_a_range_the_whole_recording_is_shown(studio: Studio, stage: Playing) -> None:
    _, named = await ended(studio)
    client = await stage.edge()
    text, _ = await _shown(client, f"/{named}.m3u8")
    assert len(re.findall(r"^(\d+)\.m4s$", text, re.M)) == 8


async def test_each_distinct_range_becomes_one_media(studio: Studio, stage: Playing) -> None:
    spec, named = await ended(studio)
    first, second = await stage.edge(), await stage.edge()
    assert (await first.head(f"/{named}.m3u8?start=2&end=6")).status_code == 200
    assert await clips_of(studio, spec) == []
    for client in (first, second, first):
        assert (await client.get(f"/{named}.m3u8?start=2&end=6")).status_code == 200
        assert (await client.get(f"/{named}.m3u8?start=2s&end=6s")).status_code == 200
    assert (await first.get(f"/{named}.m3u8?start=2&end=6&clipAccess=private")).status_code == 200
    assert (await first.get(f"/{named}.m3u8?start=2")).status_code == 200  # a cut pre-roll is not kept
    found = await clips_of(studio, spec)
    assert [clip["playbackIds"][0]["accessPolicy"] for clip in found] == ["public", "private"]  # type: ignore[index]
    assert [clip["streamId"] for clip in found] == [spec.stream_id] * 2
    assert "metadata" not in found[0]


async def test_a_kept_clip_is_exact_and_outlives_its_recording(studio: Studio, stage: Playing, tmp_path: Path) -> None:
    spec, named = await ended(studio)
    client = await stage.edge()
    await client.get(f"/{named}.m3u8?start=2&end=6")
    (clip,) = await clips_of(studio, spec)
    clip_id = str(clip["id"])
    await ClipJobs(studio.db, studio.storage.objects).make(clip_id)
    await ClipJobs(studio.db, studio.storage.objects).make(clip_id)
    described = await studio.described(clip_id)
    assert (described["status"], described["duration"]) == ("Ready", 4.0)
    assert await studio.events(clip_id) == [
        "video.media.live_clip.created",
        "video.media.live_clip.ready",
        "video.media.ready",
    ]
    async with studio.db.unit() as tx:
        await media.delete(tx, studio.workspace_id, spec.session_id)
    await MediaJobs(studio.db, studio.storage, tmp_path).erase(spec.session_id)
    text, base = await _shown(client, f"/{await playback_id(studio, clip_id)}.m3u8")
    assert re.findall(r"^(\d+)\.m4s$", text, re.M) == ["1", "2"]
    segment = await client.get(f"{base}/1.m4s")
    assert segment.content == next(
        s.data for s in live_segments.session(epochs=2) if (s.rendition.name, s.number) == ("source", 1)
    )


async def test_deleting_a_clip_leaves_the_recording_whole(studio: Studio, stage: Playing, tmp_path: Path) -> None:
    spec, named = await ended(studio)
    client = await stage.edge()
    before = await studio.storage.objects.list_sizes(spec.place)
    await client.get(f"/{named}.m3u8?start=2&end=6")
    (clip,) = await clips_of(studio, spec)
    await ClipJobs(studio.db, studio.storage.objects).make(str(clip["id"]))
    async with studio.db.unit() as tx:
        await media.delete(tx, studio.workspace_id, str(clip["id"]))
    await MediaJobs(studio.db, studio.storage, tmp_path).erase(str(clip["id"]))
    assert not await studio.storage.objects.list_sizes(f"live/{clip['id']}")
    assert await studio.storage.objects.list_sizes(spec.place) == before


async def test_a_clip_of_a_running_stream_grows_until_its_end_is_reached(studio: Studio, stage: Playing) -> None:
    spec, segments = studio.spec(), live_segments.session()
    named = await on_air(studio, spec)
    client = await stage.edge()
    url = f"/{named}.m3u8?start=2&end=6"
    early = await client.get(url)
    assert early.status_code == 400
    assert "ready" in early.json()["error"]["message"]
    await studio.record(spec, [s for s in segments if s.number < 2])

    async def shows(numbers: list[str], is_over: bool) -> bool:
        if (await client.get(url)).status_code != 200:
            return False
        text, _ = await _shown(client, url)
        return re.findall(r"^(\d+)\.m4s$", text, re.M) == numbers and text.endswith("#EXT-X-ENDLIST\n") is is_over

    await until(lambda: shows(["1"], False))
    (clip,) = await clips_of(studio, spec)
    jobs = ClipJobs(studio.db, studio.storage.objects)
    await jobs.make(str(clip["id"]))
    assert (await studio.described(str(clip["id"])))["status"] == "Created"  # it waits, in a job of its own
    assert (await studio.jobs()).count("live.make_clip") == 2
    await studio.record(spec, [s for s in segments if s.number >= 2])
    await until(lambda: shows(["1", "2"], True))
    await jobs.make(str(clip["id"]))
    assert (await studio.described(str(clip["id"])))["duration"] == 4.0


async def test_a_clip_whose_stream_ended_early_is_as_long_as_there_is(studio: Studio, stage: Playing) -> None:
    spec, segments = studio.spec(), live_segments.session()
    named = await on_air(studio, spec)
    client = await stage.edge()
    await studio.record(spec, segments)
    await client.get(f"/{named}.m3u8?start=4&end=600")
    (clip,) = await clips_of(studio, spec)
    await finish(studio, spec)
    await ClipJobs(studio.db, studio.storage.objects).make(str(clip["id"]))
    assert (await studio.described(str(clip["id"])))["duration"] == 4.0


async def test_a_clip_of_a_stream_that_is_not_recorded_is_kept(studio: Studio, stage: Playing) -> None:
    spec = studio.spec(is_recorded=False)
    named = await on_air(studio, spec)
    client = await stage.edge()
    await studio.record(spec, live_segments.session())
    await client.get(f"/{named}.m3u8?start=0&end=4")
    await finish(studio, spec)
    (clip,) = await clips_of(studio, spec)
    await ClipJobs(studio.db, studio.storage.objects).make(str(clip["id"]))
    assert (await studio.described(str(clip["id"])))["duration"] == 4.0


async def test_a_clip_whose_recording_was_deleted_first_fails_with_a_reason(
    studio: Studio, stage: Playing, tmp_path: Path
) -> None:
    spec, named = await ended(studio)
    client = await stage.edge()
    await client.get(f"/{named}.m3u8?start=2&end=6")
    (clip,) = await clips_of(studio, spec)
    await MediaJobs(studio.db, studio.storage, tmp_path).erase(spec.session_id)
    await ClipJobs(studio.db, studio.storage.objects).make(str(clip["id"]))
    described = await studio.described(str(clip["id"]))
    assert described["status"] == "Failed"
    assert described["failureReason"]["code"] == "clip_source_missing"  # type: ignore[index]


async def test_a_session_keeps_a_bounded_number_of_clips(
    studio: Studio, stage: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "MAX_CLIPS", 2)
    spec, named = await ended(studio)
    client = await stage.edge()
    for end in (2, 4, 6, 8):
        assert (await client.get(f"/{named}.m3u8?start=0&end={end}")).status_code == 200
    assert len(await clips_of(studio, spec)) == 2


async def test_the_ids_of_recordings_have_no_clips(studio: Studio, stage: Playing) -> None:
    spec, _ = await ended(studio)
    client = await stage.edge()
    text, _ = await _shown(client, f"/{await playback_id(studio, spec.session_id)}.m3u8?start=2&end=6")
    assert len(re.findall(r"^(\d+)\.m4s$", text, re.M)) == 8
    assert await clips_of(studio, spec) == []


async def test_a_start_after_the_end_of_the_stream_is_refused(studio: Studio, stage: Playing) -> None:
    _, named = await ended(studio)
    client = await stage.edge()
    answer = await client.get(f"/{named}.m3u8?start=100&end=200")
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "start"


def test_a_range_is_cut_to_its_greatest_length() -> None:
    wanted = clips.parse({"start": "100", "end": "10000"})
    assert wanted is not None
    assert Fraction(wanted.end_s or 0) - wanted.start_s == clips.MAX_CLIP_S


async def test_a_clip_is_kept_on_every_kind_of_storage(any_studio: Studio) -> None:
    spec = any_studio.spec()
    await any_studio.record(spec, live_segments.session(epochs=2))
    await finish(any_studio, spec)
    async with any_studio.db.unit() as tx:
        clip_id = await clips.keep(
            tx,
            Range(6, 10, None),
            session_id=spec.session_id,
            stream_id=spec.stream_id,
            workspace_id=spec.workspace_id,
            place=spec.place,
            playback_id=spec.session_id,
            default_access="private",
        )
    assert clip_id is not None
    objects = any_studio.storage.objects
    await ClipJobs(any_studio.db, objects).make(clip_id)
    await objects.delete_prefix(spec.place)
    kept = await objects.list_sizes(f"live/{clip_id}/source")
    assert sorted(key.rpartition("/")[2] for key in kept) == ["3.m4s", "4.m4s", "init-0.mp4", "init-1.mp4"]
    assert (await any_studio.described(clip_id))["duration"] == 4.0


async def test_a_clip_of_a_private_stream_lies_below_a_signed_path(studio: Studio, stage: Playing) -> None:
    spec = studio.spec()
    await studio.record(spec, live_segments.session())
    named = await on_air(studio, spec, access_policy="private")
    client = await stage.edge()
    assert (await client.get(f"/{named}.m3u8?start=2&end=6")).status_code == 401
    assert await clips_of(studio, spec) == []  # who may not watch may not clip
    kid = ids.new_uuid()
    async with studio.db.unit() as tx:
        await keys_store.insert(tx, key_id=kid, workspace_id=spec.workspace_id, public_pem=signing.pair().public_pem)
    text = signing.token(signing.claims(named, kid=kid), kid=kid)
    playlist, base = await _shown(client, f"/{named}.m3u8?start=2&end=6&token={text}")
    assert re.findall(r"^(\d+)\.m4s$", playlist, re.M) == ["1", "2"]
    assert re.fullmatch(rf"/{named}/1\.\d+\.\S+/{spec.revision}/source", base)
    (clip,) = await clips_of(studio, spec)
    assert clip["playbackIds"][0]["accessPolicy"] == "private"  # type: ignore[index]
