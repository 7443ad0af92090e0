"""The same views in PostgreSQL: one row per view, the columns of an export, an index as an engineer would choose."""

import time
from collections.abc import Iterable
from pathlib import Path

import psycopg

from benchmarks.data.questions import POSTGRES
from fastpix_server.app.postgres import EmbeddedPostgres
from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.queries import export
from fastpix_server.views.queries.selection import Selection

_NUMBERS = frozenset(export.MEASURES) - {"error_message", "city"}


class Twin:
    """`with` it; the server is a real one with its usual durability. What `folder` holds stays there."""

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedPostgres(folder / "postgres", {"shared_buffers": "512MB", "max_wal_size": "4GB"})

    def __enter__(self) -> "Twin":
        self._server.start()
        self._server.ensure_database("bench")
        self._connection = psycopg.connect(self._server.url("bench"), autocommit=True)
        columns = ", ".join(f"{name} {_type(name)}" for name in export.HEADER)
        self._connection.execute(f"create table if not exists views (workspace_id uuid, {columns})")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._server.stop()

    async def take(self, clickhouse: ClickHouse, selections: Iterable[Selection]) -> None:
        """Copies what an export of each selection would hold."""
        names = ", ".join(("workspace_id", *export.HEADER))
        for selection in selections:
            one = await selection.located(clickhouse)
            sql = f"SELECT toString({{workspace_id:UUID}}) AS w, {export._columns()} FROM ({one.views(export._STORED)})"
            data = await clickhouse.raw(sql, one.parameters, format="CSV", timeout_s=120)
            with (
                self._connection.cursor() as cursor,
                cursor.copy(f"copy views ({names}) from stdin csv null '\\N'") as c,
            ):
                c.write(data)

    def settle(self) -> None:
        self._connection.execute("create index on views (workspace_id, view_end)")
        self._connection.execute("create unique index on views (view_id)")
        self._connection.execute("vacuum analyze views")

    def size_bytes(self) -> int:
        row = self._connection.execute("select pg_total_relation_size('views')").fetchone()
        return int(row[0]) if row else 0

    def seconds(self, name: str, selection: Selection, times: int) -> list[float]:
        took = []
        bound = {"w": selection.workspace_id, "a": _time(selection.span.after_s), "b": _time(selection.span.before_s)}
        for _ in range(times):
            begin = time.perf_counter()
            self._connection.execute(POSTGRES[name], bound).fetchall()
            took.append(time.perf_counter() - begin)
        return took


def _time(epoch_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(epoch_s))


def _type(name: str) -> str:
    if name in ("view_start", "view_end"):
        return "timestamp"
    if name == "view_id":
        return "uuid"
    return "double precision" if name in _NUMBERS else "text"
