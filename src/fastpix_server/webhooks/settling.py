"""What became of deliveries, written in as few transactions as there is time for.

Invariants: an outcome is written behind its lease, or not at all; while one transaction runs, whoever comes waits for
the next one, which takes all that wait, so that many quick receivers cost few commits; a single delivery waits for
nobody.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable

import psycopg
import sqlalchemy.exc
from prometheus_client import Counter, Histogram

from fastpix_server.base import clock, errors, log
from fastpix_server.db.pool import Database, Tx
from fastpix_server.outbox.events import Event
from fastpix_server.webhooks import deliveries_store, schedule, service, store, wire
from fastpix_server.webhooks.model import Attempt, Claimed, Outcome, State

# Outcomes in one transaction: some milliseconds of work.
BATCH = 64
# Who is first waits so long for the others that are under way: a group of quick receivers ends together.
GATHER_S = 0.02
# After a fault of the database; its pool waits as well.
PAUSE_S = 1.0
# `attempts` in the envelope and the log: the eight of a round, twice over.
ATTEMPTS_MAX = 16
# `lastSuccessAt` is exact to this.
SUCCESS_EVERY_S = 60.0
FAULTS = (errors.FastpixError, sqlalchemy.exc.DBAPIError, psycopg.Error)

_log = log.get(__name__)
_tries = Counter("fastpix_webhook_tries", "POSTs of deliveries by how they ended.", ["outcome"])
_lag = Histogram(
    "fastpix_webhook_lag_seconds", "From an event to its delivery.", buckets=(0.1, 0.5, 1, 5, 15, 60, 600, 7200, 86400)
)


def outcome_of(claimed: Claimed, event: Event | None, made: Attempt) -> Outcome:
    """`event` None: it is kept no more, so there is no other try."""
    delivery = claimed.delivery
    attempts = [*delivery.attempts, wire.attempt(made)][-ATTEMPTS_MAX:]
    is_final = made.is_success or event is None
    next_at = None if is_final else schedule.next_try_at(delivery.tries + 1, clock.now())
    ended: State = "delivered" if made.is_success else "failed"
    return Outcome(claimed, event, made, ended if next_at is None else "pending", next_at, attempts)


async def retrying(db: Database, work: Callable[[Tx], Awaitable[None]], *, until_s: float) -> None:
    """In a transaction; again while the database is away, until that moment of the monotonic clock."""
    while True:
        try:
            async with db.unit() as tx:
                await work(tx)
            return
        except FAULTS as fault:
            if time.monotonic() + PAUSE_S > until_s:
                _log.warning("webhook_outcome_lost", error=type(fault).__name__)
                return
            await asyncio.sleep(PAUSE_S)


@dataclasses.dataclass(slots=True, eq=False)
class _Waiting:
    outcome: Outcome
    until_s: float
    is_done: bool = False


class Settling:
    """One per courier. `under_way` says how many deliveries may yet come, those that wait here among them."""

    def __init__(self, db: Database, under_way: Callable[[], int]) -> None:
        self._db = db
        self._under_way = under_way
        self._waiting: list[_Waiting] = []
        self._arrival = asyncio.Event()
        self._turn = asyncio.Lock()

    async def write(self, outcome: Outcome, *, until_s: float) -> None:
        """Returns when it is written, alone or among others, or `until_s` has passed without a database."""
        mine = _Waiting(outcome, until_s)
        self._waiting.append(mine)
        self._arrival.set()
        async with self._turn:
            if mine.is_done:
                return
            await self._gather()
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            for one in batch:
                # Whatever happens to a batch, its leases run out: nobody writes an outcome twice.
                one.is_done = True
            await retrying(
                self._db,
                lambda tx: _settle(tx, [one.outcome for one in batch]),
                until_s=min(one.until_s for one in batch),
            )

    async def _gather(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER_S):
                while len(self._waiting) < min(self._under_way(), BATCH):
                    self._arrival.clear()
                    await self._arrival.wait()


async def _settle(tx: Tx, outcomes: list[Outcome]) -> None:
    written = await deliveries_store.settle(tx, outcomes, hold_tries=schedule.HOLD_TRIES)
    healthy: set[str] = set()
    for outcome in outcomes:
        if outcome.claimed.delivery.id not in written:
            _tries.labels("overtaken").inc()
            continue
        endpoint_id = outcome.claimed.delivery.endpoint_id
        _tries.labels("retried" if outcome.state == "pending" else outcome.state).inc()
        if not outcome.made.is_success:
            healthy.discard(endpoint_id)
            await _note_failure(tx, outcome)
            continue
        if outcome.event is not None:
            _lag.observe((clock.now() - outcome.event.heading.created_at).total_seconds())
        if endpoint_id not in healthy:
            healthy.add(endpoint_id)
            await store.note_success(tx, endpoint_id, every_s=SUCCESS_EVERY_S)


async def _note_failure(tx: Tx, outcome: Outcome) -> None:
    delivery, made = outcome.claimed.delivery, outcome.made
    if outcome.state == "failed":
        _log.warning(
            "webhook_not_delivered",
            webhook_id=delivery.endpoint_id,
            event_id=delivery.event_id,
            event_type=delivery.type,
            error=made.reason,
        )
    if outcome.event is None:
        return  # nothing was sent: it says nothing about the endpoint
    endpoint = await store.note_failure(tx, delivery.endpoint_id)
    if endpoint is not None and schedule.is_hopeless(endpoint.failures, endpoint.failing_since, clock.now()):
        reason = f"{endpoint.failures} deliveries in a row failed, the last because {made.reason}"
        await service.give_up(tx, endpoint, "failures", reason)
