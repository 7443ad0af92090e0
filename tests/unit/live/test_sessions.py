"""Who may publish, and what becomes of a session when encoders, ingests and time come and go."""

import asyncio

import pytest
from sqlalchemy import text
from tests.live_streams import asks

from fastpix_server.base import ids
from fastpix_server.ingest.model import Refused
from fastpix_server.live import service, sessions, sessions_store, states
from fastpix_server.live.jobs import LiveJobs
from fastpix_server.live.schemas import UpdateStream
from fastpix_server.live.states import Cause, Status
from fastpix_server.playback import store as playback_store


async def begin(live, ingest, stream, **changes):
    async with live.db.unit() as tx:
        return await sessions.begin(tx, ingest, asks(stream, **changes))


async def act(live, verb, *args):
    async with live.db.unit() as tx:
        return await verb(tx, *args)


async def test_an_encoder_begins_a_session_that_becomes_active_and_idle_with_all_events(live):
    stream, ingest = await live.stream(), await live.ingest()
    begun = await begin(live, ingest, stream)
    assert isinstance(begun, sessions.Begun)
    session = begun.session
    assert not begun.is_resumed
    assert (session.state, session.epoch, session.max_lines, session.is_recorded) == ("publishing", 1, 1080, True)
    assert session.revision == session.id.replace("-", "")[:12]
    assert await live.status(stream) == "preparing"
    assert await act(live, sessions.playable, ingest.id, session.id) is not None
    assert await act(live, sessions.playable, ingest.id, session.id) is None
    assert await live.status(stream) == "active"
    waiting = await act(live, sessions.disconnected, ingest.id, session.id, 1)
    assert waiting.state == "waiting"
    assert await live.status(stream) == "active"
    assert await act(live, sessions.end_overdue, ingest.id, session.id) is None
    await live.later(61)
    ended = await act(live, sessions.end_overdue, ingest.id, session.id)
    assert (ended.state, ended.end_reason) == ("ended", "window")
    assert await live.status(stream) == "idle"
    assert await live.words(stream) == [
        "created", "connected", "preparing", "recording", "active", "disconnected", "idle",
    ]  # fmt: skip


async def test_a_stream_without_recording_does_not_say_that_it_records(live):
    stream, ingest = await live.stream(enableRecording=False), await live.ingest()
    begun = await begin(live, ingest, stream)
    await act(live, sessions.playable, ingest.id, begun.session.id)
    assert await live.words(stream) == ["created", "connected", "preparing", "active"]


@pytest.mark.parametrize(
    "key", ["", "nope", "k" * 65, "0" * 32 + "k" + "0" * 32, "É" * 65, "A" * 32 + "k" + "b" * 32, "x" * 100_000]
)
async def test_what_is_no_key_of_a_stream_is_unknown(live, key):
    stream, ingest = await live.stream(), await live.ingest()
    assert await begin(live, ingest, stream, stream_key=key) == Refused("unknown_key")


async def test_the_right_id_with_a_wrong_key_is_unknown(live):
    stream, ingest = await live.stream(), await live.ingest()
    assert await begin(live, ingest, stream, stream_key=stream.srt_secret) == Refused("unknown_key")
    assert await live.words(stream) == ["created"]


async def test_a_disabled_or_deleted_stream_takes_nobody_in(live):
    stream, ingest = await live.stream(), await live.ingest()
    await act(live, service.disable, live.workspace_id, stream.id)
    assert await begin(live, ingest, stream) == Refused("disabled")
    await act(live, service.delete, live.workspace_id, stream.id)
    assert await begin(live, ingest, stream) == Refused("unknown_key")


async def test_of_two_encoders_with_one_key_the_second_is_refused_also_when_they_come_at_once(live):
    stream = await live.stream()
    ingests = [await live.ingest(f"http://127.0.0.1:{n}") for n in range(4)]
    found = await asyncio.gather(*(begin(live, ingest, stream) for ingest in ingests))
    assert sum(isinstance(answer, sessions.Begun) for answer in found) == 1
    assert [answer for answer in found if isinstance(answer, Refused)] == [Refused("already_publishing")] * 3


async def test_an_encoder_that_comes_back_within_the_window_goes_on_in_the_same_session(live):
    stream, ingest = await live.stream(), await live.ingest()
    first = await begin(live, ingest, stream)
    await act(live, sessions.playable, ingest.id, first.session.id)
    await act(live, sessions.disconnected, ingest.id, first.session.id, 1)
    await live.later(59)
    again = await begin(live, await live.ingest("http://127.0.0.1:2"), stream, protocol="srt")
    assert again.is_resumed
    assert (again.session.id, again.session.epoch, again.session.protocol) == (first.session.id, 2, "srt")
    assert again.session.deadline_at is None
    assert await live.status(stream) == "active"
    await act(live, sessions.playable, again.session.holder, again.session.id)
    assert (await live.words(stream))[-4:] == ["active", "disconnected", "connected", "active"]


async def test_an_encoder_that_comes_back_too_late_begins_a_new_session(live):
    stream, ingest = await live.stream(), await live.ingest()
    first = await begin(live, ingest, stream)
    await act(live, sessions.disconnected, ingest.id, first.session.id, 1)
    await live.later(61)
    ingest = await live.ingest()  # the old one went with the time that passed
    again = await begin(live, ingest, stream)
    assert not again.is_resumed
    assert again.session.id != first.session.id
    assert await live.status(stream) == "preparing"
    async with live.db.unit() as tx:
        assert (await sessions_store.find(tx, first.session.id)).end_reason == "window"
    assert (await live.words(stream))[-4:] == ["disconnected", "idle", "connected", "preparing"]


async def test_the_longest_duration_ends_a_session_that_still_publishes(live):
    stream, ingest = await live.stream(), await live.ingest()
    begun = await begin(live, ingest, stream)
    await live.later(stream.max_duration_s - 1)
    assert await act(live, sessions.end_overdue, ingest.id, begun.session.id) is None
    await live.later(2)
    ended = await act(live, sessions.end_overdue, ingest.id, begun.session.id)
    assert ended.end_reason == "max_duration"
    assert await live.status(stream) == "idle"


async def test_a_changed_reconnect_window_moves_the_deadline_of_a_waiting_session(live):
    stream, ingest = await live.stream(), await live.ingest()
    begun = await begin(live, ingest, stream)
    waiting = await act(live, sessions.disconnected, ingest.id, begun.session.id, 1)
    await act(live, service.update, live.workspace_id, stream.id, UpdateStream(reconnectWindow=100))
    async with live.db.unit() as tx:
        moved = await sessions_store.find(tx, begun.session.id)
    assert (moved.deadline_at - waiting.deadline_at).total_seconds() == 40


async def test_what_a_dead_ingest_held_is_taken_over_in_its_state(live):
    streams = [await live.stream() for _ in range(3)]
    dead = await live.ingest()
    publishing, waiting, ended = [(await begin(live, dead, stream)).session for stream in streams]
    await act(live, sessions.disconnected, dead.id, waiting.id, 1)
    await act(live, service.disable, live.workspace_id, streams[2].id)
    other = await live.ingest("http://127.0.0.1:2")
    assert await act(live, sessions.take_orphans, other) == []
    # The same address again: whoever had it is dead, without any wait.
    fresh = await live.ingest()
    taken = {s.id: s for s in await act(live, sessions.take_orphans, fresh)}
    assert {s: taken[s].state for s in taken} == {publishing.id: "waiting", waiting.id: "waiting", ended.id: "ended"}
    assert {s.holder for s in taken.values()} == {fresh.id}
    assert (await live.words(streams[0]))[-1] == "disconnected"
    assert await act(live, sessions.take_orphans, other) == []
    # The zombie changes nothing any more.
    assert await act(live, sessions.playable, dead.id, publishing.id) is None
    assert await act(live, sessions.disconnected, dead.id, publishing.id, 1) is None
    await live.later(61)
    assert await act(live, sessions.end_overdue, dead.id, publishing.id) is None
    async with live.db.unit() as tx:
        assert not await sessions_store.beat(tx, dead.id)


async def test_an_encoder_of_a_dead_ingest_comes_back_before_anybody_took_over(live):
    stream, dead = await live.stream(), await live.ingest()
    first = await begin(live, dead, stream)
    other = await live.ingest("http://127.0.0.1:2")
    assert await begin(live, other, stream) == Refused("already_publishing")
    async with live.db.unit() as tx:
        await sessions_store.forget_ingest(tx, dead.id)
    again = await begin(live, other, stream)
    assert (again.session.id, again.is_resumed, again.session.holder) == (first.session.id, True, other.id)
    assert (await live.words(stream))[-2:] == ["disconnected", "connected"]


async def test_two_ingests_take_an_orphan_over_once(live):
    stream, dead = await live.stream(), await live.ingest()
    await begin(live, dead, stream)
    async with live.db.unit() as tx:
        await sessions_store.forget_ingest(tx, dead.id)
    others = [await live.ingest(f"http://127.0.0.1:{n}") for n in range(2, 6)]
    taken = await asyncio.gather(*(act(live, sessions.take_orphans, other) for other in others))
    assert sum(len(part) for part in taken) == 1
    assert (await live.words(stream)).count("disconnected") == 1


async def test_a_finished_and_released_session_is_nobodys_work(live):
    stream, ingest = await live.stream(), await live.ingest()
    session = (await begin(live, ingest, stream)).session
    assert await act(live, sessions_store.set_finalised, session.id) is False
    await act(live, service.disable, live.workspace_id, stream.id)
    await act(live, sessions.release, session)
    assert [s.id for s in await act(live, sessions_store.held_by, ingest.id)] == [session.id]
    for _ in range(2):
        await act(live, sessions.finalise, session)
        await act(live, sessions.release, session)
        assert await act(live, sessions_store.held_by, ingest.id) == []
    async with live.db.unit() as tx:
        done = await sessions_store.find(tx, session.id)
    assert done.finalised_at is not None
    assert done.released_at is not None


async def test_viewers_are_shown_the_session_its_end_and_then_its_recording(live):
    stream, ingest = await live.stream(enableDvrMode=True), await live.ingest("http://10.0.0.1:5")

    async def shown():
        async with live.db.unit() as tx:
            return (await playback_store.find_any(tx, stream.target_id)).session

    assert await shown() is None
    session = (await begin(live, ingest, stream)).session
    seen = await shown()
    assert (seen.id, seen.revision, seen.place, seen.origin) == (
        session.id, session.revision, session.place, "http://10.0.0.1:5",
    )  # fmt: skip
    assert (seen.is_running, seen.is_dvr) == (True, True)
    await live.later(stream.max_duration_s + 1)
    await act(live, sessions.end_overdue, ingest.id, session.id)
    seen = await shown()
    assert (seen.is_running, seen.origin) == (False, "http://10.0.0.1:5")
    await act(live, sessions.finalise, session)
    await act(live, sessions.release, session)
    assert (await shown()).origin is None
    newer = (await begin(live, await live.ingest(), stream)).session
    await act(live, sessions.show, session, None)  # late news of an old session change nothing
    assert (await shown()).id == newer.id


async def test_time_ends_what_no_ingest_cares_for(live):
    stream, dead = await live.stream(), await live.ingest()
    session = (await begin(live, dead, stream)).session
    jobs = LiveJobs(live.db)
    await jobs.reap()
    assert await live.status(stream) == "preparing"
    async with live.db.unit() as tx:
        await sessions_store.forget_ingest(tx, dead.id)
    await jobs.reap()
    assert (await live.words(stream))[-1] == "disconnected"
    await jobs.reap()
    await live.later(61)
    await jobs.reap()
    assert await live.status(stream) == "idle"
    async with live.db.unit() as tx:
        done = await sessions_store.find(tx, session.id)
    assert (done.state, done.end_reason) == ("ended", "window")
    assert done.released_at is not None
    assert (await live.words(stream)).count("disconnected") == 1


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("status", list(Status))
async def test_a_cause_moves_a_stream_only_from_where_the_table_says(live, status, cause):
    stream = await live.stream()
    async with live.db.unit() as tx:
        await tx.execute(text("update live_streams set status = :s"), {"s": status.value})
    allowed, to = states.MOVES[cause]
    assert await act(live, states.move, stream.id, cause) is (status in allowed)
    assert await live.status(stream) == (to if status in allowed else status)


async def test_a_stream_that_is_gone_is_moved_by_nothing(live):
    for cause in Cause:
        assert await act(live, states.move, ids.new_hex32(), cause) is False
