"""/beacon.js: the script that pages of ours, and anybody's, report views with (docs/guide/beacon-script.md).

Invariants: one file without dependencies, put together from web/beacon/ inside one function, so that a page sees
nothing of it but `fastpixBeacon`; the address never changes, so it is cached shortly and asked for again by its ETag.
What the player page says about its video is told to whoever may watch that video, and to nobody else.
"""

import hashlib
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.access import service as access
from fastpix_server.base import errors
from fastpix_server.edge.bodies import body
from fastpix_server.edge.delivery import Delivery, cached, route
from fastpix_server.media import service as media
from fastpix_server.playback.admission import AnyPlayable

FOLDER = Path(__file__).parent / "web" / "beacon"
PARTS = ("common.js", "sender.js", "engines.js", "monitor.js")
CACHE = "public, max-age=3600"
ABOUT_CACHE = "public, max-age=60"

_HEAD = """\
// Reports what viewers experience to this server's beacon endpoint, in the wire format of the official SDKs:
//   fastpixBeacon.watch(document.querySelector("video"), { workspaceKey: "...", videoTitle: "..." }, { hls });
"""


def source() -> bytes:
    parts = "\n".join((FOLDER / name).read_text() for name in PARTS)
    return f'{_HEAD}(() => {{\n"use strict";\n{parts}}})();\n'.encode()


class BeaconScript:
    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._source = source()
        self._etag = _digest(self._source)

    def routes(self) -> list[Route]:
        return [route("/beacon.js", self.answer), route("/play/{playback_id}/about", self.about)]

    async def answer(self, request: Request) -> Response:
        # Pages that are isolated (COEP) may load only what says that it may be loaded.
        headers = {"Cross-Origin-Resource-Policy": "cross-origin"}
        return body(
            request,
            self._source,
            media_type="text/javascript; charset=utf-8",
            etag=self._etag,
            cache=CACHE,
            headers=headers,
        )

    async def about(self, request: Request) -> Response:
        """What the player page reports its views with: whose video it is, and which."""
        playable = await self._delivery.admit_any(request)
        data = msgspec.json.encode(await self._describe(playable))
        cache = cached(playable, ABOUT_CACHE)
        return body(request, data, media_type="application/json", etag=_digest(data), cache=cache)

    async def _describe(self, playable: AnyPlayable) -> dict[str, str]:
        """Without a workspace key there is nobody to report to. A broadcast has no media yet."""
        of = playable.playback_id
        described = {"playbackId": of.id}
        async with self._delivery.context.db.unit() as tx:
            try:
                described["workspaceKey"] = (await access.get_workspace(tx, of.workspace_id)).key
                found = await media.get(tx, of.workspace_id, of.target_id)
            except errors.NotFound:
                return described
        return {**described, "mediaId": found.id, "videoTitle": found.title or ""}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
