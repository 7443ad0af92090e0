"""A viewer of a whole running platform: a live stream by RTMP and by WHIP, in the hosted page, and its recording."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser
from tests.browser.test_live import Watching
from tests.playing import until
from tests.publishers import Kind, Target, missing, publisher
from tests.running_platform import RunningPlatform

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]


@contextlib.asynccontextmanager
async def api_of(running: RunningPlatform) -> AsyncIterator[httpx.AsyncClient]:
    auth = (running.username, running.password)
    async with httpx.AsyncClient(base_url=running.base_url, auth=auth, timeout=60) as client:
        yield client


async def create(api: httpx.AsyncClient, running: RunningPlatform) -> tuple[dict[str, Any], Target]:
    body = {
        "playbackSettings": {"accessPolicy": "public"},
        "inputMediaSettings": {"maxResolution": "1080p", "reconnectWindow": 60, "mediaPolicy": "public"},
    }
    answer = await api.post("/v1/live/streams", json=body)
    assert answer.status_code == 201, answer.text
    stream = answer.json()["data"]
    key = stream["streamKey"]
    return stream, Target(
        rtmp=f"rtmp://127.0.0.1:{running.rtmp_port}/live/{key}", whip=f"{running.base_url}/whip/{key}"
    )


@pytest.mark.parametrize(("kind", "engine"), [("rtmp", "hls"), ("whip", "hls"), ("rtmp", "shaka")])
async def test_a_stream_is_watched_live_and_its_recording_afterwards(
    platform: RunningPlatform, browser: Browser, kind: Kind, engine: str
) -> None:
    if lacking := missing(kind):
        pytest.skip(f"{lacking} is not installed")
    async with api_of(platform) as api:
        stream, target = await create(api, platform)
        playback_id, path = stream["playbackIds"][0]["id"], f"/v1/live/streams/{stream['streamId']}"
        watching = Watching(await browser.new_page(viewport={"width": 640, "height": 360}))
        await watching.page.goto(f"{platform.base_url}/play/{playback_id}?autoplay=1&player={engine}")
        await watching.wait("p.state === 'waiting'")
        with publisher(kind, target) as publishing:
            try:
                await watching.wait("v.currentTime > 0 && !v.paused && p.live() && p.live().isAtEdge")
            except AssertionError as fault:
                raise AssertionError(f"{fault} {publishing.log()} {platform.log()[-3000:]}") from fault
            before = await watching.see()
            await watching.wait(f"v.currentTime > {before['time'] + 6}")
            after = await watching.see()
            assert after["frame"] > before["frame"] + 60
            assert 0 < after["lateMs"] < 20_000, after
            assert (await api.get(path)).json()["data"]["status"] == "active"
            await asyncio.to_thread(publishing.stop)
        assert (await api.put(f"{path}/finish")).status_code == 200
        await watching.wait("p.state === 'ended'")
        [media_id] = await recorded(api, path)
        media = (await api.get(f"/v1/on-demand/{media_id}")).json()["data"]
        page = await browser.new_page()
        again = Watching(page)
        await page.goto(f"{platform.base_url}/play/{media['playbackIds'][0]['id']}?autoplay=1&player={engine}")
        await again.wait("v.currentTime > 2 && v.duration > 5 && !p.live()")
        assert (await again.see())["frame"] < after["frame"]


async def recorded(api: httpx.AsyncClient, path: str) -> list[str]:
    """The media of the stream's recordings, once they are Ready."""
    found: list[str] = []

    async def is_ready() -> bool:
        found[:] = (await api.get(path)).json()["data"].get("mediaIds") or []
        answers = [await api.get(f"/v1/on-demand/{media_id}") for media_id in found]
        return bool(found) and all(answer.json()["data"]["status"] == "Ready" for answer in answers)

    await until(is_ready, 60)
    return found
