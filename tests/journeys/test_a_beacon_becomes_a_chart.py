"""Journey 3 of the design: what players say comes back from the API, exact to the view; also from our own page."""

# The calls of one test that drives a browser may block: nothing else runs in its loop.
# ruff: noqa: ASYNC210, ASYNC212

import json
import random
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import async_playwright
from tests import footage
from tests.browser.conftest import FLAGS, chromium
from tests.running_platform import RunningPlatform

pytestmark = pytest.mark.timeout(300)

AGENTS = {
    "Chrome": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0"
    " Safari/537.36",
    "Firefox": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}
TITLES = ("The mill", "A walk", "Snow")
SEEN_WITHIN_S = 120


class Views:
    """Views with known numbers, and the beacons that tell them: a batch per view and phase, as players send."""

    def __init__(self, key: str, seed: int, count: int) -> None:
        chance = random.Random(seed)
        self.run = uuid.uuid4().hex[:8]
        self.told: list[dict[str, Any]] = []
        self.requests: list[tuple[str, list[dict[str, Any]]]] = []
        now_ms = int(time.time() * 1000)
        for index in range(count):
            view = {
                "id": str(uuid.uuid4()),
                "title": f"{chance.choice(TITLES)} {self.run}",
                "viewer": f"viewer-{chance.randrange(8)}-{self.run}",
                "browser": chance.choice(tuple(AGENTS)),
                "startup": chance.randrange(100, 4000),
                "watch": chance.randrange(20_000, 90_000),
                "stops": chance.randrange(3),
                "fails": index % 6 == 0,
            }
            view["stopped"] = view["stops"] * chance.randrange(100, 900)
            self.told.append(view)
            self._tell(view, key, now_ms - view["watch"] - chance.randrange(1000, 60_000))
        chance.shuffle(self.requests)

    def _tell(self, view: dict[str, Any], key: str, start_ms: int) -> None:
        own = {"wsid": key, "veid": view["id"], "vdid": view["title"], "plinid": view["id"], "bedn": "example"}
        state = {"vest": start_ms, "vdtt": view["title"], "viid": view["viewer"], "cm1": self.run}
        done = {"vewati": view["watch"], "verbco": view["stops"], "verbdu": view["stopped"]}
        end = ("error", {"plercd": "networkError", "plerms": "fragLoadError"}) if view["fails"] else ("ended", {})
        phases: list[list[tuple[str, int, dict[str, Any]]]] = [
            [("viewBegin", 0, state), ("play", 1, {})],
            [("playing", view["startup"], {"vetitofifr": view["startup"], "vewati": view["startup"]})],
            [("pulse", 10_000, {"vewati": 10_000, "vectpbti": 8000})],
            [(end[0], view["watch"], {**end[1], **done}), ("viewCompleted", view["watch"], {**state, **done})],
        ]
        sequence = 0
        for phase in phases:
            events = []
            for name, after_ms, fields in phase:
                sequence += 1
                numbers = {"vesqnu": sequence, "plsqnu": sequence, "vitp": start_ms + after_ms, "plphti": after_ms}
                events.append({**own, **numbers, "evna": name, **fields})
            self.requests.append((view["browser"], events))

    def playing_time(self) -> int:
        return sum(view["watch"] - view["startup"] - view["stopped"] for view in self.told)

    def counted(self, what: str) -> dict[str, int]:
        return dict(Counter(view[what] for view in self.told))


def send(client: httpx.Client, browser: str, events: list[dict[str, Any]]) -> None:
    body = json.dumps({"metadata": {"transmission_timestamp": int(time.time() * 1000)}, "events": events})
    answer = client.post("/", content=body, headers={"Content-Type": "text/plain", "User-Agent": AGENTS[browser]})
    assert answer.status_code == 200, answer.text


def until(api: httpx.Client, path: str, is_there: Any, **params: Any) -> dict[str, Any]:
    end = time.monotonic() + SEEN_WITHIN_S
    while True:
        answer = api.get(path, params=params)
        if answer.status_code == 200 and is_there(answer.json()):
            return dict(answer.json())
        assert time.monotonic() < end, answer.text
        time.sleep(0.2)


@pytest.fixture
def api(platform: RunningPlatform) -> Any:
    auth = (platform.username, platform.password)
    with httpx.Client(base_url=f"{platform.base_url}/v1", auth=auth, timeout=60) as client:
        yield client


def test_a_population_comes_back_exact(platform: RunningPlatform, api: httpx.Client) -> None:
    views = Views(platform.credentials["workspaceKey"], seed=5, count=24)
    ours = {"filterby[]": f"custom_1:{views.run}", "timespan[]": "60:minutes"}
    with httpx.Client(base_url=platform.base_url, timeout=60) as players:
        for position, (browser, events) in enumerate(views.requests):
            send(players, browser, events)
            if position % 3 == 0:  # a player that did not hear our answer says it again
                send(players, browser, events)
    until(
        api, "/data/metrics/playing_time/overall", lambda a: a["data"]["totalPlayTime"] == views.playing_time(), **ours
    )

    overall = api.get("/data/metrics/playing_time/overall", params={**ours, "measurement": "sum"}).json()["data"]
    assert overall["value"] == overall["totalPlayTime"] == views.playing_time()
    assert overall["totalViews"] == 24
    assert overall["uniqueViews"] == len({view["viewer"] for view in views.told})
    assert overall["totalWatchTime"] == sum(view["watch"] for view in views.told)

    failed = sum(view["fails"] for view in views.told)
    share = api.get("/data/metrics/playback_failure_percentage/overall", params=ours).json()["data"]["value"]
    assert share == pytest.approx(failed / 24)
    startup = api.get("/data/metrics/video_startup_time/overall", params=ours).json()["data"]["value"]
    assert startup == pytest.approx(sum(view["startup"] for view in views.told) / 24)

    titles = api.get("/data/metrics/views/breakdown", params={**ours, "groupBy": "video_title"}).json()["data"]
    assert {row["field"]: row["views"] for row in titles} == views.counted("title")
    browsers = api.get("/data/metrics/views/breakdown", params={**ours, "groupBy": "browser_name"}).json()["data"]
    assert {row["field"]: row["views"] for row in browsers} == views.counted("browser")
    series = api.get("/data/metrics/views/timeseries", params=ours).json()["data"]
    assert sum(point["numberOfViews"] for point in series) == 24
    listed = api.get("/data/viewlist", params={**ours, "limit": 50}).json()
    assert {row["viewId"] for row in listed["data"]} == {view["id"] for view in views.told}
    errors = api.get("/data/errors", params={**ours, "limit": 5}).json()["data"]
    assert [(row["code"], row["count"]) for row in errors["errors"]] == [("networkError", failed)]
    lines = api.get("/data/export/views", params=ours).text.splitlines()
    assert len(lines) == 1 + 24


async def test_who_watches_one_video_on_our_page_sees_it_in_the_numbers(
    platform: RunningPlatform, api: httpx.Client
) -> None:
    path = chromium()
    if path is None:
        pytest.skip("NO CHROMIUM: THE BROWSER TESTS ARE SKIPPED. Install the package chromium to run them.")
    body = {"corsOrigin": "*", "pushMediaSettings": {"accessPolicy": "public", "title": "My first video"}}
    upload = api.post("/on-demand/upload", json=body).json()["data"]
    film: Path = footage.make("plain")
    httpx.put(upload["url"], content=film.read_bytes(), timeout=60).raise_for_status()
    found = until(api, f"/on-demand/{upload['uploadId']}", lambda a: a["data"]["status"] == "Ready")["data"]
    playback_id = found["playbackIds"][0]["id"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = await browser.new_page()
        await page.goto(f"{platform.base_url}/play/{playback_id}")
        await page.wait_for_function("() => window.fastpixPlayer?.monitor", timeout=60_000)
        await page.evaluate("() => { const v = fastpixPlayer.video; v.muted = true; return v.play(); }")
        await page.wait_for_function("() => fastpixPlayer.video.ended", timeout=120_000)
        watched = await page.evaluate("() => fastpixPlayer.monitor.measures.watch")
        await page.goto("about:blank")
        await browser.close()

    ours = {"filterby[]": f"fp_playback_id:{playback_id}", "timespan[]": "60:minutes"}
    listed = until(api, "/data/viewlist", lambda a: a["data"] and a["data"][0]["viewEndTime"], **ours)
    [row] = listed["data"]
    assert "Chrome" in row["application"]
    assert row["errorCode"] is None
    assert row["viewWatchTime"] == pytest.approx(watched, abs=500)
    view = api.get(f"/data/viewlist/{row['viewId']}").json()["data"]
    assert view["mediaId"] == found["id"]
    assert view["fpPlaybackId"] == playback_id
    assert view["playerSoftwareName"] == "hls.js"
    assert view["videoStartupTime"] > 0
    names = [event["e"] for event in view["events"]]
    assert {"viewBegin", "playing", "ended", "viewCompleted"} <= set(names)
