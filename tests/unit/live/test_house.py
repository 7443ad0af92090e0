"""The house: real sessions in one process, a real database and store; encoders are fed by hand."""

import asyncio
import contextlib
import dataclasses
import time

import pytest
from sqlalchemy import text
from tests.live_samples import FakePublisher, feed, publication
from tests.live_streams import Live, asks

from fastpix_server.db.notify import Listener
from fastpix_server.ingest.model import Refused, Sample, Track
from fastpix_server.live import house as house_module
from fastpix_server.live import service, sessions_store, simulcast
from fastpix_server.live.house import House
from fastpix_server.live.model import PlaylistQuery
from fastpix_server.live.schemas import NewTarget, UpdateTarget
from fastpix_server.media import service as media
from fastpix_server.storage.open import open_store

ORIGIN = "http://127.0.0.1:7"
WAIT_S = 30


class MemoryPush:
    """A push that keeps what it is given."""

    def __init__(self, target, on_state):
        self.target, self.on_state = target, on_state
        self.tracks: list[Track] = []
        self.samples: list[Sample] = []
        self.ended: list[str] = []
        self.is_closed = False

    def on_track(self, track):
        self.tracks.append(track)
        self.on_state("starting")

    def on_sample(self, sample):
        if not self.samples:
            self.on_state("broadcasting")
        self.samples.append(sample)

    def on_end(self, reason):
        self.ended.append(reason)

    async def close(self):
        self.is_closed = True
        self.on_state("stopped")


@dataclasses.dataclass
class Home:
    """Houses over one database and store, as ingest processes would be."""

    live: Live
    folder: object
    url: str
    stack: contextlib.AsyncExitStack
    pushes: list[MemoryPush] = dataclasses.field(default_factory=list)

    async def house(self, origin=ORIGIN):
        storage = open_store(f"file://{self.folder}/objects", {}, self.folder / "work")
        listener = Listener(self.url)

        def push(target, on_state):
            self.pushes.append(MemoryPush(target, on_state))
            return self.pushes[-1]

        house = House(self.live.db, listener, storage.objects, make_push=push)
        await listener.start()
        self.stack.push_async_callback(listener.close)
        await house.start(origin)
        return house


class Encoder(FakePublisher):
    """A publisher that goes when it is kicked, as real transports do."""

    def __init__(self):
        super().__init__()
        self.sink = None

    def kick(self, reason):
        super().kick(reason)
        if self.sink is not None:
            asyncio.get_running_loop().call_soon(self.sink.on_end, "kicked")

    async def connect(self, house, stream, **changes):
        found = await house(asks(stream, **changes), self)
        if not isinstance(found, Refused):
            self.sink = found
        return found

    def send(self, seconds=7):
        feed(self.sink, publication(seconds=seconds))


@pytest.fixture
async def home(live, database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(house_module, "TICK_S", 0.1)
    monkeypatch.setattr(house_module, "REPORT_S", 0.2)
    async with contextlib.AsyncExitStack() as stack:
        home = Home(live, tmp_path, database_url, stack)
        yield home


async def until(condition, what):
    """Waits for a (maybe async) condition; machines under load are slow."""
    end = time.monotonic() + WAIT_S
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.05)


async def until_status(home, stream, status):
    async def is_so():
        return await home.live.status(stream) == status

    await until(is_so, status)


async def shown(home, stream):
    async with home.live.db.unit() as tx:
        return await service.describe(tx, await service.get(tx, home.live.workspace_id, stream.id))


async def do(home, verb, *args):
    async with home.live.db.unit() as tx:
        return await verb(tx, home.live.workspace_id, *args)


async def test_an_encoder_is_on_air_goes_comes_back_and_ends_as_one_recording(home):
    house, stream = await home.house(), await home.live.stream()
    first = Encoder()
    assert not isinstance(await first.connect(house, stream), Refused)
    first.send()
    await until_status(home, stream, "active")
    assert await Encoder().connect(house, stream) == Refused("already_publishing")
    first.sink.on_end("eof")
    running = house.find_of_stream(stream.id)

    async def is_waiting():
        async with home.live.db.unit() as tx:
            return (await sessions_store.find(tx, running.session.id)).state == "waiting"

    await until(is_waiting, "the reconnect window")
    assert await home.live.status(stream) == "active"
    second = Encoder()
    await second.connect(house, stream)
    assert house.find_of_stream(stream.id) is running
    second.send()
    await until(lambda: _has(home, stream, "active", 2), "active again")
    answer = await running.broadcast.playlist("source", PlaylistQuery())
    assert b"#EXT-X-DISCONTINUITY\n" in answer.body
    assert b"#EXT-X-ENDLIST" not in answer.body
    await do(home, service.finish, stream.id)
    await until(lambda: second.kicked, "the kick")
    recorded = await until(lambda: _media_ids(home, stream), "the recording")
    assert recorded == [running.session.id]
    async with home.live.db.unit() as tx:
        found = await media.get(tx, home.live.workspace_id, running.session.id)
    assert found.status == "Ready"
    assert found.duration_s == pytest.approx(14, abs=0.3)
    answer = await running.broadcast.playlist("source", PlaylistQuery())
    assert b"#EXT-X-ENDLIST" in answer.body
    assert (await home.live.words(stream))[:9] == [
        "created", "connected", "preparing", "recording", "active", "disconnected", "connected", "active", "idle",
    ]  # fmt: skip
    await house.close()


async def _has(home, stream, word, times):
    return (await home.live.words(stream)).count(word) >= times


async def _media_ids(home, stream):
    return (await shown(home, stream)).get("mediaIds")


@pytest.mark.parametrize(("verb", "word"), [(service.disable, "disabled"), (service.delete, "deleted")])
async def test_a_disabled_or_deleted_stream_kicks_its_encoder_and_keeps_its_recording(home, verb, word):
    house, stream, encoder = await home.house(), await home.live.stream(), Encoder()
    await encoder.connect(house, stream)
    encoder.send()
    await until_status(home, stream, "active")
    session = house.find_of_stream(stream.id).session
    await do(home, verb, stream.id)
    await until(lambda: encoder.kicked, "the kick")
    assert isinstance(await Encoder().connect(house, stream), Refused)

    async def is_ready():
        async with home.live.db.unit() as tx:
            return (await media.get(tx, home.live.workspace_id, session.id)).status == "Ready"

    await until(is_ready, "the recording")
    assert (await home.live.words(stream))[-1] == word
    await house.close()


async def test_the_window_and_the_longest_duration_end_sessions_by_the_clock_of_the_database(home):
    house = await home.house()
    gone, endless = await home.live.stream(), await home.live.stream()
    first, second = Encoder(), Encoder()
    await first.connect(house, gone)
    first.sink.on_end("eof")
    await second.connect(house, endless)
    second.send(seconds=3)
    async with home.live.db.unit() as tx:
        await tx.execute(
            text("update live_sessions set ends_at = now() where stream_id = cast(:id as uuid)"), {"id": endless.id}
        )
    await until_status(home, endless, "idle")
    await until(lambda: second.kicked, "the kick")

    async def is_waiting():
        async with home.live.db.unit() as tx:
            found = await tx.execute(text("update live_sessions set deadline_at = now() where state = 'waiting'"))
            return found.rowcount

    await until(is_waiting, "the reconnect window")
    await until_status(home, gone, "idle")
    assert (await home.live.words(gone))[-2:] == ["disconnected", "idle"]
    await house.close()


async def test_a_house_that_closes_hands_its_sessions_to_the_next_one_and_their_encoders_go_on(home):
    house, stream, encoder = await home.house(), await home.live.stream(), Encoder()
    await encoder.connect(house, stream)
    encoder.send()
    await until_status(home, stream, "active")
    session_id = house.find_of_stream(stream.id).session.id
    await house.close()
    assert house.find(session_id) is None
    assert encoder.kicked == ["shutdown"]
    assert await encoder.connect(house, stream) == Refused("unavailable")
    after = await home.house()
    running = after.find(session_id)
    assert running.session.state == "waiting"
    before = (await running.broadcast.playlist("source", PlaylistQuery())).body
    assert b"0.m4s" in before
    assert b"#EXT-X-ENDLIST" not in before
    again = Encoder()
    await again.connect(after, stream)
    again.send()
    await until(lambda: _has(home, stream, "active", 2), "active again")
    now = (await running.broadcast.playlist("source", PlaylistQuery())).body
    assert b"#EXT-X-DISCONTINUITY\n" in now
    assert running.session.epoch == 2
    await after.close()


async def test_a_house_takes_over_from_a_dead_one_and_the_dead_one_lets_go_when_it_wakes_up(home):
    dead = await home.house()
    dead._loop_task.cancel()  # it does not beat any more: a process that was stopped
    stream, encoder = await home.live.stream(), Encoder()
    await encoder.connect(dead, stream)
    encoder.send()
    await until_status(home, stream, "active")
    session_id = dead.find_of_stream(stream.id).session.id
    other = await home.house("http://127.0.0.1:8")
    assert other.find(session_id) is None
    async with home.live.db.unit() as tx:
        await tx.execute(
            text("update live_ingests set heartbeat_at = now() - interval '1 minute' where id = :id"),
            {"id": dead.ingest.id},
        )
    running = await until(lambda: other.find(session_id), "the take-over")
    assert running.session.state == "waiting"
    await until(lambda: dead.find(session_id) is None, "the dead one to let go")
    assert encoder.kicked == ["taken_over"]
    assert await home.live.status(stream) == "active"
    again = Encoder()
    assert not isinstance(await again.connect(other, stream), Refused)
    await other.close()
    await dead.close()


async def test_pushes_run_while_their_targets_are_enabled(home):
    house, stream = await home.house(), await home.live.stream()
    wanted = NewTarget(url="rtmp://example.com/app", streamKey="k")
    one = await do(home, simulcast.create, stream.id, wanted)
    two = await do(home, simulcast.create, stream.id, wanted)
    await do(home, simulcast.update, stream.id, two.id, UpdateTarget(isEnabled=False))
    encoder = Encoder()
    await encoder.connect(house, stream)
    [push] = await until(lambda: home.pushes, "the push")
    assert push.target.id == one.id
    encoder.send()
    assert [track.kind for track in push.tracks] == ["video", "audio"]
    assert push.samples[0].is_key
    await do(home, simulcast.update, stream.id, two.id, UpdateTarget(isEnabled=True))
    await until(lambda: len(home.pushes) == 2, "the second push")
    await do(home, simulcast.update, stream.id, one.id, UpdateTarget(isEnabled=False))
    await until(lambda: push.is_closed, "the end of the first push")
    await do(home, simulcast.delete, stream.id, two.id)
    await until(lambda: home.pushes[1].is_closed, "the end of the second push")
    await until(lambda: _has(home, stream, "simulcast_target.broadcasting", 1), "the events")
    told = [word for word in await home.live.words(stream) if word.startswith("simulcast")]
    assert told.count("simulcast_target.starting") >= 1
    assert told.index("simulcast_target.starting") < told.index("simulcast_target.broadcasting")
    await house.close()


async def test_srt_players_are_attached_to_what_runs_and_to_nothing_else(home):
    house, stream = await home.house(), await home.live.stream()
    reader = MemoryPush(None, lambda state: None)
    assert await house.play(stream.id, reader) == Refused("unavailable")
    encoder = Encoder()
    await encoder.connect(house, stream)
    undo = await house.play(stream.id, reader)
    encoder.send(seconds=3)
    assert len(reader.samples) > 60
    undo()
    await house.close()


async def test_what_runs_is_reported_with_its_viewers(home):
    house, stream, encoder = await home.house(), await home.live.stream(), Encoder()
    await encoder.connect(house, stream)
    encoder.send()
    running = house.find_of_stream(stream.id)
    running.viewers.unite(range(5), 0, time.monotonic())

    async def is_told():
        async with home.live.db.unit() as tx:
            return await service.viewer_count(tx, home.live.workspace_id, stream.id) == 5

    await until(is_told, "the report")
    async with home.live.db.unit() as tx:
        told = await service.health(tx, home.live.workspace_id, stream.id)
    assert told["isPublishing"] is True
    assert "source" in told["health"]["renditions"]
    assert told["health"]["fps"] == pytest.approx(30, abs=0.1)
    await house.close()


async def test_what_ended_is_kept_for_a_while_and_then_shown_from_its_recording(home, monkeypatch):
    monkeypatch.setattr(house_module, "KEEP_S", 0.0)
    house, stream, encoder = await home.house(), await home.live.stream(), Encoder()
    await encoder.connect(house, stream)
    encoder.send()
    await until_status(home, stream, "active")
    session_id = house.find_of_stream(stream.id).session.id
    await do(home, service.finish, stream.id)
    await until(lambda: house.find(session_id) is None, "the release")
    async with home.live.db.unit() as tx:
        assert (await sessions_store.find(tx, session_id)).released_at is not None
    await house.close()
