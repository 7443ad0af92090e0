"""The queue and its worker, against a real server and, where death is the subject, real processes."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import text

from fastpix_server.base import clock, errors
from fastpix_server.db.pool import Database
from fastpix_server.jobs import attempts, queue, worker
from fastpix_server.jobs.registry import Registry
from fastpix_server.jobs.worker import Worker

WITHIN_S = 60  # on a busy machine; an idle one takes moments


@pytest.fixture
async def db(database_url: str):
    db = await Database.open(database_url, size=4)
    yield db
    await db.close()


@asynccontextmanager
async def running(url: str, registry: Registry, **queues: int) -> AsyncIterator[Worker]:
    worker = Worker(url, registry, queues or {"default": 2})
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, WITHIN_S)


async def until(condition: Callable[[], Awaitable[bool]] | Callable[[], bool], timeout_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if await result if isinstance(result, Awaitable) else result:
            return
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


async def put(db: Database, name: str, args: dict[str, object] | None = None, **options) -> int:
    async with db.unit() as tx:
        return await queue.enqueue(tx, name, args or {}, **options)


async def rows(db: Database) -> list[tuple[str, int]]:
    async with db.unit() as tx:
        found = await tx.execute(
            text(
                "select status::text, attempts from procrastinate_jobs"
                " where task_name <> 'jobs.forget' order by id"  # the worker's own, which comes once an hour
            )
        )
        return [tuple(row) for row in found]


async def test_a_job_starts_soon_after_its_transaction_commits(db: Database, monkeypatch: pytest.MonkeyPatch):
    """It is told of it: nobody looks by himself here."""
    monkeypatch.setattr(worker, "_POLL_S", 3600)
    done = asyncio.Event()
    registry = Registry()

    async def greet(name: str) -> None:
        assert name == "Ada"
        done.set()

    registry.add("greet", greet)
    async with running(db.url, registry):
        await until(lambda: is_listening(db))
        await put(db, "greet", {"name": "Ada"})
        await asyncio.wait_for(done.wait(), WITHIN_S)
        await until(lambda: no_rows(db))


async def is_listening(db: Database) -> bool:
    async with db.unit() as tx:
        found = await tx.execute(
            text("select 1 from pg_stat_activity where datname = current_database() and query ilike 'listen %'")
        )
        return found.first() is not None


async def no_rows(db: Database) -> bool:
    return await rows(db) == []


async def rows_are(db: Database, expected: list[tuple[str, int]]) -> bool:
    return await rows(db) == expected


async def test_a_job_of_a_rolled_back_transaction_never_existed(db: Database):
    with pytest.raises(KeyError):
        async with db.unit() as tx:
            await queue.enqueue(tx, "greet", {})
            raise KeyError
    assert await rows(db) == []


async def test_a_taken_queueing_lock_answers_zero_and_the_transaction_goes_on(db: Database):
    async with db.unit() as tx:
        first = await queue.enqueue(tx, "a", {}, queueing_lock="one")
        assert first > 0
        assert await queue.enqueue(tx, "a", {}, queueing_lock="one") == 0
        assert await queue.enqueue(tx, "a", {}, queueing_lock="two") > 0
    assert len(await rows(db)) == 2


async def test_a_job_for_later_waits_for_its_time(db: Database):
    seen = []
    registry = Registry()

    async def note() -> None:
        seen.append(clock.now())

    registry.add("note", note)
    due = clock.now() + timedelta(seconds=1.5)
    await put(db, "note", run_at=due)
    async with running(db.url, registry):
        await until(lambda: len(seen) == 1)
    assert seen[0] >= due


async def test_higher_priority_goes_first(db: Database):
    order: list[str] = []
    registry = Registry()

    async def note(word: str) -> None:
        order.append(word)

    registry.add("note", note)
    await put(db, "note", {"word": "low"}, priority=-1)
    await put(db, "note", {"word": "high"}, priority=5)
    async with running(db.url, registry, default=1):
        await until(lambda: len(order) == 2)
    assert order == ["high", "low"]


async def test_jobs_of_one_lock_run_one_at_a_time(db: Database):
    active = most = ended = 0
    registry = Registry()

    async def work() -> None:
        nonlocal active, most, ended
        active += 1
        most = max(most, active)
        await asyncio.sleep(0.1)
        active -= 1
        ended += 1

    registry.add("work", work)
    for _ in range(3):
        await put(db, "work", lock="same")
    async with running(db.url, registry, default=4):
        await until(lambda: ended == 3)
    assert most == 1


async def test_each_queue_keeps_to_its_own_concurrency(db: Database):
    active, most, ended = {"slow": 0, "quick": 0}, {"slow": 0, "quick": 0}, 0
    registry, all_quick = Registry(), asyncio.Event()

    async def work(kind: str) -> None:
        nonlocal ended
        active[kind] += 1
        most[kind] = max(most[kind], active[kind])
        if active["quick"] == 4:
            all_quick.set()
        await all_quick.wait()
        await asyncio.sleep(0.1)
        active[kind] -= 1
        ended += 1

    registry.add("work", work)
    for kind in ("slow", "quick"):
        for _ in range(4):
            await put(db, "work", {"kind": kind}, queue=kind)
    async with running(db.url, registry, slow=1, quick=4):
        await until(lambda: ended == 8)
    assert most == {"slow": 1, "quick": 4}


async def test_a_job_that_fails_is_tried_again_and_then_given_up(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attempts, "_BACKOFF_MAX_S", 0)
    tries, farewells = [], []
    registry = Registry()

    async def fail(media_id: str) -> None:
        tries.append(media_id)
        raise errors.ServiceFault("disk", "The disk is full.")

    async def farewell(media_id: str, error: str) -> None:
        farewells.append((media_id, error))

    registry.add("fail", fail, retries=2, on_exhausted=farewell)
    await put(db, "fail", {"media_id": "m"})
    async with running(db.url, registry):
        await until(lambda: len(farewells) == 1)
        await until(lambda: rows_are(db, [("failed", 3)]))
    assert tries == ["m"] * 3
    assert farewells == [("m", "ServiceFault: The disk is full.")]


async def test_a_fault_of_the_source_is_final_at_once(db: Database):
    farewells = []
    registry = Registry()

    async def fail() -> None:
        raise errors.SourceFault("moov_missing", "The file is truncated.")

    async def farewell(error: str) -> None:
        farewells.append(error)

    registry.add("fail", fail, on_exhausted=farewell)
    await put(db, "fail")
    async with running(db.url, registry):
        await until(lambda: len(farewells) == 1)
        await until(lambda: rows_are(db, [("failed", 1)]))


async def test_a_farewell_that_fails_is_tried_again(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attempts, "_BACKOFF_MAX_S", 0)
    farewells = []
    registry = Registry()

    async def fail() -> None:
        raise RuntimeError

    async def farewell(error: str) -> None:
        farewells.append(error)
        if len(farewells) == 1:
            raise errors.Unavailable("database")

    registry.add("fail", fail, retries=0, on_exhausted=farewell)
    await put(db, "fail")
    async with running(db.url, registry):
        await until(lambda: len(farewells) == 2)
        await until(lambda: rows_are(db, [("failed", 2)]))


async def test_a_retry_is_possible_while_an_equal_job_waits(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attempts, "_BACKOFF_MAX_S", 0)
    runs = 0
    registry = Registry()

    async def once_then_fine() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            assert await put(db, "work", queueing_lock="w", lock="w") > 0
            raise RuntimeError

    registry.add("work", once_then_fine)
    await put(db, "work", queueing_lock="w", lock="w")
    async with running(db.url, registry):
        await until(lambda: runs == 3)
        await until(lambda: no_rows(db))


async def test_stop_lets_a_running_job_end(db: Database):
    started, ended = asyncio.Event(), asyncio.Event()
    registry = Registry()

    async def work() -> None:
        started.set()
        await asyncio.sleep(0.5)
        ended.set()

    registry.add("work", work)
    await put(db, "work")
    async with running(db.url, registry):
        await asyncio.wait_for(started.wait(), WITHIN_S)
    assert ended.is_set()
    assert await rows(db) == []


async def test_a_job_longer_than_the_drain_is_put_back_uncounted(db: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker, "DRAIN_S", 0.2)
    started = asyncio.Event()
    registry = Registry()

    async def work() -> None:
        started.set()
        await asyncio.sleep(60)

    registry.add("work", work)
    await put(db, "work")
    async with running(db.url, registry):
        await asyncio.wait_for(started.wait(), WITHIN_S)
    assert await rows(db) == [("todo", 0)]


async def test_a_periodic_job_runs_without_anybody_asking(db: Database):
    ran = asyncio.Event()
    registry = Registry()

    async def tick() -> None:
        ran.set()

    registry.every("* * * * *", "tick", tick)
    async with running(db.url, registry):
        await asyncio.wait_for(ran.wait(), WITHIN_S)


async def test_a_worker_survives_the_loss_of_its_connections(db: Database):
    done = asyncio.Event()
    registry = Registry()

    async def work() -> None:
        done.set()

    registry.add("work", work)
    async with running(db.url, registry):
        await asyncio.sleep(0.5)
        async with db.unit() as tx:
            await tx.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where pid <> pg_backend_pid() and datname = current_database()"
                )
            )
        await put(db, "work")
        await asyncio.wait_for(done.wait(), WITHIN_S)


_VICTIM = """
import asyncio, sys
from fastpix_server.jobs.registry import Registry
from fastpix_server.jobs.worker import Worker
async def work():
    print("started", flush=True)
    await asyncio.sleep(600)
registry = Registry()
registry.add("work", work, retries=int(sys.argv[2]))
asyncio.run(Worker(sys.argv[1], registry, {"default": 1}).run())
"""


async def _start_and_kill_a_worker(db: Database, retries: int) -> None:
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _VICTIM, db.url, str(retries), stdout=asyncio.subprocess.PIPE
    )
    assert victim.stdout is not None
    assert await asyncio.wait_for(victim.stdout.readline(), WITHIN_S) == b"started\n"
    os.kill(victim.pid, signal.SIGKILL)
    await victim.wait()


async def test_a_job_whose_worker_was_killed_starts_again_by_itself(db: Database):
    """An idle machine takes up to ten seconds: it is found dead when its heart has not beaten for seven."""
    again = asyncio.Event()
    await put(db, "work")
    await _start_and_kill_a_worker(db, 5)
    registry = Registry()

    async def work() -> None:
        again.set()

    registry.add("work", work)
    async with running(db.url, registry):
        await asyncio.wait_for(again.wait(), WITHIN_S)


async def test_a_job_that_always_loses_its_worker_is_given_up(db: Database):
    farewells = []
    await put(db, "work")
    await _start_and_kill_a_worker(db, 0)
    registry = Registry()

    async def work() -> None:
        raise AssertionError("it must not run again")

    async def farewell(error: str) -> None:
        farewells.append(error)

    registry.add("work", work, retries=0, on_exhausted=farewell)
    async with running(db.url, registry):
        await until(lambda: len(farewells) == 1)
        await until(lambda: rows_are(db, [("failed", 1)]))
    assert farewells == ["The worker died while it did this."]


def test_a_name_is_registered_once():
    registry = Registry()

    async def work() -> None: ...

    registry.add("work", work)
    with pytest.raises(ValueError, match="twice"):
        registry.every("* * * * *", "work", work)


@pytest.mark.parametrize(("tries", "wait_s"), [(0, 1), (1, 4), (2, 16), (3, 60), (1000, 60)])
def test_the_back_off_grows_to_its_maximum(tries: int, wait_s: int):
    assert attempts.backoff_s(tries) == wait_s


async def test_the_queue_refuses_arguments_that_are_not_json(db: Database):
    with pytest.raises(TypeError):
        await put(db, "work", {"at": object()})
    with psycopg.connect(db.url) as connection:
        assert connection.execute("select count(*) from procrastinate_jobs").fetchone() == (0,)
