"""Sounds and subtitles that were added to a video, chosen in hls.js and Shaka Player in a real Chromium."""

from pathlib import Path

import pytest
from playwright.async_api import Browser
from tests import footage
from tests.browser.test_player_page import ENGINES, short_film, watch
from tests.playing import Playing
from tests.unit.edge.test_added_tracks import add_sound, add_text, tone

from fastpix_server.playback.model import Label

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]

SHOWN = "[...v.textTracks].filter((t) => t.mode === 'showing').flatMap((t) => [...(t.activeCues || [])])"


@pytest.mark.parametrize("engine", ENGINES)
async def test_added_tracks_are_in_the_menu_after_a_reload_and_can_be_chosen(
    browser: Browser, stage: Playing, engine: str, tmp_path: Path
) -> None:
    film = await stage.publish(footage.calm_film(), await short_film())
    await stage.maker()
    base = await stage.serve()
    watching = await watch(browser, base, film, engine)
    await watching.wait("p.firstFrameMs !== null")
    assert await watching.do("return [p.session.audios().length, p.session.texts().length];") == [1, 0]
    await add_sound(stage, film, tone(tmp_path / "a.wav", 440, 16), Label("de", "Deutsch"))
    await add_text(stage, film, Label("fr", "Fran\u00e7ais"))
    # What plays goes on, with the URLs that it has.
    await watching.do("v.muted = true; v.play();")
    await watching.wait("v.currentTime > 1")
    await watching.page.close()
    watching = await watch(browser, base, film, engine)  # a viewer of its own: nothing of the old manifest is cached
    await watching.wait("p.firstFrameMs !== null")
    assert await watching.do("return p.session.texts().map((t) => t.label);") == ["Fran\u00e7ais"]
    sounds = await watching.do("return p.session.audios().map((a) => a.label);")
    assert len(sounds) == 2
    assert "Deutsch" in sounds
    asked: list[str] = []
    watching.page.on("request", lambda request: asked.append(request.url))
    await watching.do(f"p.session.setText(0); p.session.setAudio({sounds.index('Deutsch')});")
    await watching.wait(f"p.session.audios()[{sounds.index('Deutsch')}].isActive")
    await watching.do("v.muted = true; v.play();")
    await watching.wait("v.currentTime > 0.3")
    for shown_s, text in ((1.5, "one"), (9.25, "two")):  # standing still: half a second may pass unseen
        await watching.do(f"v.pause(); v.currentTime = {shown_s};")
        await watching.wait(f"!v.seeking && {SHOWN}.some((c) => c.text === '{text}')")
    cues = await watching.do(
        "return [...v.textTracks].flatMap((t) => [...(t.cues || [])]).map((c) => [c.startTime, c.endTime, c.text]);"
    )
    times = {text: (start, end) for start, end, text in cues}
    assert times["one"] == pytest.approx((1, 2), abs=0.05)
    assert times["two"] == pytest.approx((9, 9.5), abs=0.05)
    assert any("/x" in url and url.endswith(".m4s") for url in asked)
    assert any(url.endswith(".vtt") for url in asked)
    await watching.do("p.session.setText(-1);")
    await watching.wait(f"{SHOWN}.length === 0")
    state = await watching.state()
    assert state["error"] is None
    assert watching.problems == []
