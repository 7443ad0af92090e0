"""The house that the journeys of signed playback walk through."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests import footage
from tests.journeys.gated import House, add_key, furnish
from tests.planned import planned
from tests.playing import playing
from tests.unit.keys.signing import pair

from fastpix_server.access import service as access


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with playing(database_url, tmp_path) as stage:
        async with stage.db.unit() as tx:
            mine, theirs = [(await access.create_workspace(tx, name=name)).id for name in ("Mine", "Theirs")]
        kid, other_kid = await add_key(stage, mine, pair()), await add_key(stage, mine, pair("other"))
        source = footage.bikes()
        video = await stage.publish(source, await planned(source), access_policy="private", workspace_id=mine)
        await furnish(stage, video)
        await stage.maker()
        yield House(stage, await stage.edge(), mine, theirs, kid, other_kid, video)
