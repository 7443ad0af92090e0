"""WHIP sessions that load WebRTC when the first publisher comes: until then the process is 25 MB smaller.

Invariants: the first offer waits for it (a quarter of a second), and no other stream does: a thread loads it. After
close() nothing is loaded any more.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastpix_server.ingest.model import Door, Refused
from fastpix_server.ingest.whip_model import Outcome

if TYPE_CHECKING:
    from fastpix_server.ingest.whip import Whip


class LateWhip:
    """WhipSessions of this process. `announce`: as Whip takes it."""

    def __init__(self, door: Door, *, announce: Sequence[str] = ()) -> None:
        self._door = door
        self._announce = announce
        self._whip: Whip | None = None
        self._one_loads = asyncio.Lock()
        self._is_closed = False

    async def offer(self, sdp: str, stream_key: str, peer: str) -> Outcome:
        async with self._one_loads:
            if self._is_closed:
                return Refused("busy")
            if self._whip is None:
                make = await asyncio.to_thread(_load)
                self._whip = make(self._door, announce=self._announce)
            whip = self._whip
        return await whip.offer(sdp, stream_key, peer)

    async def end(self, session_id: str) -> bool:
        return self._whip is not None and await self._whip.end(session_id)

    async def close(self) -> None:
        async with self._one_loads:
            self._is_closed = True
        if self._whip is not None:
            await self._whip.close()


def _load() -> "type[Whip]":
    from fastpix_server.ingest.whip import Whip

    return Whip
