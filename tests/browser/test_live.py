"""hls.js in low-latency mode and Shaka Player watch a live stream; the clock in the picture says how late they are."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Error, Page, Route
from tests.live_stage import LiveStage, live_stage
from tests.playing import until
from tests.publishers import missing, publisher

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]

LOW_LATENCY = "p.impl.config.lowLatencyMode && p.impl.latestLevelDetails?.partList?.length > 0"
# Longer than any engine makes up by its rate soon.
STALL_S = 6
# After it a viewer is this near to where they were, at most so long after their line came back.
BACK_WITHIN_S, BACK_AFTER_S = 3, 60

# Reads the two rows of bars of tests/clock_picture.py out of what the video shows now.
READ = """() => {
  const p = window.fastpixPlayer, v = p.video, canvas = new OffscreenCanvas(640, 32);
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  pen.drawImage(v, 0, 0, v.videoWidth, v.videoHeight / 8, 0, 0, 640, 32);
  const row = y => { let value = 0; const pixels = pen.getImageData(0, y, 640, 1).data;
    for (let bit = 0; bit < 32; bit++) value = value * 2 + (pixels[(bit * 20 + 10) * 4 + 1] > 128 ? 1 : 0);
    return value; };
  return JSON.stringify({clock: row(8), frame: row(24), lateMs: Date.now() % 4294967296 - row(8), state: p.state,
    time: v.currentTime, live: p.live(), log: p.log.slice(-20), badge: document.querySelector('#live').textContent,
    start: v.seekable.length ? v.seekable.start(0) : -1, end: v.seekable.length ? v.seekable.end(0) : -1,
    paused: v.paused, rate: v.playbackRate});
}"""


class Watching:
    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))

    async def see(self) -> dict[str, Any]:
        return dict(json.loads(await self.page.evaluate(READ)))

    async def wait(self, condition: str, timeout_s: float = 90) -> None:
        """`condition` is JavaScript over `p` (the player) and `v` (the video)."""
        try:
            await self.page.wait_for_function(
                f"() => {{ const p = window.fastpixPlayer, v = p && p.video; return p && ({condition}); }}",
                timeout=timeout_s * 1000,
                polling=100,
            )
        except Exception as error:
            raise AssertionError(f"{condition}: {await self.see()} {self.problems}") from error


async def watch(browser: Browser, stage: LiveStage, query: str = "") -> Watching:
    watching = Watching(await browser.new_page(viewport={"width": 640, "height": 360}))
    await watching.page.goto(f"{stage.page}?autoplay=1{query}")
    return watching


async def test_a_low_latency_viewer_is_a_few_seconds_late_and_stays_so(browser: Browser) -> None:
    """Of a browser's stream; of an encoder's, the next test."""
    if lacking := missing("whip"):
        pytest.skip(f"{lacking} is not installed")
    async with live_stage() as stage:
        watching = await watch(browser, stage)
        await watching.wait("p.state === 'waiting'")
        assert await watching.page.inner_text("#notice-title") == "Not live yet"
        with publisher("whip", stage.target):
            await watching.wait("v.currentTime > 0 && !v.paused && p.live() && p.live().isAtEdge")
            await watching.wait(LOW_LATENCY)
            before = await watching.see()
            await watching.wait(f"v.currentTime > {before['time'] + 8}")
            # How late is measured by benchmarks/live. Here: the clock in the picture is now's, and no older one's. An
            # encoder short of bits blurs a bar now and then, so one picture in several has to be read.
            for _ in range(20):
                after = await watching.see()
                if 0 < after["lateMs"] < 20_000 and after["frame"] > before["frame"] + 100:
                    break
                await asyncio.sleep(0.25)
            else:
                pytest.fail(f"never in time: {before} {after}")
            # A busy machine may have been late with the start: then it is a jump until it is there.
            await watching.wait("document.querySelector('#live').textContent === 'Live'")
            assert not watching.problems


async def test_who_stalls_is_brought_back_to_the_edge_and_who_goes_back_is_not(browser: Browser) -> None:
    async with live_stage() as stage:
        with publisher("rtmp", stage.target):
            await until(lambda: len([s for s in stage.segments if s.rendition.name == "source"]) >= 6, 90)
            both = await asyncio.gather(*(_stalls_and_goes_back(browser, stage, engine) for engine in ("hls", "shaka")))
        stage.broadcast.end()
        for watching in both:
            await watching.wait("p.state === 'ended'")
            assert not watching.problems


async def _stalls_and_goes_back(browser: Browser, stage: LiveStage, engine: str) -> Watching:
    late = f"document.querySelector('#live').textContent.startsWith('Go live') && p.live().behindS > {STALL_S}"
    jumps = "p.log.filter(entry => entry.type === 'jump').length"
    watching = await watch(browser, stage, f"&player={engine}")
    await watching.wait("v.currentTime > 0 && !v.paused && p.live() && p.live().isAtEdge")
    if engine == "hls":
        await watching.wait(LOW_LATENCY)
    usual_s = (await watching.see())["live"]["behindS"]
    async with standing_still(watching.page):
        await watching.wait("v.readyState < 3")
        await asyncio.sleep(STALL_S)
    back = f"{jumps} > 0 && p.live().isAtEdge && p.live().behindS < {usual_s} + {BACK_WITHIN_S}"
    await watching.wait(back, BACK_AFTER_S)
    await until(lambda: _is_new(watching), BACK_AFTER_S)
    for leave in (f"v.currentTime -= {2 * STALL_S}", "v.pause()"):
        await watching.page.evaluate(f"() => {{ const v = fastpixPlayer.video; {leave}; }}")
        await watching.wait(late)
        left = await watching.see()
        await watching.page.evaluate("() => fastpixPlayer.video.play()")
        await watching.wait(f"v.currentTime > {left['time']} + 4 && {late} && v.playbackRate === 1")
        await watching.page.click("#live")
        await watching.wait(
            "p.live().isAtEdge && !v.seeking && !v.paused && document.querySelector('#live').textContent === 'Live'"
        )
    return watching


@contextlib.asynccontextmanager
async def standing_still(page: Page) -> AsyncIterator[None]:
    """The viewer's line, meanwhile."""
    moving = asyncio.Event()

    async def hold(route: Route) -> None:
        await moving.wait()
        with contextlib.suppress(Error):  # the player may have given the request up
            await route.continue_()

    await page.route("**/*", hold)
    try:
        yield
    finally:
        moving.set()
        await page.unroute_all(behavior="ignoreErrors")


async def test_a_reconnect_goes_on_by_itself_behind_a_discontinuity(browser: Browser) -> None:
    async with live_stage() as stage:
        with publisher("rtmp", stage.target) as first:
            watching = await watch(browser, stage)
            await watching.wait("v.currentTime > 3 && !v.paused")
            first.kill()
        await until(lambda: not stage.broadcast.health()["is_publishing"], 30)
        with publisher("rtmp", stage.target):
            await until(lambda: stage.broadcast.health()["epoch"] == 1, 60)
            # The frame's number begins again with the second publisher: a small one is proof of the new epoch.
            await watching.wait("v.currentTime > 3 && p.live() && !v.paused && p.impl.latestLevelDetails?.live")
            await until(lambda: _is_new(watching), 90)
            seen = await watching.see()
            assert seen["lateMs"] < 20_000, seen
            assert seen["state"] == "playing"


async def _is_new(watching: Watching) -> bool:
    seen = await watching.see()
    return bool(0 <= seen["lateMs"] < 10_000 and not seen["paused"])


async def test_dvr_seeks_back_to_the_beginning_and_returns_to_the_edge(browser: Browser) -> None:
    async with live_stage(is_dvr=True) as stage:
        with publisher("rtmp", stage.target):
            await until(lambda: len([s for s in stage.segments if s.rendition.name == "source"]) >= 10, 90)
            watching = await watch(browser, stage, "&dvrMode=true")
            await watching.wait("v.currentTime > 0 && !v.paused && p.live() && p.live().isAtEdge")
            edge = await watching.see()
            assert edge["start"] <= 0.5
            assert edge["end"] - edge["start"] > 15
            await watching.page.evaluate("() => { fastpixPlayer.video.currentTime = 1; }")
            await watching.wait("v.currentTime > 2 && v.currentTime < 10 && !v.seeking && !v.paused")
            back = await watching.see()
            assert back["frame"] < 25 * 10
            assert "behind" in back["badge"]
            await watching.page.click("#live")
            await watching.wait("p.live().isAtEdge && !v.seeking")
            await watching.wait(f"v.currentTime > {edge['time']}")
            assert (await watching.see())["lateMs"] < 10_000


async def test_the_end_of_the_stream_is_the_end_of_the_video(browser: Browser) -> None:
    async with live_stage() as stage:
        with publisher("rtmp", stage.target):
            watching = await watch(browser, stage)
            await watching.wait("v.currentTime > 3 && !v.paused")
        stage.broadcast.end()
        await watching.wait("p.state === 'ended'")
        await watching.wait("document.querySelector('#live').textContent === 'Ended'")
        assert not [entry for entry in (await watching.see())["log"] if entry["type"] == "error"]
