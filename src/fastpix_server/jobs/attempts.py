"""One try of one job: runs the handler, counts, logs, and decides whether there is another try.

Invariants: a fault of the source or destination is final, everything else is tried again up to the job's `retries`;
a try that was cut short by our own shutdown is not counted; `on_exhausted` is called once it is over, and when that
call itself fails the job stays until it succeeds (bounded).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import procrastinate
import procrastinate.jobs
from prometheus_client import Counter, Histogram

from fastpix_server.base import errors, log
from fastpix_server.jobs.registry import Job

_log = log.get(__name__)

_TRIES = Counter("fastpix_jobs_total", "Tries of jobs by how they ended", ["name", "outcome"])
_SECONDS = Histogram(
    "fastpix_job_seconds", "Duration of one try", ["name"], buckets=(0.01, 0.05, 0.25, 1, 5, 25, 125, 600, 3600)
)

# 1, 4, 16, 60, 60 ... s: quick enough for a neighbour's restart, slow enough not to hammer one that is down.
_BACKOFF_BASE_S = 4
_BACKOFF_MAX_S = 60
# on_exhausted writes the failure that the user sees; a database that is away for minutes must not lose it.
_GIVE_UP_TRIES = 20
_FINAL = (errors.SourceFault, errors.DestinationFault)

# Called as before_retry(job_id, is_counted) just before the queue takes the job back: see Worker._before_retry.
BeforeRetry = Callable[[int, bool], Awaitable[None]]


class GiveUpFailed(Exception):
    """on_exhausted could not be completed; the job is kept for another attempt at that."""


class Retries(procrastinate.BaseRetryStrategy):
    """Back-off up to the job's maximum."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def get_retry_decision(
        self, *, exception: BaseException, job: procrastinate.jobs.Job
    ) -> procrastinate.RetryDecision | None:
        if isinstance(exception, asyncio.CancelledError):
            return procrastinate.RetryDecision(retry_in={"seconds": 0})
        if isinstance(exception, GiveUpFailed):
            if job.attempts >= self._job.retries + _GIVE_UP_TRIES:
                return None
        elif not has_another_try(self._job, job.attempts, exception):
            return None
        return procrastinate.RetryDecision(retry_in={"seconds": backoff_s(job.attempts)})


def has_another_try(job: Job, attempts: int, fault: BaseException) -> bool:
    """`attempts` is the number of tries before this one."""
    return attempts < job.retries and not isinstance(fault, _FINAL)


def backoff_s(attempts: int) -> int:
    # The exponent is bounded before the power is taken: attempts comes from a database row.
    return int(min(_BACKOFF_BASE_S ** min(attempts, 10), _BACKOFF_MAX_S))


async def run(job: Job, context: procrastinate.JobContext, args: dict[str, object], before_retry: BeforeRetry) -> None:
    """Raises what the handler raised, so that the queue records it; see Retries for what follows."""
    started = time.monotonic()
    outcome = "done"
    job_id = context.job.id
    assert job_id is not None  # it came out of the database
    with log.bound(job=job.name, job_id=job_id):
        try:
            await job.handler(**args)
        except asyncio.CancelledError:
            outcome = "interrupted"
            await before_retry(job_id, False)
            raise
        except Exception as fault:
            will_retry = has_another_try(job, context.job.attempts, fault)
            outcome = "retried" if will_retry else "failed"
            if will_retry:
                _log.warning("job_will_retry", attempt=context.job.attempts + 1, error=describe(fault))
            else:
                _log.exception("job_gave_up", attempt=context.job.attempts + 1, error=describe(fault))
            # Also before the last farewell: when that fails, the queue takes the job back as well.
            await before_retry(job_id, True)
            if not will_retry:
                await give_up(job, args, describe(fault))
            raise
        finally:
            _TRIES.labels(job.name, outcome).inc()
            _SECONDS.labels(job.name).observe(time.monotonic() - started)


async def give_up(job: Job, args: dict[str, object], error: str) -> None:
    """Raises GiveUpFailed when the farewell itself fails."""
    if job.on_exhausted is None:
        return
    try:
        await job.on_exhausted(**args, error=error)
    except Exception as fault:
        _log.exception("job_give_up_failed", error=describe(fault))
        raise GiveUpFailed(describe(fault)) from fault


def describe(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {fault}"[:500]
