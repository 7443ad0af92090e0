"""How the page keeps a live viewer near the edge (`play-edge.js`), with a video and a clock of our own: no time passes.

That real engines do so in a real browser is shown in test_live.py.
"""

import json
from typing import Any

import pytest
from playwright.async_api import Browser

from fastpix_server.edge import player

pytestmark = pytest.mark.browser

# A viewer who wants to be 1 s behind an edge that moves with the clock; all that was made is loaded.
STAGE = """
class Video extends EventTarget {
  paused = false; seeking = false; ended = false; loadedS = Infinity; timeS = 0;
  get currentTime() { return this.timeS; }
  set currentTime(toS) { this.timeS = toS; this.tell('seeking'); }
  get buffered() { return {length: 1, start: () => 0, end: () => Math.min(this.loadedS, world.edgeS)}; }
  tell(type) { this.dispatchEvent(new Event(type)); }
}
const world = {edgeS: 100, goesOn: true, hurries: false, nowMs: 0};
const video = new Video(), jumps = [], told = [];
const edge = new FastpixEdge(video, {
  goalS: () => world.edgeS - 1 - edge.reserveS,
  setReserve: s => told.push(s),
  setChosen: is => told.push(is),
}, {mayJump: true, onJump: (fromS, toS) => jumps.push([world.nowMs / 1000, fromS, toS]), now: () => world.nowMs});
clearInterval(edge.timer);
video.timeS = 99;
video.tell('playing');
// Seconds pass in quarters. `plays`: whether the picture moves. An engine that hurries makes up for a little.
function pass(seconds, plays = 1) {
  for (let quarter = 0; quarter < 4 * seconds; quarter++) {
    world.nowMs += 250;
    if (world.goesOn) world.edgeS += 0.25;
    const rate = world.hurries && !edge.isChosen && edge.lateS() > 0 ? 1.2 : 1;
    if (!video.paused) video.timeS += 0.25 * plays * rate;
    if (plays && !video.paused) video.tell('timeupdate');
    edge.look();
  }
}
function stall(seconds) { video.tell('waiting'); pass(seconds, 0); pass(1); }
pass(1);
const seen = () => ({jumps: jumps.length, lateS: edge.lateS(), reserveS: edge.reserveS, isChosen: edge.isChosen, told});
"""


async def after(browser: Browser, *steps: str) -> list[dict[str, Any]]:
    """What is seen behind each step."""
    page = await browser.new_page()
    await page.add_script_tag(content=(player.WEB / "play-edge.js").read_text())
    script = STAGE + "const all = [];" + "".join(f"{{{step};}} all.push(structuredClone(seen()));" for step in steps)
    return list(json.loads(await page.evaluate(f"() => {{ {script} return JSON.stringify(all); }}")))


async def test_who_stalled_jumps_to_the_edge_when_what_lies_between_is_loaded(browser: Browser) -> None:
    short, unloaded, loaded = await after(
        browser,
        "video.tell('waiting'); pass(1, 0); video.currentTime += 0.1; pass(1, 0); pass(1)",
        "video.loadedS = world.edgeS; stall(6); pass(2)",
        "video.loadedS = Infinity; pass(1)",
    )
    assert (short["jumps"], short["reserveS"], round(short["lateS"], 1)) == (0, 1, 0.9), (
        "of two seconds one is the larger reserve"
    )
    assert (unloaded["jumps"], round(unloaded["lateS"], 1)) == (0, 5.9)
    assert (loaded["jumps"], loaded["lateS"]) == (1, 0.0)


async def test_a_line_that_stalls_again_and_again_gets_a_reserve_and_few_jumps_until_it_is_calm(
    browser: Browser,
) -> None:
    often, never, later, calm = await after(
        browser,
        "for (let n = 0; n < 3; n++) stall(5)",
        "stall(5); pass(5)",
        "pass(60)",
        "world.hurries = true; pass(400)",
    )
    assert (often["jumps"], often["reserveS"]) == (3, 3)
    assert (never["jumps"], never["reserveS"], never["lateS"]) == (3, 4, 4.0), (
        "a fourth within the minute costs too much"
    )
    assert later["jumps"] == 4, "the minute is over"
    assert (calm["jumps"], calm["reserveS"]) == (4, 0), "each calm minute takes a second away"
    assert calm["told"] == [1, 2, 3, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("how", ["video.currentTime = 90", "video.paused = true; video.tell('pause'); pass(10)"])
async def test_who_goes_back_or_pauses_is_left_there_until_they_return(browser: Browser, how: str) -> None:
    there, stalled, back, again = await after(
        browser,
        f"{how}; video.paused = false; pass(30)",
        "stall(5)",
        "edge.goLive(); pass(1)",
        "stall(8)",
    )
    assert there["isChosen"]
    assert there["lateS"] >= 9
    assert (there["jumps"], there["told"]) == (0, [True])
    assert (stalled["jumps"], stalled["reserveS"]) == (0, 0)
    assert (back["isChosen"], back["lateS"]) == (False, 0.0)
    assert again["jumps"] == 1, "it counts for one stretch of lateness only"


async def test_a_stream_that_stands_still_is_not_the_lines_fault(browser: Browser) -> None:
    [seen] = await after(browser, "world.goesOn = false; stall(20); world.goesOn = true; pass(10)")
    assert (seen["jumps"], seen["told"]) == (0, [])
