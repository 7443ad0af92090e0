"""The DDL of video data: for the embedded engine, a server, or a replicated cluster.

Invariants: every statement may be run again at any time; tables are only added to, but a column may get another codec.
"""

import dataclasses
import re
from collections.abc import Collection, Mapping

from fastpix_server.base import log
from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.finished import codecs_ddl, columns_ddl
from fastpix_server.views.schema import COLUMNS, EVENTS, FINISHED, ROWS

_log = log.get(__name__)

_RETENTION = re.compile(r"toIntervalDay\((\d+)\)")
# Rewriting the retention of a large table only marks its parts; the work goes on in the background.
_DDL_TIMEOUT_S = 60.0
_TIME = "DateTime64(3, 'UTC')"
# The quarter of an hour in which the database took a row, by its own clock: what finishing.py drops as a whole.
SLOT_S = 900
_SLOT = f"slot UInt32 DEFAULT intDiv(toUnixTimestamp(now()), {SLOT_S}) * {SLOT_S}"


@dataclasses.dataclass(frozen=True, slots=True)
class TableOptions:
    """`cluster` names a ClickHouse cluster: the tables are then made on all its nodes, replicated."""

    retention_days: int = 0  # 0 keeps for ever
    cluster: str = ""
    # The embedded engine has no replica: an insert is on the disk before it is acknowledged, and a merge before it
    # replaces its parts.
    syncs: bool = False


async def ensure(clickhouse: ClickHouse, options: TableOptions) -> None:
    """Makes missing tables and columns and sets the retention. Raises errors.Unavailable and StatementFault."""
    for statement in ddl(options):
        await clickhouse.command(statement, timeout_s=_DDL_TIMEOUT_S)
    columns = await clickhouse.rows(
        "SELECT table, name, compression_codec AS codec FROM system.columns"
        " WHERE database = currentDatabase() AND table IN {names:Array(String)}",
        {"names": [ROWS, FINISHED]},
    )
    codecs = {row["name"]: row["codec"] for row in columns if row["table"] == FINISHED}
    changes = new_columns_ddl({(row["table"], row["name"]) for row in columns}, options)
    for statement in (*changes, *codec_changes_ddl(codecs, options)):
        await clickhouse.command(statement, timeout_s=_DDL_TIMEOUT_S)
    found = await clickhouse.rows(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name IN {names:Array(String)}",
        {"names": [ROWS, FINISHED, EVENTS]},
    )
    if any(_retention_days(row["engine_full"]) != options.retention_days for row in found):
        for statement in retention_ddl(options):
            await clickhouse.command(statement, timeout_s=_DDL_TIMEOUT_S)
        _log.info("view_retention_changed", retention_days=options.retention_days)


def _retention_days(engine: str) -> int:
    found = _RETENTION.search(engine)
    return int(found[1]) if found else 0


def ddl(options: TableOptions) -> tuple[str, ...]:
    """CREATE statements that may be run again at any time."""
    on_cluster = f" ON CLUSTER `{options.cluster}`" if options.cluster else ""
    columns = ", ".join(f"{column.name} {column.stored_type}" for column in COLUMNS)
    # `carries`: the slot from which a row was carried to this one; in the key, so that merges keep each of them apart.
    rows = (
        f"CREATE TABLE IF NOT EXISTS {ROWS}{on_cluster} (workspace_id UUID, hour DateTime('UTC'), view_id UUID,"
        f" {columns}, {_SLOT}, carries UInt32,"
        " INDEX by_view view_id TYPE bloom_filter(0.01) GRANULARITY 1)"
        f" ENGINE = {_engine('AggregatingMergeTree', '', options)} PARTITION BY slot"
        f" ORDER BY (workspace_id, hour, view_id, slot, carries){_ttl('hour', options)}{_settings(options)}"
    )
    kept = ", ".join(f"{name} {kind}" for name, kind in columns_ddl().items())
    finished = (
        f"CREATE TABLE IF NOT EXISTS {FINISHED}{on_cluster} (workspace_id UUID, view_id UUID, {kept},"
        f" covers UInt32, finished_at {_TIME} DEFAULT now64(3),"
        " INDEX by_view view_id TYPE bloom_filter(0.01) GRANULARITY 1)"
        f" ENGINE = {_engine('ReplacingMergeTree', 'finished_at', options)} PARTITION BY toYYYYMM(last_event_at)"
        f" ORDER BY (workspace_id, last_event_at, view_id){_ttl('last_event_at', options)}{_settings(options)}"
    )
    events = (
        f"CREATE TABLE IF NOT EXISTS {EVENTS}{on_cluster} (workspace_id UUID, view_id UUID, sequence UInt32,"
        f" name LowCardinality(String), at {_TIME}, playhead_ms Int64, detail String CODEC(ZSTD(3)),"
        f" received_at {_TIME})"
        f" ENGINE = {_engine('ReplacingMergeTree', '', options)} PARTITION BY toYYYYMM(at)"
        f" ORDER BY (workspace_id, view_id, sequence){_ttl('at', options)}{_settings(options)}"
    )
    return rows, finished, events


def new_columns_ddl(existing: Collection[tuple[str, str]], options: TableOptions) -> tuple[str, ...]:
    """What tables of an older version lack, of (table, column). A column is never removed, and keeps its meaning."""
    on_cluster = f" ON CLUSTER `{options.cluster}`" if options.cluster else ""
    wanted = {(ROWS, column.name): column.stored_type for column in COLUMNS}
    wanted |= {(FINISHED, name): kind for name, kind in columns_ddl().items()}
    return tuple(
        f"ALTER TABLE {table}{on_cluster} ADD COLUMN IF NOT EXISTS {name} {kind}"
        for (table, name), kind in wanted.items()
        if (table, name) not in existing
    )


def codec_changes_ddl(existing: Mapping[str, str], options: TableOptions) -> tuple[str, ...]:
    """What gives columns of `finished_views` (name -> codec) the codec of this version. Rows are rewritten when their
    parts are merged, not before."""
    on_cluster = f" ON CLUSTER `{options.cluster}`" if options.cluster else ""
    changes = [
        f"MODIFY COLUMN {name} {codec}" for name, codec in codecs_ddl().items() if existing.get(name, codec) != codec
    ]
    return (f"ALTER TABLE {FINISHED}{on_cluster} {', '.join(changes)}",) if changes else ()


def retention_ddl(options: TableOptions) -> tuple[str, ...]:
    """ALTER statements that give existing tables the retention of `options`."""
    on_cluster = f" ON CLUSTER `{options.cluster}`" if options.cluster else ""
    changes = []
    for table, column in ((ROWS, "hour"), (FINISHED, "last_event_at"), (EVENTS, "at")):
        change = f"MODIFY{_ttl(column, options)}" if options.retention_days else "REMOVE TTL"
        changes.append(f"ALTER TABLE {table}{on_cluster} {change}")
    return tuple(changes)


def _engine(name: str, arguments: str, options: TableOptions) -> str:
    if not options.cluster:
        return f"{name}({arguments})"
    # {uuid}, {shard} and {replica} are macros of the server.
    place = "'/clickhouse/tables/{uuid}/{shard}', '{replica}'"
    return f"Replicated{name}({', '.join(filter(None, (place, arguments)))})"


def _ttl(column: str, options: TableOptions) -> str:
    return f" TTL toDateTime({column}) + toIntervalDay({options.retention_days})" if options.retention_days else ""


def _settings(options: TableOptions) -> str:
    if not options.syncs:
        return ""
    return " SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1"
