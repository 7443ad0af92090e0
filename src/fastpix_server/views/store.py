"""The statements on the tables of video data that are no questions of the API (those are in queries).

Invariant: everything here may be run again at any time, by any process.
"""

import dataclasses
from collections.abc import Sequence

from fastpix_server.views import reading
from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.finished import KEPT, columns_ddl
from fastpix_server.views.pipeline import AGE_MAX_MS
from fastpix_server.views.schema import COLUMNS, EVENTS, FINISHED, ROWS, SILENCE_S
from fastpix_server.views.tables import SLOT_S

# A segment of beacons on a busy engine.
INSERT_TIMEOUT_S = 60.0
# Statements that move some thousands of views.
MOVE_TIMEOUT_S = 120.0
# Carried rows must arrive all together, or a slot may be taken for carried of which a part was: far below the million
# rows and the 256 MB at which the database would make two blocks of an insert.
CARRIED_AT_ONCE = 5_000
# How far before its late rows the finished row of a view is looked for. Events that are older are not taken.
_REACH_S = AGE_MAX_MS // 1000 + 86_400


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What to do next with one view: FINISH, CARRY or FORGET_OLDER."""

    workspace_id: str
    view_id: str
    action: str
    finished_at: str  # of its newest finished row


FINISH, CARRY, FORGET_OLDER = "finish", "carry", "forget_older"


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """A quarter of an hour of `open_view_rows`, by when the rows came, and the first hour of their events."""

    begin_s: int
    first_hour_s: int

    @property
    def of_finished(self) -> str:
        """SQL: where finished rows of its views are."""
        return f"last_event_at >= toDateTime64({self.first_hour_s - _REACH_S}, 3, 'UTC')"


async def insert_rows(clickhouse: ClickHouse, lines: bytes) -> None:
    """JSON lines of view rows, as one block: all of them arrive, or none. Raises Unavailable and StatementFault."""
    await clickhouse.insert(ROWS, lines, timeout_s=INSERT_TIMEOUT_S)


async def insert_events(clickhouse: ClickHouse, lines: bytes) -> None:
    """The same for the events of views."""
    await clickhouse.insert(EVENTS, lines, timeout_s=INSERT_TIMEOUT_S)


async def sync_replica(clickhouse: ClickHouse) -> None:
    """In a cluster: this node has all rows that any node has acknowledged."""
    for table in (ROWS, FINISHED):
        await clickhouse.command(f"SYSTEM SYNC REPLICA {table}", timeout_s=MOVE_TIMEOUT_S)


async def read_now_s(clickhouse: ClickHouse) -> int:
    """By the clock that gives rows their slot."""
    [row] = await clickhouse.rows("SELECT toUnixTimestamp(now()) AS now_s")
    return int(row["now_s"])


async def list_slots(clickhouse: ClickHouse, until_s: int, most: int) -> list[Slot]:
    """Those that ended by `until_s` and have rows, the oldest first."""
    rows = await clickhouse.rows(
        "SELECT slot, toUnixTimestamp(min(hour)) AS first_hour"  # noqa: S608
        f" FROM {ROWS} WHERE slot <= {{until:Int64}} GROUP BY slot ORDER BY slot LIMIT {{most:UInt32}}",
        {"until": until_s - SLOT_S, "most": most},
    )
    return [Slot(row["slot"], row["first_hour"]) for row in rows]


async def list_steps(clickhouse: ClickHouse, slot: Slot, closed_s: int, now_s: int, most: int) -> list[Step]:
    """What keeps the slot from being dropped. Slots that begin before `closed_s` get no more rows."""
    chosen = f"(workspace_id, view_id) IN (SELECT workspace_id, view_id FROM {ROWS} WHERE slot = {slot.begin_s})"  # noqa: S608
    opened = (
        "SELECT workspace_id, view_id, max(slot) AS newest, max(carries) AS carried,"  # noqa: S608
        " ifNull(max(is_completed), false)"
        f" OR max(last_event_at) < toDateTime64({now_s - SILENCE_S}, 3, 'UTC') AS is_over"
        f" FROM {ROWS} WHERE {chosen} GROUP BY workspace_id, view_id"
    )
    finished = (
        "SELECT workspace_id, view_id, count() AS rows, max(finished_at) AS at, argMax(covers, finished_at) AS covers"  # noqa: S608
        f" FROM {FINISHED} WHERE {slot.of_finished} AND {chosen} GROUP BY workspace_id, view_id"
    )
    found = await clickhouse.rows(
        "SELECT toString(o.workspace_id) AS workspace, toString(o.view_id) AS view, toString(f.at) AS at,"  # noqa: S608
        f" multiIf(f.rows > 1, '{FORGET_OLDER}',"
        f" f.covers > {slot.begin_s}, '',"
        f" o.is_over AND o.newest < {closed_s}, '{FINISH}',"
        f" o.carried < {slot.begin_s}, '{CARRY}', '') AS action"
        f" FROM ({opened}) AS o LEFT JOIN ({finished}) AS f"
        " ON o.workspace_id = f.workspace_id AND o.view_id = f.view_id"
        " WHERE action != '' LIMIT {most:UInt32}",
        {"most": most},
        timeout_s=MOVE_TIMEOUT_S,
    )
    return [Step(row["workspace"], row["view"], row["action"], row["at"]) for row in found]


async def finish(clickhouse: ClickHouse, steps: Sequence[Step], slot: Slot, closed_s: int) -> None:
    """Each view's row of `finished_views`, from all that is known of it: all rows of the slots before `closed_s`."""
    chosen = _are(steps)
    merged = reading.finishing_select(chosen, f"{slot.of_finished} AND {chosen}", list(KEPT))
    columns = ", ".join(columns_ddl())
    await clickhouse.command(
        f"INSERT INTO {FINISHED} (workspace_id, view_id, covers, {columns})"  # noqa: S608 - ids come from our tables
        f" SELECT workspace_id, view_id, {closed_s}, {columns} FROM ({merged})",
        timeout_s=MOVE_TIMEOUT_S,
    )


async def carry(clickhouse: ClickHouse, steps: Sequence[Step], slot: Slot) -> None:
    """The views' rows of this slot come again, in the present one."""
    names = ", ".join(column.name for column in COLUMNS)
    merged = ", ".join(f"{column.merged_state} AS {column.name}" for column in COLUMNS)
    for first in range(0, len(steps), CARRIED_AT_ONCE):
        chosen = _are(steps[first : first + CARRIED_AT_ONCE])
        await clickhouse.command(
            f"INSERT INTO {ROWS} (workspace_id, hour, view_id, carries, {names})"  # noqa: S608 - ids come from our tables
            f" SELECT workspace_id, hour, view_id, {slot.begin_s}, {merged} FROM {ROWS} AS r"
            f" WHERE slot = {slot.begin_s} AND {chosen} GROUP BY workspace_id, hour, view_id",
            timeout_s=MOVE_TIMEOUT_S,
        )


async def forget_older(clickhouse: ClickHouse, steps: Sequence[Step]) -> None:
    """Finished rows of views that have a newer one: it was made from them, too."""
    by_time: dict[str, list[Step]] = {}
    for step in steps:
        by_time.setdefault(step.finished_at, []).append(step)
    for finished_at, some in by_time.items():
        await clickhouse.command(
            f"DELETE FROM {FINISHED} WHERE finished_at < toDateTime64('{finished_at}', 3, 'UTC') AND {_are(some)}",  # noqa: S608
            timeout_s=MOVE_TIMEOUT_S,
        )


async def list_doubled(clickhouse: ClickHouse, ended_since_s: int) -> list[Step]:
    """Views with two finished rows, whatever their open rows are."""
    rows = await clickhouse.rows(
        "SELECT toString(workspace_id) AS workspace, toString(view_id) AS view, toString(max(finished_at)) AS at"  # noqa: S608
        f" FROM {FINISHED} WHERE last_event_at >= toDateTime64({{since:Int64}}, 3, 'UTC')"
        " GROUP BY workspace_id, view_id HAVING count() > 1 LIMIT 1000",
        {"since": ended_since_s},
        timeout_s=MOVE_TIMEOUT_S,
    )
    return [Step(row["workspace"], row["view"], FORGET_OLDER, row["at"]) for row in rows]


async def drop_slot(clickhouse: ClickHouse, slot: Slot) -> None:
    await clickhouse.command(f"ALTER TABLE {ROWS} DROP PARTITION ID '{slot.begin_s}'", timeout_s=MOVE_TIMEOUT_S)


def _are(steps: Sequence[Step]) -> str:
    """SQL: the views of these steps. Both ids are UUIDs that the database wrote."""
    ids = ", ".join(f"('{step.workspace_id}', '{step.view_id}')" for step in steps)
    return f"(workspace_id, view_id) IN ({ids})"
