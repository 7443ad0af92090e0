"""Simulcast to targets that are real: a server of ours, ffmpeg, and targets that misbehave."""

import asyncio
import ipaddress
import itertools
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop
from tests.footage import FFMPEG
from tests.unit.ingest import peers
from tests.unit.ingest.peers import Memory, OpenDoor

from fastpix_server.base.guard import AddressPolicy
from fastpix_server.ingest import certificate, mpegts
from fastpix_server.ingest.model import CLOCK_HZ, Refused, Sample, Track
from fastpix_server.ingest.rtmp_server import RtmpLimits, RtmpServer
from fastpix_server.live import push_line, push_rtmp
from fastpix_server.live.push import Push

HOST = "127.0.0.1"
LOOPBACK = AddressPolicy((ipaddress.ip_network("127.0.0.0/8"),))
SECRET = "very-secret-platform-key"


class Source:
    """A clip as tracks and samples, given to readers a little faster than it plays."""

    def __init__(self, path: Path) -> None:
        demuxer = mpegts.Demuxer()
        found = demuxer.feed(path.read_bytes()) + demuxer.flush()
        self.tracks = [one for one in found if isinstance(one, Track)]
        self.samples = [one for one in found if isinstance(one, Sample)]

    async def play(self, *readers: Push, speed: float = 8.0, shift: int = 0, follows: Push | None = None) -> None:
        """`follows` names a reader that is waited for, as a busy machine makes it slow: until it broadcasts, and
        whenever much is in its queue."""
        for reader in readers:
            for track in self.tracks:
                reader.on_track(track)
        if follows:
            await peers.until(lambda: self.has_begun(follows), "the connection")
        first = self.samples[0].dts
        began_s = asyncio.get_running_loop().time()
        for sample in self.samples:
            due_s = began_s + (sample.dts - first) / CLOCK_HZ / speed
            if (wait_s := due_s - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait_s)
            if follows:
                await peers.until(lambda: len(follows._queue._items) < 20, "room in the queue")
            moved = Sample(sample.kind, sample.dts + shift, sample.cts, sample.is_key, sample.data)
            for reader in readers:
                reader.on_sample(moved)

    def has_begun(self, reader: Push) -> bool:
        """Gives a sample while there is no connection, which is not kept: a push begins when there is something."""
        if reader.state != "broadcasting":
            reader.on_sample(self.samples[0])
        return reader.state == "broadcasting"


@pytest.fixture(scope="module")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """The loop of the ingest process."""
    return uvloop.EventLoopPolicy()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(peers.footage(tmp_path_factory.mktemp("push"), "clip.ts", *peers.H264, *peers.AAC, seconds=12))


@pytest.fixture
def door() -> OpenDoor:
    return OpenDoor()


@pytest.fixture
async def platform(door: OpenDoor) -> AsyncIterator[RtmpServer]:
    """The other platform: a server of ours."""
    server = RtmpServer(door, RtmpLimits(lead_s=3600))
    yield server
    await server.close()


class States:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, state: str, reason: str) -> None:
        self.seen.append((state, reason))

    @property
    def names(self) -> list[str]:
        return [state for state, _ in self.seen]

    @property
    def reasons(self) -> str:
        return " ".join(reason for _, reason in self.seen)


def pushed(url: str, states: States, key: str = SECRET, *, policy: AddressPolicy = LOOPBACK, **more: object) -> Push:
    return Push(push_line.parse(url, key), policy=policy, on_state=states, **more)  # type: ignore[arg-type]


def assert_a_whole_part_of(sink: Memory, source: Source) -> None:
    """From the first key frame that came, nothing is missing; times are the source's, moved."""
    for kind in ("video", "audio"):
        got = sink.of(kind)
        sent = [sample for sample in source.samples if sample.kind == kind]
        assert got
        first = next(i for i, sample in enumerate(sent) if sample.data == got[0].data)
        assert [sample.data for sample in got] == [sample.data for sample in sent[first:]]
        if kind == "video":
            assert got[0].is_key
            shift = got[0].dts - sent[first].dts
            for mine, theirs in zip(got, sent[first:], strict=True):
                assert mine.dts - theirs.dts == pytest.approx(shift, abs=180)
                assert mine.cts == pytest.approx(theirs.cts, abs=180)


async def test_a_target_gets_everything_from_a_key_frame_on(
    platform: RtmpServer, door: OpenDoor, source: Source
) -> None:
    port = await platform.start(HOST, 0)
    states = States()
    push = pushed(f"rtmp://{HOST}:{port}/live", states)
    await source.play(push, follows=push)
    push.on_end("session_over")
    await peers.until(lambda: door.sinks and door.sinks[SECRET].ends, "the end at the target")
    sink = door.sinks[SECRET]
    assert sink.ends == ["unpublish"]
    assert [(t.codec, t.width, t.height, t.sample_rate_hz) for t in sink.tracks] == [
        ("h264", 320, 180, 0),
        ("aac", 0, 0, 48000),
    ]
    assert_a_whole_part_of(sink, source)
    assert len(sink.of("video")) == 300
    assert push.counters()["dropped_samples"] == 0
    await peers.until(lambda: push.state == "stopped")
    assert states.names == ["starting", "broadcasting", "stopped"]
    await push.close()


async def test_rtmps_checks_the_name_of_the_target(
    platform: RtmpServer, door: OpenDoor, source: Source, tmp_path: Path
) -> None:
    pair = certificate.ensure_self_signed(tmp_path, ["localhost"])
    port = await platform.start(HOST, 0, certificate.server_context(*pair))
    trusted, states, distrusting = ssl.create_default_context(cafile=pair[0]), States(), States()
    push = pushed(f"rtmps://localhost:{port}/live", states, ssl_context=trusted)
    other = pushed(f"rtmps://{HOST}:{port}/live", distrusting, ssl_context=trusted)  # not a name of the certificate
    await source.play(push, other, follows=push)
    push.on_end("session_over")
    await peers.until(lambda: door.sinks and door.sinks[SECRET].ends, "the end at the target")
    assert_a_whole_part_of(door.sinks[SECRET], source)
    assert "broadcasting" not in distrusting.names
    assert "certificate" in distrusting.reasons
    await other.close()
    await push.close()


async def test_ffmpeg_as_a_target_writes_what_was_pushed(source: Source, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    out = tmp_path / "out.flv"
    url = f"rtmp://{HOST}:{port}/live/{SECRET}"
    listener = asyncio.create_task(peers.run(FFMPEG, "-v", "error", "-listen", "1", "-i", url, "-c", "copy", str(out)))
    states = States()
    push = pushed(f"rtmp://{HOST}:{port}/live", states)
    await source.play(push, follows=push)
    push.on_end("session_over")
    code, said = await listener
    assert code == 0, said
    assert "broadcasting" in states.names
    sent = int(push.counters()["sent_samples"])
    assert sent > 200
    assert len(peers.packets(out, "v")) + len(peers.packets(out, "a")) == sent
    await push.close()


async def test_a_refusing_target_is_asked_again_and_its_words_hide_the_key(
    platform: RtmpServer, door: OpenDoor, source: Source
) -> None:
    port = await platform.start(HOST, 0)
    door.refusals[SECRET] = Refused("disabled")
    states = States()
    push = pushed(f"rtmp://{HOST}:{port}/live", states)
    await source.play(push, speed=4)
    assert push.attempts >= 2
    assert "stream is disabled" in states.reasons
    assert "broadcasting" not in states.names
    del door.refusals[SECRET]
    await source.play(push, speed=2)
    assert states.names[-1] == "broadcasting"
    await push.close()
    assert SECRET not in repr(states.seen) + repr(push._target)


async def hole(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the connection and says nothing, ever."""
    try:
        await asyncio.sleep(3600)
    finally:
        writer.close()


async def relay_then_stop(port: int, limit: int) -> asyncio.Server:
    """A target that reads `limit` bytes of what is pushed and then nothing more, without closing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, onward = await asyncio.open_connection(HOST, port)
        back = asyncio.create_task(_copy(upstream, writer))
        left = limit
        try:
            while left > 0 and (data := await reader.read(min(left, 16384))):
                onward.write(data)
                await onward.drain()
                left -= len(data)
            await asyncio.sleep(3600)
        finally:
            back.cancel()
            onward.close()
            writer.close()

    return await asyncio.start_server(serve, HOST, 0, limit=4096)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(16384):
        writer.write(data)
        await writer.drain()


async def test_dead_silent_and_stuck_targets_delay_nobody(
    platform: RtmpServer, door: OpenDoor, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_rtmp, "_DIALOGUE_S", 2.0)
    monkeypatch.setattr(push_rtmp, "_STALL_S", 60.0)
    port = await platform.start(HOST, 0)
    with socket.create_server((HOST, 0)) as probe:
        dead_port = probe.getsockname()[1]
    silent = await asyncio.start_server(hole, HOST, 0)
    stuck = await relay_then_stop(port, 60_000)
    states = {name: States() for name in ("good", "dead", "silent", "stuck")}
    good = pushed(f"rtmp://{HOST}:{port}/live", states["good"], "good")
    dead = pushed(f"rtmp://{HOST}:{dead_port}/live", states["dead"])
    quiet = pushed(f"rtmp://{HOST}:{silent.sockets[0].getsockname()[1]}/live", states["silent"])
    full = pushed(f"rtmp://{HOST}:{stuck.sockets[0].getsockname()[1]}/live", states["stuck"], "stuck")
    for round_ in range(6):  # more than sockets and buffers on the way can hold
        await source.play(good, dead, quiet, full, shift=round_ * 12 * CLOCK_HZ, follows=good)
    good.on_end("session_over")
    await peers.until(lambda: door.sinks["good"].ends, "the end at the good target")
    assert len(door.sinks["good"].of("video")) == 6 * 300
    assert good.counters()["dropped_samples"] == 0
    assert "broadcasting" not in states["dead"].names + states["silent"].names
    assert "the target does not answer" in states["silent"].reasons
    assert states["stuck"].names[:2] == ["starting", "broadcasting"]
    assert full.dropped_samples > 100
    assert full._queue._size < 8 << 20
    began_s = asyncio.get_running_loop().time()
    await asyncio.gather(good.close(), dead.close(), quiet.close(), full.close())
    assert asyncio.get_running_loop().time() - began_s < 30
    for server in (silent, stuck):
        server.close()


async def test_a_stuck_target_is_given_up_and_tried_again(
    platform: RtmpServer, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_rtmp, "_STALL_S", 0.5)
    monkeypatch.setattr(push_rtmp, "_WRITE_BUFFER_BYTES", 1024)
    port = await platform.start(HOST, 0)
    stuck = await relay_then_stop(port, 60_000)
    states = States()
    push = pushed(f"rtmp://{HOST}:{stuck.sockets[0].getsockname()[1]}/live", states)
    for round_ in range(40):
        await source.play(push, shift=round_ * 12 * CLOCK_HZ, speed=16)
        if "the target does not read" in states.reasons and push.attempts > 1:
            break
    assert "the target does not read" in states.reasons
    assert push.attempts > 1
    await push.close()
    stuck.close()


async def test_private_addresses_are_not_dialled_unless_allowed(
    platform: RtmpServer, door: OpenDoor, source: Source
) -> None:
    port = await platform.start(HOST, 0)
    for host in (HOST, "localhost", "[::ffff:127.0.0.1]", "2130706433"):
        states = States()
        push = pushed(f"rtmp://{host}:{port}/live", states, policy=AddressPolicy())
        await source.play(push, speed=60)
        await peers.until(lambda seen=states: len(seen.reasons) > 0, "the refusal")
        assert "not a public one" in states.reasons
        await push.close()
    assert not door.requests
    assert platform.connections == 0


async def test_a_publisher_that_comes_back_goes_on_with_another_clock(
    platform: RtmpServer, door: OpenDoor, source: Source
) -> None:
    port = await platform.start(HOST, 0)
    push = pushed(f"rtmp://{HOST}:{port}/live", States())
    await source.play(push, follows=push)
    await source.play(push, shift=-100 * CLOCK_HZ, follows=push)
    push.on_end("session_over")
    await peers.until(lambda: door.sinks and door.sinks[SECRET].ends, "the end at the target")
    times = [sample.dts for sample in door.sinks[SECRET].of("video")]
    assert times == sorted(times)
    assert len(times) == 600
    assert max(b - a for a, b in itertools.pairwise(times)) < CLOCK_HZ
    await push.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://host/app", "address"),
        ("", "address"),
        ("rtmp:///app", "host"),
        ("rtmp://user:secret@host/app", "no user"),
        ("srt://host", "port"),
        ("srt://:9000", "host"),
        ("srt://host:9000/path", "path"),
        ("srt://host:9000?mode=listener", "caller"),
        ("srt://host:9000?passphrase=short", "passphrase"),
        ("srt://host:9000?latency=200000", "milliseconds"),
        ("srt://host:9000?latency=\u0663\u0663", "milliseconds"),
        ("srt://host:9000?streamid=other", "stream key"),
        ("srt://host:9000?streamid=key&streamid=key", "once"),
        ("srt://host:9000?transtype=file", "only"),
    ],
)
def test_what_nothing_can_be_pushed_to_is_no_target(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        push_line.parse(url, "key")


def test_a_target_knows_where_it_is_and_hides_its_secrets() -> None:
    parse = push_line.parse
    assert parse("rtmps://live.example.com:443/app/inst/?token=1", "key") == push_line.RtmpTarget(
        "rtmps", "live.example.com", 443, "app/inst?token=1", "rtmps://live.example.com:443/app/inst/?token=1", "key"
    )
    assert (parse("rtmp://a.example/app", "k").port, parse("rtmps://a.example/app", "k").port) == (1935, 443)
    wanted = push_line.SrtTarget("a.example", 9000, "publish:me", "0123456789", 400)
    assert parse("srt://a.example:9000?mode=caller&latency=400&passphrase=0123456789", "publish:me") == wanted
    assert parse("srt://a.example:9000?streamid=publish:me&passphrase=0123456789&latency=400", "publish:me") == wanted
    shown = repr(wanted) + repr(parse("rtmp://a.example/app", "key"))
    assert not any(secret in shown for secret in ("publish:me", "0123456789", "key'"))
