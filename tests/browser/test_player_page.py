"""hls.js and Shaka Player in a real Chromium, over the real edge and a real worker: cold media, played to the end."""

import dataclasses
import json
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page
from tests import footage
from tests.planned import planned
from tests.playing import Playing, Published

from fastpix_server.base import ids
from fastpix_server.engine.plan import Plan
from fastpix_server.playback import service

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]

ENGINES = ("hls", "shaka")


class Watching:
    """A page with the player on it, and what went wrong there."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        self.pending: set[str] = set()  # asked for, and not answered yet
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        page.on("request", lambda request: self.pending.add(request.url))
        page.on("requestfinished", lambda request: self.pending.discard(request.url))
        page.on("requestfailed", lambda request: self.pending.discard(request.url))

    async def state(self) -> dict[str, Any]:
        text = await self.page.evaluate(
            """() => { const p = window.fastpixPlayer, v = p.video; return JSON.stringify({
                 state: p.state, log: p.log, firstFrameMs: p.firstFrameMs, time: v.currentTime, duration: v.duration,
                 paused: v.paused, width: v.videoWidth, height: v.videoHeight, quality: p.quality,
                 frames: v.getVideoPlaybackQuality().totalVideoFrames,
                 gaps: v.buffered.length, ready: v.readyState, seeking: v.seeking, isBuffering: p.impl?.isBuffering?.(),
                 parts: p.impl?.getBufferedInfo?.(), error: v.error && v.error.message }) }"""
        )
        return json.loads(text)  # type: ignore[no-any-return]

    async def wait(self, condition: str, timeout_s: float = 60) -> None:
        """`condition` is JavaScript over `p` (the player) and `v` (the video)."""
        try:
            await self.page.wait_for_function(
                f"() => {{ const p = window.fastpixPlayer, v = p && p.video; return p && ({condition}); }}",
                timeout=timeout_s * 1000,
                polling=50,
            )
        except Exception as error:
            raise AssertionError(f"{condition}: {await self.state()} {self.problems} {self.pending}") from error

    async def do(self, script: str) -> Any:
        return await self.page.evaluate(f"async () => {{ const p = window.fastpixPlayer, v = p.video; {script} }}")


async def watch(browser: Browser, base: str, published: Published, engine: str, query: str = "") -> Watching:
    page = await browser.new_page(viewport={"width": 960, "height": 540})
    watching = Watching(page)
    await page.goto(f"{base}/play/{published.playback_id}?player={engine}{query}")
    return watching


async def short_film() -> Plan:
    """Seven segments of one rung: short enough to watch to the end."""
    plan = await planned(footage.calm_film())
    times = plan.timeline
    times = dataclasses.replace(times, cuts=times.cuts[:8], audio_cuts=times.audio_cuts[:8])
    return dataclasses.replace(plan, videos=plan.videos[-1:], timeline=times, seeks_s=plan.seeks_s[:7])


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_cold_video_plays_to_its_end(browser: Browser, stage: Playing, engine: str) -> None:
    plan = await short_film()
    film = await stage.publish(footage.calm_film(), plan)
    await stage.maker()
    base = await stage.serve()
    watching = await watch(browser, base, film, engine)
    await watching.wait("p.firstFrameMs !== null")
    first = await watching.state()
    print(f"\n{engine}: page load to first frame {first['firstFrameMs']:.0f} ms, cold")
    await watching.do("v.muted = true; v.playbackRate = 4; await v.play();")
    await watching.wait("p.state === 'ended'")
    end = await watching.state()
    assert end["error"] is None
    assert abs(end["time"] - plan.timeline.duration_s) < 0.1
    assert [e["type"] for e in end["log"] if e["type"] == "error"] == []
    assert watching.problems == []
    assert watching.hosts == {base.split("/")[2]}


async def test_a_broadcast_that_lacks_its_last_moment_is_over_nonetheless(browser: Browser, stage: Playing) -> None:
    """An engine may wait for it for ever. Here a film stands for it that stops half a second before its end."""
    film = await stage.publish(footage.calm_film(), await short_film())
    await stage.maker()
    watching = await watch(browser, await stage.serve(), film, "hls")
    await watching.wait("p.firstFrameMs !== null")
    await watching.do("v.muted = true; await v.play(); v.currentTime = v.duration - 0.5; v.playbackRate = 0;")
    await watching.wait("p.state === 'playing' && v.readyState >= 2 && !v.seeking")
    await watching.do("document.querySelector('#live').hidden = false;")
    await watching.wait("p.state === 'ended'")
    state = await watching.state()
    assert state["paused"]
    assert state["duration"] - state["time"] > 0.4


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_seek_to_the_far_end_plays_from_there(browser: Browser, stage: Playing, engine: str) -> None:
    plan = await planned(footage.calm_film())
    plan = dataclasses.replace(plan, videos=plan.videos[-1:])
    film = await stage.publish(footage.calm_film(), plan)
    await stage.maker()
    watching = await watch(browser, await stage.serve(), film, engine)
    await watching.wait("p.firstFrameMs !== null")
    last_s = plan.timeline.duration_s - 3
    await watching.do(f"v.muted = true; v.currentTime = {last_s}; await v.play();")
    await watching.wait("p.state === 'ended'")
    state = await watching.state()
    assert state["error"] is None
    assert watching.problems == []
    stored = await stage.stored(film)
    made = {int(key.split("/")[1].split(".")[0]) for key in stored if key.startswith("270p/") and "init" not in key}
    assert max(made) == plan.timeline.segment_count - 1
    assert len(made) < plan.timeline.segment_count  # what was jumped over was not made for this viewer


@pytest.mark.parametrize("engine", ENGINES)
async def test_rungs_are_switched_without_a_break(browser: Browser, stage: Playing, engine: str) -> None:
    plan = await planned(footage.calm_film())
    plan = dataclasses.replace(plan, videos=plan.videos[-2:])
    film = await stage.publish(footage.calm_film(), plan)
    await stage.maker()
    watching = await watch(browser, await stage.serve(), film, engine)
    await watching.wait("p.firstFrameMs !== null")
    qualities = await watching.do("return p.qualities();")
    assert sorted(q["id"] for q in qualities) == ["270p", "480p"]
    await watching.do("v.muted = true; await v.play();")
    for wanted, height in (("270p", 270), ("480p", 480), ("270p", 270)):
        index = next(q["index"] for q in qualities if q["id"] == wanted)
        await watching.do(f"p.setQuality({index});")
        await watching.wait(f"v.videoHeight === {height}", 30)
        before = (await watching.state())["time"]
        await watching.wait(f"v.currentTime > {before} + 0.5", 30)
    state = await watching.state()
    assert [e for e in state["log"] if e["type"] == "error"] == []
    assert watching.problems == []


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_copied_rung_plays_and_joins_with_encoded_ones(browser: Browser, stage: Playing, engine: str) -> None:
    source = footage.make("plain")
    plan = await planned(source)
    assert {v.kind for v in plan.videos} == {"copy", "encode"}
    film = await stage.publish(source, plan)
    await stage.maker()
    watching = await watch(browser, await stage.serve(), film, engine)
    await watching.wait("p.firstFrameMs !== null")
    qualities = await watching.do("return p.qualities();")
    low = next(q["index"] for q in qualities if q["id"] != "source")
    source_index = next(q["index"] for q in qualities if q["id"] == "source")
    await watching.do(f"v.muted = true; p.setQuality({low}); await v.play();")
    await watching.wait(f"v.videoHeight < {plan.videos[0].height} && v.currentTime > 1")
    await watching.do(f"p.setQuality({source_index}); v.playbackRate = 4;")
    await watching.wait("p.state === 'ended'")
    state = await watching.state()
    assert state["height"] == plan.videos[0].height
    assert state["error"] is None
    assert [e for e in state["log"] if e["type"] == "error"] == []


@pytest.mark.parametrize("engine", ENGINES)
async def test_sound_alone_plays_with_a_sign_instead_of_a_picture(
    browser: Browser, stage: Playing, engine: str
) -> None:
    source = footage.make("audio_adts")
    film = await stage.publish(source, await planned(source))
    await stage.maker()
    watching = await watch(browser, await stage.serve(), film, engine)
    await watching.wait("v.readyState >= 2")
    await watching.do("v.muted = true; v.playbackRate = 4; await v.play();")
    assert await watching.page.locator(".sound").is_visible()
    await watching.wait("p.state === 'ended'")


async def test_a_video_that_is_not_ready_starts_by_itself(browser: Browser, stage: Playing) -> None:
    plan = await short_film()
    media_id = ids.new_uuid()
    async with stage.db.unit() as tx:
        early = await service.create_id(tx, workspace_id=media_id, target_id=media_id, access_policy="public")
    await stage.storage.objects.put(f"sources/{media_id}/original", footage.calm_film().read_bytes())
    await stage.maker()
    watching = await watch(browser, await stage.serve(), Published(media_id, early.id, plan), "hls")
    await watching.wait("p.state === 'waiting'")
    assert "still being prepared" in await watching.page.locator(".notice").inner_text()
    async with stage.db.unit() as tx:
        await service.publish(
            tx,
            target_id=media_id,
            workspace_id=media_id,
            source_key=f"sources/{media_id}/original",
            place=f"media/{media_id}/{plan.revision}",
            plan=plan,
        )
    await watching.wait("p.state === 'playing' && v.currentTime > 0.2")
    assert not await watching.page.locator(".notice").is_visible()


async def test_an_upright_video_and_three_menus_stay_on_the_screen(browser: Browser, stage: Playing) -> None:
    source = footage.make("portrait")
    film = await stage.publish(source, await planned(source))
    await stage.maker()
    watching = await watch(browser, await stage.serve(), film, "hls")
    await watching.wait("p.firstFrameMs !== null")
    box = await watching.page.locator("#video").bounding_box()
    assert box == {"x": 0, "y": 0, "width": 960, "height": 540}  # its controls are at the bottom of it
    await watching.page.set_viewport_size({"width": 390, "height": 844})
    await watching.do(
        "for (const menu of document.querySelectorAll('.menu')) {"
        " menu.hidden = false; menu.querySelector('select').add(new Option('Français (audiodescription, complète)')); }"
    )
    for menu in await watching.page.locator(".menu").all():
        box = await menu.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


async def test_half_a_link_is_answered_in_words_to_a_person(browser: Browser, stage: Playing) -> None:
    page = await browser.new_page()
    answer = await page.goto(f"{await stage.serve()}/play/0b6f")
    assert answer is not None
    assert answer.status == 404
    await page.wait_for_function(
        "() => document.querySelector('#notice-title').textContent === 'This link is not right'", timeout=60_000
    )


@pytest.mark.parametrize(
    ("case", "words"),
    [("unknown", "not available"), ("deleted", "removed"), ("parameters", "link is not right")],
)
async def test_what_is_wrong_is_said_in_plain_words(browser: Browser, stage: Playing, case: str, words: str) -> None:
    plan = await short_film()
    film = await stage.publish(footage.calm_film(), plan)
    query = ""
    if case == "unknown":
        film = dataclasses.replace(film, playback_id=ids.new_uuid())
    elif case == "deleted":
        async with stage.db.unit() as tx:
            await service.delete_id(tx, film.media_id, film.playback_id)
    else:
        query = "&minResolution=720p&maxResolution=480p"
    watching = await watch(browser, await stage.serve(), film, "hls", query)
    await watching.wait("p.state === 'error'")
    assert words in await watching.page.locator(".notice h1").inner_text()
    assert await watching.page.get_by_role("button", name="Try again").is_visible()


async def test_the_page_and_its_assets_can_be_cached_and_are_ours_alone(stage: Playing) -> None:
    base = await stage.serve()
    async with httpx.AsyncClient(base_url=base) as client:
        page = await client.get(f"/play/{ids.new_uuid()}")
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert "http://" not in page.text
        assert "https://" not in page.text
        urls = [part.split('"')[0] for part in page.text.split('="') if part.startswith("/play/assets/")]
        assert len(urls) == 6
        for url in urls:
            asset = await client.get(url)
            assert asset.status_code == 200
            assert "immutable" in asset.headers["cache-control"]
            assert asset.headers["content-encoding"] == "gzip"
            plain = await client.get(url, headers={"Accept-Encoding": "identity"})
            assert "content-encoding" not in plain.headers
            assert plain.content == asset.content
        assert (await client.get("/play/not-an-id")).status_code == 404
        assert (await client.get("/play/assets/0000000000000000/play.js")).status_code == 404
