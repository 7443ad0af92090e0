from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.playing import Playing, playing


@pytest.fixture
async def stage(database_url: str, tmp_path: Path) -> AsyncIterator[Playing]:
    async with playing(database_url, tmp_path) as made:
        yield made
