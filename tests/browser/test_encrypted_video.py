"""Encrypted video in a real Chromium: ClearKey by the licence endpoint, cold media, played to the end."""

import dataclasses
import time
from urllib.parse import quote

import pytest
from playwright.async_api import Browser
from tests import footage
from tests.browser.test_player_page import Watching, short_film
from tests.playing import Playing, Published
from tests.unit.keys.signing import claims, pair, token

from fastpix_server.access import service as access
from fastpix_server.base import ids
from fastpix_server.keys import store as keys_store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]


@dataclasses.dataclass
class Film:
    published: Published
    kid: str

    def token(self, kind: str = "drm", **changes: object) -> str:
        made = claims(self.published.playback_id, kid=self.kid, aud=f"{kind}:{self.published.playback_id}")
        return quote(token({**made, **changes}, kid=self.kid))

    def page(self, base: str, engine: str, **tokens: str) -> str:
        query = "".join(f"&{name.replace('_', '-')}={text}" for name, text in tokens.items())
        return f"{base}/play/{self.published.playback_id}?player={engine}{query}"


async def encrypted_film(stage: Playing) -> Film:
    async with stage.db.unit() as tx:
        workspace = await access.create_workspace(tx, name="Mine")
        kid = ids.new_uuid()
        await keys_store.insert(tx, key_id=kid, workspace_id=workspace.id, public_pem=pair().public_pem)
    plan = await short_film()
    film = await stage.publish(footage.calm_film(), plan, access_policy="drm", workspace_id=workspace.id)
    return Film(film, kid)


async def opened(browser: Browser, url: str) -> Watching:
    page = await browser.new_page(viewport={"width": 960, "height": 540})
    watching = Watching(page)
    await page.goto(url)
    return watching


@pytest.mark.parametrize("engine", ["shaka", "hls"])
async def test_an_encrypted_video_plays_to_its_end_by_a_licence(browser: Browser, stage: Playing, engine: str) -> None:
    film = await encrypted_film(stage)
    await stage.maker()
    base = await stage.serve()
    started_s = time.monotonic()
    watching = await opened(browser, film.page(base, engine, token=film.token("media"), drm_token=film.token()))
    await watching.wait("p.firstFrameMs !== null")
    print(f"\n{engine}: first encrypted frame after {time.monotonic() - started_s:.2f} s, cold")
    await watching.do("v.muted = true; v.playbackRate = 4; await v.play();")
    await watching.wait("p.state === 'ended'")
    end = await watching.state()
    assert end["error"] is None
    assert end["frames"] > 100
    assert abs(end["time"] - film.published.plan.timeline.duration_s) < 0.1
    assert await watching.do("return v.mediaKeys !== null") is True
    assert watching.problems == []
    assert watching.hosts == {base.split("/")[2]}
    # What was shown was encrypted: nothing else was ever asked for under this id.
    assert any(key.startswith("drm/") for key in await stage.stored(film.published))


@pytest.mark.parametrize(("engine", "second"), [("hls", "media"), ("shaka", "nothing")])
async def test_without_a_token_for_the_licence_no_frame_is_shown(
    browser: Browser, stage: Playing, engine: str, second: str
) -> None:
    film = await encrypted_film(stage)
    await stage.maker()
    tokens = {"token": film.token("media")} | ({"drm_token": film.token("media")} if second == "media" else {})
    watching = await opened(browser, film.page(await stage.serve(), engine, **tokens))
    await watching.wait("p.state === 'error'")
    state = await watching.state()
    assert state["firstFrameMs"] is None
    assert state["frames"] == 0
    assert state["time"] == 0
