"""beacon.js in a real Chromium over a bare <video>, hls.js and Shaka Player: what it says is what happened."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from tests import footage
from tests.beacon_recorder import Event, Recorder, view_of
from tests.playing import until

from fastpix_server.edge import beacon_script, player

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]

KEYS = {"wsid", "veid", "vesqnu", "plsqnu", "bedn", "plphti", "vitp", "evna", "vdid", "plinid"}
OF_REQUESTS = {"rqty", "rqur", "rqhn", "rqevty", "rqst", "rqrpst", "rqrped", "rqbyld", "rqercd", "rqer"}
DURATION_MS = 8000
ENGINES = ("bare", "hls", "shaka")

_PAGE = """<!doctype html><html lang="en"><video id="v" muted width="320" height="180"></video>
<script src="/hls.min.js"></script><script src="/shaka-player.js"></script><script src="/beacon.js"></script>
<script>
const video = document.querySelector("#v");
const options = { workspaceKey: "wskey123", videoTitle: "A film", videoId: "film-1", viewerId: "u1", custom1: "blue",
  sampleRate: 1, ...(%options%) };
async function open_(url) {
  const engines = {};
  const engine = "%engine%";
  if (engine === "hls") { engines.hls = window.hls = new Hls(); hls.attachMedia(video); }
  if (engine === "shaka") { engines.shaka = new shaka.Player(); await engines.shaka.attach(video); }
  window.monitor = fastpixBeacon.watch(video, options, engines);
  if (engine === "hls") hls.loadSource(url);
  else if (engine === "shaka") await engines.shaka.load(url).catch(() => {});
  else video.src = url;
}
open_("%url%");
</script></html>"""


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One film of eight seconds, whole and in segments of two."""
    folder = tmp_path_factory.mktemp("films")
    plain = footage.make("plain")
    shutil.copy(plain, folder / "film.mp4")
    common = ("-i", str(plain), "-map", "0:v", "-c", "copy", "-t", "8")
    footage.ffmpeg(*common, "-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod",
                   "-master_pl_name", "film.m3u8", str(folder / "media.m3u8"))  # fmt: skip
    footage.ffmpeg(*common, "-f", "dash", "-seg_duration", "2", str(folder / "film.mpd"))
    shutil.copy(player.WEB / "vendor" / "hls.min.js", folder)
    shutil.copy(player.WEB / "vendor" / "shaka-player.js", folder)
    (folder / "beacon.js").write_bytes(beacon_script.source())
    return folder


@pytest_asyncio.fixture(loop_scope="session")
async def recorder(films: Path) -> AsyncIterator[Recorder]:
    made = Recorder(films)
    await made.start()
    yield made
    await made.close()


async def watch(browser: Browser, recorder: Recorder, engine: str = "bare", url: str = "", options: str = "{}") -> Page:
    url = url or {"bare": "/film.mp4", "hls": "/film.m3u8", "shaka": "/film.mpd"}[engine] + "?token=secret"
    text = _PAGE
    for hole, value in {"%options%": options, "%engine%": engine, "%url%": url}.items():
        text = text.replace(hole, value)
    recorder.pages[engine] = text
    page = await browser.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the page noticed: {error}"))
    await page.goto(f"{recorder.base}/pages/{engine}?utm=mail&token=secret")
    return page


async def said(recorder: Recorder, name: str, count: int = 1) -> list[Event]:
    try:
        await until(lambda: len(recorder.named(name)) >= count, 60)
    except TimeoutError:
        raise AssertionError(f"no {name}: {[e['evna'] for e in recorder.events]}") from None
    return recorder.named(name)


async def leave(page: Page, recorder: Recorder) -> Event:
    """Closes the page as a viewer does; the view as it was reported."""
    fault = await page.evaluate("() => String(window.monitor?.fault)")
    assert fault == "undefined"
    await page.goto("about:blank")
    last = (await said(recorder, "viewCompleted"))[-1]
    return view_of([event for event in recorder.events if event["veid"] == last["veid"]])


async def play(page: Page, until_s: float) -> None:
    await page.evaluate("() => video.play()")
    await page.wait_for_function(f"() => video.currentTime >= {until_s} || video.ended", timeout=60_000)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_whole_view_is_reported(browser: Browser, recorder: Recorder, engine: str) -> None:
    page = await watch(browser, recorder, engine)
    await page.wait_for_function("() => video.readyState >= 3")
    assert await page.evaluate("() => monitor.sender.queue.length") > 0  # a preload waits for the ten seconds
    await play(page, 99)
    await said(recorder, "ended")
    view = await leave(page, recorder)

    # Requests are such as the endpoint takes.
    assert {h["Content-Type"].lower() for h in recorder.headers} == {"text/plain;charset=utf-8"}  # never a preflight
    for batch in recorder.batches:
        assert isinstance(batch["metadata"]["transmission_timestamp"], int)
        assert 0 < len(batch["events"]) <= 200
    events = [event for event in recorder.events if event["veid"] == view["veid"]]
    names = [event["evna"] for event in events]
    assert [event["vesqnu"] for event in events] == list(range(1, len(events) + 1))
    assert names[0] == "playerReady"
    story = [n for n in names if n in ("viewBegin", "play", "playing", "pause", "ended", "viewCompleted")]
    assert story[:3] == ["viewBegin", "play", "playing"]
    assert story[-3:] == ["pause", "ended", "viewCompleted"]
    assert (view["wsid"], view["vdtt"], view["vdid"], view["viid"], view["cm1"]) == (
        "wskey123", "A film", "film-1", "u1", "blue"
    )  # fmt: skip
    assert view["vest"] == events[names.index("viewBegin")]["vest"]
    assert abs(view["vemaphps"] - DURATION_MS) < 300
    assert abs(view["vectpbti"] - DURATION_MS) < 600
    # It played at the normal speed: what was watched is what was played, startup, and stops of a busy machine.
    rest = view["vewati"] - view["vetitofifr"] - view["verbdu"]
    assert DURATION_MS - 600 < rest < DURATION_MS + 5000
    assert view["vesedu"] == view["veseco"] == 0
    assert (view["vdsowt"], view["vdsoht"], view["plwt"], view["plht"]) == (640, 360, 320, 180)
    assert view["vemadopg"] == 0.5  # half as large as the picture
    assert abs(view["vetldg"] / view["vetlctpbti"] - 0.5) < 0.01
    assert view["vetlug"] == view["vemauppg"] == 0
    if engine != "bare":
        assert view["verqco"] == names.count("requestCompleted") >= 5
        assert view["vdsobi"] > 0
        assert "variantChanged" in names
        media = [e for e in events if e["evna"] == "requestCompleted" and e["rqty"] == "media"]
        assert all(e["rqst"] <= e["rqrpst"] <= e["rqrped"] and e["rqbyld"] > 0 for e in media)
    assert "secret" not in str(recorder.batches)
    assert view["vdsour"].startswith(recorder.base)
    assert "utm=mail" in view["paur"]


async def test_an_event_says_only_what_changed_and_some_say_all(browser: Browser, recorder: Recorder) -> None:
    page = await watch(browser, recorder, "hls")
    await play(page, 3)
    await leave(page, recorder)
    state: Event = {}
    for event in recorder.events:
        assert {key for key in KEYS if key != "vdid"} <= set(event)
        is_whole = event["evna"] in ("playerReady", "viewBegin", "viewCompleted")
        repeated = {k for k, v in event.items() if k in state and state[k] == v} - KEYS - OF_REQUESTS
        if is_whole:
            assert {"vdtt", "plfpsdna", "fpviid", "snid"} <= set(event)
        else:
            assert repeated == set()
        state.update(event)


async def test_a_stop_in_the_middle_is_rebuffering(browser: Browser, recorder: Recorder) -> None:
    recorder.held = {"media2.ts"}
    page = await watch(browser, recorder, "hls")
    await play(page, 3.5)
    await page.wait_for_function("() => monitor.isRebuffering", timeout=60_000)
    await page.wait_for_timeout(1200)
    recorder.gate.set()
    await page.wait_for_function("() => video.ended", timeout=60_000)
    view = await leave(page, recorder)
    events = recorder.events
    begins = [e["vitp"] for e in events if e["evna"] == "buffering"]
    ends = [e["vitp"] for e in events if e["evna"] == "buffered"]
    assert len(begins) == len(ends) == view["verbco"] >= 1
    span = sum(end - begin for begin, end in zip(begins, ends, strict=True))
    assert span >= 1000
    assert abs(view["verbdu"] - span) <= 50 * len(begins)
    assert abs(view["verbpg"] - view["verbdu"] / view["vewati"]) < 0.01


async def test_a_seek_is_counted_and_timed_and_its_jump_was_not_watched(browser: Browser, recorder: Recorder) -> None:
    page = await watch(browser, recorder)
    await play(page, 1)
    await page.evaluate("() => { video.currentTime = 6; }")
    await page.wait_for_function("() => video.ended", timeout=60_000)
    view = await leave(page, recorder)
    (seeking,), (seeked,) = recorder.named("seeking"), recorder.named("seeked")
    assert view["veseco"] == 1
    assert abs(view["vesedu"] - (seeked["vitp"] - seeking["vitp"])) <= 50
    assert view["vemaseti"] == pytest.approx(view["vesedu"], abs=50)
    assert 2200 < view["vectpbti"] < 4200
    assert view["verbco"] == 0


async def test_a_pause_is_not_watched(browser: Browser, recorder: Recorder) -> None:
    page = await watch(browser, recorder)
    await play(page, 1)
    await page.evaluate("() => video.pause()")
    before = await page.evaluate("() => { monitor.account(); return monitor.measures.watch; }")
    await page.wait_for_timeout(1500)
    assert await page.evaluate("() => { monitor.account(); return monitor.measures.watch; }") == before
    await play(page, 2)
    view = await leave(page, recorder)
    assert [e["evna"] for e in recorder.events].count("viewBegin") == 1
    assert view["vewati"] >= 1500


async def test_what_the_server_could_not_take_comes_again(browser: Browser, recorder: Recorder) -> None:
    recorder.statuses = [503, 429]
    page = await watch(browser, recorder)
    await play(page, 1)
    await said(recorder, "viewBegin")
    assert recorder.refused
    await leave(page, recorder)
    assert [e["vesqnu"] for e in recorder.events] == list(range(1, len(recorder.events) + 1))


async def test_what_was_given_up_is_made_good_by_the_next_event(browser: Browser, recorder: Recorder) -> None:
    recorder.statuses = [400]
    page = await watch(browser, recorder)
    await play(page, 1)
    await until(lambda: recorder.refused, 60)
    await page.evaluate("() => monitor.leaveForNow()")
    first = (await said(recorder, "pulse"))[0]
    begun = next(e for e in recorder.refused if e["evna"] == "viewBegin")
    told = view_of([e for e in recorder.events if e["vesqnu"] <= first["vesqnu"]])
    assert {k: told[k] for k in ("vest", "vdtt", "viid", "fpviid")} == {
        k: begun[k] for k in ("vest", "vdtt", "viid", "fpviid")
    }
    assert await page.evaluate("() => monitor.sender.lost") == len(recorder.refused)


async def test_a_page_that_is_left_sends_what_it_has(browser: Browser, recorder: Recorder) -> None:
    recorder.takes_beacons.clear()  # the first request does not come back while the page lives
    page = await watch(browser, recorder)
    await play(page, 1)
    await page.goto("about:blank")
    recorder.takes_beacons.set()
    await said(recorder, "viewCompleted")
    events = recorder.events
    assert [e["vesqnu"] for e in events] == list(range(1, len(events) + 1))


async def test_the_queue_has_an_end(browser: Browser, recorder: Recorder) -> None:
    recorder.takes_beacons.clear()
    page = await watch(browser, recorder)
    await play(page, 0.5)
    kept = await page.evaluate(
        """() => { for (let i = 0; i < 2000; i++) monitor.say("pulse");
             return [monitor.sender.queue.length, monitor.sender.queue.filter(e => e.evna === "playing").length]; }"""
    )
    assert kept == [600, 1]


async def test_a_video_that_cannot_be_played_is_an_error(browser: Browser, recorder: Recorder) -> None:
    page = await watch(browser, recorder, "hls", url="/missing.m3u8")
    await page.evaluate("() => { video.play().catch(() => {}); }")
    (error,) = await said(recorder, "error")
    assert error["plercd"] == "networkError"
    assert error["plerms"] == "manifestLoadError"
    (failed, *_) = recorder.named("requestFailed")
    assert failed["rqercd"] == 404
    view = await leave(page, recorder)
    assert "vetitofifr" not in view
    assert view["vest"]


async def test_another_video_in_the_same_player_is_another_view(browser: Browser, recorder: Recorder) -> None:
    page = await watch(browser, recorder)
    await play(page, 1)
    await page.evaluate("() => { monitor.change({ videoTitle: 'Another' }); video.src = '/film.mp4?2'; }")
    await play(page, 0.5)
    await leave(page, recorder)
    first, second = recorder.named("viewBegin")
    assert first["veid"] != second["veid"]
    assert (first["vdtt"], second["vdtt"]) == ("A film", "Another")
    assert first["fpviid"] == second["fpviid"]
    assert first["snid"] == second["snid"]
    assert "vdid" not in second
    assert second["plveco"] == 2
    assert len(recorder.named("viewCompleted")) == 2


async def test_without_the_wish_to_play_there_is_no_view(browser: Browser, recorder: Recorder) -> None:
    page = await watch(browser, recorder)
    await page.wait_for_function("() => video.readyState >= 1")
    await page.goto("about:blank")
    await said(recorder, "playerReady")
    assert recorder.named("viewBegin") == recorder.named("viewCompleted") == []


@pytest.mark.parametrize(("options", "check"), [
    ("{ sampleRate: 0 }", lambda r: r.batches == []),
    ("{ usesCookie: false }", lambda r: r.events != []),
])  # fmt: skip
async def test_sampling_and_cookies_can_be_declined(
    browser: Browser, recorder: Recorder, options: str, check: Callable[[Recorder], bool]
) -> None:
    page = await watch(browser, recorder, options=options)
    await play(page, 0.5)
    cookies: list[Any] = list(await page.context.cookies())
    await page.goto("about:blank")
    await page.wait_for_timeout(500)
    assert check(recorder)
    assert cookies == []
