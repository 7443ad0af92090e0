"""Licences and certificates of encrypted ids: /v1/on-demand/drm/... (contract section 5).

Invariants: each needs a token with the audience `drm:{playbackId}`, and the id's restrictions hold here too; keys and
licences are answered for encrypted ids only, and nobody may keep them; what is not configured is refused in words.
"""

import asyncio
import base64

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.base import errors, log
from fastpix_server.edge import clearkey
from fastpix_server.edge.delivery import Delivery, Handler
from fastpix_server.edge.errors import CORS, answer
from fastpix_server.edge.licence_servers import Exchanges, System, What
from fastpix_server.engine.protect import ContentKey
from fastpix_server.playback import content_keys
from fastpix_server.playback.admission import Playable

_log = log.get(__name__)

# A Widevine challenge has some 5 kB, with a client certificate 10.
MAX_REQUEST_BYTES = 64 * 1024
# A request this small that takes longer is held back on purpose.
REQUEST_WAIT_S = 15.0
OCTETS = "application/octet-stream"

_HEADERS = {**CORS, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_PREFLIGHT = {
    **CORS,
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
    "Access-Control-Max-Age": "86400",
}


class Licences:
    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._servers = delivery.context.licences
        self._exchanges = Exchanges(self._servers)

    def routes(self) -> list[Route]:
        below = "/v1/on-demand/drm"
        return [
            _route(f"{below}/license/clearkey/{{playback_id}}", self.clearkey, "POST"),
            _route(f"{below}/license/widevine/{{playback_id}}", self.widevine, "POST"),
            _route(f"{below}/license/fairplay/{{playback_id}}", self.fairplay, "POST"),
            _route(f"{below}/cert/fairplay/{{playback_id}}", self.certificate, "GET"),
        ]

    async def clearkey(self, request: Request) -> Response:
        playable = await self._admit(request)
        if not self._servers.has_clearkey:
            raise errors.BadState(
                "ClearKey is turned off here; whoever runs this server sets FASTPIX_CLEARKEY.",
                message="DRM system not configured",
            )
        made = clearkey.answer(await _body(request), await self._key(playable))
        _tell(playable, "clearkey")
        return Response(made, headers=_HEADERS, media_type="application/json")

    async def widevine(self, request: Request) -> Response:
        return await self._proxied(request, "widevine", "license")

    async def fairplay(self, request: Request) -> Response:
        return await self._proxied(request, "fairplay", "license")

    async def certificate(self, request: Request) -> Response:
        return await self._proxied(request, "fairplay", "cert")

    async def _proxied(self, request: Request, system: System, what: What) -> Response:
        playable = await self._admit(request)
        url = self._servers.url_of(system, what)
        body = await _body(request) if what == "license" else None
        key = await self._key(playable) if what == "license" and self._servers.sends_keys else None
        licence = await self._exchanges.ask(url, body, _about(playable, key))
        _tell(playable, f"{system}_{what}")
        return Response(licence.body, licence.status, _HEADERS, OCTETS)

    async def _admit(self, request: Request) -> Playable:
        playable = await self._delivery.admit(request, purpose="drm")
        if playable.playback_id.access_policy != "drm":
            raise errors.BadState("This playback id is not encrypted, so there is no licence for it.")
        return playable

    async def _key(self, playable: Playable) -> ContentKey:
        async with self._delivery.context.db.unit() as tx:
            return await content_keys.get(tx, playable.target.id)


def _about(playable: Playable, key: ContentKey | None) -> dict[str, str]:
    """What the licence server is told: which video, and its key where it is to know it."""
    found = playable.playback_id
    told = {
        "X-Fastpix-Playback-Id": found.id,
        "X-Fastpix-Media-Id": found.target_id,
        "X-Fastpix-Key-Id": found.content_key_id or "",
    }
    if key is None:
        return told
    encoded = {"X-Fastpix-Content-Key": key.key, "X-Fastpix-Content-Iv": key.iv}
    return told | {name: base64.b64encode(value).decode("ascii") for name, value in encoded.items()}


def _tell(playable: Playable, kind: str) -> None:
    found = playable.playback_id
    _log.info("licence_answered", playback_id=found.id, workspace_id=found.workspace_id, kind=kind)


async def _body(request: Request) -> bytes:
    """Raises TooLarge, or Invalid when it is empty or does not come."""
    read = bytearray()
    try:
        async with asyncio.timeout(REQUEST_WAIT_S):
            async for piece in request.stream():
                read += piece
                if len(read) > MAX_REQUEST_BYTES:
                    raise errors.TooLarge(f"A licence request has at most {MAX_REQUEST_BYTES} bytes.")
    except (TimeoutError, ClientDisconnect):
        raise errors.Invalid(errors.FieldError("body", "did not come in time")) from None
    if not read:
        raise errors.Invalid(errors.FieldError("body", "must not be empty"))
    return bytes(read)


def _route(path: str, handler: Handler, method: str) -> Route:
    """`method` and OPTIONS of `path`, readable across origins; every error is an envelope."""
    methods = [method, "OPTIONS"]

    async def endpoint(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={**_PREFLIGHT, "Access-Control-Allow-Methods": ", ".join(methods)})
        try:
            return await handler(request)
        except Exception as error:  # the map in edge.errors decides which are expected
            return answer(error)

    return Route(path, endpoint, methods=methods)
