"""With the guide's recipe Chromium publishes its fake camera over WHIP; what arrives is decodable and in step."""

import itertools
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import Browser
from tests.playing import until
from tests.whip_stage import Remembering, whip_stage

from fastpix_server.engine import binaries
from fastpix_server.ingest import nal
from fastpix_server.ingest.h264 import parse_record
from fastpix_server.ingest.model import CLOCK_HZ

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]


def decoded_frames(sink: Remembering, folder: Path) -> int:
    """How many pictures ffmpeg decodes without a complaint out of what the sink got."""
    record = parse_record(sink.tracks[0].config if sink.tracks[0].kind == "video" else sink.tracks[1].config)
    stream = b"".join(b"\0\0\0\1" + unit for unit in (*record.sps, *record.pps))
    stream += b"".join(nal.to_byte_stream(sample.data) for sample in sink.of("video"))
    (folder / "got.h264").write_bytes(stream)
    command = [binaries.ffmpeg(), "-v", "error", "-xerror", "-i", str(folder / "got.h264"), "-f", "framemd5", "-"]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    assert out.stderr == ""
    return sum(not line.startswith("#") for line in out.stdout.splitlines())


async def test_a_browser_publishes_its_camera_and_every_frame_is_whole(browser: Browser, tmp_path: Path) -> None:
    async with whip_stage() as stage:
        page = await browser.new_page()
        await page.goto(stage.base + "/page")
        await page.evaluate("go('/whip', 'key')")
        assert (await page.evaluate("state")).get("isPublishing"), await page.evaluate("state")
        sink = stage.door.sinks[0]
        await until(lambda: sum(s.is_key for s in sink.of("video")) >= 3 and len(sink.of("audio")) > 100, 60)
        video, audio = sink.of("video"), sink.of("audio")
        assert {track.codec for track in sink.tracks} == {"h264", "opus"}
        assert video[0].is_key
        assert video[0].dts <= audio[0].dts + CLOCK_HZ // 2
        assert [s.dts for s in video] == sorted({s.dts for s in video})
        # Opus frames of 20 ms, none missing, none doubled.
        assert {later.dts - former.dts for former, later in itertools.pairwise(audio)} == {CLOCK_HZ // 50}
        assert abs(video[-1].dts - audio[-1].dts) < CLOCK_HZ
        stats = stage.door.publishers[0].stats()
        assert stats["received_bytes"] > sum(len(s.data) for s in sink.samples) * 0.8
        assert stats["reordered_frames"] == 0
        assert decoded_frames(sink, tmp_path) == len(sink.of("video"))
        await page.evaluate("session.stop()")
        await until(lambda: sink.ends == ["unpublish"])
        assert stage.whip.session_count == 0


async def test_key_frames_come_every_two_seconds_because_we_ask(browser: Browser) -> None:
    async with whip_stage() as stage:
        page = await browser.new_page()
        await page.goto(stage.base + "/page")
        await page.evaluate("go('/whip', 'key')")
        sink = stage.door.sinks[0]
        await until(lambda: sum(s.is_key for s in sink.of("video")) >= 5, 60)
        keys = [s.dts for s in sink.of("video") if s.is_key]
        # A busy machine asks late, never early; without asking Chromium sends one per minute or more.
        assert (keys[-1] - keys[1]) / (len(keys) - 2) < 6 * CLOCK_HZ


async def test_a_browser_that_goes_away_ends_its_session(browser: Browser) -> None:
    async with whip_stage() as stage:
        page = await browser.new_page()
        await page.goto(stage.base + "/page")
        await page.evaluate("go('/whip', 'key')")
        sink = stage.door.sinks[0]
        await until(lambda: sink.of("video"), 60)
        await page.close()
        await until(lambda: sink.ends, 30)
        assert sink.ends[0] in ("eof", "idle", "disconnected")


async def test_a_kicked_browser_sees_its_connection_end(browser: Browser) -> None:
    async with whip_stage() as stage:
        page = await browser.new_page()
        await page.goto(stage.base + "/page")
        await page.evaluate("go('/whip', 'key')")
        sink = stage.door.sinks[0]
        await until(lambda: sink.of("video"), 60)
        stage.door.publishers[0].kick("disabled")
        assert sink.ends == ["disabled"]
        await page.wait_for_function("['closed', 'disconnected', 'failed'].includes(state.connection)", timeout=60_000)


async def test_the_recipe_says_why_it_was_refused(browser: Browser) -> None:
    async with whip_stage() as stage:
        page = await browser.new_page()
        await page.goto(stage.base + "/page")
        await page.evaluate("go('/whip', 'taken')")
        assert (await page.evaluate("state"))["error"] == "Error: Somebody is publishing to this stream already."
