"""The background: complete, exact, out of the viewers' way, and alive again after a kill."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text
from tests import footage
from tests.planned import planned
from tests.playing import Playing, Published, until

from fastpix_server.engine.plan import Plan
from fastpix_server.playback import fill, service, store
from fastpix_server.playback.lane import Lane
from fastpix_server.playback.rates import rates


async def small_plan() -> Plan:
    """The film with its two smaller rungs and its sound: work enough to be met at."""
    plan = await planned(footage.film())
    return dataclasses.replace(plan, videos=plan.videos[-2:])


async def short_plan(chunks: int = 2) -> Plan:
    """So many chunks of the calm film's smallest rung, the last one short, and the sound of them."""
    plan = await planned(footage.calm_film())
    times = plan.timeline
    count = fill.CHUNK_SEGMENTS * (chunks - 1) + 3
    times = dataclasses.replace(times, cuts=times.cuts[: count + 1], audio_cuts=times.audio_cuts[: count + 1])
    return dataclasses.replace(plan, videos=plan.videos[-1:], timeline=times, seeks_s=plan.seeks_s[:count])


def finals(plan: Plan) -> set[str]:
    names = [r.name for r in (*plan.videos, *plan.audios)]
    return {f"{n}/{k}.m4s" for n in names for k in range(plan.timeline.segment_count)} | {
        f"{n}/init.mp4" for n in names
    }


class Calls:
    """Ranges that the background encoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ranges: list[tuple[str, int, int]] = []
        self.alive = 0
        self.may_begin = asyncio.Event()
        self.may_begin.set()
        for name in ("encode_video", "encode_audio"):
            monkeypatch.setattr(fill, name, self._wrap(getattr(fill, name)))

    def _wrap(self, encode):  # type: ignore[no-untyped-def]
        async def counted(plan, source, renditions, k0, k1, emit, **options):  # type: ignore[no-untyped-def]
            names = renditions.name if hasattr(renditions, "name") else "+".join(r.name for r in renditions)
            self.ranges.append((names, k0, k1))
            self.alive += 1
            try:
                await self.may_begin.wait()
                await encode(plan, source, renditions, k0, k1, emit, **options)
            finally:
                self.alive -= 1

        return counted


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


async def test_a_fill_makes_everything_once_and_then_nothing(stage: Playing, calls: Calls) -> None:
    plan = await short_plan()
    film = await stage.publish(footage.calm_film(), plan)
    worker = await stage.maker()
    await worker.fill(film.media_id)
    assert set(await stage.stored(film)) == finals(plan)
    # The first chunk early, then all of the sound in one run, then the rest.
    assert [c[0] for c in calls.ranges] == ["270p", "a0", "270p"]
    assert calls.ranges[1][1:] == (0, plan.timeline.segment_count)
    before = await stage.stored(film)
    await worker.fill(film.media_id)
    assert len(calls.ranges) == 3
    assert await stage.stored(film) == before


async def test_exact_rates_replace_the_estimate_on_every_edge(stage: Playing) -> None:
    plan = await short_plan()
    film = await stage.publish(footage.calm_film(), plan)
    worker, edge = await stage.maker(), await stage.edge()
    before = (await edge.get(f"/{film.playback_id}.m3u8")).text
    await worker.fill(film.media_id)

    async def is_new() -> bool:
        return (await edge.get(f"/{film.playback_id}.m3u8")).text != before

    await until(is_new)
    async with stage.db.unit() as tx:
        target = await store.find_target(tx, film.media_id)
    assert target is not None
    stored = await stage.stored(film)
    for rendition in target.renditions:
        sizes = [stored[f"{rendition.name}/{k}.m4s"] for k in range(plan.timeline.segment_count)]
        measured = target.measured[rendition.name]
        assert measured.average_bps == pytest.approx(sum(sizes) * 8 / plan.timeline.duration_s, rel=0.01)
        estimate = rates(plan, rendition, {})
        assert estimate.peak_bps >= measured.peak_bps


async def test_quick_segments_are_replaced_by_better_ones_under_the_same_url(stage: Playing) -> None:
    plan = await short_plan()
    film = await stage.publish(footage.calm_film(), plan)
    worker, edge = await stage.maker(), await stage.edge()
    quick = await edge.get(film.url("270p", "0.m4s"))
    assert "270p/0.fast.m4s" in await stage.stored(film)
    await worker.fill(film.media_id)
    assert set(await stage.stored(film)) == finals(plan)
    final = await edge.get(film.url("270p", "0.m4s"))
    assert final.status_code == 200
    assert final.headers["etag"] != quick.headers["etag"]


async def test_a_fill_goes_on_where_it_was_left(stage: Playing, calls: Calls) -> None:
    plan = await short_plan()
    film = await stage.publish(footage.calm_film(), plan)
    worker = await stage.maker()
    await worker.fill(film.media_id)
    place = f"media/{film.media_id}/{plan.revision}"
    for name in ("270p/6.m4s", "a0/3.m4s", "a0/4.m4s"):
        await stage.storage.objects.delete(f"{place}/{name}")
    calls.ranges.clear()
    await worker.fill(film.media_id)
    assert calls.ranges == [("a0", 3, 5), ("270p", 6, plan.timeline.segment_count)]
    assert set(await stage.stored(film)) == finals(plan)


async def test_a_chunk_ends_when_a_viewer_wants_a_segment_of_it(stage: Playing, calls: Calls) -> None:
    plan = await small_plan()
    film = await stage.publish(footage.film(), plan)
    worker, edge = await stage.maker(), await stage.edge()
    filling = asyncio.create_task(worker.fill(film.media_id))
    await until(lambda: calls.alive)
    answer = await edge.get(film.url("270p", "3.m4s"))
    assert answer.status_code == 200
    assert "270p/3.fast.m4s" in await stage.stored(film)
    # Begun again when the machine was free.
    await until(lambda: sum(c[0] == "480p+270p" for c in calls.ranges) == 2)
    filling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await filling


async def test_the_background_stands_still_while_another_process_serves_a_viewer(stage: Playing, calls: Calls) -> None:
    plan = await small_plan()
    film = await stage.publish(footage.film(), plan)
    worker = await stage.maker()
    filling = asyncio.create_task(worker.fill(film.media_id))
    other = Lane(stage.folder)  # as another worker process of this machine would hold it
    try:
        await until(lambda: calls.alive and _ffmpegs())
        other.enter()
        await until(lambda: _states() == {psutil.STATUS_STOPPED})
        other.leave()
        await until(lambda: _states() - {psutil.STATUS_STOPPED})
    finally:
        filling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await filling
        other.close()
    assert not _ffmpegs()


def _states() -> set[str]:
    found = set()
    for process in _ffmpegs():
        with contextlib.suppress(psutil.NoSuchProcess):
            found.add(process.status())
    return found


def _ffmpegs(of: int | None = None) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(of).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "ffmpeg" in child.name():
                found.append(child)
    return found


async def test_two_workers_share_one_film_and_make_no_chunk_twice(stage: Playing, calls: Calls) -> None:
    plan = await short_plan(chunks=4)
    film = await stage.publish(footage.calm_film(), plan)
    workers = [await stage.maker(), await stage.maker()]
    await asyncio.gather(*(w.fill(film.media_id) for w in workers))
    ranges = list(calls.ranges)
    for worker in workers:
        await worker.fill(film.media_id)
    assert set(await stage.stored(film)) == finals(plan)
    assert len(ranges) == len(set(ranges)) == len(calls.ranges)


async def test_a_fill_of_unpublished_media_ends_quietly(stage: Playing, calls: Calls) -> None:
    film = await stage.publish(footage.calm_film(), await short_plan())
    worker = await stage.maker()
    calls.may_begin.clear()
    filling = asyncio.create_task(worker.fill(film.media_id))
    await until(lambda: calls.alive)
    async with stage.db.unit() as tx:
        await service.unpublish(tx, film.media_id)
    calls.may_begin.set()
    await asyncio.wait_for(filling, 60)
    assert len(calls.ranges) == 1
    await worker.fill(film.media_id)  # a job that comes late finds nothing to do
    assert len(calls.ranges) == 1


async def test_a_long_film_gives_the_queue_back_between_slices(
    stage: Playing, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "SLICE_S", 0.1)
    film = await stage.publish(footage.calm_film(), await short_plan())
    worker = await stage.maker()
    async with stage.db.unit() as tx:
        await tx.execute(text("delete from procrastinate_jobs"))
    await worker.fill(film.media_id)
    assert len(calls.ranges) <= 1
    async with stage.db.unit() as tx:
        waiting = (await tx.execute(text("select count(*) from procrastinate_jobs where status = 'todo'"))).scalar_one()
    assert waiting == service.FILL_LANES


_WORKER = """
import asyncio, sys
from pathlib import Path
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.jobs.registry import Registry
from fastpix_server.jobs.worker import Worker
from fastpix_server.playback import service
from fastpix_server.playback.worker import SegmentMaker
from fastpix_server.storage.open import open_store

async def main(url, folder):
    db, listener = await Database.open(url), Listener(url)
    storage = open_store(f"file://{folder}/objects", {}, Path(folder) / "work")
    maker = SegmentMaker(db, listener, storage, machine_folder=Path(folder))
    await listener.start()
    registry = Registry()
    registry.add(service.FILL_JOB, maker.fill, queue="fill")
    await asyncio.gather(maker.run(), Worker(url, registry, {"fill": 1}).run())

asyncio.run(main(*sys.argv[1:]))
"""


async def _spawn(stage: Playing) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", _WORKER, stage.url, str(stage.folder))


async def _has(stage: Playing, film: Published, count: int) -> bool:
    return len(await stage.stored(film)) >= count


async def _is_measured(stage: Playing, film: Published) -> bool:
    async with stage.db.unit() as tx:
        target = await store.find_target(tx, film.media_id)
    return target is not None and bool(target.measured)


async def test_a_worker_killed_in_the_middle_loses_nothing(stage: Playing) -> None:
    plan = await short_plan()
    film = await stage.publish(footage.calm_film(), plan)
    first = await _spawn(stage)
    second = None
    try:
        await until(lambda: _has(stage, film, 4))
        orphans = _ffmpegs(first.pid)
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
        _, alive = psutil.wait_procs(orphans, timeout=30)
        assert not alive
        second = await _spawn(stage)
        await until(lambda: _is_measured(stage, film))
        assert set(await stage.stored(film)) == finals(plan)
    finally:
        for process in (first, second):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()


async def test_a_lane_is_free_again_when_its_holder_dies(tmp_path: Path) -> None:
    lane = Lane(tmp_path)
    code = "import sys,time; from pathlib import Path; from fastpix_server.playback.lane import Lane\n"
    code += "lane = Lane(Path(sys.argv[1])); lane.enter(); print('in', flush=True); time.sleep(600)"
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        await asyncio.wait_for(holder.stdout.readline(), 60)
        assert not lane.is_free()
        holder.kill()
        await holder.wait()
        await asyncio.wait_for(lane.wait_free(), 60)
    finally:
        if holder.returncode is None:
            holder.kill()
            await holder.wait()
        lane.close()
