"""LISTEN and NOTIFY: a message to every process, delivered when the sender's transaction commits.

Invariants: a notification is a hint, never the only copy of a fact; a listener may miss some while it reconnects, says
so through `on_reconnect`, and its users then read the database. Callbacks run on the event loop and must not block.
"""

import asyncio
import contextlib
from collections.abc import Callable

import psycopg
from psycopg import sql
from sqlalchemy import text

from fastpix_server.base import log
from fastpix_server.db.pool import CONNECT_TIMEOUT_S, Tx

_log = log.get(__name__)

# PostgreSQL refuses 8000 bytes and more (src/backend/commands/async.c, NOTIFY_PAYLOAD_MAX_LENGTH).
MAX_PAYLOAD_BYTES = 7999
# A silent connection is asked for a sign of life this often, so that a vanished server is noticed.
_PING_S = 30.0
_BACKOFF_FIRST_S = 0.1
# Short: while the listener is away, viewers wait on the slower poll of storage.
_BACKOFF_MAX_S = 2.0


async def notify(tx: Tx, channel: str, payload: str) -> None:
    """Sends when `tx` commits, or never. Raises ValueError for a payload over MAX_PAYLOAD_BYTES."""
    if len(payload.encode()) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a notification carries at most {MAX_PAYLOAD_BYTES} bytes")
    await tx.execute(text("select pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})


class Listener:
    """One connection that listens to any number of channels and comes back by itself when it is lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._callbacks: dict[str, list[Callable[[str], None]]] = {}
        self._reconnect_callbacks: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None
        self._restart_task: asyncio.Future[None] | None = None

    def on(self, channel: str, callback: Callable[[str], None]) -> None:
        """Calls `callback(payload)` for each message. A channel that is new after start() costs one reconnect."""
        is_new = channel not in self._callbacks
        self._callbacks.setdefault(channel, []).append(callback)
        if is_new and self._task is not None and self._connection is not None:
            self._restart_task = asyncio.ensure_future(self._connection.close())

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Calls `callback()` after messages may have been missed."""
        self._reconnect_callbacks.append(callback)

    async def start(self) -> None:
        """Returns once it listens. Raises psycopg.OperationalError when the first connection fails."""
        self._connection = await self._connect()
        self._task = asyncio.create_task(self._run(self._connection), name="db-listener")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _connect(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        )
        try:
            for channel in self._callbacks:
                await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _run(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        try:
            while True:
                try:
                    await self._receive(connection)
                except psycopg.Error:
                    await connection.close()
                    self._connection = connection = await self._reconnect()
                    for callback in self._reconnect_callbacks:
                        _call(callback)
        finally:
            await connection.close()

    async def _receive(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        """Delivers until the connection breaks."""
        while True:
            async for message in connection.notifies(timeout=_PING_S):
                for callback in self._callbacks.get(message.channel, ()):
                    _call(callback, message.payload)
            await connection.execute("select 1")

    async def _reconnect(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        """Tries without end: a process without its listener is still useful, only slower."""
        pause_s = _BACKOFF_FIRST_S
        while True:
            try:
                return await self._connect()
            except psycopg.Error as fault:
                _log.warning("listener_disconnected", error=type(fault).__name__, retry_in_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _BACKOFF_MAX_S)


def _call(callback: Callable[..., None], *args: str) -> None:
    """A callback that raises must not end the listening of all others."""
    try:
        callback(*args)
    except Exception:
        _log.exception("listener_callback_failed", callback=getattr(callback, "__qualname__", repr(callback)))
