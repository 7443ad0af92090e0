"""Views that are over move from `open_view_rows` to `finished_views`, where questions are several times quicker.

`open_view_rows` is a log in slots of a quarter of an hour, by when rows came. A slot that is old enough for silence to
have ended its views is taken away as a whole, once each view that has rows in it has a finished row that covers them,
or goes on and had them carried into the present slot. A view for which more comes gets a second finished row, made from
the first and the new rows; then the older one goes.

Invariants: what to do next follows from the tables alone, so a run that ends anywhere is continued by the next; nothing
is taken away before what replaces it has been there for longer than a statement takes to begin (GAP_S); every step may
be done twice. So crashes, a second process and late beacons leave the same views (tests/unit/views/test_finishing.py).
Why: docs/decisions/0057-finished-views.md.
"""

import asyncio
import time

from prometheus_client import Counter

from fastpix_server.base import errors, log
from fastpix_server.jobs.registry import Registry
from fastpix_server.views import store
from fastpix_server.views.clickhouse import UNKNOWN_TABLE, ClickHouse, StatementFault
from fastpix_server.views.schema import SILENCE_S, VIEW_MAX_HOURS
from fastpix_server.views.store import CARRY, FINISH, FORGET_OLDER, Slot, Step
from fastpix_server.views.tables import SLOT_S, TableOptions

_log = log.get(__name__)

JOB = "views.finish"
EVERY_MINUTE = "* * * * *"
# A run is over before the next one begins; what it did not reach comes next time.
RUN_S = 45.0
# A slot gets no more rows so long after its end: an insert takes store.INSERT_TIMEOUT_S at most.
SETTLE_S = 300
# A statement looks into one table and then into the other: milliseconds, on an engine that does not cope a second.
GAP_S = 10.0
# One statement's memory: a merge of so many views of 130 columns.
VIEWS_MAX = 20_000
# Four are due in an hour; more are a backlog, and the oldest come first.
SLOTS_MAX = 100

_STEPS = Counter("fastpix_views_finishing_steps", "Steps of finishing views, by what was done", ["action"])
_SLOTS = Counter("fastpix_views_finished_slots", "Quarters of an hour whose views are finished or carried on")


class Finishing:
    """`settle_s` and `gap_s` are for tests, which have no time."""

    def __init__(
        self, clickhouse: ClickHouse, options: TableOptions, *, settle_s: int = SETTLE_S, gap_s: float = GAP_S
    ) -> None:
        self._clickhouse = clickhouse
        self._is_cluster = bool(options.cluster)
        self._settle_s = settle_s
        self._gap_s = gap_s
        self._is_running = False

    def register(self, registry: Registry) -> None:
        registry.every(EVERY_MINUTE, JOB, self.run)

    async def run(self) -> None:
        """Takes away what is due, for as long as RUN_S. Without a database there is nothing to do."""
        if self._is_running:  # a statement of the last run took its time
            return
        self._is_running = True
        try:
            await self._run(time.monotonic() + RUN_S)
        except errors.Unavailable as fault:
            _log.info("views_not_finished", error=fault.description)
        except StatementFault as fault:
            if fault.code != UNKNOWN_TABLE:  # no beacon has come yet that makes them
                raise
        finally:
            self._is_running = False

    async def _run(self, ends_s: float) -> None:
        slots = await self.due()
        for slot in slots:
            while await self.advance(slot):
                if time.monotonic() > ends_s:
                    return
        if not slots:
            return
        # Nothing else is waited for: all slots share the gap.
        await asyncio.sleep(self._gap_s)
        for slot in slots:
            await self.take_away(slot)
        # Two processes that finished the same view at once, the later one after its slot was taken away.
        since_s = await store.read_now_s(self._clickhouse) - VIEW_MAX_HOURS * 3600
        if doubled := await store.list_doubled(self._clickhouse, since_s):
            _log.warning("views_finished_twice", views=len(doubled))
            await store.forget_older(self._clickhouse, doubled)

    async def due(self) -> list[Slot]:
        if self._is_cluster:
            await store.sync_replica(self._clickhouse)
        until_s = await store.read_now_s(self._clickhouse) - SILENCE_S - self._settle_s
        return await store.list_slots(self._clickhouse, until_s, SLOTS_MAX)

    async def advance(self, slot: Slot) -> int:
        """The next step of some of its views; how many there were. 0: nothing of the slot is needed any more."""
        now_s = await store.read_now_s(self._clickhouse)
        closed_s = now_s - self._settle_s - SLOT_S + 1
        steps = await store.list_steps(self._clickhouse, slot, closed_s, now_s, VIEWS_MAX)
        by_action: dict[str, list[Step]] = {}
        for step in steps:
            by_action.setdefault(step.action, []).append(step)
        if over := by_action.get(FINISH):
            await store.finish(self._clickhouse, over, slot, closed_s)
        if going := by_action.get(CARRY):
            await store.carry(self._clickhouse, going, slot)
        if doubled := by_action.get(FORGET_OLDER):
            await store.forget_older(self._clickhouse, doubled)
        for action, some in by_action.items():
            _STEPS.labels(action).inc(len(some))
        return len(steps)

    async def take_away(self, slot: Slot) -> bool:
        """GAP_S after advance() has found nothing to do."""
        if await self.advance(slot):
            return False
        await store.drop_slot(self._clickhouse, slot)
        _SLOTS.inc()
        return True
