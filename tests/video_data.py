"""The embedded engine of the analytics role inside the test process, asked as our client asks it."""

import asyncio
import json
from collections.abc import Iterable, Mapping
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
}


class Engine:
    def __init__(self, folder: Path) -> None:
        self._engine = analytics_engine.Engine(folder)
        for statement in tables.ddl(tables.TableOptions()):
            self.run(statement)

    def run(self, sql: str) -> None:
        self._engine.run(Statement(sql))

    async def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
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

    def insert(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        lines = "\n".join(json.dumps(row) for row in rows)
        if lines:
            self._engine.run(Statement(f"INSERT INTO {table} FORMAT JSONEachRow", lines.encode()))

    def merge(self) -> None:
        """What the background does some day."""
        for table in (schema.ROWS, schema.EVENTS):
            self.run(f"OPTIMIZE TABLE {table} FINAL")
