"""The way to PostgreSQL: a bounded pool of psycopg connections and one unit of work.

Invariants: a unit is one transaction, committed when its block ends and rolled back when the block raises. A database
that cannot be reached is `errors.Unavailable`, whatever the driver called it; every other error of SQL is a bug and
passes through as it is.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import sqlalchemy.exc
from psycopg.types.json import Jsonb
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fastpix_server.base import errors

Tx = AsyncConnection

# A request that waited this long for a connection is better told to come back than kept waiting.
POOL_WAIT_S = 10
# How long one try to reach the server may take: a dead host must not hold a request for minutes.
CONNECT_TIMEOUT_S = 5
# Behind a load balancer idle connections are cut without notice after some minutes; ours are younger than that.
CONNECTION_AGE_S = 1800

_PREFIXES = ("postgresql+psycopg://", "postgresql://", "postgres://")


def Json(value: Any) -> Jsonb:
    """Marks a Python value as a jsonb parameter."""
    return Jsonb(value)


def sqlalchemy_url(url: str) -> str:
    """SQLAlchemy's spelling of a plain `postgresql://` URL."""
    for prefix in _PREFIXES:
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    raise ValueError("a database URL starts with postgresql://")


class Database:
    """A pool and its URL. `size` bounds the connections; callers beyond it wait up to POOL_WAIT_S."""

    def __init__(self, url: str, engine: AsyncEngine) -> None:
        self.url = url
        self._engine = engine

    @classmethod
    async def open(cls, url: str, *, size: int = 10) -> Self:
        """Opens no connection yet: the first unit does."""
        engine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_S,
            pool_recycle=CONNECTION_AGE_S,
            # The server may have been restarted since a connection was last used: ask before trusting it.
            pool_pre_ping=True,
            # Errors are logged, and parameters hold stream keys and secrets.
            hide_parameters=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        )
        return cls(url, engine)

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Tx]:
        """One transaction. Raises errors.Unavailable when the server is away or the pool stays exhausted."""
        try:
            async with self._engine.begin() as tx:
                yield tx
        except sqlalchemy.exc.TimeoutError as fault:
            raise errors.Unavailable("All database connections are busy; try again shortly.") from fault
        except sqlalchemy.exc.DBAPIError as fault:
            if _is_connection_fault(fault):
                raise errors.Unavailable("The database cannot be reached; try again shortly.") from fault
            raise


def _is_connection_fault(fault: sqlalchemy.exc.DBAPIError) -> bool:
    """True when the server, not the statement, is at fault: connection refused, lost, or closed by a shutdown."""
    if fault.connection_invalidated:
        return True
    sqlstate = getattr(fault.orig, "sqlstate", None)
    if isinstance(fault, sqlalchemy.exc.OperationalError):
        # psycopg gives no SQLSTATE when no server answered. Classes 08 and 57P0x: connection and shutdown.
        return sqlstate is None or sqlstate.startswith(("08", "57P0"))
    return False
