"""The recorder: what the journal says exists in storage, and nothing that was taken is lost while it lives."""

import asyncio
import dataclasses
import itertools
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from tests import live_segments
from tests.unit.live.conftest import Studio

from fastpix_server.live import journal, recorder
from fastpix_server.live.model import FinishedSegment
from fastpix_server.live.recorder import Recorder, init_key, loader, restore, segment_key
from fastpix_server.storage.port import StorageError

WRITER = Path(__file__).parent / "recorder_process.py"


async def until(condition, within_s: float = 30.0) -> None:  # type: ignore[no-untyped-def]
    deadline_s = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        await asyncio.sleep(0.05)


async def test_every_segment_is_stored_and_in_the_journal(any_studio: Studio) -> None:
    spec, segments = any_studio.spec(), live_segments.session(epochs=2)
    await any_studio.record(spec, segments)
    rows = await any_studio.journal(spec)
    assert {(r.rendition, r.number) for r in rows} == {(s.rendition.name, s.number) for s in segments}
    for segment in segments:
        name = segment.rendition.name
        assert await any_studio.storage.objects.get(segment_key(spec.place, name, segment.number)) == segment.data
        assert await any_studio.storage.objects.get(init_key(spec.place, name, segment.epoch)) == segment.init
    row, segment = rows[0], segments[0]
    assert (row.start_ticks, row.duration_ticks, row.pdt_ms) == (
        segment.start_ticks,
        segment.duration_ticks,
        segment.pdt_ms,
    )
    assert [r.is_discontinuity for r in rows if r.rendition == "source"] == [False] * 4 + [True] + [False] * 3


async def test_older_segments_are_read_back_for_dvr(studio: Studio) -> None:
    spec, segments = studio.spec(), live_segments.session()
    await studio.record(spec, segments)
    load = loader(studio.storage.objects, spec.place)
    assert await load("source", 1) == next(s.data for s in segments if s.rendition.name == "source" and s.number == 1)
    assert await load("source", 99) is None


async def test_the_rows_of_one_number_appear_together(studio: Studio) -> None:
    spec, segments = studio.spec(), live_segments.session()
    kept = Recorder(studio.db, studio.storage.objects, spec)
    first = [s for s in segments if s.number == 0]
    for segment in first[:-1]:
        kept.on_segment(segment)
    kept.on_segment(next(s for s in segments if s.number == 1))
    kept.on_segment(first[-1])

    async def has_rows() -> bool:
        return bool(await studio.journal(spec))

    await until(has_rows)
    assert {r.rendition for r in await studio.journal(spec) if r.number == 0} == {"source", "180p", "a0"}
    await kept.close()


async def test_a_rung_that_lags_does_not_hold_the_others_back_for_ever(studio: Studio) -> None:
    spec, segments = studio.spec(), live_segments.session()
    kept = Recorder(studio.db, studio.storage.objects, spec)
    for segment in segments:
        if segment.rendition.name != "180p" or segment.number != 2:
            kept.on_segment(segment)

    async def has_all() -> bool:
        return {r.number for r in await studio.journal(spec)} == {0, 1, 2, 3}

    await until(has_all)
    late = next(s for s in segments if s.rendition.name == "180p" and s.number == 2)
    kept.on_segment(late)
    await kept.close()
    assert ("180p", 2) in {(r.rendition, r.number) for r in await studio.journal(spec)}


async def test_segments_wait_in_memory_while_the_storage_is_away(studio: Studio) -> None:
    spec, segments = studio.spec(), live_segments.session()
    objects = studio.storage.objects
    is_away = True
    put = objects.put

    async def sometimes(key: str, data: bytes, **options: bool) -> None:
        if is_away:
            raise StorageError("it cannot be reached")
        await put(key, data, **options)

    objects.put = sometimes  # type: ignore[method-assign]
    kept = Recorder(studio.db, objects, spec)
    for segment in segments:
        kept.on_segment(segment)
    await asyncio.sleep(0.5)
    assert not await studio.journal(spec)
    assert kept.held_s == pytest.approx(8.0, abs=0.1)
    is_away = False
    await kept.close()
    assert len(await studio.journal(spec)) == len(segments)


async def test_beyond_its_bounds_the_newest_segments_are_given_up_whole_numbers_at_a_time(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, segments = studio.spec(), live_segments.session()
    room = sum(len(s.data) for s in segments if s.number < 2)
    monkeypatch.setattr(recorder, "MAX_HELD_BYTES", room)
    kept = Recorder(studio.db, studio.storage.objects, spec)
    for segment in segments:  # without an await between them nothing is written yet
        kept.on_segment(segment)
    await kept.close()
    rows = await studio.journal(spec)
    numbers = {r.number for r in rows}
    assert numbers == {0, 1}
    for number in numbers:
        assert {r.rendition for r in rows if r.number == number} == {"source", "180p", "a0"}


async def test_a_recorder_whose_session_was_finished_elsewhere_writes_nothing_more(studio: Studio) -> None:
    spec, segments = studio.spec(), live_segments.session()
    await studio.record(spec, [s for s in segments if s.number < 2])
    async with studio.db.unit() as tx:
        assert await journal.finish(tx, spec.session_id)
    await studio.record(spec, [s for s in segments if s.number >= 2])
    assert {r.number for r in await studio.journal(spec)} == {0, 1}


async def test_a_storage_that_stays_away_does_not_keep_the_end_waiting(studio: Studio) -> None:
    spec, segments = studio.spec(), live_segments.session()

    async def never(_key: str, _data: bytes, **_options: bool) -> None:
        raise StorageError("it cannot be reached")

    studio.storage.objects.put = never  # type: ignore[method-assign]
    kept = Recorder(studio.db, studio.storage.objects, spec)
    kept.on_segment(segments[0])
    await asyncio.wait_for(kept.close(within_s=0.5), timeout=20)
    assert not await studio.journal(spec)


@pytest.mark.parametrize("killed_at", ["before_object", "between_object_and_row", "after_row"])
async def test_after_kill_9_what_the_journal_names_is_in_storage(studio: Studio, killed_at: str) -> None:
    """And the next process goes on under the same numbers."""
    spec, segments = studio.spec(), live_segments.session()
    fields = [f"{name}={value}" for name, value in dataclasses.asdict(spec).items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(WRITER), studio.url, str(studio.folder), killed_at, *fields),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert await asyncio.wait_for(process.wait(), 120) == -signal.SIGKILL
    rows = await studio.journal(spec)
    known = {(r.rendition, r.number) for r in rows}
    for rendition, number in known:
        assert await loader(studio.storage.objects, spec.place)(rendition, number)
    whole = {number for number in range(4) if {(n, number) for n in ("source", "180p", "a0")} <= known}
    assert known == {(name, number) for name in ("source", "180p", "a0") for number in whole}
    assert whole == {"before_object": {0}, "between_object_and_row": {0}, "after_row": {0, 1}}[killed_at]
    # The same session in the next process: what was not in the journal comes again, or is lost with its publisher.
    await studio.record(spec, [s for s in segments if s.number not in whole])
    assert len(await restore(studio.db, spec.session_id)) == len(segments)


async def test_two_recorders_of_one_session_leave_one_journal(studio: Studio) -> None:
    """A machine that stalled and was taken for dead writes the same number as its heir: the first one stays."""
    spec, segments = studio.spec(), live_segments.session()
    await asyncio.gather(studio.record(spec, segments), studio.record(spec, segments))
    rows = await studio.journal(spec)
    assert len(rows) == len(segments) == len({(r.rendition, r.number) for r in rows})
    async with studio.db.unit() as tx:
        count = await tx.execute(text("select count(*) from media where id = :id"), {"id": spec.session_id})
        assert count.scalar_one() == 1


def test_the_made_segments_are_what_they_say() -> None:
    segments: list[FinishedSegment] = live_segments.session(epochs=2)
    for name, group in itertools.groupby(sorted(segments, key=lambda s: s.rendition.name), lambda s: s.rendition.name):
        assert [s.number for s in group] == list(range(8)), name


async def test_a_number_whose_renditions_are_known_waits_for_nothing(studio: Studio) -> None:
    """So what a crash can take is what the encoder had sent of the segment in the making."""
    spec, segments = studio.spec(), live_segments.session()
    kept = Recorder(studio.db, studio.storage.objects, spec)
    for segment in segments:
        if segment.number <= 1:
            kept.on_segment(segment)
    begun_s = time.monotonic()

    async def has_second() -> bool:
        return any(r.number == 1 for r in await studio.journal(spec))

    await until(has_second)
    if time.monotonic() - begun_s < recorder.HOLD_S:  # on a busy machine it may have been the hold
        assert len(await studio.journal(spec)) == 6
    await kept.close()
