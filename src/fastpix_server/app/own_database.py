"""The database of this machine for a command that is soon over, whether the platform runs or not.

Invariants: a running platform's database is used as it is; one that stands still is started under the folder's lock,
brought to the newest schema, and stopped again; a named one (FASTPIX_DATABASE_URL) is never migrated here.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import psycopg.errors
import sqlalchemy.exc

from fastpix_server.app import migration
from fastpix_server.app.postgres import EmbeddedPostgres
from fastpix_server.app.settings import Secret, Settings
from fastpix_server.app.supervisor import CannotStart, acquire_data_dir
from fastpix_server.base import errors
from fastpix_server.db.pool import Database, Tx

T = TypeVar("T")


def in_one_unit(settings: Settings, work: Callable[[Tx], Awaitable[T]]) -> T:
    """Runs `work` in one transaction, from the main thread (the embedded server dies with it)."""
    with _database_url(settings) as url:
        return asyncio.run(_run(url, work))


@contextlib.contextmanager
def _database_url(settings: Settings) -> Iterator[str]:
    if settings.database_url:
        yield settings.database_url.reveal()
        return
    server = EmbeddedPostgres(settings.data_dir / "postgres")
    with contextlib.ExitStack() as closing:
        try:
            closing.enter_context(acquire_data_dir(settings.data_dir))
        except CannotStart:
            # Held by the platform that runs here.
            yield server.url()
            return
        closing.callback(server.stop)
        server.start()
        server.ensure_database()
        asyncio.run(migration.run(dataclasses.replace(settings, database_url=Secret(server.url()))))
        yield server.url()


async def _run(url: str, work: Callable[[Tx], Awaitable[T]]) -> T:
    db = await Database.open(url, size=1)
    try:
        async with db.unit() as tx:
            return await work(tx)
    except sqlalchemy.exc.ProgrammingError as fault:
        if isinstance(fault.orig, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
            raise errors.BadState("The database is not up to date: run `fastpix migrate` first.") from fault
        raise
    finally:
        await db.close()
