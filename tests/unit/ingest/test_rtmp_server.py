"""Real publishers on a real port: what they send arrives whole, and what is refused they see as an error."""

import asyncio
import ssl
from pathlib import Path

import pytest
from tests.footage import FFMPEG
from tests.unit.ingest import peers
from tests.unit.ingest.peers import Memory, OpenDoor

from fastpix_server.ingest import certificate
from fastpix_server.ingest.model import CLOCK_HZ, Refused
from fastpix_server.ingest.rtmp_server import RtmpLimits, RtmpServer

HOST = "127.0.0.1"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return peers.footage(tmp_path_factory.mktemp("rtmp"), "clip.mp4", *peers.H264, *peers.AAC)


def assert_same_as_source(sink: Memory, source: Path) -> None:
    """Every packet of the source arrived once, in order, at its time to the millisecond."""
    for kind in ("video", "audio"):
        sent = peers.packets(source, kind[0])
        got = sink.of(kind)
        assert len(got) == len(sent)
        dts = [sample.dts for sample in got]
        assert dts == sorted(set(dts))
        offset_s = got[0].dts / CLOCK_HZ - float(sent[0]["dts_time"])
        for sample, packet in zip(got, sent, strict=True):
            assert sample.dts / CLOCK_HZ - float(packet["dts_time"]) == pytest.approx(offset_s, abs=0.0021)
            cts_s = float(packet["pts_time"]) - float(packet["dts_time"])
            assert sample.cts / CLOCK_HZ == pytest.approx(cts_s, abs=0.0021)
            assert len(sample.data) == int(packet["size"])
            if kind == "video":
                assert sample.is_key == ("K" in packet["flags"])


async def test_no_sample_of_an_h264_and_aac_publisher_with_b_frames_is_lost(
    server: RtmpServer, door: OpenDoor, clip: Path
) -> None:
    port = await server.start(HOST, 0)
    code, said = await peers.push(clip, f"rtmp://{HOST}:{port}/live/key1")
    assert (code, said) == (0, "")
    sink = door.sinks["key1"]
    await asyncio.wait_for(sink.ended.wait(), peers.WAIT_S)
    assert sink.ends == ["unpublish"]
    assert [(t.codec, t.width, t.height, t.sample_rate_hz, t.channels) for t in sink.tracks] == [
        ("h264", 320, 180, 0, 0),
        ("aac", 0, 0, 48000, 2),
    ]
    assert_same_as_source(sink, clip)
    assert door.requests[0].protocol == "rtmp"
    assert door.publishers["key1"].stats()["received_bytes"] > clip.stat().st_size / 2


async def test_rtmps_is_the_same_behind_tls(server: RtmpServer, door: OpenDoor, clip: Path, tmp_path: Path) -> None:
    pair = certificate.ensure_self_signed(tmp_path, ["localhost", HOST])
    port = await server.start(HOST, 0, certificate.server_context(*pair))
    checked = ("-c", "copy", "-tls_verify", "1", "-ca_file", str(pair[0]))
    code, said = await peers.push(clip, f"rtmps://{HOST}:{port}/live/key1", *checked)
    assert (code, said) == (0, "")
    await asyncio.wait_for(door.sinks["key1"].ended.wait(), peers.WAIT_S)
    assert_same_as_source(door.sinks["key1"], clip)
    assert door.requests[0].protocol == "rtmps"


async def test_hevc_comes_through_by_enhanced_rtmp(server: RtmpServer, door: OpenDoor, tmp_path: Path) -> None:
    clip = peers.footage(tmp_path, "clip.mp4", *peers.HEVC, *peers.AAC)
    port = await server.start(HOST, 0)
    code, said = await peers.push(clip, f"rtmp://{HOST}:{port}/live/key1")
    assert code == 0, said
    sink = door.sinks["key1"]
    await asyncio.wait_for(sink.ended.wait(), peers.WAIT_S)
    assert {(t.codec, t.width, t.height) for t in sink.tracks} == {("hevc", 320, 180), ("aac", 0, 0)}
    assert_same_as_source(sink, clip)


async def test_av1_and_opus_come_through_by_enhanced_rtmp(server: RtmpServer, door: OpenDoor, tmp_path: Path) -> None:
    av1 = ("-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-svtav1-params", "pred-struct=1", "-pix_fmt", "yuv420p")
    clip = peers.footage(tmp_path, "clip.mp4", *av1, "-c:a", "libopus", "-ac", "2")
    port = await server.start(HOST, 0)
    code, said = await peers.push(clip, f"rtmp://{HOST}:{port}/live/key1")
    assert code == 0, said
    sink = door.sinks["key1"]
    await asyncio.wait_for(sink.ended.wait(), peers.WAIT_S)
    assert {(t.codec, t.width, t.height, t.channels) for t in sink.tracks} == {("av1", 320, 180, 0), ("opus", 0, 0, 2)}
    assert len(sink.of("video")) == len(peers.packets(clip, "v"))
    assert len(sink.of("audio")) == len(peers.packets(clip, "a"))


@pytest.mark.parametrize("reason", ["unknown_key", "disabled", "busy", "unavailable"])
async def test_a_refused_publisher_sees_an_error(server: RtmpServer, door: OpenDoor, clip: Path, reason: str) -> None:
    door.refusals["key1"] = Refused(reason)  # type: ignore[arg-type]
    port = await server.start(HOST, 0)
    code, said = await peers.push(clip, f"rtmp://{HOST}:{port}/live/key1")
    assert code != 0
    assert "Server error" in said
    assert not door.sinks


async def test_a_key_that_is_publishing_is_refused_and_the_first_publisher_goes_on(
    server: RtmpServer, door: OpenDoor, clip: Path
) -> None:
    port = await server.start(HOST, 0)
    url = f"rtmp://{HOST}:{port}/live/key1"
    first = asyncio.create_task(
        peers.run(FFMPEG, "-v", "error", "-re", "-i", str(clip), "-c", "copy", "-f", "flv", url)
    )
    await peers.until(lambda: door.sinks and door.sinks["key1"].samples, "the first publisher")
    code, said = await peers.push(clip, url)
    assert code != 0
    assert "already being published" in said
    assert (await first) == (0, "")
    await asyncio.wait_for(door.sinks["key1"].ended.wait(), peers.WAIT_S)
    assert_same_as_source(door.sinks["key1"], clip)


async def test_another_app_than_live_is_refused(server: RtmpServer, door: OpenDoor, clip: Path) -> None:
    port = await server.start(HOST, 0)
    code, _ = await peers.push(clip, f"rtmp://{HOST}:{port}/vod/key1")
    assert code != 0
    assert not door.requests


async def test_a_player_is_told_that_nothing_is_played_here(server: RtmpServer) -> None:
    port = await server.start(HOST, 0)
    code, _ = await peers.run(FFMPEG, "-v", "error", "-i", f"rtmp://{HOST}:{port}/live/key1", "-f", "null", "-")
    assert code != 0


async def test_a_kicked_publisher_ends_and_its_sink_hears_it_once(
    server: RtmpServer, door: OpenDoor, clip: Path
) -> None:
    port = await server.start(HOST, 0)
    url = f"rtmp://{HOST}:{port}/live/key1"
    loop = ("-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy", "-f", "flv", url)
    publisher = asyncio.create_task(peers.run(FFMPEG, "-v", "error", *loop))
    await peers.until(lambda: door.sinks and door.sinks["key1"].samples, "the publisher")
    door.publishers["key1"].kick("disabled")
    code, _ = await publisher
    assert code != 0
    assert door.sinks["key1"].ends == ["disabled"]
    await peers.until(lambda: server.connections == 0)


GSTREAMER = (
    "videotestsrc num-buffers=75 ! video/x-raw,width=320,height=180,framerate=25/1 ! "
    "x264enc speed-preset=ultrafast bframes=2 key-int-max=25 ! h264parse ! flvmux name=m streamable=true ! {sink} "
    "audiotestsrc num-buffers=140 ! audio/x-raw,rate=48000 ! voaacenc ! aacparse ! m."
)


@pytest.mark.parametrize("sink", ["rtmpsink", "rtmp2sink"])
async def test_gstreamer_publishes(server: RtmpServer, door: OpenDoor, sink: str) -> None:
    port = await server.start(HOST, 0)
    line = GSTREAMER.format(sink=f"{sink} location=rtmp://{HOST}:{port}/live/key1")
    code, said = await peers.run("gst-launch-1.0", "-q", *line.split())
    assert code == 0, said
    memory = door.sinks["key1"]
    await asyncio.wait_for(memory.ended.wait(), peers.WAIT_S)
    assert len(memory.of("video")) == 75
    assert len(memory.of("audio")) >= 130
    assert {(t.codec, t.width, t.height) for t in memory.tracks} == {("h264", 320, 180), ("aac", 0, 0)}
    stamps = [sample.dts for sample in memory.of("video")]
    assert stamps == sorted(stamps)


class TestPace:
    @pytest.fixture
    def limits(self) -> RtmpLimits:
        return RtmpLimits(lead_s=1.0)

    async def test_a_file_is_taken_no_faster_than_it_plays_and_nothing_of_it_is_lost(
        self, server: RtmpServer, door: OpenDoor, tmp_path: Path
    ) -> None:
        clip = peers.footage(tmp_path, "clip.mp4", *peers.H264, *peers.AAC, seconds=10)
        port = await server.start(HOST, 0)
        began_s = asyncio.get_running_loop().time()
        code, said = await peers.push(clip, f"rtmp://{HOST}:{port}/live/key1")
        assert (code, said) == (0, "")
        sink = door.sinks["key1"]
        await asyncio.wait_for(sink.ended.wait(), peers.WAIT_S)
        took_s = asyncio.get_running_loop().time() - began_s
        assert_same_as_source(sink, clip)
        assert took_s > 5.0  # 10 s of media, 1 s ahead, and what is in buffers on the way


async def test_a_certificate_of_our_own_is_kept_and_a_broken_one_is_replaced(tmp_path: Path) -> None:
    pair = certificate.ensure_self_signed(tmp_path)
    made = [path.read_bytes() for path in pair]
    assert certificate.ensure_self_signed(tmp_path) == pair
    assert [path.read_bytes() for path in pair] == made
    assert pair[1].stat().st_mode & 0o077 == 0
    pair[0].write_bytes(b"broken")
    certificate.ensure_self_signed(tmp_path)
    assert isinstance(certificate.server_context(*pair), ssl.SSLContext)
