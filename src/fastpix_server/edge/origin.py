"""The origin server of an ingest process: what its sessions have in memory, for the edges.

Invariants: every request is authenticated before anything is looked up; a session that is not here is a 421, so that
an edge can tell it from a segment that is not there; nothing here waits longer than the broadcast lets it.
"""

import array
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from fastpix_server.base import log
from fastpix_server.edge.origin_auth import OriginAuth
from fastpix_server.live.broadcast import Broadcast
from fastpix_server.live.house import House
from fastpix_server.live.model import Answer, PlaylistQuery
from fastpix_server.live.running import Running
from fastpix_server.live.viewers import SEEN_MAX

_log = log.get(__name__)

NOT_HERE = 421
MAX_AGE_HEADER = "X-Max-Age"
PICTURE_TYPE = "application/octet-stream"
# A level, and everybody whom an edge may have seen.
MAX_VIEWERS_BYTES = 1 + 8 * SEEN_MAX
# Restarting platforms must not wait for viewers.
SHUTDOWN_S = 0.5
_BACKLOG = 4096

Ask = Callable[[web.Request, Broadcast], Awaitable[Answer]]


def create_origin(house: House, auth: OriginAuth, more: Iterable[web.AbstractRouteDef] = ()) -> web.Application:
    """`more`: routes of others that need the same authentication."""

    @web.middleware
    async def only_edges(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not auth.is_good(request.headers):
            return web.Response(status=401)
        return await handler(request)

    app = web.Application(middlewares=[only_edges], client_max_size=MAX_VIEWERS_BYTES)
    origin = _Origin(house)
    app.add_routes(origin.routes())
    app.add_routes(more)
    return app


async def serve(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Listens; the port is of interest when it was 0. OSError when it is taken."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    return runner, int(runner.addresses[0][1])


class _Origin:
    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[web.RouteDef]:
        base = "/live/{session}"
        return [
            web.get(base + "/multivariant", self._asked(_multivariant)),
            web.get(base + "/dash", self._asked(_dash)),
            web.get(base + "/picture", self.picture),
            web.post(base + "/viewers", self.viewers),
            web.get(base + "/{rendition}/index.m3u8", self._asked(_playlist)),
            web.get(base + r"/{rendition}/init-{epoch:\d{1,9}}.mp4", self._asked(_init)),
            web.get(base + r"/{rendition}/{number:\d{1,9}}.m4s", self._asked(_segment)),
            web.get(base + r"/{rendition}/{number:\d{1,9}}.{part:\d{1,9}}.m4s", self._asked(_part)),
        ]

    def _asked(self, ask: Ask) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            running = self._find(request)
            if running is None:
                return web.Response(status=NOT_HERE)
            answer = await ask(request, running.broadcast)
            headers = {MAX_AGE_HEADER: str(answer.max_age_s)}
            return web.Response(status=answer.status, body=answer.body, content_type=answer.media_type, headers=headers)

        return handle

    async def picture(self, request: web.Request) -> web.Response:
        """The newest picture: the length of an init segment (32 bits), the init segment, a part with a key frame."""
        running = self._find(request)
        if running is None:
            return web.Response(status=NOT_HERE)
        found = running.broadcast.newest_picture()
        if found is None:
            return web.Response(status=404)
        init, part = found
        return web.Response(body=struct.pack(">I", len(init)) + init + part, content_type=PICTURE_TYPE)

    async def viewers(self, request: web.Request) -> web.Response:
        """Whom an edge has seen a moment ago: its level, then 64-bit numbers."""
        running = self._find(request)
        if running is None:
            return web.Response(status=NOT_HERE)
        body = await request.read()
        if len(body) % 8 != 1:
            return web.Response(status=400)
        running.viewers.unite(unpack_viewers(body[1:]), body[0], time.monotonic())
        return web.Response(status=204)

    def _find(self, request: web.Request) -> Running | None:
        return self._house.find(request.match_info["session"])


def pack_viewers(level: int, viewers: Iterable[int]) -> bytes:
    numbers = array.array("Q", viewers)
    if sys.byteorder == "little":
        numbers.byteswap()
    return bytes([level]) + numbers.tobytes()


def unpack_viewers(data: bytes) -> Iterable[int]:
    numbers = array.array("Q", data)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


async def _multivariant(request: web.Request, broadcast: Broadcast) -> Answer:
    params = dict(request.query)
    return await broadcast.multivariant(params, params.pop("folder", ""))


async def _dash(request: web.Request, broadcast: Broadcast) -> Answer:
    params = dict(request.query)
    return await broadcast.dash(params, params.pop("folder", ""))


async def _playlist(request: web.Request, broadcast: Broadcast) -> Answer:
    query = request.query
    wanted = PlaylistQuery(
        msn=int(query["msn"]) if "msn" in query else None,
        part=int(query["part"]) if "part" in query else None,
        skip="skip" in query,
        is_dvr="dvr" in query,
    )
    return await broadcast.playlist(request.match_info["rendition"], wanted)


async def _init(request: web.Request, broadcast: Broadcast) -> Answer:
    return await broadcast.init(request.match_info["rendition"], int(request.match_info["epoch"]))


async def _segment(request: web.Request, broadcast: Broadcast) -> Answer:
    return await broadcast.segment(request.match_info["rendition"], int(request.match_info["number"]))


async def _part(request: web.Request, broadcast: Broadcast) -> Answer:
    info = request.match_info
    return await broadcast.part(info["rendition"], int(info["number"]), int(info["part"]))
