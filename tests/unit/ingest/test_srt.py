"""SRT with real callers: ffmpeg, GStreamer, srt-live-transmit. Skipped where libsrt is not installed."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.footage import FFMPEG
from tests.unit.ingest import peers
from tests.unit.ingest.peers import OpenDoor

from fastpix_server.ingest import libsrt
from fastpix_server.ingest.libsrt import SrtError
from fastpix_server.ingest.model import Refused, Sink, SrtKey
from fastpix_server.ingest.srt import SrtLimits, SrtServer, SrtUnavailable, parse_stream_id

HOST = "127.0.0.1"
SECRET = "0123456789abcdef" * 4 + "x"
PLAY_SECRET = "fedcba9876543210" * 4 + "y"


def has_library() -> bool:
    try:
        libsrt.load()
    except SrtUnavailable:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_library(), reason="libsrt is not installed")


Served = tuple[SrtServer, int]


@dataclasses.dataclass
class Table:
    """Streams that may publish or be pulled."""

    found: dict[str, SrtKey | Refused] = dataclasses.field(default_factory=dict)

    def find(self, stream_id: str) -> SrtKey | Refused:
        return self.found.get(stream_id, Refused("unknown_key"))


@dataclasses.dataclass
class Stage:
    """What is on: readers of streams that run."""

    readers: dict[str, list[Sink]] = dataclasses.field(default_factory=dict)
    running: set[str] = dataclasses.field(default_factory=set)

    async def __call__(self, stream_id: str, reader: Sink) -> Callable[[], None] | Refused:
        if stream_id not in self.running:
            return Refused("unavailable")
        self.readers.setdefault(stream_id, []).append(reader)
        return lambda: self.readers[stream_id].remove(reader)


@pytest.fixture
def table() -> Table:
    return Table(
        {
            "key1": SrtKey("publish", "key1", SECRET),
            "open": SrtKey("publish", "open", ""),
            "off": Refused("disabled"),
            "playstream1": SrtKey("play", "stream1", PLAY_SECRET),
        }
    )


@pytest.fixture
def stage() -> Stage:
    return Stage(running={"stream1"})


@pytest.fixture
def srt_limits() -> SrtLimits:
    return SrtLimits(lead_s=3600)


@pytest.fixture
async def srt(
    door: OpenDoor, table: Table, stage: Stage, srt_limits: SrtLimits
) -> AsyncIterator[tuple[SrtServer, int]]:
    server = SrtServer(door, table, stage, srt_limits)
    port = await server.start(HOST, 0)
    yield server, port
    await server.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return peers.footage(tmp_path_factory.mktemp("srt"), "clip.mp4", *peers.H264, *peers.AAC)


def address(port: int, stream_id: str, secret: str = SECRET) -> str:
    more = f"&passphrase={secret}" if secret else ""
    return f"srt://{HOST}:{port}?mode=caller&streamid={stream_id}{more}"


def live(clip: Path, url: str, *, loop: bool = False) -> tuple[str, ...]:
    again = ("-stream_loop", "-1") if loop else ()
    return (FFMPEG, "-v", "error", "-re", *again, "-i", str(clip), "-c", "copy", "-f", "mpegts", url)


def assert_begins_like_source(sink: peers.Memory, source: Path, *, at_least: float) -> None:
    """None is missing from the first to the last that came; ffmpeg ends without waiting for its send buffer."""
    for kind in ("video", "audio"):
        sent, got = peers.packets(source, kind[0]), sink.of(kind)
        assert at_least * len(sent) <= len(got) <= len(sent)
        offset = got[0].dts / 90_000 - float(sent[0]["dts_time"])
        for sample, packet in zip(got, sent, strict=False):
            assert sample.dts / 90_000 - float(packet["dts_time"]) == pytest.approx(offset, abs=0.0021)
            if kind == "video":
                assert sample.is_key == ("K" in packet["flags"])


async def test_an_encrypted_publisher_comes_in_and_no_sample_is_lost(srt: Served, door: OpenDoor, clip: Path) -> None:
    server, port = srt
    code, said = await peers.run(*live(clip, address(port, "key1")))
    assert code == 0, said
    sink = door.sinks["key1"]
    await asyncio.wait_for(sink.ended.wait(), peers.WAIT_S)
    assert {(t.codec, t.width, t.height, t.channels) for t in sink.tracks} == {("h264", 320, 180, 0), ("aac", 0, 0, 2)}
    assert_begins_like_source(sink, clip, at_least=0.8)
    request = door.requests[0]
    assert (request.protocol, request.peer, request.is_secret_proven) == ("srt", HOST, True)
    stats = door.publishers["key1"].stats()
    assert stats["received_bytes"] > 10_000
    assert 0 <= stats["rtt_ms"] < 10_000
    assert stats["lost_packets"] == stats["dropped_packets"] == 0
    assert server.connections == 0


@pytest.mark.parametrize("stream_id", ["key1", "publish:key1", "#!::r=key1,m=publish"])
async def test_all_forms_of_the_stream_id_work(srt: Served, door: OpenDoor, clip: Path, stream_id: str) -> None:
    quoted = stream_id.replace("#", "%23").replace(",", "%2C")
    code, said = await peers.run(*live(clip, address(srt[1], quoted)))
    assert code == 0, said
    assert door.sinks["key1"].samples


@pytest.mark.parametrize(
    ("stream_id", "secret"),
    [("nobody", SECRET), ("off", SECRET), ("", SECRET), ("key1", "another passphrase"), ("key1", ""), ("open", SECRET)],
    ids=["unknown key", "disabled", "no key", "wrong passphrase", "no passphrase", "passphrase where none is"],
)
async def test_who_may_not_publish_is_refused_in_the_handshake(
    srt: Served, door: OpenDoor, clip: Path, stream_id: str, secret: str
) -> None:
    server, port = srt
    code, said = await peers.run(*live(clip, address(port, stream_id, secret)))
    assert code != 0
    assert "Error opening output" in said
    assert not door.requests
    assert server.connections == 0


async def test_a_wrong_mode_is_refused(srt: Served, door: OpenDoor, clip: Path) -> None:
    code, _ = await peers.run(*live(clip, address(srt[1], "%23!::r=key1%2Cm=request")))
    assert code != 0
    code, _ = await peers.run(*live(clip, address(srt[1], "%23!::r=playstream1%2Cm=publish", PLAY_SECRET)))
    assert code != 0
    assert not door.requests


async def test_a_key_in_use_is_refused_and_the_first_publisher_goes_on(srt: Served, door: OpenDoor, clip: Path) -> None:
    server, port = srt
    first = asyncio.create_task(peers.run(*live(clip, address(port, "key1"))))
    await peers.until(lambda: door.sinks and door.sinks["key1"].samples, "the first publisher")
    code, _ = await peers.run(*live(clip, address(port, "key1")))
    assert code != 0
    assert server.refused_handshakes > 0
    code, said = await first
    assert code == 0, said
    await asyncio.wait_for(door.sinks["key1"].ended.wait(), peers.WAIT_S)
    assert_begins_like_source(door.sinks["key1"], clip, at_least=0.8)
    assert len(door.requests) == 1


async def test_who_the_door_refuses_is_disconnected(srt: Served, door: OpenDoor, clip: Path) -> None:
    door.refusals["key1"] = Refused("unavailable")
    code, _ = await peers.run(*live(clip, address(srt[1], "key1"), loop=True))
    assert code != 0


async def test_a_kicked_publisher_is_disconnected_and_may_come_again(srt: Served, door: OpenDoor, clip: Path) -> None:
    _, port = srt
    publisher = asyncio.create_task(peers.run(*live(clip, address(port, "key1"), loop=True)))
    await peers.until(lambda: door.sinks and door.sinks["key1"].samples, "the publisher")
    door.publishers["key1"].kick("disabled")
    code, _ = await publisher
    assert code != 0
    assert door.sinks["key1"].ends == ["disabled"]
    assert (await peers.run(*live(clip, address(port, "key1"))))[0] == 0


async def test_what_is_no_transport_stream_is_dropped_without_harm_to_others(
    srt: Served, door: OpenDoor, table: Table, clip: Path
) -> None:
    _, port = srt
    table.found["key2"] = SrtKey("publish", "key2", SECRET)
    victim = asyncio.create_task(peers.run(*live(clip, address(port, "key1"))))
    library = libsrt.load()
    sock = library.open_socket()
    library.set_flag(sock, libsrt.STREAMID, b"key2")
    library.set_flag(sock, libsrt.PASSPHRASE, SECRET.encode())
    library.connect(sock, HOST, port)

    def is_over() -> bool:
        """Sends garbage as long as somebody takes it."""
        with contextlib.suppress(SrtError):
            library.send(sock, b"\x00garbage" * 160)
        return "key2" in door.sinks and bool(door.sinks["key2"].ends)

    await peers.until(is_over, "the drop")
    library.close(sock)
    assert door.sinks["key2"].ends == ["malformed"]
    assert (await victim)[0] == 0
    await asyncio.wait_for(door.sinks["key1"].ended.wait(), peers.WAIT_S)
    assert_begins_like_source(door.sinks["key1"], clip, at_least=0.8)


class TestDeadlines:
    @pytest.fixture
    def srt_limits(self) -> SrtLimits:
        return SrtLimits(publish_s=1.0, idle_s=2.0)

    async def test_a_caller_that_sends_nothing_is_dropped(self, srt: Served, door: OpenDoor) -> None:
        _, port = srt
        silent = asyncio.create_task(peers.run(FFMPEG, "-v", "error", "-i", address(port, "key1"), "-f", "null", "-"))
        await peers.until(lambda: door.sinks and door.sinks["key1"].ends, "the drop")
        assert door.sinks["key1"].ends == ["publish timeout"]
        await silent


async def test_gstreamer_publishes(srt: Served, door: OpenDoor) -> None:
    line = (
        "videotestsrc num-buffers=150 is-live=true ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! "
        "x264enc speed-preset=ultrafast key-int-max=10 ! h264parse config-interval=-1 ! mpegtsmux name=m alignment=7 ! "
        f"srtsink uri=srt://{HOST}:{srt[1]}?mode=caller streamid=key1 passphrase={SECRET} "
        "audiotestsrc num-buffers=280 is-live=true ! audio/x-raw,rate=48000 ! voaacenc ! aacparse ! m."
    )
    code, said = await peers.run("gst-launch-1.0", "-q", *line.split())
    assert code == 0, said
    sink = door.sinks["key1"]
    await asyncio.wait_for(sink.ended.wait(), peers.WAIT_S)
    assert {(t.codec, t.width, t.height) for t in sink.tracks} == {("h264", 320, 180), ("aac", 0, 0)}
    assert 100 <= len(sink.of("video")) <= 150  # what was sent before it had connected, it lost itself


async def test_a_puller_gets_the_running_broadcast(
    srt: Served, door: OpenDoor, stage: Stage, clip: Path, tmp_path: Path
) -> None:
    _, port = srt
    out = tmp_path / "pulled.ts"
    url = address(port, "playstream1", PLAY_SECRET)
    puller = asyncio.create_task(peers.run(FFMPEG, "-v", "error", "-i", url, "-c", "copy", "-f", "mpegts", str(out)))
    await peers.until(lambda: stage.readers.get("stream1"), "the puller")
    publisher = asyncio.create_task(peers.run(*live(clip, address(port, "key1"))))
    await peers.until(lambda: door.sinks and door.sinks["key1"].tracks, "the publisher")
    source, sent = door.sinks["key1"], 0
    [reader] = stage.readers["stream1"]
    tracks = 0
    while not source.ends or sent < len(source.samples):
        for track in source.tracks[tracks:]:
            reader.on_track(track)
        tracks = len(source.tracks)
        for sample in source.samples[sent:]:
            reader.on_sample(sample)
        sent = len(source.samples)
        await asyncio.sleep(0.02)
    reader.on_end("unpublish")
    assert (await publisher)[0] == 0
    await puller
    assert len(peers.packets(out, "v")) == len(source.of("video"))
    assert len(peers.packets(out, "a")) == len(source.of("audio"))


async def test_a_puller_needs_the_playback_secret_and_a_running_stream(srt: Served, stage: Stage) -> None:
    _, port = srt
    pull = ("-f", "null", "-")
    assert (await peers.run(FFMPEG, "-v", "error", "-i", address(port, "playstream1"), *pull))[0] != 0
    assert not stage.readers
    stage.running.clear()
    assert (await peers.run(FFMPEG, "-v", "error", "-i", address(port, "playstream1", PLAY_SECRET), *pull))[0] != 0


async def test_a_puller_that_leaves_is_detached(srt: Served, stage: Stage) -> None:
    _, port = srt
    url = address(port, "playstream1", PLAY_SECRET)
    child = await asyncio.create_subprocess_exec(FFMPEG, "-v", "error", "-i", url, "-f", "null", "-")
    await peers.until(lambda: stage.readers.get("stream1"), "the puller")
    child.kill()
    await child.wait()
    await peers.until(lambda: not stage.readers["stream1"], "the end of the puller")


async def test_a_port_in_use_is_an_error(srt: Served, door: OpenDoor, table: Table, stage: Stage) -> None:
    other = SrtServer(door, table, stage)
    with pytest.raises(OSError):  # noqa: PT011 - the words are the library's
        await other.start(HOST, srt[1])
    await other.close()


def test_a_stream_id_says_who_and_what_for() -> None:
    assert parse_stream_id(b"abc") == ("abc", "")
    assert parse_stream_id(b"publish:abc") == ("abc", "publish")
    assert parse_stream_id(b"publish/abc") == ("abc", "publish")
    assert parse_stream_id(b"play:abc") == ("abc", "request")
    assert parse_stream_id(b"playabc") == ("playabc", "")
    assert parse_stream_id(b"#!::m=publish,r=abc,h=x") == ("abc", "publish")
    assert parse_stream_id(b"#!::") == ("", "")
    assert parse_stream_id(b"\xff\xfe")[1] == ""


async def test_a_caller_who_is_gone_before_it_is_accepted_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    library = libsrt.load()
    listener, caller = library.open_socket(), library.open_socket()
    closed: list[int] = []

    def broken(*_: object) -> None:
        raise SrtError("Connection was broken")

    try:
        port = library.bind(listener, HOST, 0)
        library.listen(listener, 4, lambda *_: 0)
        library.connect(caller, HOST, port)
        with monkeypatch.context() as patch:
            patch.setattr(library, "set_flag", broken)
            patch.setattr(library, "close", closed.append)
            await peers.until(lambda: library.accept(listener) is None and bool(closed), "the caller")
        assert len(closed) == 1
    finally:
        for sock in (*closed, caller, listener):
            library.close(sock)
