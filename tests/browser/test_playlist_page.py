"""A playlist in a real Chromium: one video after the other, back and forth, public ones and those with a token."""

import pytest
from playwright.async_api import Browser
from tests.browser.test_player_page import Watching
from tests.journeys.gated import add_key
from tests.playing import Playing, Published
from tests.unit.edge.test_playlists import House
from tests.unit.keys.signing import pair

from fastpix_server.access import service as access

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]


class Showing(Watching):
    async def wait_for(self, index: int) -> None:
        await self.wait(f"fastpixPlaylist.index === {index} && p.firstFrameMs !== null")

    async def has_no_fault(self, base: str) -> None:
        state = await self.state()
        assert state["error"] is None
        assert not [entry for entry in state["log"] if entry["type"] == "error"]
        assert self.problems == []
        assert self.hosts == {base.split("/")[2]}


async def house_of(stage: Playing) -> House:
    async with stage.db.unit() as tx:
        workspace = await access.create_workspace(tx, name="w")
    return House(stage, await stage.edge(), workspace.id, await add_key(stage, workspace.id, pair()))


async def show(browser: Browser, house: House, engine: str) -> tuple[Showing, list[Published], str]:
    """A page that plays three films, the second of them private; a fourth is hidden from it."""
    policies = (("One", "public"), ("Two", "private"), ("Three", "public"), ("Hidden", "private"))
    one, two, three, hidden = [await house.film(title, policy) for title, policy in policies]
    playlist = await house.playlist(one, two, hidden, three)
    await house.stage.maker()
    base = await house.stage.serve()
    page = await browser.new_page(viewport={"width": 960, "height": 540})
    showing = Showing(page)
    await page.goto(f"{base}/play/playlist/{playlist}?player={engine}&token={house.token(two)}")
    await showing.wait_for(0)
    return showing, [one, two, three], base


async def test_a_playlist_plays_through_and_back(browser: Browser, stage: Playing) -> None:
    showing, films, base = await show(browser, await house_of(stage), "hls")
    page = showing.page
    assert await page.locator(".list li").all_inner_texts() == ["One\n0:11", "Two\n0:11", "Three\n0:11"]
    assert await page.locator("#list-place").inner_text() == "1 of 3"
    assert await page.locator("#previous").is_disabled()
    # The end of one is the beginning of the next, which is private and has its token.
    await showing.do("v.muted = true; await v.play(); v.currentTime = v.duration - 0.3;")
    await showing.wait("fastpixPlaylist.index === 1 && p.firstFrameMs !== null && !v.paused && v.currentTime > 0.1")
    assert await page.locator("[aria-current] span").inner_text() == "Two"
    await page.locator("#next").click()
    await showing.wait_for(2)
    assert await page.locator("#next").is_disabled()
    # Back in one go: what was begun in between never plays.
    await page.evaluate("() => { fastpixPlaylist.previous(); fastpixPlaylist.previous(); }")
    await showing.wait_for(0)
    opened = [entry["playbackId"] for entry in (await showing.state())["log"] if entry["type"] == "item"]
    assert opened == [films[n].playback_id for n in (0, 1, 2, 1, 0)]
    await page.keyboard.press("n")
    await showing.wait_for(1)
    await page.reload()  # goes on where it was
    await showing.wait_for(1)
    await showing.has_no_fault(base)


async def test_the_other_player_goes_on_to_the_next_video_too(browser: Browser, stage: Playing) -> None:
    showing, _, base = await show(browser, await house_of(stage), "shaka")
    await showing.page.keyboard.press("n")
    await showing.wait_for(1)
    await showing.has_no_fault(base)


async def test_an_empty_or_unknown_playlist_says_so(browser: Browser, stage: Playing) -> None:
    house = await house_of(stage)
    film = await house.film("Hidden", "private")
    base = await stage.serve()
    page = await browser.new_page(viewport={"width": 390, "height": 844})
    for playlist, words in ((await house.playlist(film), "Nothing to watch"), (film.media_id, "no such playlist")):
        await page.goto(f"{base}/play/playlist/{playlist}")
        await page.wait_for_function(
            f"() => document.querySelector('#notice-title').textContent.includes({words!r})", timeout=60_000
        )
        assert await page.locator(".list").is_hidden()
        box = await page.locator(".notice").bounding_box()
        assert box is not None
        assert box["height"] == 844  # all of the screen, as there is no list
