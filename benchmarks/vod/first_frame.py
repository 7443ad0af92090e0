"""Page load to first frame in Chromium with hls.js, on a media that nobody has watched."""

import statistics

from playwright.sync_api import Browser, sync_playwright
from tests.browser.conftest import FLAGS, chromium

from benchmarks.running import Running
from benchmarks.table import Row
from benchmarks.vod.footage import lasting

ROUNDS = 5
_FIRST_FRAME_MS = """() => new Promise(done => {
  const video = document.querySelector('video');
  video.muted = true;
  video.requestVideoFrameCallback(() => done(performance.now()));
  video.play().catch(() => {});
})"""


def _first_frame_s(browser: Browser, url: str) -> float:
    page = browser.new_page()
    page.goto(url, wait_until="commit")
    page.wait_for_selector("video", state="attached")
    taken_ms = float(page.evaluate(_FIRST_FRAME_MS))
    page.close()
    return taken_ms / 1000


def rows(running: Running) -> list[Row]:
    times = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        for _ in range(ROUNDS):
            media_id, playback_id, _ = running.upload(lasting(600))
            times.append(_first_frame_s(browser, f"{running.base_url}/play/{playback_id}"))
            running.delete(media_id)
        browser.close()
    median_s = statistics.median(times)
    return [
        Row(
            "page load to first frame, hls.js, cold media",
            f"{median_s:.2f} s (min {min(times):.2f}, max {max(times):.2f})",
            aim="< 1.2 s",
            met=median_s < 1.2,
        )
    ]
