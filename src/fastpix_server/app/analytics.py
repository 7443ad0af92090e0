"""The role `analytics`: the embedded ClickHouse engine behind ClickHouse's HTTP interface, for who has its URL.

Invariants: it listens where FASTPIX_CLICKHOUSE_URL points and answers only who knows its password. One process per data
folder. At most RUNNING_MAX statements run and WAITING_MAX wait; more are refused as ClickHouse refuses them. An
acknowledged insert is on the disk. Why embedded, and why HTTP: docs/decisions/0035-analytics-role.md.
"""

import asyncio
import base64
import contextlib
import fcntl
import functools
import hmac
import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from aiohttp import web

from fastpix_server.app import analytics_engine, secrets
from fastpix_server.app.analytics_engine import Engine, EngineFault, Statement
from fastpix_server.app.settings import BadSettings, Settings
from fastpix_server.base import errors, ids, log
from fastpix_server.views import tables
from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.tables import TableOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_log = log.get(__name__)

RUNNING_MAX = analytics_engine.THREADS
# Each waits for seconds at most; a caller that finds the queue full does better to come back.
WAITING_MAX = 64
# A segment of beacons has 16 MB, in JSON of known columns; the rest is room for other clients.
BODY_MAX_BYTES = 128 * 1024 * 1024
# After this much silence the engine gives memory back. Jobs ask something every minute: with half a minute it would
# hold 40 MB for half of the time. The first statement after a rest is 7 ms slower.
REST_AFTER_S = 5.0
# Parameters travel in the request line: all filters of a question (views/filters.py) in their longest spelling.
LINE_MAX_BYTES = 256 * 1024
_DRAIN_S = 0.3
_TOO_MANY_QUERIES = 202
_AUTHENTICATION_FAILED = 516
_UNKNOWN_TABLE, _UNKNOWN_DATABASE = 60, 81
# Query parameters of the interface that are no settings of a statement.
_OWN_PARAMETERS = frozenset(
    {
        "query", "database", "default_format", "user", "password", "session_id", "session_timeout", "session_check",
        "query_id", "compress", "decompress", "quota_key", "client_protocol_version", "wait_end_of_query",
        "buffer_size", "enable_http_compression", "role", "send_progress_in_http_headers",
    }
)  # fmt: skip


class FolderTaken(errors.FastpixError):
    message = "cannot start"


def run(settings: Settings) -> None:
    """Blocks until SIGTERM or SIGINT. Raises BadSettings and FolderTaken."""
    import uvloop

    if urlsplit(settings.clickhouse_url.reveal()).scheme != "http":
        raise BadSettings(
            [
                "FASTPIX_CLICKHOUSE_URL must say where the engine listens and with which password, such as"
                " http://fastpix:secret@10.0.0.5:8123. `fastpix up` chooses its own."
            ]
        )
    secrets.prepare_folder(settings.data_dir)
    folder = settings.data_dir / "clickhouse"
    secrets.prepare_folder(folder)
    with _acquired(folder):
        uvloop.run(_run(settings, folder))


@contextlib.contextmanager
def _acquired(folder: Path) -> "Iterator[None]":
    with open(folder.parent / "clickhouse.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FolderTaken(f"Another process runs the analytics engine on {folder}.") from None
        yield


async def _run(settings: Settings, folder: Path) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, stopping.set)
    url = urlsplit(settings.clickhouse_url.reveal())
    pool = ThreadPoolExecutor(RUNNING_MAX, thread_name_prefix="engine")
    engine = await loop.run_in_executor(pool, Engine, folder)
    options = TableOptions(settings.views.retention_days, syncs=True)
    for statement in tables.ddl(options):  # before anybody can ask
        await loop.run_in_executor(pool, engine.run, Statement(statement))
    server = Server(engine, pool, unquote(url.username or "default"), unquote(url.password or ""))
    runner = web.AppRunner(
        server.app(),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_DRAIN_S,
        max_line_size=LINE_MAX_BYTES,
    )
    await runner.setup()
    await web.TCPSite(runner, url.hostname, url.port or 8123).start()
    async with ClickHouse(settings.clickhouse_url.reveal()) as clickhouse:
        await tables.ensure(clickhouse, options)
    _log.info("analytics_started", port=url.port or 8123)
    resting = asyncio.create_task(server.rest_when_idle(), name="rest")
    await stopping.wait()
    resting.cancel()
    await runner.cleanup()
    pool.shutdown(wait=False, cancel_futures=True)
    _log.info("analytics_stopped")
    # A statement that still runs would hold up the end of its thread, and so that of the process, for as long as it
    # takes. Nobody waits for its answer any more, and the engine needs no goodbye: what it acknowledged is on the disk.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class Server:
    """The part of ClickHouse's HTTP interface that its official clients use: queries, inserts, parameters, settings."""

    def __init__(self, engine: Engine, pool: ThreadPoolExecutor, user: str, password: str) -> None:
        self._engine = engine
        self._pool = pool
        self._user = user.encode()
        self._password = password.encode()
        self._running = asyncio.Semaphore(RUNNING_MAX)
        self._waiting = 0
        self._used_at = time.monotonic()
        self._is_resting = False

    def app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        app.router.add_get("/ping", self._ping)
        app.router.add_route("*", "/", self._statement)
        return app

    async def rest_when_idle(self) -> None:
        """Soon after start, and after each burst."""
        idle_s = 2.0
        while True:
            left_s = idle_s - (time.monotonic() - self._used_at)
            if left_s > 0 or self._is_resting:
                await asyncio.sleep(left_s if left_s > 0 else idle_s)
            else:
                await asyncio.get_running_loop().run_in_executor(self._pool, self._engine.rest)
                self._is_resting = True
                idle_s = REST_AFTER_S

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def _statement(self, request: web.Request) -> web.Response:
        if request.method not in ("GET", "POST"):
            return web.Response(status=405)
        if not self._knows(request):
            return _refused(403, _AUTHENTICATION_FAILED, "Authentication failed: password is incorrect.")
        if self._waiting >= WAITING_MAX:
            return _refused(503, _TOO_MANY_QUERIES, "Too many simultaneous queries.")
        self._waiting += 1
        try:
            body = await _body(request)
            statement = parse_statement(request.query, body)
            async with self._running:
                return await self._run(statement, request.query.get("query_id") or ids.new_uuid())
        except ValueError as fault:
            return _refused(400, 62, str(fault))
        finally:
            self._waiting -= 1
            self._used_at = time.monotonic()
            self._is_resting = False

    async def _run(self, statement: Statement, query_id: str) -> web.Response:
        started_ns = time.perf_counter_ns()
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._pool, functools.partial(self._engine.run, statement)
            )
        except EngineFault as fault:
            status = 404 if fault.code in (_UNKNOWN_TABLE, _UNKNOWN_DATABASE) else 500
            return _refused(status, fault.code, fault.description)
        summary = {
            "read_rows": "0" if statement.data is not None else str(answer.rows),
            "written_rows": str(answer.rows) if statement.data is not None else "0",
            "elapsed_ns": str(time.perf_counter_ns() - started_ns),
        }
        headers = {
            "X-ClickHouse-Format": answer.format,
            "X-ClickHouse-Summary": json.dumps(summary),
            "X-ClickHouse-Query-Id": query_id.encode("ascii", "ignore").decode()[:128],
            "X-ClickHouse-Timezone": "UTC",
        }
        return web.Response(body=answer.body, headers=headers, content_type="application/octet-stream")

    def _knows(self, request: web.Request) -> bool:
        user, password = _credentials(request)
        is_user = hmac.compare_digest(user.encode(), self._user)
        return hmac.compare_digest(password.encode(), self._password) and is_user


def _credentials(request: web.Request) -> tuple[str, str]:
    """By ClickHouse's own headers, Basic auth or query parameters, as its clients choose."""
    if "X-ClickHouse-User" in request.headers:
        return request.headers["X-ClickHouse-User"], request.headers.get("X-ClickHouse-Key", "")
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
            return user, password
    return request.query.get("user", "default"), request.query.get("password", "")


async def _body(request: web.Request) -> bytes:
    """Raises ValueError for a body that cannot be read."""
    body = await request.read()
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity" or not body:
        return body
    if encoding not in ("gzip", "deflate"):  # those two aiohttp has decoded
        raise ValueError(f"Content-Encoding {encoding} is not served by the embedded engine: use gzip or none.")
    return body


def parse_statement(query: "Mapping[str, str]", body: bytes) -> Statement:
    """The statement is in `query`, in the body, or in both; then the body is the data of an INSERT."""
    sql = query.get("query")
    data: bytes | None = None
    if sql is None:
        sql, data = _split_insert(body)
    elif _is_insert(sql):
        data = body or None
    elif body:
        sql = f"{sql}\n{body.decode()}"
    return Statement(
        sql,
        data,
        {name.removeprefix("param_"): value for name, value in query.items() if name.startswith("param_")},
        {name: value for name, value in query.items() if name not in _OWN_PARAMETERS and not name.startswith("param_")},
        query.get("default_format", "TabSeparated"),
        query.get("database", "default"),
    )


def _is_insert(sql: str) -> bool:
    return sql.lstrip()[:6].lower() == "insert"


def _split_insert(body: bytes) -> tuple[str, bytes | None]:
    """`INSERT ... FORMAT x`, a line break, then its data; anything else is a statement as a whole."""
    first, line_break, rest = body.partition(b"\n")
    words = first.split()
    has_format = len(words) > 3 and words[-2].lower() == b"format"
    if line_break and has_format and _is_insert(first[:64].decode("utf-8", "replace")):
        return first.decode(), rest
    return body.decode(), None


def _refused(status: int, code: int, words: str) -> web.Response:
    return web.Response(
        status=status,
        text=f"Code: {code}. DB::Exception: {words}\n",
        headers={"X-ClickHouse-Exception-Code": str(code)},
    )
