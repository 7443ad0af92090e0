"""Files for download and moving pictures, as the edge serves them."""

import io
import os

import httpx
import numpy as np
import pytest
from PIL import Image
from tests import footage, live_segments
from tests.airing import on_air
from tests.planned import planned
from tests.playing import Playing, Published

from fastpix_server.access import service as access
from fastpix_server.edge import downloads
from fastpix_server.edge.downloads import disposition
from fastpix_server.live import recordings
from fastpix_server.live.recorder import Recorder
from fastpix_server.playback import extras, service
from fastpix_server.playback.model import File

BODY = os.urandom(3_000_000)


async def with_file(stage: Playing, *, lines: int = 1080, **options: object) -> Published:
    source = footage.make("plain")
    shown = await stage.publish(source, await planned(source), **options)  # type: ignore[arg-type]
    key = f"media/{shown.media_id}/files/1/capped-4k.mp4"
    await stage.storage.objects.put(key, BODY)
    async with stage.db.unit() as tx:
        await extras.add_file(tx, shown.media_id, File("capped-4k.mp4", key, len(BODY), "video/mp4", lines))
    return shown


async def test_a_file_is_sent_whole_in_ranges_and_not_again_when_it_is_known(stage: Playing) -> None:
    edge = await stage.edge()
    url = f"/{(await with_file(stage)).playback_id}/capped-4k.mp4"
    whole = await edge.get(url)
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, BODY, "video/mp4")
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-disposition"] == "inline"
    ranges = {
        "bytes=0-1": (0, 2),
        "bytes=100-2000099": (100, 2_000_100),
        "bytes=2999999-": (2_999_999, 3_000_000),
        "bytes=-5": (2_999_995, 3_000_000),
        "bytes=10-99999999": (10, 3_000_000),
    }
    for asked, (first, end) in ranges.items():
        part = await edge.get(url, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, BODY[first:end])
        assert part.headers["content-range"] == f"bytes {first}-{end - 1}/3000000"
        assert part.headers["content-length"] == str(end - first)
    assert (await edge.get(url, headers={"Range": "bytes=3000000-"})).status_code == 416
    known = await edge.get(url, headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    stale = await edge.get(url, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, BODY)
    head = await edge.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "3000000", b"")


@pytest.mark.parametrize(
    ("wanted", "header"),
    [
        (None, "inline"),
        ("", 'attachment; filename="capped-4k.mp4"'),
        ("My film", "attachment; filename=\"My film.mp4\"; filename*=UTF-8''My%20film.mp4"),
        ("film.MP4", "attachment; filename=\"film.mp4\"; filename*=UTF-8''film.mp4"),
        ("../../etc/passwd", "attachment; filename=\"etc passwd.mp4\"; filename*=UTF-8''etc%20passwd.mp4"),
        ('a"; filename="b.exe', "attachment; filename=\"a_ filename=b.exe.mp4\"; filename*=UTF-8''"),
        ("\u00dcber\r\nSet-Cookie: x", "attachment; filename=\"_ber Set-Cookie x.mp4\"; filename*=UTF-8''%C3%9Cber"),
        ("\ud800...", "attachment"),
    ],
)
def test_the_name_of_a_download_cannot_leave_its_header(wanted: str | None, header: str) -> None:
    made = disposition(wanted, "capped-4k.mp4")
    made.encode("latin-1")
    assert made.count('"') in (0, 2)
    assert not set("\r\n/\\") & set(made)
    assert made.startswith(header.partition('; filename="a_')[0])
    assert len(disposition("x" * 5000, "audio.m4a")) < 700


async def test_an_id_shows_no_file_that_it_must_not_show(stage: Playing, monkeypatch: pytest.MonkeyPatch) -> None:
    edge = await stage.edge()
    shown = await with_file(stage, resolution="720p")
    url = f"/{shown.playback_id}/capped-4k.mp4"
    assert (await edge.get(url)).status_code == 404
    async with stage.db.unit() as tx:
        whole = await service.create_id(
            tx, workspace_id=shown.workspace_id, target_id=shown.media_id, access_policy="public"
        )
    assert (await edge.get(f"/{whole.id}/capped-4k.mp4")).status_code == 200
    for name in ("audio.m4a", "source.mp4", "source.", "source.MP4", "source.abcdef", "source.../x"):
        assert (await edge.get(f"/{whole.id}/{name}")).status_code == 404
    air = await on_air(stage)
    assert (await edge.get(f"/{air.playback_id.id}/capped-4k.mp4")).status_code == 404
    monkeypatch.setattr(downloads, "MAX_DOWNLOADS", 0)
    busy = await edge.get(f"/{whole.id}/capped-4k.mp4")
    assert (busy.status_code, "retry-after" in busy.headers) == (503, True)


def frames_of(data: bytes, size: tuple[int, int]) -> tuple[list[int], list[int]]:
    """The number that each frame carries, and the milliseconds that it stays."""
    image = Image.open(io.BytesIO(data))
    assert image.size == size
    numbers, lengths = [], []
    for k in range(image.n_frames):
        image.seek(k)
        gray = np.asarray(image.convert("RGB").convert("L").resize((64, 36), Image.Resampling.BOX))
        numbers += list(footage._numbers(gray[None]))
        lengths.append(int(image.info["duration"]))
    return numbers, lengths


@pytest.mark.parametrize("form", ["gif", "webp"])
async def test_a_moving_picture_shows_the_seconds_that_were_asked_for(stage: Playing, form: str) -> None:
    source = footage.make("plain")
    shown = await stage.publish(source, await planned(source))
    await stage.maker()
    edge = await stage.edge()
    answer = await edge.get(f"/{shown.playback_id}/clip.{form}?start=2.5&end=4&fps=10")
    assert answer.headers["content-type"] == f"image/{form}"
    numbers, lengths = frames_of(answer.content, (320, 180))
    assert all(abs(n - wanted) <= 1 for n, wanted in zip(numbers, range(75, 120, 3), strict=True))
    assert abs(sum(lengths) - 1500) <= 100
    again = await edge.get(f"/{shown.playback_id}/clip.{form}?startTime=2.5&endTime=4&fps=10&t=1")
    assert again.headers["etag"] == answer.headers["etag"]


async def test_a_moving_picture_is_bounded(stage: Playing) -> None:
    source = footage.make("plain")
    shown = await stage.publish(source, await planned(source))
    edge = await stage.edge(wait_s=0.2)
    url = f"/{shown.playback_id}/clip.webp"
    for query, field in {
        "start=9": "start",
        "start=2&end=1": "end",
        "start=2&end=2": "end",
        "width=641": "width",
        "width=0": "width",
        "height=1.5": "height",
        "fps=31": "fps",
        "fps=x": "fps",
        "end=-1": "end",
    }.items():
        answer = await edge.get(f"{url}?{query}")
        assert answer.status_code == 422, query
        assert [f["field"] for f in answer.json()["error"]["fields"]] == [field]
    assert (await edge.get(f"/{shown.playback_id}/clip.mp4")).status_code == 404
    # Within its bounds it is only a wish for a worker, of which there is none here.
    assert (await edge.get(f"{url}?end=100&height=90")).status_code == 503


async def test_recordings_have_moving_pictures_too(stage: Playing) -> None:
    async with stage.db.unit() as tx:
        workspace = await access.create_workspace(tx, name="Ours")
    spec = live_segments.spec(workspace_id=workspace.id)
    recorder = Recorder(stage.db, stage.storage.objects, spec, media_policy="public")
    for segment in live_segments.session():
        recorder.on_segment(segment)
    await recorder.close()
    async with stage.db.unit() as tx:
        assert await recordings.finish(tx, spec)
        [named] = await service.list_ids(tx, spec.session_id)
    await stage.maker()
    answer: httpx.Response = await (await stage.edge()).get(f"/{named.id}/clip.webp?end=1&width=64&fps=5")
    assert answer.status_code == 200, answer.text
    assert Image.open(io.BytesIO(answer.content)).n_frames >= 2
