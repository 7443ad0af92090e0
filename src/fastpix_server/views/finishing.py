"""Views that are over move from `view_rows` to `finished_views`, where questions are several times quicker.

A view moves once it has ended, by viewCompleted or silence, and nothing has come for it for a while (SETTLE_S). Each
round looks at what the tables hold and does the next step of every view: write its finished row; GAP_S later remove the
rows that it covers. A view for which more comes gets a second finished row, made from the first and the new rows; then
the older one goes, then the rows. Invariants: nothing is removed before what replaces it has been there for GAP_S, and
only what was inserted before the finished row's `covers`; so a crash anywhere, a second process, and late beacons leave
the same views (tests/unit/views/test_finishing.py). Why: docs/decisions/0057-finished-views.md.
"""

import asyncio
import time
from collections.abc import Sequence

from prometheus_client import Counter

from fastpix_server.base import errors, log
from fastpix_server.jobs.registry import Registry
from fastpix_server.views import store
from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.store import Hours, Step
from fastpix_server.views.tables import TableOptions

_log = log.get(__name__)

JOB = "views.finish"
EVERY_MINUTE = "* * * * *"
# A run is over before the next one begins.
RUN_S = 45.0
# Longer than an insert may take (store.INSERT_TIMEOUT_S) after the database has noted its time, several times over.
SETTLE_S = 300
# Longer than a statement takes from looking into the first table to looking into the second: milliseconds.
GAP_S = 10
# One statement's memory: a merge of so many views of 130 columns.
VIEWS_MAX = 20_000
# The rows that a round looks through: the oldest hours first, one hour at least.
ROWS_MAX = 300_000
HOURS_MAX = 2_000
# Forgotten rows still take space; a day with fewer is not worth rewriting.
HOLLOW_MIN_ROWS = 50_000

_MOVED = Counter("fastpix_views_moved", "Steps of finishing views, by what was done", ["action"])


class Finishing:
    """`settle_s` and `gap_s` are for tests, which have no time."""

    def __init__(
        self, clickhouse: ClickHouse, options: TableOptions, *, settle_s: int = SETTLE_S, gap_s: int = GAP_S
    ) -> None:
        self._clickhouse = clickhouse
        self._is_cluster = bool(options.cluster)
        self._settle_s = settle_s
        self._gap_s = gap_s

    def register(self, registry: Registry) -> None:
        registry.every(EVERY_MINUTE, JOB, self.run)

    async def run(self) -> None:
        """Rounds until nothing is left to do now, or the time is over. Without a database there is nothing to do."""
        ends_s = time.monotonic() + RUN_S
        try:
            while time.monotonic() < ends_s and await self.round():
                pass
            for partition_id in await store.list_hollow(self._clickhouse, HOLLOW_MIN_ROWS):
                await store.clean(self._clickhouse, partition_id)
        except errors.Unavailable as fault:
            _log.info("views_not_finished", error=fault.description)

    async def round(self) -> int:
        """One step for each view that can take one; how many there were."""
        hours = await store.list_open_hours(self._clickhouse, HOURS_MAX)
        done = 0
        for part in _slices(hours):
            done = await self._advance(part)
            if done:  # the oldest first: later hours have their turn in a later round
                break
        return done

    async def _advance(self, hours: Hours) -> int:
        if self._is_cluster:
            await store.sync_replica(self._clickhouse)
        at = await store.read_moment(self._clickhouse, self._settle_s, self._gap_s)
        by_action: dict[str, list[Step]] = {}
        for step in await store.list_steps(self._clickhouse, hours, at, VIEWS_MAX):
            by_action.setdefault(step.action, []).append(step)
        if covered := by_action.get("forget_rows"):
            await store.forget_rows(self._clickhouse, covered, hours)
        if over := by_action.get("finish"):
            await store.finish(self._clickhouse, over, hours, at)
        if doubled := by_action.get("forget_older"):
            await store.forget_older(self._clickhouse, doubled, hours)
            # Their rows go in a later round.
            await asyncio.sleep(self._gap_s)
        for action, some in by_action.items():
            _MOVED.labels(action).inc(len(some))
        return sum(map(len, by_action.values()))


def _slices(hours: Sequence[tuple[int, int]]) -> list[Hours]:
    """Spans of whole hours with at most ROWS_MAX rows each, or one hour."""
    found: list[Hours] = []
    held = 0
    for hour_s, rows in hours:
        if found and held + rows <= ROWS_MAX:
            found[-1] = Hours(found[-1].from_s, hour_s + 3600)
            held += rows
        else:
            found.append(Hours(hour_s, hour_s + 3600))
            held = rows
    return found
