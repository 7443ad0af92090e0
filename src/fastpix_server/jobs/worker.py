"""Takes jobs from the queue and runs them: one concurrency per queue, heartbeats, recovery of jobs of dead workers.

Invariants: a job is delivered at least once. A worker that is killed is noticed by the others, or by its successor,
within STALLED_AFTER_S + _SWEEP_S, and its jobs start again. stop() lets running jobs end for DRAIN_S, then cancels them
and puts them back. procrastinate does the work; docs/decisions/0002-procrastinate.md says why.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

import procrastinate
import procrastinate.jobs
import procrastinate.worker
import psycopg
from psycopg_pool import PoolTimeout

from fastpix_server.base import log
from fastpix_server.jobs import attempts
from fastpix_server.jobs.alive import HEARTBEAT_S, STALLED_AFTER_S
from fastpix_server.jobs.registry import Job, Periodic, Registry

_log = log.get(__name__)

_SWEEP_S = 1.5
# NOTIFY wakes us; the poll finds retries that fell due, and the rare job whose notification crossed a fetch.
_POLL_S = 2.0
# Part of the platform's 10 s: what has not ended by then starts again elsewhere.
DRAIN_S = 5.0
# Connections for queue keeping only (fetch, finish, heartbeat); handlers bring their own. Each is held for a
# millisecond or two at a time, and an idle one costs 5 MB in the server, which the polls of four queues keep open.
_POOL_SIZE = 2
_FORGET_AFTER_H = 24 * 7
_RESTART_PAUSE_S = 1.0
_LOST = (psycopg.Error, procrastinate.exceptions.ConnectorException, PoolTimeout)


class Worker:
    """`queues` maps each queue to the number of its jobs that run at once here."""

    def __init__(self, url: str, registry: Registry, queues: Mapping[str, int]) -> None:
        self._registry = registry
        self._queues = dict(queues)
        self._connector = procrastinate.PsycopgConnector(
            conninfo=url, min_size=1, max_size=_POOL_SIZE, kwargs={"connect_timeout": 5}
        )
        self._app = procrastinate.App(connector=self._connector)
        self._jobs = {job.name: job for job in registry.jobs}
        self._stopping = asyncio.Event()
        self._running: dict[str, procrastinate.worker.Worker] = {}
        for job in registry.jobs:
            self._register(job)
        for periodic in registry.periodic:
            self._register_periodic(periodic)
        # procrastinate stops watching its own heartbeat when nothing is periodic, so something always is.
        self._register_periodic(Periodic("jobs.forget", "17 * * * *", self._forget_old))
        _hush_procrastinate()

    def stop(self) -> None:
        """Takes no more jobs; run() returns when the running ones have ended or been put back."""
        self._stopping.set()
        for worker in self._running.values():
            worker.stop()  # type: ignore[no-untyped-call]

    async def run(self) -> None:
        """Runs until stop() or cancellation; both drain. A lost database is waited for."""
        await self._open()
        sweeper = asyncio.create_task(self._sweep(), name="jobs-sweeper")
        loops = [asyncio.create_task(self._serve(queue), name=f"jobs-{queue}") for queue in self._queues]
        try:
            await asyncio.gather(*loops)
        except asyncio.CancelledError:
            self.stop()
            await asyncio.gather(*loops, return_exceptions=True)
            raise
        finally:
            sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sweeper
            await self._app.close_async()

    async def _open(self) -> None:
        await self._app.open_async()

    async def _serve(self, queue: str) -> None:
        """One procrastinate worker per queue; it ends when its connection fails, and is then replaced."""
        while not self._stopping.is_set():
            worker = procrastinate.worker.Worker(
                self._app,
                queues=[queue],
                name=queue,
                concurrency=self._queues[queue],
                fetch_job_polling_interval=_POLL_S,
                shutdown_graceful_timeout=DRAIN_S,
                delete_jobs=procrastinate.jobs.DeleteJobCondition.SUCCESSFUL,
                install_signal_handlers=False,
                update_heartbeat_interval=HEARTBEAT_S,
                stalled_worker_timeout=STALLED_AFTER_S,
            )
            self._running[queue] = worker
            try:
                await worker.run()  # type: ignore[no-untyped-call]
            except _LOST as fault:
                _log.warning("job_queue_lost", queue=queue, error=attempts.describe(fault))
            if not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _RESTART_PAUSE_S)

    def _register(self, job: Job) -> None:
        async def call(context: procrastinate.JobContext, /, **args: Any) -> None:
            await attempts.run(job, context, args, self._before_retry)

        self._app.task(name=job.name, queue=job.queue, retry=attempts.Retries(job), pass_context=True)(call)

    def _register_periodic(self, periodic: Periodic) -> None:
        job = Job(periodic.name, periodic.handler, "default", 0, None)

        async def call(context: procrastinate.JobContext, timestamp: int) -> None:
            await attempts.run(job, context, {}, self._before_retry)

        task = self._app.task(name=job.name, queue=job.queue, queueing_lock=job.name, pass_context=True)(call)
        self._app.periodic(cron=periodic.cron)(task)

    async def _before_retry(self, job_id: int, is_counted: bool) -> None:
        """Our shutdown is not the job's fault: such a retry must not use up a try, and the queue will add one.

        The queueing lock is dropped: an equal job may be waiting by now, and two waiting jobs cannot share one, so the
        queue would refuse to take this one back. It has begun; from here on `lock` alone keeps equals apart.
        """
        await self._connector.execute_query_async(
            "update procrastinate_jobs set queueing_lock = null, attempts = attempts - %(uncount)s where id = %(id)s",
            id=job_id,
            uncount=0 if is_counted else 1,
        )

    async def _sweep(self) -> None:
        """Looks for jobs whose worker is dead."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                # After an outage all heartbeats look old: first let the living report.
                if time.monotonic() - last > HEARTBEAT_S:
                    await asyncio.sleep(HEARTBEAT_S + _SWEEP_S)
                await self._recover_stalled()
                last = time.monotonic()
            except _LOST as fault:
                _log.warning("job_sweep_failed", error=attempts.describe(fault))

    async def _recover_stalled(self) -> None:
        manager = self._app.job_manager
        for row in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER_S):
            job = self._jobs.get(row.task_name)
            if job is not None and row.attempts >= job.retries:
                await self._give_up_stalled(job, row)
                continue
            assert row.id is not None
            # The SQL function moves it only while it is still `doing`: the second of two sweepers gets an error.
            with contextlib.suppress(procrastinate.exceptions.ConnectorException):
                await self._before_retry(row.id, True)
                await manager.retry_job(row)
                _log.warning("job_recovered", job=row.task_name, job_id=row.id, attempt=row.attempts + 1)

    async def _give_up_stalled(self, job: Job, row: procrastinate.jobs.Job) -> None:
        """A job that has lost its worker this often is probably what kills them."""
        _log.error("job_gave_up", job=job.name, job_id=row.id, error="its worker died each time")
        with contextlib.suppress(attempts.GiveUpFailed, procrastinate.exceptions.ConnectorException):
            await attempts.give_up(job, dict(row.task_kwargs), "The worker died while it did this.")
            await self._app.job_manager.finish_job(row, procrastinate.jobs.Status.FAILED, delete_job=False)

    async def _forget_old(self) -> None:
        """Failed jobs are kept for a week, for whoever asks why."""
        await self._app.job_manager.delete_old_jobs(nb_hours=_FORGET_AFTER_H, include_failed=True)


def _hush_procrastinate() -> None:
    """Its line per ended job repeats ours, with a second traceback; its other warnings stay."""
    logging.getLogger("procrastinate.worker").addFilter(_is_not_job_outcome)


def _is_not_job_outcome(record: logging.LogRecord) -> bool:
    return not str(getattr(record, "action", "")).startswith("job_")
