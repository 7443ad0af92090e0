"""The courier of a worker process: hands events out to endpoints, and carries each delivery to its receiver.

Invariants:
- Nothing is lost and nobody who tells an event waits: events become deliveries in transactions of the courier's own,
  and a delivery is pending until its outcome is written. A courier that is killed between the two leaves a lease that
  runs out, and the receiver hears the same event id once more: at least once.
- No transaction is open while a receiver is waited for.
- An endpoint has PER_ENDPOINT deliveries under way at once in the whole cluster, one that fails a single one; places
  are given to endpoints in turn. So whoever is slow delays only itself.
- Deliveries of one object to one endpoint go out one after the other, in the order of telling, unless one of them has
  failed HOLD_TRIES times (docs/decisions/0040-webhook-deliveries.md).
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from fastpix_server.base import clock, log
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database, Tx
from fastpix_server.outbox import events
from fastpix_server.outbox.events import Event
from fastpix_server.webhooks import deliveries_store, schedule, service, signing, states, store, wire
from fastpix_server.webhooks.model import Attempt, Claimed, Probe
from fastpix_server.webhooks.post import TIMEOUT_S, Post
from fastpix_server.webhooks.settling import FAULTS, PAUSE_S, Settling, outcome_of, retrying
from fastpix_server.webhooks.states import Cause, Status

# Notifications wake us; the poll finds retries that fell due, and leases of the dead.
POLL_S = 1.0
# Events that become deliveries in one transaction: some milliseconds of work.
DISPATCH_BATCH = 200
# POSTs under way in this process: a socket and a body each. More than that many dead endpoints at once slow others.
PLACES = 256
CLAIM_BATCH = 64
PER_ENDPOINT = 4
FAILING_PLACES = 1
# The POST, and then as long again for a database that is busy.
LEASE_S = 3 * TIMEOUT_S
# Part of the worker's drain: a POST that has not ended by then runs out of its lease, and is sent again.
DRAIN_S = 4.0
PROBE_BODY = b"{}"

_log = log.get(__name__)
_seconds = Histogram("fastpix_webhook_seconds", "Duration of one POST.", buckets=(0.01, 0.05, 0.2, 0.5, 1, 2, 5, 10))
_made = Counter("fastpix_webhook_deliveries", "Deliveries made of events.")
_probes = Counter("fastpix_webhook_probes", "Probes by how they ended.", ["outcome"])
_busy = Gauge("fastpix_webhook_busy", "POSTs under way.", multiprocess_mode="livesum")

# The name of a workspace, which is another domain's to know.
NameOf = Callable[[Tx, str], Awaitable[str]]


class Courier:
    """Make it before `listener.start()`, then `run()` until cancelled. `places` bounds its POSTs under way."""

    def __init__(
        self,
        db: Database,
        listener: Listener,
        policy: AddressPolicy,
        name_of: NameOf,
        *,
        places: int = PLACES,
        post: Post | None = None,
    ) -> None:
        self._db = db
        self._post = post or Post(policy)
        self._name_of = name_of
        self._places = places
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling = Settling(db, lambda: len(self._tasks))
        self._is_told = True  # may events wait to be handed out?
        self._looked_s = 0.0  # when we looked for them last
        listener.on(events.TOLD, lambda _payload: self._hear())
        listener.on(service.DUE, lambda _payload: self._wake.set())
        listener.on_reconnect(self._hear)

    def _hear(self) -> None:
        self._is_told = True
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; POSTs under way may end for DRAIN_S."""
        try:
            while True:
                self._wake.clear()
                try:
                    # Most wakes are ends of POSTs: nothing was told by them.
                    is_told = self._is_told or time.monotonic() - self._looked_s >= POLL_S
                    is_more = await self.step(hands_out=is_told)
                except FAULTS as fault:
                    self._is_told = True
                    _log.warning("webhooks_paused", error=type(fault).__name__)
                    await asyncio.sleep(PAUSE_S)
                    continue
                if not is_more:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), POLL_S)
        finally:
            await self._drain()

    async def step(self, *, hands_out: bool = True) -> bool:
        """Hands out one batch of events, and begins what is due. True when there may be more of either."""
        dispatched = await self._dispatch() if hands_out else 0
        free = self._places - len(self._tasks)
        begun = await self._begin(min(free, CLAIM_BATCH)) if free > 0 else 0
        return dispatched == DISPATCH_BATCH or begun == CLAIM_BATCH

    async def settled(self) -> None:
        """Returns when nothing that was begun is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _dispatch(self) -> int:
        self._is_told, self._looked_s = False, time.monotonic()
        async with self._db.unit() as tx:
            if not await deliveries_store.try_lock_dispatch(tx):
                return 0
            headings = await events.take_undispatched(tx, DISPATCH_BATCH)
            made = await deliveries_store.fan_out(
                tx, headings, [status.value for status in states.HEARING], hold_tries=schedule.HOLD_TRIES
            )
        _made.inc(made)
        if len(headings) == DISPATCH_BATCH:
            self._is_told = True
        return len(headings)

    async def _begin(self, limit: int) -> int:
        """Claims, and starts a task for each; what it needs of the database is read in the same transaction."""
        async with self._db.unit() as tx:
            await deliveries_store.lock_claim(tx)
            probes = await store.claim_probes(tx, status=Status.VERIFYING.value, lease_s=LEASE_S, limit=limit)
            claimed = await deliveries_store.claim(
                tx,
                active=Status.ACTIVE.value,
                lease_s=LEASE_S,
                limit=limit - len(probes),
                per_endpoint=PER_ENDPOINT,
                failing_places=FAILING_PLACES,
            )
            told = await events.find_many(tx, {one.delivery.event_id for one in claimed})
            names = {one: await self._name_of(tx, one) for one in {one.workspace_id for one in claimed}}
        lease_ends_s = time.monotonic() + LEASE_S
        for probe in probes:
            self._spawn(self._try_probe(probe))
        for one in claimed:
            event = told.get(one.delivery.event_id)
            self._spawn(self._carry(one, event, names[one.workspace_id], lease_ends_s))
        return len(probes) + len(claimed)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        _busy.set(len(self._tasks))
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        """A place is free, and the next event of the object may go."""
        self._tasks.discard(task)
        _busy.set(len(self._tasks))
        self._wake.set()
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("webhook_task_failed", error=type(fault).__name__, exc_info=fault)

    # One delivery

    async def _carry(self, claimed: Claimed, event: Event | None, name: str, lease_ends_s: float) -> None:
        if event is None:
            made = Attempt(clock.now(), error="the event is kept no more")
        else:
            made = await self._deliver(claimed, event, name)
        await self._settling.write(outcome_of(claimed, event, made), until_s=lease_ends_s)

    async def _deliver(self, claimed: Claimed, event: Event, name: str) -> Attempt:
        delivery = claimed.delivery
        try:
            key, previous = service.open_secrets(delivery.endpoint_id, claimed.secrets)
        except Exception as fault:  # the master key's own error: another key, or a damaged row
            _log.exception("webhook_secret_unreadable", webhook_id=delivery.endpoint_id, error=type(fault).__name__)
            return Attempt(clock.now(), error="the signing secret cannot be read")
        body = wire.encode(wire.envelope(event, name, delivery.attempts))
        headers = {signing.SIGNATURE: signing.sign(key, body)}
        if previous is not None:
            headers[signing.PREVIOUS_SIGNATURE] = signing.sign(previous, body)
        with _seconds.time():
            return await self._post.send(claimed.url, body, headers)

    # One probe

    async def _try_probe(self, probe: Probe) -> None:
        """The unsigned `{}` of contract section 4: who answers it with 2xx is sent events."""
        lease_ends_s = time.monotonic() + LEASE_S
        made = await self._post.send(probe.url, PROBE_BODY)
        _probes.labels("answered" if made.is_success else "unanswered").inc()

        async def settle(tx: Tx) -> None:
            await store.end_probe(tx, probe.endpoint_id)
            cause = Cause.ANSWERED if made.is_success else Cause.UNANSWERED
            reason = None if made.is_success else f"the probe failed: {made.reason}"
            if await states.move(tx, probe.endpoint_id, cause, reason=reason, version=probe.version):
                _log.info("webhook_probed", webhook_id=probe.endpoint_id, is_active=made.is_success, reason=reason)

        await retrying(self._db, settle, until_s=lease_ends_s)

    async def _drain(self) -> None:
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=DRAIN_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
