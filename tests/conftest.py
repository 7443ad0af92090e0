"""Fixtures that every folder of tests may use: real PostgreSQL, and a whole running platform."""

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx._transports.default
import hypothesis
import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from tests.analytics_role import AnalyticsRole
from tests.databases import Databases
from tests.running_platform import SHARED, RunningPlatform

from fastpix_server.app.postgres import EmbeddedPostgres
from fastpix_server.base import log

log.configure("test", "warning")
# A machine that runs other tests beside this one answers late: five seconds, as httpx has them, would be a race.
for _kind in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, _kind, 60.0)
# Every client of httpx reads all certificates of the world anew, 30 ms of a processor; tests make thousands of clients.
_transports = httpx._transports.default
_transports.create_ssl_context = functools.cache(_transports.create_ssl_context)
# Speed is measured by benchmarks; a slow machine must not fail a property. Every change is tried with the same few
# examples, so that it is the change that fails; `make soak` searches for new ones.
_any_speed = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("quick", max_examples=25, derandomize=True, database=None, **_any_speed)
hypothesis.settings.register_profile("thorough", max_examples=2000, **_any_speed)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

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
    """One whole platform per session, whose edge is two processes: what one signs, the other serves."""
    folder = Path(tempfile.mkdtemp(prefix="fastpix-test-"))
    running = RunningPlatform(folder, FASTPIX_HTTP_WORKERS="2")
    try:
        running.start()
        SHARED["platform"] = running
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in _platforms_of(item):
        if not SHARED[name].is_running:
            SHARED[name].start_elsewhere()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """A platform that nobody asks takes a tenth of a processor: it stands still until its next folder of tests."""
    yield
    if nextitem is None or nextitem.path.parent != item.path.parent:
        for name, running in SHARED.items():
            if name not in _platforms_of(nextitem):
                running.stop()


def _platforms_of(item: pytest.Item | None) -> set[str]:
    return SHARED.keys() & set(getattr(item, "fixturenames", ()))
