"""hls.js and Shaka Player over a recording of two connections: a discontinuity is played over, and so is a clip."""

import pytest
from playwright.async_api import Browser
from tests import footage, live_segments
from tests.browser.test_player_page import ENGINES, watch
from tests.planned import planned
from tests.playing import Playing, Published

from fastpix_server.access import service as access
from fastpix_server.live import recordings
from fastpix_server.live.recorder import Recorder
from fastpix_server.playback import service as playback

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]


async def recorded(stage: Playing, *, lacks: tuple[tuple[str, int], ...] = ()) -> Published:
    """16 s in two connections; `lacks` names segments that were lost."""
    async with stage.db.unit() as tx:
        workspace = await access.create_workspace(tx, name="Live")
    spec = live_segments.spec(workspace_id=workspace.id)
    recorder = Recorder(stage.db, stage.storage.objects, spec)
    for segment in live_segments.session(epochs=2):
        if (segment.rendition.name, segment.number) not in lacks:
            recorder.on_segment(segment)
    await recorder.close()
    async with stage.db.unit() as tx:
        assert await recordings.finish(tx, spec)
        [named] = await playback.list_ids(tx, spec.session_id)
    return Published(spec.session_id, named.id, await planned(footage.bikes()))


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_recording_plays_over_its_discontinuity_to_its_end(
    browser: Browser, stage: Playing, engine: str
) -> None:
    video = await recorded(stage)
    watching = await watch(browser, await stage.serve(), video, engine)
    await watching.wait("p.firstFrameMs !== null")
    await watching.do("v.muted = true; v.playbackRate = 4; await v.play();")
    await watching.wait("p.state === 'ended'")
    end = await watching.state()
    assert end["error"] is None
    assert abs(end["time"] - 16.0) < 0.15
    # And from behind the discontinuity, as a viewer who seeks first.
    await watching.page.reload()
    await watching.wait("p.firstFrameMs !== null")
    await watching.do("v.muted = true; v.currentTime = 13; await v.play();")
    await watching.wait("p.state === 'ended'")
    end = await watching.state()
    assert end["error"] is None
    assert [e["type"] for e in end["log"] if e["type"] == "error"] == []
    assert watching.problems == []


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_hole_in_the_recording_is_played_over(browser: Browser, stage: Playing, engine: str) -> None:
    """Number 2 is lost in every rendition, and one more segment in the lower rung alone."""
    names = ("source", "180p", "a0")
    video = await recorded(stage, lacks=(*((name, 2) for name in names), ("180p", 5)))
    watching = await watch(browser, await stage.serve(), video, engine)
    await watching.wait("p.firstFrameMs !== null")
    await watching.do("v.muted = true; v.playbackRate = 4; await v.play();")
    await watching.wait("p.state === 'ended'")
    end = await watching.state()
    assert end["error"] is None
    assert abs(end["time"] - 14.0) < 0.15
    assert watching.problems == []
