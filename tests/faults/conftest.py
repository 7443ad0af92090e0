"""One platform whose processes are killed, by every test in another way: each leaves it running, as it has to be."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.running_platform import SHARED, RunningPlatform


@pytest.fixture(scope="session")
def unlucky() -> Iterator[RunningPlatform]:
    place = Path(tempfile.mkdtemp(prefix="fastpix-faults-"))
    running = RunningPlatform(place, FASTPIX_HTTP_WORKERS="2", FASTPIX_BEACON_RATE_PER_S="0")
    running.start()
    SHARED["unlucky"] = running
    yield running
    running.stop()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def shared(unlucky: RunningPlatform) -> RunningPlatform:
    """Ready, whatever the test before did to it."""
    if unlucky.process.poll() is not None:
        unlucky.launch()
    unlucky.wait_until_ready()
    return unlucky
