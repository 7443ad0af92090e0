"""Puts a job into the queue, inside the caller's transaction.

Invariant: the job exists if and only if the change that needs it was committed; workers hear of it at the commit.
"""

import json
from datetime import datetime

import sqlalchemy.exc
from psycopg import errors as pg_errors
from sqlalchemy import text

from fastpix_server.db.pool import Tx

# procrastinate's own entry point (a versioned SQL function), so that its triggers and events stay right.
_DEFER = text("""
    select unnest(procrastinate_defer_jobs_v1(array[row(
        cast(:queue as varchar), cast(:name as varchar), cast(:priority as integer), cast(:lock as text),
        cast(:queueing_lock as text), cast(:args as jsonb), cast(:run_at as timestamptz)
    )::procrastinate_job_to_defer_v1]))
""")


async def enqueue(
    tx: Tx,
    name: str,
    args: dict[str, object],
    *,
    queue: str = "default",
    priority: int = 0,
    lock: str | None = None,
    queueing_lock: str | None = None,
    run_at: datetime | None = None,
) -> int:
    """Returns the job's id.

    Jobs of one `lock` run one at a time, in order. A `queueing_lock` allows one waiting job: when it is taken the
    answer is 0, nothing is queued, and the transaction goes on. Higher `priority` goes first. `args` must be JSON.
    """
    values = {
        "queue": queue,
        "name": name,
        "priority": priority,
        "lock": lock,
        "queueing_lock": queueing_lock,
        "args": json.dumps(args),
        "run_at": run_at,
    }
    if queueing_lock is None:
        return int((await tx.execute(_DEFER, values)).scalar_one())
    try:
        # The unique index answers; the savepoint keeps the caller's transaction alive after its refusal.
        async with tx.begin_nested():
            return int((await tx.execute(_DEFER, values)).scalar_one())
    except sqlalchemy.exc.IntegrityError as fault:
        if isinstance(fault.orig, pg_errors.UniqueViolation) and "queueing_lock" in str(fault.orig):
            return 0
        raise
