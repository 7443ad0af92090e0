"""Sheets of previews: /{playbackId}/spritesheet.* and advanced-spritesheet.* (contract section 5), and what describes
them to players.

Invariants: the description and the sheet come from the same layout; the description is given for a token (or for a
public id), never below a signed path or by a cookie, so that a pass cannot be renewed by a pass.
"""

import dataclasses
import hashlib
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.base import errors
from fastpix_server.base.errors import FieldError
from fastpix_server.edge import picture_cookie
from fastpix_server.edge.bodies import body
from fastpix_server.edge.delivery import Delivery, cached, number, route
from fastpix_server.edge.images import CACHE
from fastpix_server.edge.pictures import TYPES
from fastpix_server.engine import sprites
from fastpix_server.playback.admission import Playable
from fastpix_server.playback.artifacts import Sheet

INTERVAL_MAX_S = 10


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    """`interval_s` when the request names none; 0 is a fixed number of tiles."""

    name: str
    interval_s: int
    pictures: tuple[str, ...]


PLAIN = _Kind("spritesheet", 0, ("jpg", "png"))
ADVANCED = _Kind("advanced-spritesheet", 10, ("jpg",))


class Sheets:
    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def routes(self) -> list[Route]:
        return [
            route("/{playback_id}/spritesheet.{format}", self.plain),
            route("/{playback_id}/advanced-spritesheet.{format}", self.advanced),
            route("/{playback_id}/{signature}/spritesheet.{format}", self.plain),
            route("/{playback_id}/{signature}/advanced-spritesheet.{format}", self.advanced),
        ]

    async def plain(self, request: Request) -> Response:
        return await self._answer(request, PLAIN)

    async def advanced(self, request: Request) -> Response:
        return await self._answer(request, ADVANCED)

    async def _answer(self, request: Request, kind: _Kind) -> Response:
        form = request.path_params["format"]
        if form == "json" and "signature" not in request.path_params:
            return await self._describe(request, kind)
        if form not in kind.pictures:
            raise errors.NotFound("There is no such file.")
        playable = await self._delivery.admit(request, cookie=picture_cookie.read(request))
        interval_s = parse(request.query_params, kind)
        sprites.layout(playable.target.plan, interval_s)  # is there a picture at all?
        artifact = Sheet(interval_s, "png" if form == "png" else "jpg")
        found = await self._delivery.demand.get(playable.target, artifact)
        etag = f"{playable.target.plan.revision}-{artifact}-{len(found.data):x}".replace("/", "-")
        return self._body(request, playable, found.data, TYPES[form], etag)

    async def _describe(self, request: Request, kind: _Kind) -> Response:
        playable = await self._delivery.admit(request)
        interval_s = parse(request.query_params, kind)
        context = self._delivery.context
        query = f"?interval={interval_s}" if interval_s != kind.interval_s else ""
        url = f"{context.images_url or context.public_url}/{playable.pictures_folder}/{kind.name}.jpg{query}"
        shown = sprites.layout(playable.target.plan, interval_s)
        if request.method == "GET":  # whoever reads where the tiles are is about to want them
            await self._delivery.demand.foresee(playable.target, Sheet(interval_s, "jpg"))
        data = msgspec.json.encode(describe(shown, url, playable.target.plan.timeline.duration_s))
        etag = hashlib.blake2b(data, digest_size=10).hexdigest()
        return self._body(request, playable, data, "application/json", etag)

    def _body(self, request: Request, playable: Playable, data: bytes, media_type: str, etag: str) -> Response:
        headers = picture_cookie.headers(playable, self._delivery.context)
        cache = cached(playable, CACHE)
        return body(request, data, media_type=media_type, etag=etag, cache=cache, headers=headers)


def parse(params: Mapping[str, str], kind: _Kind) -> int:
    """The interval in seconds. Raises Invalid."""
    text = params.get("interval", "")
    if not text:
        return kind.interval_s
    value = number(text, "interval", 1, INTERVAL_MAX_S)
    if value != int(value):
        raise errors.Invalid(FieldError("interval", "must be a whole number of seconds"))
    return int(value)


def describe(shown: sprites.Layout, url: str, duration_s: float) -> dict[str, object]:
    """Both forms that players read: tiles with their places (apps), and the grid that they lie on (web)."""
    tiles = []
    for i in range(shown.count):
        x, y = shown.place(i)
        tiles.append({"start": round(shown.start_s(i), 3), "x": x, "y": y})
    return {
        "url": url,
        "tile_width": shown.tile_width,
        "tile_height": shown.tile_height,
        "duration": round(duration_s, 3),
        "tiles": tiles,
        "tileWidth": shown.tile_width,
        "tileHeight": shown.tile_height,
        "columns": shown.columns,
        "rows": shown.rows,
        "interval": round(shown.interval_s, 3),
        "thumbnailCount": shown.count,
        "sheetWidth": shown.columns * shown.tile_width,
        "sheetHeight": shown.rows * shown.tile_height,
    }
