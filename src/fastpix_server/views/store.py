"""The statements on the tables of video data that are no questions of the API (those are in queries).

Invariants: everything here may be run again at any time, by any process. What is deleted is named: by the ids of views
and the time until which their rows are known, so that a row that comes meanwhile stays.
"""

import dataclasses
from collections.abc import Sequence

from fastpix_server.views import reading
from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.finished import KEPT, columns_ddl
from fastpix_server.views.schema import EVENTS, FINISHED, ROWS, SILENCE_S, VIEW_MAX_HOURS

# A segment of beacons on a busy engine.
INSERT_TIMEOUT_S = 60.0
# Statements that move views: some thousands at once, or a part of a table that is rewritten.
MOVE_TIMEOUT_S = 300.0

_TIME = "DateTime64(3, 'UTC')"


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """By the database's clock. What was inserted before `settled` can be seen by now; what finishing wrote before
    `known` was there when any statement began that runs now."""

    now: str
    settled: str
    known: str


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What to do next with one view that has rows in `view_rows`."""

    workspace_id: str
    view_id: str
    action: str  # finish, forget_rows, forget_older
    time: str  # of its newest finished row: when that was made to forget older ones, what it covers to forget rows


@dataclasses.dataclass(frozen=True, slots=True)
class Hours:
    """Rows in [from_s, to_s) decide which views; their other rows lie around."""

    from_s: int
    to_s: int

    @property
    def of_rows(self) -> str:
        reach = f"toIntervalHour({VIEW_MAX_HOURS})"
        return f"hour >= toDateTime({self.from_s}) - {reach} AND hour < toDateTime({self.to_s}) + {reach}"

    @property
    def of_finished(self) -> str:
        begin = f"toDateTime64({self.from_s}, 3, 'UTC') - toIntervalHour({2 * VIEW_MAX_HOURS})"
        return f"last_event_at >= {begin}"


async def insert_rows(clickhouse: ClickHouse, lines: bytes) -> None:
    """JSON lines of view rows, as one block: all of them arrive, or none. Raises Unavailable and StatementFault."""
    await clickhouse.insert(ROWS, lines, timeout_s=INSERT_TIMEOUT_S)


async def insert_events(clickhouse: ClickHouse, lines: bytes) -> None:
    """The same for the events of views."""
    await clickhouse.insert(EVENTS, lines, timeout_s=INSERT_TIMEOUT_S)


async def read_moment(clickhouse: ClickHouse, settle_s: int, gap_s: int) -> Moment:
    [row] = await clickhouse.rows(
        "SELECT now64(3, 'UTC') AS now, now - toIntervalSecond({settle:UInt32}) AS settled,"
        " now - toIntervalSecond({gap:UInt32}) AS known",
        {"settle": settle_s, "gap": gap_s},
    )
    return Moment(row["now"], row["settled"], row["known"])


async def list_open_hours(clickhouse: ClickHouse, most: int) -> list[tuple[int, int]]:
    """The first hours that have rows in `view_rows`, as (epoch seconds, rows)."""
    rows = await clickhouse.rows(
        f"SELECT toUnixTimestamp(hour) AS hour_s, count() AS rows FROM {ROWS}"  # noqa: S608 - names of our own tables
        " GROUP BY hour_s ORDER BY hour_s LIMIT {most:UInt32}",
        {"most": most},
    )
    return [(row["hour_s"], row["rows"]) for row in rows]


async def list_steps(clickhouse: ClickHouse, hours: Hours, at: Moment, most: int) -> list[Step]:
    """For views with a row of these hours: at most `most` of each action."""
    chosen = (
        f"(SELECT workspace_id, view_id FROM {ROWS}"  # noqa: S608 - names of our own tables only
        f" WHERE hour >= toDateTime({hours.from_s}) AND hour < toDateTime({hours.to_s}))"
    )
    opened = (
        "SELECT workspace_id, view_id, max(inserted_at) AS newest, min(inserted_at) AS oldest,"  # noqa: S608
        " ifNull(max(is_completed), false)"
        f" OR max(last_event_at) < {{now:{_TIME}}} - toIntervalSecond({SILENCE_S}) AS is_over"
        f" FROM {ROWS} WHERE {hours.of_rows} AND (workspace_id, view_id) IN {chosen} GROUP BY workspace_id, view_id"
    )
    finished = (
        "SELECT workspace_id, view_id, count() AS rows, max(finished_at) AS at, argMax(covers, finished_at) AS covers"  # noqa: S608
        f" FROM {FINISHED} WHERE {hours.of_finished} AND (workspace_id, view_id) IN {chosen}"
        " GROUP BY workspace_id, view_id"
    )
    # Nothing is removed from under a statement that has looked into one table and not yet into the other: `known`.
    found = await clickhouse.rows(
        "SELECT toString(o.workspace_id) AS workspace, toString(o.view_id) AS view,"  # noqa: S608
        f" multiIf(f.rows > 1 AND f.at < {{known:{_TIME}}}, 'forget_older',"
        f" f.rows = 1 AND f.at < {{known:{_TIME}}} AND o.oldest < f.covers, 'forget_rows',"
        f" f.rows <= 1 AND o.is_over AND o.newest < {{settled:{_TIME}}} AND o.newest >= f.covers, 'finish',"
        " '') AS action, toString(if(action = 'forget_older', f.at, f.covers)) AS time"
        f" FROM ({opened}) AS o LEFT JOIN ({finished}) AS f"
        " ON o.workspace_id = f.workspace_id AND o.view_id = f.view_id"
        " WHERE action != '' LIMIT {most:UInt32} BY action",
        {"now": at.now, "settled": at.settled, "known": at.known, "most": most},
        timeout_s=MOVE_TIMEOUT_S,
    )
    return [Step(row["workspace"], row["view"], row["action"], row["time"]) for row in found]


async def finish(clickhouse: ClickHouse, steps: Sequence[Step], hours: Hours, at: Moment) -> None:
    """Each view's row of `finished_views`, from all that is known of it."""
    chosen = f"(workspace_id, view_id) IN ({_ids(steps)})"
    merged = reading.finishing_select(f"{hours.of_rows} AND {chosen}", f"{hours.of_finished} AND {chosen}", list(KEPT))
    columns = ", ".join(columns_ddl())
    await clickhouse.command(
        f"INSERT INTO {FINISHED} (workspace_id, view_id, covers, {columns})"  # noqa: S608 - ids come from our tables
        f" SELECT workspace_id, view_id, toDateTime64('{at.settled}', 3, 'UTC'), {columns} FROM ({merged})",
        timeout_s=MOVE_TIMEOUT_S,
    )


async def forget_rows(clickhouse: ClickHouse, steps: Sequence[Step], hours: Hours) -> None:
    """Rows of views whose finished row covers them: those that were inserted before its time."""
    for covers, some in _by_time(steps).items():
        await clickhouse.command(
            f"DELETE FROM {ROWS} WHERE {hours.of_rows} AND inserted_at < toDateTime64('{covers}', 3, 'UTC')"  # noqa: S608
            f" AND (workspace_id, view_id) IN ({_ids(some)})",
            timeout_s=MOVE_TIMEOUT_S,
        )


async def forget_older(clickhouse: ClickHouse, steps: Sequence[Step], hours: Hours) -> None:
    """Finished rows of views that have a newer one: it was made from them, too."""
    for finished_at, some in _by_time(steps).items():
        await clickhouse.command(
            f"DELETE FROM {FINISHED} WHERE {hours.of_finished}"  # noqa: S608 - ids come from our tables
            f" AND finished_at < toDateTime64('{finished_at}', 3, 'UTC') AND (workspace_id, view_id) IN ({_ids(some)})",
            timeout_s=MOVE_TIMEOUT_S,
        )


async def sync_replica(clickhouse: ClickHouse) -> None:
    """In a cluster: this node has all rows that any node has acknowledged."""
    await clickhouse.command(f"SYSTEM SYNC REPLICA {ROWS}", timeout_s=MOVE_TIMEOUT_S)
    await clickhouse.command(f"SYSTEM SYNC REPLICA {FINISHED}", timeout_s=MOVE_TIMEOUT_S)


async def list_hollow(clickhouse: ClickHouse, rows_min: int) -> list[str]:
    """Partitions of `view_rows` that consist of forgotten rows for the larger part, of those with `rows_min` at least."""
    stored = await clickhouse.rows(
        "SELECT partition_id AS id, sum(rows) AS rows FROM system.parts WHERE active AND database = currentDatabase()"
        " AND table = {table:String} GROUP BY id HAVING rows >= {most:UInt64}",
        {"table": ROWS, "most": rows_min},
    )
    if not stored:
        return []
    alive = await clickhouse.rows(f"SELECT _partition_id AS id, count() AS rows FROM {ROWS} GROUP BY id")  # noqa: S608
    living = {row["id"]: row["rows"] for row in alive}
    return [row["id"] for row in stored if living.get(row["id"], 0) * 2 < row["rows"]]


async def clean(clickhouse: ClickHouse, partition_id: str) -> None:
    """Rewrites a partition without what was forgotten."""
    await clickhouse.command(f"OPTIMIZE TABLE {ROWS} PARTITION ID '{partition_id}' FINAL", timeout_s=MOVE_TIMEOUT_S)


def _by_time(steps: Sequence[Step]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.time, []).append(step)
    return found


def _ids(steps: Sequence[Step]) -> str:
    """Literals, so that each replica of a cluster deletes the same rows. Both are UUIDs that the database wrote."""
    return ", ".join(f"('{step.workspace_id}', '{step.view_id}')" for step in steps)
