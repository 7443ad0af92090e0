"""Simulcast by SRT to targets that are real: a server of ours, srt-live-transmit, and targets that misbehave."""

import asyncio
import contextlib
import ipaddress
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.ingest import peers
from tests.unit.ingest.peers import OpenDoor
from tests.unit.live.test_push import HOST, LOOPBACK, Source, States, assert_a_whole_part_of

from fastpix_server.base.guard import AddressPolicy
from fastpix_server.ingest import libsrt
from fastpix_server.ingest.libsrt import SrtUnavailable
from fastpix_server.ingest.model import CLOCK_HZ, Refused, Sink, SrtKey, Track
from fastpix_server.ingest.srt import SrtLimits, SrtServer
from fastpix_server.live import push_line, push_srt
from fastpix_server.live.push import Push

SECRET = "0123456789abcdef"


def has_library() -> bool:
    with contextlib.suppress(SrtUnavailable):
        libsrt.load()
        return True
    return False


pytestmark = pytest.mark.skipif(not has_library(), reason="libsrt is not installed")


class Table:
    def find(self, stream_id: str) -> SrtKey | Refused:
        found = {"good": SrtKey("publish", "good", SECRET), "off": Refused("disabled")}
        return found.get(stream_id, Refused("unknown_key"))


async def nothing_to_play(_stream_id: str, _reader: Sink) -> Refused:
    return Refused("unavailable")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(peers.footage(tmp_path_factory.mktemp("push"), "clip.ts", *peers.H264, *peers.AAC, seconds=6))


@pytest.fixture
def door() -> OpenDoor:
    return OpenDoor()


@pytest.fixture
async def platform(door: OpenDoor) -> AsyncIterator[int]:
    """The other platform: a server of ours; its port."""
    server = SrtServer(door, Table(), nothing_to_play, SrtLimits(lead_s=3600, latency_ms=1000))
    yield await server.start(HOST, 0)
    await server.close()


def pushed(port: int, key: str, states: States, *, secret: str = SECRET, policy: AddressPolicy = LOOPBACK) -> Push:
    target = push_line.parse(f"srt://{HOST}:{port}?passphrase={secret}&latency=1000", key)
    return Push(target, policy=policy, on_state=states)


async def test_a_target_gets_everything_from_a_key_frame_on_and_after_another_clock(
    platform: int, door: OpenDoor, source: Source
) -> None:
    states = States()
    push = pushed(platform, "good", states)
    await source.play(push, follows=push, speed=4)
    await source.play(push, follows=push, speed=4, shift=-100 * CLOCK_HZ)
    push.on_end("session_over")
    await peers.until(lambda: door.sinks and door.sinks["good"].ends, "the end at the target")
    sink = door.sinks["good"]
    assert [(t.codec, t.width, t.height, t.sample_rate_hz) for t in sink.tracks[:2]] == [
        ("h264", 320, 180, 0),
        ("aac", 0, 0, 48000),
    ]
    assert len(sink.of("video")) == 300
    times = [sample.dts for sample in sink.of("video")]
    assert times == sorted(times)
    assert times[-1] - times[0] < 13 * CLOCK_HZ
    del sink.samples[next(i for i, s in enumerate(sink.samples) if s.kind == "video" and s.dts == times[150]) :]
    assert [s.data for s in sink.of("video")] == [s.data for s in source.samples if s.kind == "video"]
    await peers.until(lambda: push.state == "stopped")
    assert states.names == ["starting", "broadcasting", "stopped"]
    assert push.counters()["dropped_samples"] == 0
    await push.close()


@pytest.mark.skipif(shutil.which("srt-live-transmit") is None, reason="srt-live-transmit is not installed")
async def test_srt_live_transmit_as_a_target_hands_on_what_was_pushed(source: Source, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    out = tmp_path / "out.ts"
    url = f"srt://{HOST}:{port}?mode=listener&passphrase={SECRET}&latency=1000"
    with out.open("wb") as file:
        target = await asyncio.create_subprocess_exec(
            "srt-live-transmit", "-q", "-a:no", url, "file://con", stdin=asyncio.subprocess.DEVNULL, stdout=file
        )
    try:
        push = pushed(port, "anything", States())
        await source.play(push, follows=push, speed=4)
        push.on_end("session_over")
        await asyncio.wait_for(target.wait(), peers.WAIT_S)
    finally:
        if target.returncode is None:
            target.kill()
            await target.wait()
    assert len(peers.packets(out, "v")) == 150
    assert len(peers.packets(out, "a")) == sum(sample.kind == "audio" for sample in source.samples)
    await push.close()


async def test_dead_refusing_and_stuck_targets_delay_nobody_and_say_why(
    platform: int, door: OpenDoor, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_srt, "CONNECT_S", 1.0)
    monkeypatch.setattr(push_srt, "_STALL_S", 60.0)
    library = libsrt.load()
    stuck = library.open_socket()  # lets everybody in, and reads nothing
    stuck_port = library.bind(stuck, HOST, 0)
    library.listen(stuck, 8, lambda *_caller: 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:  # answers nothing
        dead.bind((HOST, 0))
        states = {name: States() for name in ("good", "dead", "off", "nobody", "wrong", "stuck")}
        pushes = {
            "good": pushed(platform, "good", states["good"]),
            "dead": pushed(dead.getsockname()[1], "x", states["dead"]),
            "off": pushed(platform, "off", states["off"]),
            "nobody": pushed(platform, "nobody", states["nobody"]),
            "wrong": pushed(stuck_port, "good", states["wrong"], secret="another secret"),
            "stuck": Push(
                push_line.parse(f"srt://{HOST}:{stuck_port}", "x"), policy=LOOPBACK, on_state=states["stuck"]
            ),
        }
        await source.play(*pushes.values(), follows=pushes["good"], speed=4)
        heard = ("dead", "off", "nobody", "wrong")
        await peers.until(lambda: all(states[name].reasons for name in heard), "the reasons")
    pushes["good"].on_end("session_over")
    await peers.until(lambda: door.sinks["good"].ends, "the end at the good target")
    assert_a_whole_part_of(door.sinks["good"], source)
    assert pushes["good"].counters()["dropped_samples"] == 0
    assert "does not answer" in states["dead"].reasons
    assert "refuses: 403" in states["off"].reasons
    assert "refuses: 404" in states["nobody"].reasons
    assert "refuses" in states["wrong"].reasons
    assert "broadcasting" in states["stuck"].names
    assert not any("broadcasting" in states[name].names for name in heard)
    assert pushes["off"].attempts >= 2
    assert not any(SECRET in text for seen in states.values() for _, text in seen.seen)
    began_s = asyncio.get_running_loop().time()
    await asyncio.gather(*(push.close() for push in pushes.values()))
    assert asyncio.get_running_loop().time() - began_s < 10
    library.close(stuck)


async def test_a_target_that_goes_away_is_called_again(door: OpenDoor, source: Source) -> None:
    first = SrtServer(door, Table(), nothing_to_play, SrtLimits(lead_s=3600))
    port = await first.start(HOST, 0)
    states = States()
    push = pushed(port, "good", states)
    await source.play(push, follows=push, speed=8)
    await first.close()
    second = SrtServer(door, Table(), nothing_to_play, SrtLimits(lead_s=3600))
    await second.start(HOST, port)
    for round_ in range(1, 10):
        await source.play(push, speed=8, shift=round_ * 6 * CLOCK_HZ)
        if states.names[-1] == "broadcasting" and push.attempts > 1:
            break
    assert "closed the connection" in states.reasons
    assert states.names[-1] == "broadcasting"
    await push.close()
    await second.close()


async def test_private_addresses_are_not_dialled_and_what_cannot_be_carried_is_said(
    platform: int, door: OpenDoor, source: Source
) -> None:
    for policy, tracks, reason in (
        (AddressPolicy(), (), "not a public one"),
        (AddressPolicy((ipaddress.ip_network("127.0.0.0/8"),)), (Track("av1", b"", 320, 180),), "cannot carry av1"),
    ):
        states = States()
        push = pushed(platform, "good", states, policy=policy)
        for track in tracks:
            push.on_track(track)

        def is_told(push: Push = push, states: States = states) -> bool:
            push.on_sample(source.samples[0])
            return bool(states.reasons.strip())

        await peers.until(is_told, "the reason")
        assert reason in states.reasons
        assert tracks or not door.requests  # whoever may not be dialled has heard nothing
        await push.close()
