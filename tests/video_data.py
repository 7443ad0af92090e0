"""The real engine inside the test process, and the way in: rows in the shapes that edges insert."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from chdb.state.sqlitelike import Connection

from fastpix_server.views import schema, tables


class Engine:
    """Asks as views/clickhouse.py does: bound parameters, JSON, numbers as numbers, nan as null."""

    def __init__(self, folder: Path) -> None:
        self._connection = Connection(str(folder))
        for statement in tables.ddl(tables.TableOptions()):
            self.run(statement)

    def run(self, statement: str) -> None:
        self._connection.query(statement)

    async def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.ask, sql, parameters or {})

    def ask(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        settings = "output_format_json_quote_64bit_integers = 0, output_format_json_quote_denormals = 0"
        answer = self._connection.query(f"{sql} SETTINGS {settings}", "JSON", params=dict(parameters))
        return json.loads(answer.bytes())["data"]

    def insert(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        lines = "\n".join(json.dumps(row) for row in rows)
        if lines:
            with self._connection.send_insert(f"INSERT INTO {table}", "JSONEachRow") as insert:
                insert.append(lines.encode())
                insert.finish()

    def merge(self) -> None:
        """What the background does some day."""
        for table in (schema.ROWS, schema.EVENTS):
            self.run(f"OPTIMIZE TABLE {table} FINAL")
