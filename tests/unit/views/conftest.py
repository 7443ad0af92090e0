"""One engine per test process: two in one process would share a data directory."""

from collections.abc import Iterator

import pytest
from tests.unit.views.engine import Engine


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    yield Engine(tmp_path_factory.mktemp("engine") / "data")
