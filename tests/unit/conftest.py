"""One engine per test process: two in one process would share a data directory."""

import pytest
from tests.video_data import Engine


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("engine") / "data")
