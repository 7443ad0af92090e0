"""The embedded ClickHouse engine (chdb): statements of its HTTP interface, run in threads of this process.

Invariants: one process per data folder (the engine itself locks nothing: the role holds a lock). A connection that saw
a failure is not used again. Every statement runs under limits of time, memory and answer size. What start-up read of
the library's half gigabyte and nobody needs any more is given back (`rest`).
"""

import ctypes
import dataclasses
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastpix_server.base import errors
from fastpix_server.base.imports import hidden
from fastpix_server.views import clickhouse

# Two heavy queries already fill a small machine; the rest are inserts and short ones.
THREADS = 4
QUERY_MAX_BYTES_FLOOR = 512 * 1024 * 1024
QUERY_MAX_BYTES_CEILING = 8 * 1024**3
ANSWER_MAX_BYTES = 256 * 1024 * 1024
_QUERY_TIMEOUT_S = 60
_RESULT_TOO_LARGE = 396
_MADV_DONTNEED = 4  # asm-generic/mman-common.h

_INSERT = re.compile(r"\s*insert\b", re.IGNORECASE)
_INSERT_SELECT = re.compile(r"\s*insert\s+into\s+[\w.`]+\s*(\([^()]*\))?\s*select\b", re.IGNORECASE)
_SELECT = re.compile(r"\s*(select|with|show|describe|desc|exists|explain)\b", re.IGNORECASE)
_FORMAT = re.compile(r"\bFORMAT\s+([A-Za-z]+)\s*;?\s*\Z", re.IGNORECASE)
_SETTING = re.compile(r"[a-z][a-z0-9_]{0,99}")
_CODE = re.compile(r"Code: (\d+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """`data` is what an INSERT brings; `parameters` are bound by the engine; `settings` hold for this statement."""

    sql: str
    data: bytes | None = None
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default_format: str = "TabSeparated"
    database: str = "default"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    format: str
    rows: int


class EngineFault(errors.FastpixError):
    """ClickHouse's own number and words."""

    message = "statement refused"

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code


class Engine:
    """run() may be called from any thread; each keeps a connection of its own."""

    def __init__(self, folder: Path) -> None:
        self._connect = _library().Connection
        self._address = f"{folder}?" + "&".join(f"{name}={value}" for name, value in _limits().items())
        self._local = threading.local()
        self._connections: list[Any] = []
        self._lock = threading.Lock()
        self._connection()

    def close(self) -> None:
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def run(self, statement: Statement) -> Answer:
        """Raises EngineFault."""
        connection = self._connection()
        try:
            if statement.database not in ("default", ""):
                raise EngineFault(
                    81, f"Code: 81. Database {statement.database} does not exist (the engine has `default`)"
                )
            if _INSERT.match(statement.sql) and statement.data is not None:
                return _insert(connection, statement)
            return _query(connection, statement)
        except EngineFault:
            raise
        except Exception as fault:  # the engine's errors have several types
            # What a failed statement had written already would begin the next answer of this connection.
            self._forget_connection()
            code = _CODE.search(str(fault))
            raise EngineFault(int(code[1]) if code else 1002, str(fault)) from None

    def rest(self) -> None:
        """Gives back memory that only start-up or the last burst needed; the next statement takes what it uses."""
        self._connection().query("SYSTEM JEMALLOC PURGE")
        _forget_library_pages()

    def _forget_connection(self) -> None:
        found = self._local.connection
        self._local.connection = None
        with self._lock:
            self._connections.remove(found)
        found.close()

    def _connection(self) -> Any:
        found = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self._connect(self._address)
            with self._lock:
                self._connections.append(found)
        return found


def _library() -> Any:
    """Half a gigabyte: only the role that runs it may import it. It would import libraries for data frames too, which
    take 17 MB and are of no use for bytes; it does without what is not there."""
    with hidden("numpy", "pandas", "pyarrow"):
        import chdb.state.sqlitelike as library
    return library


def _limits() -> dict[str, object]:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    query_bytes = min(max(memory_bytes // 4, QUERY_MAX_BYTES_FLOOR), QUERY_MAX_BYTES_CEILING)
    return {
        "max_memory_usage": query_bytes,
        # Grouping and sorting beyond this go on in files: slower, but they end.
        "max_bytes_before_external_group_by": query_bytes // 2,
        "max_bytes_before_external_sort": query_bytes // 2,
        "max_execution_time": _QUERY_TIMEOUT_S,
        "max_result_bytes": ANSWER_MAX_BYTES,
        # It cannot be set by the statement itself.
        "max_query_size": clickhouse.STATEMENT_MAX_BYTES,
        "result_overflow_mode": "throw",
        "max_threads": max(1, min(os.cpu_count() or 1, 8)),
        # Machine code for expressions that hardly repeat takes longer to make than it saves.
        "compile_expressions": 0,
        "compile_aggregate_expressions": 0,
        "compile_sort_description": 0,
        # An insert that is acknowledged is in the table.
        "async_insert": 0,
    }


def _insert(connection: Any, statement: Statement) -> Answer:
    sql, form = _without_format(statement.sql, "Values")
    with connection.send_insert(f"{sql}{_settings_clause(statement.settings)}", form) as writer:
        writer.append(statement.data)
        result = writer.finish()
    return Answer(b"", form, int(result.rows_written))


def _query(connection: Any, statement: Statement) -> Answer:
    sql, form = _without_format(statement.sql, statement.default_format)
    if statement.settings and (_SELECT.match(sql) or _INSERT_SELECT.match(sql)):
        sql += _settings_clause(statement.settings)
    # Without parameters the call must not see any: the engine would look for placeholders in literals.
    result = (
        connection.query(sql, form, params=dict(statement.parameters))
        if statement.parameters
        else connection.query(sql, form)
    )
    body = result.bytes() if hasattr(result, "bytes") else str(result or "").encode()
    if len(body) > ANSWER_MAX_BYTES:  # the setting of that name counts blocks, and not in every path
        raise EngineFault(_RESULT_TOO_LARGE, f"Code: {_RESULT_TOO_LARGE}. The answer has over {ANSWER_MAX_BYTES} bytes")
    return Answer(body or b"", form, int(result.rows_read()) if hasattr(result, "rows_read") else 0)


def _without_format(sql: str, default: str) -> tuple[str, str]:
    sql = sql.rstrip().rstrip(";")
    match = _FORMAT.search(sql)
    return (sql[: match.start()].rstrip(), match[1]) if match else (sql, default)


def _settings_clause(settings: Mapping[str, str]) -> str:
    """Only plain names get in, and values only as quoted literals."""
    known = [(name, value) for name, value in settings.items() if _SETTING.fullmatch(name)]
    if not known:
        return ""
    return " SETTINGS " + ", ".join(f"{name} = {_literal(value)}" for name, value in known)


def _literal(value: str) -> str:
    if re.fullmatch(r"-?[0-9]{1,18}", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _forget_library_pages() -> None:
    """Clean pages of the library's code leave this process; they stay in the page cache, and come back when touched.

    Only code is forgotten, and the read-only data before it: neither is ever written, so nothing can be lost. Measured:
    250 MB after start become 120 MB, and a query is 7 ms slower, once.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for line in Path("/proc/self/maps").read_text().splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) < 6 or "/_chdb." not in parts[5]:
            continue
        is_code = parts[1] == "r-xp"
        is_first = parts[1] == "r--p" and int(parts[2], 16) == 0
        if is_code or is_first:
            begin, end = (int(text, 16) for text in parts[0].split("-"))
            libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)
