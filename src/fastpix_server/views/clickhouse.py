"""The way to ClickHouse: its HTTP interface, whether our embedded engine answers or a server or cluster.

Invariants: values travel as bound parameters, never inside the SQL. Every call has a time limit and at most CALLS_MAX
run at once; what cannot be served now is errors.Unavailable. An error of a statement is `StatementFault` with
ClickHouse's own number.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp
import msgspec

from fastpix_server.base import errors

# More would only queue inside the engine, where a small query cannot pass a large one.
CALLS_MAX = 8
# How long a call may wait for its turn: a dashboard that waits longer has been closed.
TURN_S = 10.0
QUERY_TIMEOUT_S = 30.0
# Ids are named as literals: 20,000 pairs of them have 1.7 MB.
STATEMENT_MAX_BYTES = 8 * 1024 * 1024
# Answers are decoded in memory; a query that gives more has lost its LIMIT.
ANSWER_MAX_BYTES = 64 * 1024 * 1024
UNKNOWN_TABLE = 60
# ClickHouse's numbers for "not now": timeout exceeded, too many simultaneous queries, memory limit, network.
_PASSING = frozenset({159, 202, 209, 210, 241, 242})

Value = str | int | float | bool | None | Sequence[str] | Sequence[int]
Row = dict[str, Any]


class StatementFault(errors.FastpixError):
    """ClickHouse refused the statement: a bug of ours, or tables that are missing."""

    message = "statement refused"

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code


class ClickHouse:
    """`url` is http(s)://[user:password@]host:port[/database]; empty: every call is refused as Unavailable."""

    def __init__(self, url: str) -> None:
        self._is_set = bool(url)
        url = url or "http://localhost"
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("a ClickHouse URL looks like http://user:password@host:8123/database")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = parts.port or (8443 if parts.scheme == "https" else 8123)
        self._endpoint = urlunsplit((parts.scheme, f"{host}:{port}", "/", "", ""))
        self.database = parts.path.strip("/") or "default"
        self._headers = {"X-ClickHouse-User": unquote(parts.username or "default")}
        if parts.password:
            self._headers["X-ClickHouse-Key"] = unquote(parts.password)
        self._turns = asyncio.Semaphore(CALLS_MAX)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def rows(
        self, sql: str, parameters: Mapping[str, Value] | None = None, *, timeout_s: float = QUERY_TIMEOUT_S
    ) -> list[Row]:
        """Runs a SELECT (without FORMAT). Numbers are numbers, times `2026-11-23 08:04:35.299` in UTC, NULL is None."""
        settings = {
            "default_format": "JSON",
            "output_format_json_quote_64bit_integers": "0",
            # nan and inf are no JSON: they become null.
            "output_format_json_quote_denormals": "0",
            "max_execution_time": str(int(timeout_s)),
        }
        answer = await self._call(sql, parameters or {}, settings, b"", timeout_s)
        data: list[Row] = msgspec.json.decode(answer)["data"]
        return data

    async def raw(
        self,
        sql: str,
        parameters: Mapping[str, Value] | None = None,
        *,
        format: str,
        timeout_s: float = QUERY_TIMEOUT_S,
    ) -> bytes:
        """Runs a SELECT (without FORMAT) and gives its answer in one of ClickHouse's own formats."""
        settings = {"default_format": format, "max_execution_time": str(int(timeout_s))}
        return await self._call(sql, parameters or {}, settings, b"", timeout_s)

    async def command(self, sql: str, *, timeout_s: float = QUERY_TIMEOUT_S) -> None:
        """Runs a statement that answers nothing, such as DDL."""
        settings = {"max_query_size": str(STATEMENT_MAX_BYTES), "max_execution_time": str(int(timeout_s))}
        await self._call(sql, {}, settings, b"", timeout_s)

    async def insert(self, table: str, lines: bytes, *, timeout_s: float = QUERY_TIMEOUT_S) -> None:
        """Inserts JSON lines. `table` is a name of ours."""
        settings = {
            "date_time_input_format": "best_effort",
            "async_insert": "0",
            "input_format_skip_unknown_fields": "1",
        }
        await self._call(f"INSERT INTO {table} FORMAT JSONEachRow", {}, settings, lines, timeout_s)

    async def _call(
        self, sql: str, parameters: Mapping[str, Value], settings: Mapping[str, str], data: bytes, timeout_s: float
    ) -> bytes:
        """The statement travels in the body (its length has no limit there), with data in the query string."""
        if not self._is_set:
            raise errors.Unavailable("There is no analytics database: set FASTPIX_CLICKHOUSE_URL.")
        query = {"database": self.database, **settings}
        query |= {f"param_{name}": _bound(value) for name, value in parameters.items()}
        body = data
        if data:
            query["query"] = sql
        else:
            body = sql.encode()
        try:
            async with asyncio.timeout(TURN_S):
                await self._turns.acquire()
        except TimeoutError as fault:
            raise errors.Unavailable("Too many analytics queries at once; try again shortly.") from fault
        try:
            return await self._post(query, body, timeout_s)
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            raise errors.Unavailable("The analytics database cannot be reached; try again shortly.") from fault
        finally:
            self._turns.release()

    async def _post(self, query: Mapping[str, str], body: bytes, timeout_s: float) -> bytes:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=CALLS_MAX)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False, headers=self._headers)
        # A little longer than the engine's own limit, so that its words arrive.
        limit = aiohttp.ClientTimeout(total=timeout_s + 2, sock_connect=5)
        async with self._session.post(
            self._endpoint, params=query, data=body, timeout=limit, allow_redirects=False
        ) as response:
            answer = await _read(response)
            if response.status == 200 and "X-ClickHouse-Exception-Code" not in response.headers:
                return answer
            raise _fault(response, answer)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_chunked(1 << 16):
        size += len(part)
        if size > ANSWER_MAX_BYTES:
            raise StatementFault(0, f"the answer has more than {ANSWER_MAX_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _fault(response: aiohttp.ClientResponse, answer: bytes) -> errors.FastpixError:
    code = response.headers.get("X-ClickHouse-Exception-Code", "")
    number = int(code) if code.isdigit() else 0
    if number in _PASSING or response.status in (502, 503, 504):
        return errors.Unavailable("The analytics database is busy; try again shortly.")
    return StatementFault(number, answer[:2000].decode("utf-8", "replace"))


_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f"}
_ESCAPED = re.compile(r"[\\\t\n\r\0\b\f]")


def _bound(value: Value) -> str:
    """A parameter as the interface reads it: a text escaped as in TSV, a list as an array literal."""
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return _ESCAPED.sub(lambda match: _ESCAPES[match[0]], value)
    if isinstance(value, int | float):
        return repr(value)
    return "[" + ",".join(_quoted(item) if isinstance(item, str) else repr(item) for item in value) + "]"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
