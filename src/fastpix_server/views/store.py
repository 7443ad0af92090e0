"""The statements on the tables of video data that are no questions of the API (those are in queries).

Invariant: everything here may be run again at any time, by any process.
"""

import dataclasses
from collections.abc import Sequence

from fastpix_server.views import reading
from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.finished import columns_ddl
from fastpix_server.views.pipeline import AGE_MAX_MS
from fastpix_server.views.schema import COLUMNS, EVENTS, FINISHED, ROWS, SILENCE_S
from fastpix_server.views.tables import SLOT_S

# A segment of beacons on a busy engine.
INSERT_TIMEOUT_S = 60.0
# Statements that move some thousands of views.
MOVE_TIMEOUT_S = 120.0
# How far before its late rows the finished row of a view is looked for. Events that are older are not taken.
_REACH_S = AGE_MAX_MS // 1000 + 86_400


FINISH, CARRY, FORGET_OLDER = "finish", "carry", "forget_older"


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """A quarter of an hour of `open_view_rows`, by when the rows came, and the first hour of their events."""

    begin_s: int
    first_hour_s: int


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """At a slot at a time. Slots that begin before `closed_s` get no more rows."""

    slot: Slot
    now_s: int
    closed_s: int

    @property
    def of_finished(self) -> str:
        """SQL: where finished rows of its views are."""
        return f"last_event_at >= toDateTime64({self.slot.first_hour_s - _REACH_S}, 3, 'UTC')"

    @property
    def steps(self) -> str:
        """SQL: `workspace_id`, `view_id` and the `action` that keeps the slot from being dropped, '' for none; `at` is
        when the view's newest finished row was made. Slots may be carried in any order: each one that was is named."""
        begin_s = self.slot.begin_s
        chosen = f"(workspace_id, view_id) IN (SELECT workspace_id, view_id FROM {ROWS} WHERE slot = {begin_s})"  # noqa: S608
        opened = (
            "SELECT workspace_id, view_id, max(slot) AS newest, groupUniqArray(carries) AS carried,"  # noqa: S608
            " ifNull(max(is_completed), false)"
            f" OR max(last_event_at) < toDateTime64({self.now_s - SILENCE_S}, 3, 'UTC') AS is_over"
            f" FROM {ROWS} WHERE {chosen} GROUP BY workspace_id, view_id"
        )
        finished = (
            "SELECT workspace_id, view_id, count() AS rows, max(finished_at) AS at,"  # noqa: S608
            f" argMax(covers, finished_at) AS covers FROM {FINISHED} WHERE {self.of_finished} AND {chosen}"
            " GROUP BY workspace_id, view_id"
        )
        return (
            "SELECT o.workspace_id AS workspace_id, o.view_id AS view_id, f.at AS at,"  # noqa: S608
            f" multiIf(f.rows > 1, '{FORGET_OLDER}', f.covers > {begin_s}, '',"
            f" o.is_over AND o.newest < {self.closed_s}, '{FINISH}',"
            f" NOT has(o.carried, {begin_s}), '{CARRY}', '') AS action"
            f" FROM ({opened}) AS o LEFT JOIN ({finished}) AS f"
            " ON o.workspace_id = f.workspace_id AND o.view_id = f.view_id"
        )

    def chosen(self, action: str, part: int, parts: int) -> str:
        """SQL: the views of this action, in `parts` of about the same size."""
        return (
            f"(workspace_id, view_id) IN (SELECT workspace_id, view_id FROM ({self.steps})"  # noqa: S608
            f" WHERE action = '{action}' AND cityHash64(view_id) % {parts} = {part})"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Doubled:
    """A view with more than one finished row."""

    workspace_id: str
    view_id: str
    finished_at: str  # the newest one


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


async def count_steps(clickhouse: ClickHouse, look: Look) -> dict[str, int]:
    """Action -> views."""
    rows = await clickhouse.rows(
        f"SELECT action, count() AS views FROM ({look.steps}) WHERE action != '' GROUP BY action",  # noqa: S608
        timeout_s=MOVE_TIMEOUT_S,
    )
    return {row["action"]: row["views"] for row in rows}


async def finish(clickhouse: ClickHouse, look: Look, part: int, parts: int) -> None:
    """Each view's row of `finished_views`, from all that is known of it: all rows of the slots before `closed_s`."""
    chosen = look.chosen(FINISH, part, parts)
    merged = reading.finishing_select(chosen, f"{look.of_finished} AND {chosen}")
    columns = ", ".join(columns_ddl())
    await clickhouse.command(
        f"INSERT INTO {FINISHED} (workspace_id, view_id, covers, {columns})"  # noqa: S608 - names of our own tables
        f" SELECT workspace_id, view_id, {look.closed_s}, {columns} FROM ({merged})",
        timeout_s=MOVE_TIMEOUT_S,
    )


async def carry(clickhouse: ClickHouse, look: Look, part: int, parts: int) -> None:
    """The views' rows of this slot come again, in the present one."""
    names = ", ".join(column.name for column in COLUMNS)
    merged = ", ".join(f"{column.merged_state} AS {column.name}" for column in COLUMNS)
    begin_s = look.slot.begin_s
    await clickhouse.command(
        f"INSERT INTO {ROWS} (workspace_id, hour, view_id, carries, {names})"  # noqa: S608 - names of our own tables
        f" SELECT workspace_id, hour, view_id, {begin_s}, {merged} FROM {ROWS} AS r"
        f" WHERE slot = {begin_s} AND {look.chosen(CARRY, part, parts)} GROUP BY workspace_id, hour, view_id",
        timeout_s=MOVE_TIMEOUT_S,
    )


async def list_doubled(clickhouse: ClickHouse, look: Look, most: int) -> list[Doubled]:
    rows = await clickhouse.rows(
        "SELECT toString(workspace_id) AS workspace, toString(view_id) AS view, toString(at) AS at"  # noqa: S608
        f" FROM ({look.steps}) WHERE action = '{FORGET_OLDER}' LIMIT {{most:UInt32}}",
        {"most": most},
        timeout_s=MOVE_TIMEOUT_S,
    )
    return [Doubled(row["workspace"], row["view"], row["at"]) for row in rows]


async def list_doubled_since(clickhouse: ClickHouse, ended_since_s: int, most: int) -> list[Doubled]:
    """Of views that ended since then, whatever their open rows are."""
    rows = await clickhouse.rows(
        "SELECT toString(workspace_id) AS workspace, toString(view_id) AS view, toString(max(finished_at)) AS at"  # noqa: S608
        f" FROM {FINISHED} WHERE last_event_at >= toDateTime64({{since:Int64}}, 3, 'UTC')"
        " GROUP BY workspace_id, view_id HAVING count() > 1 LIMIT {most:UInt32}",
        {"since": ended_since_s, "most": most},
        timeout_s=MOVE_TIMEOUT_S,
    )
    return [Doubled(row["workspace"], row["view"], row["at"]) for row in rows]


async def forget_older(clickhouse: ClickHouse, views: Sequence[Doubled]) -> None:
    """Finished rows of views that have a newer one: it was made from them, too."""
    by_time: dict[str, list[Doubled]] = {}
    for view in views:
        by_time.setdefault(view.finished_at, []).append(view)
    for finished_at, some in by_time.items():
        # Literals, so that each replica of a cluster deletes the same rows; the database wrote these ids.
        ids = ", ".join(f"('{view.workspace_id}', '{view.view_id}')" for view in some)
        await clickhouse.command(
            f"DELETE FROM {FINISHED} WHERE finished_at < toDateTime64('{finished_at}', 3, 'UTC')"  # noqa: S608
            f" AND (workspace_id, view_id) IN ({ids})",
            timeout_s=MOVE_TIMEOUT_S,
        )


async def drop_slot(clickhouse: ClickHouse, slot: Slot) -> None:
    await clickhouse.command(f"ALTER TABLE {ROWS} DROP PARTITION ID '{slot.begin_s}'", timeout_s=MOVE_TIMEOUT_S)
