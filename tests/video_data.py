"""The embedded engine of the analytics role inside the test process, asked as our client asks it."""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from fastpix_server.app import analytics_engine
from fastpix_server.app.analytics_engine import Statement
from fastpix_server.views import clickhouse, schema, tables

SETTINGS = {
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_quote_denormals": "0",
    "max_execution_time": "30",
    "max_threads": "1",
}


class Engine:
    def __init__(self, folder: Path) -> None:
        self._engine = analytics_engine.Engine(folder)
        for statement in tables.ddl(tables.TableOptions()):
            self.run(statement)

    def run(self, sql: str) -> None:
        self._engine.run(Statement(sql))

    async def rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, timeout_s: float = 30.0
    ) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.ask, sql, parameters or {})

    def ask(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        bound = {name: clickhouse._bound(value) for name, value in parameters.items()}
        answer = self._engine.run(Statement(sql, None, bound, SETTINGS, "JSON"))
        return msgspec.json.decode(answer.body)["data"]

    async def raw(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, format: str, timeout_s: float = 30.0
    ) -> bytes:
        bound = {name: clickhouse._bound(value) for name, value in (parameters or {}).items()}
        return (await asyncio.to_thread(self._engine.run, Statement(sql, None, bound, {}, format))).body

    async def command(self, sql: str, *, timeout_s: float = 30.0) -> None:
        await asyncio.to_thread(self.run, sql)

    def insert(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        lines = "\n".join(json.dumps(row) for row in rows)
        if lines:
            self._engine.run(Statement(f"INSERT INTO {table} FORMAT JSONEachRow", lines.encode()))

    def merge(self) -> None:
        """What the background does some day."""
        for table in (schema.ROWS, schema.FINISHED, schema.EVENTS):
            self.run(f"OPTIMIZE TABLE {table} FINAL")

    def watch(self, workspace_id: str, view_id: str, **columns: Any) -> None:
        self.insert(schema.ROWS, [view_row(workspace_id, view_id, **columns)])


def view_row(workspace_id: str, view_id: str, *, end_ms: int | None = None, **columns: Any) -> dict[str, Any]:
    """One finished view of ten seconds. LAST columns are given plain."""
    end_ms = end_ms or int(time.time() * 1000)
    packed = {
        name: schema.pack_last(9, value) if schema.BY_NAME[name].merge is schema.Merge.LAST else value
        for name, value in columns.items()
    }
    return {
        "workspace_id": workspace_id,
        "view_id": view_id,
        "hour": end_ms // 3_600_000 * 3600,
        "view_start": stamp(end_ms - 10_000),
        "last_event_at": stamp(end_ms),
        "received_first_at": stamp(end_ms - 10_000),
        "received_last_at": stamp(end_ms),
        "is_completed": True,
        **packed,
    }


def stamp(epoch_ms: int) -> str:
    """As the engine reads and writes times."""
    moment = datetime.fromtimestamp(epoch_ms // 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{epoch_ms % 1000:03d}"
