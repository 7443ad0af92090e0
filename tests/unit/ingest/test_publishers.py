"""The publishers of the tests themselves: each program really publishes, and its picture can be read."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from tests.clock_picture import clock_ms, draw_row, read_row
from tests.playing import until
from tests.publishers import KINDS, Kind, Target, missing, publisher
from tests.unit.ingest.peers import Memory, OpenDoor
from tests.whip_stage import serving

from fastpix_server.edge import whip as whip_routes
from fastpix_server.engine import binaries
from fastpix_server.ingest import certificate, nal
from fastpix_server.ingest.h264 import parse_record
from fastpix_server.ingest.rtmp_server import RtmpLimits, RtmpServer
from fastpix_server.ingest.whip import Whip

pytestmark = pytest.mark.timeout(170)

RTMP_KINDS: tuple[Kind, ...] = ("rtmp", "rtmps", "gst-rtmp", "gst-rtmp2")
WHIP_KINDS: tuple[Kind, ...] = ("whip", "ffmpeg-whip")


def decoded(sink: Memory, folder: Path) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Brightness of all pictures that the sink got."""
    track = next(track for track in sink.tracks if track.kind == "video")
    record = parse_record(track.config)
    stream = b"".join(b"\0\0\0\1" + unit for unit in (*record.sps, *record.pps))
    stream += b"".join(nal.to_byte_stream(sample.data) for sample in sink.of("video"))
    (folder / "got.h264").write_bytes(stream)
    command = [binaries.ffmpeg(), "-v", "error", "-i", str(folder / "got.h264"), "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "gray", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    size = track.width * track.height
    return [
        np.frombuffer(raw, np.uint8, size, at).reshape(track.height, track.width) for at in range(0, len(raw), size)
    ]


def check(sink: Memory, folder: Path) -> None:
    pictures = decoded(sink, folder)
    assert len(pictures) == len(sink.of("video"))
    numbers = [read_row(picture, 1) for picture in pictures]
    assert numbers == sorted(numbers)
    assert numbers[-1] - numbers[0] >= 40
    # The clock in the last picture is seconds old at most, not minutes: it is a clock.
    assert 0 <= (clock_ms() - read_row(pictures[-1], 0)) % 2**32 < 60_000
    assert sink.of("audio")


def test_what_is_drawn_can_be_read_even_small_and_noisy() -> None:
    luma = np.full((360, 640), 100, np.uint8)
    draw_row(luma, 0, 0xDEADBEEF)
    draw_row(luma, 1, 7)
    small = luma[::2, ::2].astype(np.int16) + np.random.default_rng(1).integers(-40, 40, (180, 320))
    small = small.clip(0, 255).astype(np.uint8)
    assert (read_row(small, 0), read_row(small, 1)) == (0xDEADBEEF, 7)


@pytest.mark.parametrize("kind", RTMP_KINDS)
async def test_a_publisher_of_rtmp_sends_pictures_with_a_clock(kind: Kind, tmp_path: Path) -> None:
    if lacking := missing(kind):
        pytest.skip(f"{lacking} is not installed")
    door = OpenDoor()
    server = RtmpServer(door, RtmpLimits())
    secure = certificate.server_context(*certificate.ensure_self_signed(tmp_path, ["localhost"]))
    port = await server.start("127.0.0.1", 0, secure if kind == "rtmps" else None)
    scheme = "rtmps" if kind == "rtmps" else "rtmp"
    url = f"{scheme}://127.0.0.1:{port}/live/key"
    try:
        with publisher(kind, Target(rtmp=url, rtmps=url)) as publishing:
            await until(lambda: "key" in door.sinks and len(door.sinks["key"].of("video")) > 60, 90)
            assert publishing.is_running
            await asyncio.to_thread(publishing.stop)
            await until(lambda: door.sinks["key"].ends, 60)
            assert not publishing.is_running
    finally:
        await server.close()
    check(door.sinks["key"], tmp_path)


@pytest.mark.parametrize("kind", WHIP_KINDS)
async def test_a_publisher_of_whip_sends_pictures_with_a_clock(kind: Kind, tmp_path: Path) -> None:
    if lacking := missing(kind):
        pytest.skip(f"{lacking} is not installed")
    door = OpenDoor()
    whip = Whip(door)
    async with serving(Starlette(routes=whip_routes.routes(whip))) as base:
        try:
            with publisher(kind, Target(whip=f"{base}/whip/key")) as publishing:
                try:
                    await until(lambda: "key" in door.sinks and len(door.sinks["key"].of("video")) > 60, 90)
                except TimeoutError:
                    raise AssertionError(publishing.log()) from None
                await asyncio.to_thread(publishing.stop)
                await until(lambda: door.sinks["key"].ends, 60)
                assert door.sinks["key"].ends == ["unpublish"]
        finally:
            await whip.close()
    check(door.sinks["key"], tmp_path)


async def test_a_killed_publisher_says_no_goodbye(tmp_path: Path) -> None:
    door = OpenDoor()
    server = RtmpServer(door, RtmpLimits())
    port = await server.start("127.0.0.1", 0)
    try:
        with publisher("rtmp", Target(rtmp=f"rtmp://127.0.0.1:{port}/live/key")) as publishing:
            await until(lambda: "key" in door.sinks and door.sinks["key"].of("video"), 60)
            publishing.kill()
            await until(lambda: door.sinks["key"].ends, 60)
            assert door.sinks["key"].ends != ["unpublish"]
    finally:
        await server.close()


def test_every_kind_can_be_made() -> None:
    for kind in KINDS:
        made = publisher(kind, Target(rtmp="rtmp://h/live/k", rtmps="rtmps://h/live/k", whip="http://h/whip/k"))
        assert made is not None
