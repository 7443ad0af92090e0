"""A live session without accounts and databases: real ingest, a real Broadcast, real HTTP, the real player page.

What stands between them in the platform (streams, admission, storage) has tests of its own; here players meet parts,
playlists and reconnects as early as possible.
"""

import asyncio
import contextlib
import dataclasses
import types
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.publishers import Target
from tests.whip_stage import serving

from fastpix_server.base import ids
from fastpix_server.edge import whip as whip_routes
from fastpix_server.edge.errors import CORS
from fastpix_server.edge.licence_servers import LicenceServers
from fastpix_server.edge.player import Player
from fastpix_server.ingest.model import Publisher, PublishRequest, Sink
from fastpix_server.ingest.rtmp_server import RtmpServer
from fastpix_server.ingest.whip import Whip
from fastpix_server.live.broadcast import Broadcast
from fastpix_server.live.model import Answer, FinishedSegment, PlaylistQuery, SessionSpec


@dataclasses.dataclass
class LiveStage:
    base: str
    playback_id: str
    broadcast: Broadcast
    target: Target
    segments: list[FinishedSegment]

    @property
    def page(self) -> str:
        return f"{self.base}/play/{self.playback_id}"


class _Viewers:
    """The broadcast's answers as HTTP."""

    def __init__(self, broadcast: Broadcast, playback_id: str) -> None:
        self._broadcast = broadcast
        self._id = playback_id

    def routes(self) -> list[Route]:
        folder = f"/{self._id}/x"
        return [
            Route(f"/{self._id}.m3u8", self.multivariant),
            Route(f"/{self._id}.mpd", self.dash),
            Route(folder + "/{rendition}/index.m3u8", self.playlist),
            Route(folder + "/{rendition}/init-{epoch:int}.mp4", self.init),
            Route(folder + "/{rendition}/{number:int}.m4s", self.segment),
            Route(folder + "/{rendition}/{number:int}.{part:int}.m4s", self.part),
        ]

    async def multivariant(self, request: Request) -> Response:
        return _http(await self._broadcast.multivariant(request.query_params, f"/{self._id}/x"))

    async def dash(self, request: Request) -> Response:
        return _http(await self._broadcast.dash(request.query_params, f"/{self._id}/x"))

    async def playlist(self, request: Request) -> Response:
        query = request.query_params
        asked = PlaylistQuery(
            msn=int(query["_HLS_msn"]) if "_HLS_msn" in query else None,
            part=int(query["_HLS_part"]) if "_HLS_part" in query else None,
            skip=query.get("_HLS_skip") in ("YES", "v2"),
            is_dvr=query.get("dvrMode") == "true",
        )
        return _http(await self._broadcast.playlist(request.path_params["rendition"], asked))

    async def init(self, request: Request) -> Response:
        path = request.path_params
        return _http(await self._broadcast.init(path["rendition"], path["epoch"]))

    async def segment(self, request: Request) -> Response:
        path = request.path_params
        return _http(await self._broadcast.segment(path["rendition"], path["number"]))

    async def part(self, request: Request) -> Response:
        path = request.path_params
        return _http(await self._broadcast.part(path["rendition"], path["number"], path["part"]))


def _http(answer: Answer) -> Response:
    if answer.status == 400:
        body = b'{"success":false,"error":{"code":400,"message":"live stream is not ready"}}'
        return Response(body, 400, {**CORS, "Cache-Control": "no-store"}, "application/json")
    cache = f"public, max-age={answer.max_age_s}" if answer.max_age_s else "no-store"
    return Response(answer.body, answer.status, {**CORS, "Cache-Control": cache}, answer.media_type)


@contextlib.asynccontextmanager
async def live_stage(*, is_dvr: bool = False, **options: Any) -> AsyncIterator[LiveStage]:
    playback_id, session_id = ids.new_uuid(), ids.new_uuid()
    segments: list[FinishedSegment] = []
    spec = SessionSpec(
        session_id=session_id,
        stream_id=ids.new_hex32(),
        workspace_id=ids.new_uuid(),
        revision=session_id[:8],
        place=f"media/{session_id}/live",
        max_lines=1080,
        is_dvr=is_dvr,
        is_recorded=False,
    )
    stored = {}

    def keep(segment: FinishedSegment) -> None:
        segments.append(segment)
        stored[segment.rendition.name, segment.number] = segment.data

    async def load(rendition: str, number: int) -> bytes | None:
        return stored.get((rendition, number))

    broadcast = Broadcast(
        spec, on_segment=keep, on_active=lambda: None, on_end_of_epoch=lambda _reason: None, load=load, **options
    )

    async def door(_request: PublishRequest, publisher: Publisher) -> Sink:
        return broadcast.begin_epoch(publisher)

    rtmp, whip = RtmpServer(door), Whip(door)
    port = await rtmp.start("127.0.0.1", 0)
    page: Any = types.SimpleNamespace(stream_url=None, licences=LicenceServers(), intake=None)
    routes = [*_Viewers(broadcast, playback_id).routes(), *Player(page).routes(), *whip_routes.routes(whip)]
    async with serving(Starlette(routes=routes)) as base:
        target = Target(rtmp=f"rtmp://127.0.0.1:{port}/live/key", whip=f"{base}/whip/key")
        try:
            yield LiveStage(base, playback_id, broadcast, target, segments)
        finally:
            await rtmp.close()
            await whip.close()
            await broadcast.close()
            await asyncio.sleep(0)
