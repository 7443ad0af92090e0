"""Fixtures that every folder of tests may use: real PostgreSQL, and a whole running platform."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql
from tests.analytics_role import AnalyticsRole
from tests.running_platform import RunningPlatform

from fastpix_server.app.postgres import EmbeddedPostgres
from fastpix_server.base import log
from fastpix_server.db import migrate

log.configure("test", "warning")
# Speed is measured by benchmarks; a slow machine must not fail a property.
hypothesis.settings.register_profile("fastpix", deadline=None)
hypothesis.settings.load_profile("fastpix")

_TEMPLATE = "template_migrated"
# The session's server is thrown away: durability is tested in tests/faults, with servers of their own.
# With the least write-ahead log, a copy of the template is a copy of its files: a quarter of the time.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One embedded PostgreSQL per session, with a migrated template database."""
    folder = Path(tempfile.mkdtemp(prefix="fastpix-test-pg-"))
    server = EmbeddedPostgres(folder / "postgres", _SETTINGS)
    try:
        server.start()
        server.ensure_database(_TEMPLATE)
        migrate.upgrade_now(server.url(_TEMPLATE))
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _fresh_database(server: EmbeddedPostgres) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(_TEMPLATE)
            )
        )
        yield server.url(name)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A fresh, migrated database for one test."""
    yield from _fresh_database(postgres_server)


@pytest.fixture(scope="module")
def module_database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A fresh, migrated database for all tests of one module."""
    yield from _fresh_database(postgres_server)


@pytest.fixture(scope="session")
def analytics_role() -> Iterator[AnalyticsRole]:
    """One analytics role per session, for tests that keep to workspaces of their own: `url` is its ClickHouse URL."""
    folder = Path(tempfile.mkdtemp(prefix="fastpix-test-analytics-"))
    role = AnalyticsRole(folder)
    try:
        role.start()
        yield role
    finally:
        role.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def platform() -> Iterator[RunningPlatform]:
    """One whole platform per session: base_url, username, password, data_dir, process."""
    folder = Path(tempfile.mkdtemp(prefix="fastpix-test-"))
    running = RunningPlatform(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)
