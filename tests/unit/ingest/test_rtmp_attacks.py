"""Peers that are slow, silent, talk nonsense or send too much are dropped; a publisher beside them loses nothing."""

import asyncio
import contextlib
import os
import random
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.footage import FFMPEG
from tests.unit.ingest import peers
from tests.unit.ingest.peers import Memory, OpenDoor
from tests.unit.ingest.test_hostile_input import mutated, recorded_publisher

from fastpix_server.ingest import amf, certificate, flv, rtmp_client
from fastpix_server.ingest import rtmp_chunks as chunks
from fastpix_server.ingest.model import Publisher, PublishRequest, Refused, Sample, Sink
from fastpix_server.ingest.rtmp_server import RtmpLimits, RtmpServer

HOST = "127.0.0.1"
GREETING = b"\x03" + bytes(3072)
SECONDS = 8


@pytest.fixture
def limits() -> RtmpLimits:
    return RtmpLimits(
        connections=60, connections_per_address=60, handshake_s=1.0, publish_s=1.0, idle_s=1.5, lead_s=3600
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return peers.footage(tmp_path_factory.mktemp("attack"), "clip.mp4", *peers.H264, *peers.AAC, seconds=SECONDS)


@pytest.fixture
async def port(server: RtmpServer) -> int:
    return await server.start(HOST, 0)


async def open_peer(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.wait_for(asyncio.open_connection(HOST, port), peers.WAIT_S)


async def until_dropped(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(peers.WAIT_S):
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass


async def send(port: int, data: bytes) -> None:
    """Sends, then waits to be dropped."""
    reader, writer = await open_peer(port)
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
    await until_dropped(reader)
    writer.close()


async def drip(port: int) -> None:
    """A byte now and then: alive, and of no use."""
    reader, writer = await open_peer(port)
    dropped = asyncio.create_task(until_dropped(reader))
    while not dropped.done():
        with contextlib.suppress(ConnectionError):
            writer.write(b"\x03")
            await writer.drain()
        await asyncio.sleep(0.1)
    await dropped
    writer.close()


async def mutants(port: int) -> None:
    truth, dice = recorded_publisher(), random.Random(4)

    async def one(data: bytes) -> None:
        _, writer = await open_peer(port)
        with contextlib.suppress(ConnectionError):
            writer.write(GREETING + data)
            await writer.drain()
            await asyncio.sleep(0.2)
        writer.close()

    for _ in range(10):
        await asyncio.gather(*(one(mutated(truth, dice)) for _ in range(10)))


def header(kind: int, size: int) -> bytes:
    return b"\x03" + bytes(3) + size.to_bytes(3, "big") + bytes((kind,)) + bytes(4)


ATTACKS: dict[str, Callable[[int], Awaitable[object]]] = {
    "garbage": lambda port: send(port, os.urandom(4000)),
    "another protocol": lambda port: send(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "half a handshake": lambda port: send(port, b"\x03" + bytes(500)),
    "silence after the handshake": lambda port: send(port, GREETING),
    "nothing at all": lambda port: send(port, b""),
    "single bytes": drip,
    "a chunk size of 2 GiB": lambda port: send(
        port, GREETING + chunks.written(chunks.SET_CHUNK_SIZE, struct.pack(">I", 0x7FFFFFFF), chunk_stream=2)
    ),
    "a command of 16 MB": lambda port: send(port, GREETING + header(chunks.COMMAND, 0xFFFFFF) + bytes(1 << 20)),
    "video before publish": lambda port: send(port, GREETING + header(chunks.VIDEO, 0xFFFFFF) + bytes(1 << 20)),
    "commands without end": lambda port: send(
        port,
        GREETING + chunks.written(chunks.COMMAND, amf.encode("createStream", 2, None), chunk_stream=3) * 5000,
    ),
    "mutated publishers": mutants,
}


async def test_attackers_are_dropped_and_a_publisher_beside_them_loses_nothing(
    server: RtmpServer, port: int, door: OpenDoor, clip: Path
) -> None:
    url = f"rtmp://{HOST}:{port}/live/victim"
    live = ("-re", "-i", str(clip), "-c", "copy", "-f", "flv", url)
    victim = asyncio.create_task(peers.run(FFMPEG, "-v", "error", *live))
    await peers.until(lambda: "victim" in door.sinks and door.sinks["victim"].samples, "the victim")
    for name, attack in ATTACKS.items():
        if name == "mutated publishers":
            await attack(port)
        else:
            await asyncio.gather(*(attack(port) for _ in range(4)))
    assert await victim == (0, "")
    sink = door.sinks["victim"]
    await asyncio.wait_for(sink.ended.wait(), peers.WAIT_S)
    assert len(sink.of("video")) == len(peers.packets(clip, "v")) == SECONDS * 25
    assert len(sink.of("audio")) == len(peers.packets(clip, "a"))
    await peers.until(lambda: server.connections == 0, "the last drop")


async def publish(port: int, key: str) -> tuple[rtmp_client.Client, asyncio.StreamReader, asyncio.StreamWriter]:
    """A publisher that was let in."""
    reader, writer = await open_peer(port)
    client = rtmp_client.Client(app="live", tc_url=f"rtmp://{HOST}/live", stream_key=key)
    async with asyncio.timeout(peers.WAIT_S):
        while client.stage != "publishing":
            writer.write(client.to_send())
            client.receive(await reader.read(65536))
    return client, reader, writer


async def test_a_publisher_that_falls_silent_is_dropped_and_its_sink_hears_why(port: int, door: OpenDoor) -> None:
    _, reader, writer = await publish(port, "key1")
    await until_dropped(reader)
    assert door.sinks["key1"].ends == ["idle"]
    writer.close()


async def test_a_publisher_that_only_pings_is_silent_too(port: int, door: OpenDoor) -> None:
    _, reader, writer = await publish(port, "key1")
    ping = chunks.written(chunks.USER_CONTROL, struct.pack(">HI", 6, 1), chunk_stream=2)
    dropped = asyncio.create_task(until_dropped(reader))
    while not dropped.done():
        with contextlib.suppress(ConnectionError):
            writer.write(ping)
            await writer.drain()
        await asyncio.sleep(0.05)
    await dropped
    assert door.sinks["key1"].ends == ["idle"]
    writer.close()


async def test_a_peer_that_asks_and_does_not_read_is_dropped(port: int, door: OpenDoor) -> None:
    _, _, writer = await publish(port, "key1")
    ping = chunks.written(chunks.USER_CONTROL, struct.pack(">HI", 6, 1), chunk_stream=2) * 2000
    async with asyncio.timeout(peers.WAIT_S):
        with contextlib.suppress(ConnectionError):
            while not door.sinks["key1"].ends:
                writer.write(ping)
                await writer.drain()
    assert door.sinks["key1"].ends[0] in ("not reading", "malformed")
    writer.close()


async def test_a_codec_that_is_not_taken_ends_the_publication(port: int, door: OpenDoor) -> None:
    client, reader, writer = await publish(port, "key1")
    writer.write(client.message(flv.Message(flv.VIDEO, 0, b"\x12\x00")))
    await until_dropped(reader)
    assert door.sinks["key1"].ends == ["malformed"]
    writer.close()


class TestCaps:
    @pytest.fixture
    def limits(self) -> RtmpLimits:
        return RtmpLimits(connections=5, connections_per_address=3, handshake_s=30)

    async def test_more_connections_of_one_address_than_allowed_are_closed_at_once(
        self, server: RtmpServer, port: int
    ) -> None:
        held = [await open_peer(port) for _ in range(3)]
        await peers.until(lambda: server.connections == 3)
        reader, writer = await open_peer(port)
        await until_dropped(reader)
        assert server.refused_connections == 1
        held.pop()[1].close()
        await peers.until(lambda: server.connections == 2, "room for another")
        _, another = await open_peer(port)
        await peers.until(lambda: server.connections == 3)
        for one in (writer, another, *(writer for _, writer in held)):
            one.close()

    async def test_an_unfinished_tls_handshake_counts_and_ends(self, door: OpenDoor, tmp_path: Path) -> None:
        server = RtmpServer(door, RtmpLimits(connections_per_address=3, handshake_s=1.0))
        port = await server.start(HOST, 0, certificate.server_context(*certificate.ensure_self_signed(tmp_path)))
        silent = [await open_peer(port) for _ in range(3)]
        await peers.until(lambda: server.connections == 3)
        for reader, writer in silent:
            await until_dropped(reader)
            writer.close()
        await peers.until(lambda: server.connections == 0)
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection(HOST, port, ssl=trusting)
        await peers.until(lambda: server.connections == 1)
        writer.close()
        await server.close()


class FailingSink(Memory):
    def on_sample(self, sample: Sample) -> None:
        raise RuntimeError("a mistake of ours")


class SlowDoor:
    """Answers when it is told to."""

    def __init__(self, answer: Sink | Refused) -> None:
        self.answer = answer
        self.asked = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, request: PublishRequest, publisher: Publisher) -> Sink | Refused:
        self.asked.set()
        await self.open.wait()
        return self.answer


@pytest.fixture
async def slow() -> AsyncIterator[tuple[SlowDoor, RtmpServer, int]]:
    door = SlowDoor(Memory())
    server = RtmpServer(door, RtmpLimits(publish_s=1.0))
    yield door, server, await server.start(HOST, 0)
    door.open.set()
    await server.close()


async def test_a_publisher_that_leaves_before_the_door_answers_is_told_to_the_sink(
    slow: tuple[SlowDoor, RtmpServer, int],
) -> None:
    door, server, port = slow
    asking = asyncio.create_task(publish(port, "key1"))
    await asyncio.wait_for(door.asked.wait(), peers.WAIT_S)
    asking.cancel()
    await peers.until(lambda: server.connections == 0, "the publish timeout")
    door.open.set()
    sink = door.answer
    assert isinstance(sink, Memory)
    await asyncio.wait_for(sink.ended.wait(), peers.WAIT_S)
    assert len(sink.ends) == 1


async def test_a_sink_that_fails_costs_its_own_connection_only(clip: Path) -> None:
    sinks: dict[str, Memory] = {"bad": FailingSink(), "good": Memory()}

    async def door(request: PublishRequest, publisher: Publisher) -> Sink | Refused:
        return sinks[request.stream_key]

    server = RtmpServer(door, RtmpLimits(lead_s=3600))
    port = await server.start(HOST, 0)
    await peers.push(clip, f"rtmp://{HOST}:{port}/live/bad")
    await asyncio.wait_for(sinks["bad"].ended.wait(), peers.WAIT_S)
    assert sinks["bad"].ends == ["failed"]
    assert await peers.push(clip, f"rtmp://{HOST}:{port}/live/good") == (0, "")
    await server.close()
    assert len(sinks["good"].of("video")) == SECONDS * 25
