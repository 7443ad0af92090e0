"""Migrated databases of one server for test after test: emptied between them, which is a tenth of making new ones."""

import contextlib
import time
import uuid
from collections.abc import Iterator

import psycopg
from psycopg import sql

from fastpix_server.app.postgres import EmbeddedPostgres
from fastpix_server.db import migrate

_TEMPLATE = "template_migrated"
_LEAVING_S = 30.0  # until the connections that a test left open are gone, on a busy machine
# What a test may have changed beside rows: a database that differs from the template is not given to another test.
_SHAPE = """
select (select string_agg(version_num, ',') from alembic_version),
  (select count(*) from pg_class), (select count(*) from pg_attribute), (select count(*) from pg_proc),
  (select count(*) from pg_trigger where tgenabled = 'O'), (select count(*) from pg_constraint where convalidated),
  (select count(*) from pg_db_role_setting)
"""


_FILLED = """
select relname from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> 'alembic_version'
  and pg_relation_size(oid) > 0
"""
_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
"""
_FIRST_NUMBERS = """
select setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
from pg_sequences where last_value is not null
"""


class Databases:
    """The template is copied as files; with the least write-ahead log (`conftest`) they are written once only."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._clean: list[_Recycled] = []
        server.ensure_database(_TEMPLATE)
        migrate.upgrade_now(server.url(_TEMPLATE))
        with psycopg.connect(server.url(_TEMPLATE)) as connection:
            self._shape = connection.execute(_SHAPE).fetchone()

    @contextlib.contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of a database as the migrations leave it."""
        used = self._clean.pop() if self._clean else self._copy()
        yield self._server.url(used.name)
        if used.was_emptied(self._shape):
            self._clean.append(used)
        else:
            self._on_server(sql.SQL("drop database {} with (force)").format(sql.Identifier(used.name)))

    def _copy(self) -> "_Recycled":
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._on_server(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(_TEMPLATE)
            )
        )
        return _Recycled(name, self._server.url(name))

    def _on_server(self, command: sql.Composed) -> None:
        with psycopg.connect(self._server.url("postgres"), autocommit=True) as connection:
            connection.execute(command)


class _Recycled:
    """Keeps one connection of its own: what it knows of the tables is most of the work."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = url
        self._connection = psycopg.connect(url, autocommit=True)

    def was_emptied(self, shape: tuple[object, ...] | None) -> bool:
        """False: it has to go. Nobody else is connected any more once this begins to empty it."""
        if self._connection.closed or not self._is_alive():
            self._connection = psycopg.connect(self._url, autocommit=True)
        deadline = time.monotonic() + _LEAVING_S
        while self._connection.execute(_OTHERS).fetchall():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        if self._connection.execute(_SHAPE).fetchone() != shape:
            return False
        filled = [sql.Identifier(row[0]) for row in self._connection.execute(_FILLED).fetchall()]
        with self._connection.transaction():
            # Neither the order of foreign keys nor a trigger matters when everything goes.
            self._connection.execute("set local session_replication_role = replica")
            for table in filled:
                self._connection.execute(sql.SQL("delete from {}").format(table))
            self._connection.execute(_FIRST_NUMBERS)
        return True

    def _is_alive(self) -> bool:
        try:
            self._connection.execute("select 1")
        except psycopg.OperationalError:
            return False
        return True
