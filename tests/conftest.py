"""Fixtures that every folder of tests may use: real PostgreSQL, and a whole running platform."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from tests.analytics_role import AnalyticsRole
from tests.databases import Databases
from tests.running_platform import RunningPlatform

from fastpix_server.app.postgres import EmbeddedPostgres
from fastpix_server.base import log

log.configure("test", "warning")
# Speed is measured by benchmarks; a slow machine must not fail a property.
hypothesis.settings.register_profile("fastpix", deadline=None)
hypothesis.settings.load_profile("fastpix")

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
    """One embedded PostgreSQL per session."""
    folder = Path(tempfile.mkdtemp(prefix="fastpix-test-pg-"))
    server = EmbeddedPostgres(folder / "postgres", _SETTINGS)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def databases(postgres_server: EmbeddedPostgres) -> Databases:
    return Databases(postgres_server)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A fresh, migrated database for one test."""
    with databases.fresh() as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(databases: Databases) -> Iterator[str]:
    """A fresh, migrated database for all tests of one module."""
    with databases.fresh() as url:
        yield url


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
