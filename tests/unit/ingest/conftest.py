"""A door and servers on free ports of loopback, on the event loop that the ingest process has."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvloop
from tests.unit.ingest.peers import OpenDoor

from fastpix_server.ingest.rtmp_server import RtmpLimits, RtmpServer


@pytest.fixture(scope="session")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """The loop of the ingest process."""
    return uvloop.EventLoopPolicy()


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
