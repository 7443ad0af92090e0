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
from fastpix_server.views.store import CARRY, FINISH, FORGET_OLDER, Look, Slot
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
# One statement's memory: a merge of so many views of 130 columns takes some hundred MB.
FINISHED_AT_ONCE = 50_000
# Carried rows must arrive all together, or a view may be taken for carried of which a part was: far below the million
# rows and the 256 MB at which the database would make two blocks of an insert.
CARRIED_AT_ONCE = 5_000
# Views that got a late beacon are few; they are named one by one.
DOUBLED_AT_ONCE = 2_000
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
        since_s = await self.now_s() - VIEW_MAX_HOURS * 3600
        if doubled := await store.list_doubled_since(self._clickhouse, since_s, DOUBLED_AT_ONCE):
            _log.warning("views_finished_twice", views=len(doubled))
            await store.forget_older(self._clickhouse, doubled)

    async def now_s(self) -> int:
        """By the clock that gives rows their slot; tests have one of their own."""
        return await store.read_now_s(self._clickhouse)

    async def due(self) -> list[Slot]:
        """The slots that get no more rows, and whose views silence has ended."""
        if self._is_cluster:
            await store.sync_replica(self._clickhouse)
        until_s = await self.now_s() - SILENCE_S - self._settle_s
        return await store.list_slots(self._clickhouse, until_s, SLOTS_MAX)

    async def advance(self, slot: Slot) -> int:
        """The next step of its views; how many took one. 0: nothing of the slot is needed any more."""
        now_s = await self.now_s()
        look = Look(slot, now_s, now_s - self._settle_s - SLOT_S + 1)
        counts = await store.count_steps(self._clickhouse, look)
        if over := counts.get(FINISH, 0):
            parts = -(-over // FINISHED_AT_ONCE)
            for part in range(parts):
                await store.finish(self._clickhouse, look, part, parts)
        if going := counts.get(CARRY, 0):
            parts = -(-going // CARRIED_AT_ONCE)
            for part in range(parts):
                await store.carry(self._clickhouse, look, part, parts)
        if counts.get(FORGET_OLDER):
            doubled = await store.list_doubled(self._clickhouse, look, DOUBLED_AT_ONCE)
            await store.forget_older(self._clickhouse, doubled)
        for action, views in counts.items():
            _STEPS.labels(action).inc(views)
        return sum(counts.values())

    async def take_away(self, slot: Slot) -> bool:
        """GAP_S after advance() has found nothing to do."""
        if await self.advance(slot):
            return False
        await store.drop_slot(self._clickhouse, slot)
        _SLOTS.inc()
        return True
