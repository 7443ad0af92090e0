"""WHIP over real HTTP with ffmpeg's own WHIP muxer as the publisher: frames, refusals, ends, limits."""

import asyncio
import contextlib
import itertools
import subprocess
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
from tests.playing import until
from tests.unit.ingest import offers
from tests.whip_stage import whip_stage

from fastpix_server.engine import binaries
from fastpix_server.ingest import whip
from fastpix_server.ingest.model import CLOCK_HZ

pytestmark = pytest.mark.timeout(170)

SDP = {"content-type": "application/sdp"}
HIGH = ("-profile:v", "high", "-bf", "0")
BASELINE = ("-profile:v", "baseline", "-bf", "0")


@contextlib.asynccontextmanager
async def ffmpeg_to(url: str, *encoder: str, seconds: float) -> AsyncIterator[asyncio.subprocess.Process]:
    command: Sequence[str] = [
        *(binaries.ffmpeg(), "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"),
        *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", str(seconds), "-pix_fmt", "yuv420p"),
        *("-c:v", "libx264", "-preset", "veryfast", "-g", "25", *encoder, "-c:a", "libopus", "-ac", "2"),
        *("-f", "whip", url),
    ]
    child = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.communicate()


async def test_ffmpeg_publishes_and_its_frames_come_out_whole_and_in_order() -> None:
    async with whip_stage() as stage, ffmpeg_to(f"{stage.base}/whip/key", *BASELINE, seconds=4) as child:
        await asyncio.wait_for(child.wait(), 90)
        sink = stage.door.sinks[0]
        await until(lambda: sink.ends)
        assert sink.ends == ["unpublish"]  # ffmpeg deletes its session
        assert [track.codec for track in sink.tracks] == ["h264", "opus"]
        assert (sink.tracks[0].width, sink.tracks[0].height) == (320, 180)
        video, audio = sink.of("video"), sink.of("audio")
        # The jitter buffer of RTP keeps the last picture and four frames of sound until the next packet comes.
        assert len(video) >= 98
        assert [round((later.dts - former.dts) / 3600) for former, later in itertools.pairwise(video)] == [1] * (
            len(video) - 1
        )
        assert [sample.is_key for sample in video[:26]] == [True, *[False] * 24, True]
        assert {later.dts - former.dts for former, later in itertools.pairwise(audio)} == {CLOCK_HZ // 50}
        assert audio[-1].dts - audio[0].dts > 3.5 * CLOCK_HZ


async def test_profiles_that_browsers_may_not_decode_are_refused_before_the_door_is_asked() -> None:
    async with whip_stage() as stage, ffmpeg_to(f"{stage.base}/whip/key", *HIGH, seconds=4) as child:
        _, said = await asyncio.wait_for(child.communicate(), 90)
        assert child.returncode != 0
        assert b"Failed to request" in said
        assert not stage.door.requests


async def test_a_publisher_that_dies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whip, "SILENCE_S", 1.0)
    async with whip_stage() as stage, ffmpeg_to(f"{stage.base}/whip/key", *BASELINE, seconds=60) as child:
        await until(lambda: stage.door.sinks and stage.door.sinks[0].of("video"), 60)
        child.kill()
        await until(lambda: stage.door.sinks[0].ends, 60)
        assert stage.door.sinks[0].ends == ["idle"]
        assert stage.whip.session_count == 0


async def test_whoever_never_connects_after_the_answer_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whip, "CONNECT_S", 0.5)
    async with whip_stage() as stage, httpx.AsyncClient(base_url=stage.base) as client:
        answer = await client.post("/whip/key", content=offers.browser(), headers=SDP)
        assert answer.status_code == 201
        await until(lambda: stage.door.sinks[0].ends)
        assert stage.door.sinks[0].ends == ["not_connected"]
        assert (await client.delete(answer.headers["location"])).status_code == 404


async def test_an_answer_has_what_the_rfc_asks_for() -> None:
    async with whip_stage(announce=("198.51.100.7",)) as stage, httpx.AsyncClient(base_url=stage.base) as client:
        answer = await client.post("/whip", content=offers.browser(), headers={**SDP, "authorization": "Bearer key"})
        assert answer.status_code == 201
        assert answer.headers["content-type"] == "application/sdp"
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert answer.headers["location"].startswith("/whip/session/")
        assert answer.headers["etag"]
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "Location" in answer.headers["access-control-expose-headers"]
        lines = answer.text.splitlines()
        assert "H264" in answer.text
        assert "VP8" not in answer.text
        assert lines.count("a=recvonly") == 2
        assert any("198.51.100.7" in line for line in lines)
        assert stage.door.requests[0].protocol == "whip"
        session = answer.headers["location"]
        assert (await client.patch(session)).status_code == 405
        assert (await client.delete(session)).status_code == 200
        assert stage.door.sinks[0].ends == ["unpublish"]
        assert (await client.delete(session)).status_code == 404


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/whip/nobody", SDP, offers.browser(), 404),
        ("/whip/off", SDP, offers.browser(), 403),
        ("/whip/taken", SDP, offers.browser(), 409),
        ("/whip", SDP, offers.browser(), 401),
        ("/whip", {**SDP, "authorization": "Bearer nobody"}, offers.browser(), 401),
        ("/whip", {**SDP, "authorization": "Basic key"}, offers.browser(), 401),
        ("/whip/" + "k" * 500, SDP, offers.browser(), 404),
        ("/whip/key", {"content-type": "application/json"}, offers.browser(), 415),
        ("/whip/key", SDP, offers.HEAD + offers.AUDIO + offers.video(offers.VP8), 422),
        ("/whip/key", SDP, "m=video", 400),
        ("/whip/key", SDP, b"\xff\xfe", 400),
        ("/whip/key", SDP, "v=0\r\n" * 20_000, 413),
    ],
)
async def test_what_cannot_be_published_is_refused_readably(
    path: str, headers: dict[str, str], body: str | bytes, status: int
) -> None:
    async with whip_stage() as stage, httpx.AsyncClient(base_url=stage.base) as client:
        answer = await client.post(path, content=body, headers=headers)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.json()["error"]["code"] == status
        assert ("www-authenticate" in answer.headers) == (status == 401)
        assert stage.whip.session_count == 0


async def test_pages_of_other_origins_may_publish_and_other_methods_may_not() -> None:
    async with whip_stage() as stage, httpx.AsyncClient(base_url=stage.base) as client:
        asked = await client.options("/whip/key")
        assert asked.status_code == 204
        assert "Authorization" in asked.headers["access-control-allow-headers"]
        assert asked.headers["accept-post"] == "application/sdp"
        for method in ("GET", "PUT", "DELETE", "PATCH"):
            answer = await client.request(method, "/whip/key")
            assert answer.status_code == 405
            assert answer.headers["allow"] == "POST, OPTIONS"


async def test_more_sessions_than_the_limit_are_told_to_come_back_later() -> None:
    async with whip_stage(max_sessions=1) as stage, httpx.AsyncClient(base_url=stage.base) as client:
        first = await client.post("/whip/key", content=offers.browser(), headers=SDP)
        second = await client.post("/whip/key", content=offers.browser(), headers=SDP)
        assert (first.status_code, second.status_code) == (201, 503)
        assert "retry-after" in second.headers
        await client.delete(first.headers["location"])
        third = await client.post("/whip/key", content=offers.browser(), headers=SDP)
        assert third.status_code == 201


async def test_the_end_of_the_process_ends_every_session_and_takes_no_new_one() -> None:
    async with whip_stage() as stage, httpx.AsyncClient(base_url=stage.base) as client:
        await client.post("/whip/key", content=offers.browser(), headers=SDP)
        await stage.whip.close()
        assert stage.door.sinks[0].ends == ["shutdown"]
        assert (await client.post("/whip/key", content=offers.browser(), headers=SDP)).status_code == 503
