"""WebRTC is loaded by the first offer; from then on the sessions are those of whip.py."""

import asyncio

from tests.unit.ingest import offers
from tests.whip_stage import Door

from fastpix_server.ingest.model import Refused
from fastpix_server.ingest.whip_late import LateWhip
from fastpix_server.ingest.whip_model import Accepted, Unusable


async def test_two_first_publishers_share_one_set_of_sessions() -> None:
    door = Door({"key": None, "other": None})
    whip = LateWhip(door)
    assert not await whip.end("nobody")
    first, second = await asyncio.gather(
        whip.offer(offers.browser(), "key", "127.0.0.1"), whip.offer(offers.browser(), "other", "127.0.0.1")
    )
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert isinstance(await whip.offer("m=video", "key", "127.0.0.1"), Unusable)
    assert await whip.end(first.session_id)
    await whip.close()
    assert sorted(end for sink in door.sinks for end in sink.ends) == ["shutdown", "unpublish"]


async def test_after_the_end_nobody_is_let_in() -> None:
    whip = LateWhip(Door({"key": None}))
    await whip.close()
    assert await whip.offer(offers.browser(), "key", "127.0.0.1") == Refused("busy")
