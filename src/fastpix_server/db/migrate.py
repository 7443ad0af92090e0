"""Brings a database to the newest schema, with Alembic, once, however many processes ask at the same time.

Invariants: migrations only go forward; each revision runs in a transaction of its own; revision ids are their file
names, in one line without branches.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy import text

from fastpix_server.base import log
from fastpix_server.db.pool import CONNECT_TIMEOUT_S, Tx, sqlalchemy_url

if TYPE_CHECKING:
    import alembic.config

_log = log.get(__name__)

_SCRIPTS = Path(__file__).parent / "migrations"
# Any constant works, as long as nothing else of ours locks it: "fpx" and "migrate" as digits of a telephone.
_LOCK = 379_6447283


async def upgrade(url: str) -> None:
    """Runs every missing revision under an advisory lock, so that two starting machines take turns."""
    await asyncio.to_thread(upgrade_now, url)


async def is_at_head(tx: Tx) -> bool:
    """True when the database is at the newest revision that this program knows."""
    found = await tx.execute(text("select to_regclass('alembic_version') is not null"))
    if not found.scalar_one():
        return False
    current = (await tx.execute(text("select version_num from alembic_version"))).scalar_one_or_none()
    return current == head()


def head() -> str:
    """The newest revision of the scripts: their names are in order. Who only asks for it does without Alembic."""
    return max(script.stem for script in (_SCRIPTS / "versions").glob("[0-9]*.py"))


def _config() -> "alembic.config.Config":
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade_now(url: str) -> None:
    """upgrade() for callers without an event loop."""
    import alembic.command
    import alembic.runtime.migration

    engine = sqlalchemy.create_engine(
        sqlalchemy_url(url), poolclass=sqlalchemy.NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_S}
    )
    try:
        with engine.connect() as guard, engine.connect() as connection:
            guard.execute(text("select pg_advisory_lock(:lock)"), {"lock": _LOCK})
            before = alembic.runtime.migration.MigrationContext.configure(connection).get_current_revision()
            connection.rollback()
            config = _config()
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")
            if before != head():
                _log.info("database_migrated", before=before, after=head())
    finally:
        engine.dispose()
