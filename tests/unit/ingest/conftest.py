"""A door and servers on free ports of loopback."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.ingest.peers import OpenDoor

from fastpix_server.ingest.rtmp_server import RtmpLimits, RtmpServer


@pytest.fixture
def door() -> OpenDoor:
    return OpenDoor()


@pytest.fixture
def limits() -> RtmpLimits:
    """Files are pushed faster than they play here; tests of the pace set their own."""
    return RtmpLimits(lead_s=3600)


@pytest.fixture
async def server(door: OpenDoor, limits: RtmpLimits) -> AsyncIterator[RtmpServer]:
    server = RtmpServer(door, limits)
    yield server
    await server.close()
