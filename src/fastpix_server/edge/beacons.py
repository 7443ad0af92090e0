"""`POST /`: where players send their beacons (contract 9.1), by path or by a host name that begins with the key.

Invariants: the answer is 200 for whatever can be read, also when nothing of it is kept: SDKs repeat everything else.
413 for a body over the limit; 429 with Retry-After when the same beacon will do later. Never a 5xx for what a client
sends.
"""

import asyncio
import re
from collections.abc import Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.base import errors
from fastpix_server.base.client_address import Network, client_address
from fastpix_server.edge.errors import answer
from fastpix_server.views.beacon import BODY_MAX_BYTES
from fastpix_server.views.intake import Intake, Sender

# The first label of {workspaceKey}.{beacon domain}; the SDKs' fallback names nobody.
_HOST_KEY = re.compile(r"([a-z0-9]{4,64}|[0-9a-f-]{36})\.[a-z0-9.-]+(?::[0-9]{1,5})?")
_NO_KEYS = frozenset({"collector", "www", "stream", "images", "localhost"})
_CORS = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
# Text bodies are never asked for in advance; JSON ones (Android web views) are.
_PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, X-Requested-With",
    "Access-Control-Max-Age": "86400",
}
_UNAVAILABLE_RETRY_S = 5
# A beacon is small; who sends it a byte at a time only holds the connection.
BODY_TIMEOUT_S = 15.0


class Beacons:
    def __init__(self, intake: Intake, trusted_proxies: Sequence[Network]) -> None:
        self._intake = intake
        self._trusted = trusted_proxies

    def routes(self) -> list[Route]:
        return [Route("/", self._receive, methods=["POST"]), Route("/", self._preflight, methods=["OPTIONS"])]

    async def _preflight(self, _request: Request) -> Response:
        return Response(status_code=204, headers=_PREFLIGHT)

    async def _receive(self, request: Request) -> Response:
        peer = request.client.host if request.client else None
        address = client_address(peer, request.headers.getlist("x-forwarded-for"), self._trusted)
        try:
            self._intake.check_rate(address)
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await _body(request)
            agent = request.headers.get("user-agent", "")
            await self._intake.receive(body, Sender(address, agent, host_key(request.headers.get("host", ""))))
        except errors.Unavailable as fault:
            return answer(errors.TooMany(_UNAVAILABLE_RETRY_S, fault.description))
        except (errors.TooMany, errors.TooLarge) as fault:
            return answer(fault)
        except (ClientDisconnect, TimeoutError):
            return Response(status_code=408, headers=_CORS)
        return Response(status_code=200, headers=_CORS)


def host_key(host: str) -> str:
    """The workspace key of a beacon host name, '' when it has none. Whether it exists is asked later."""
    found = _HOST_KEY.fullmatch(host.lower())
    is_address = re.fullmatch(r"[0-9.]+(:[0-9]+)?", host) is not None
    return found[1] if found and not is_address and found[1] not in _NO_KEYS else ""


async def _body(request: Request) -> bytes:
    """Raises errors.TooLarge as soon as that is known."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > BODY_MAX_BYTES:
        raise errors.TooLarge(f"A beacon has at most {BODY_MAX_BYTES} bytes.")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_MAX_BYTES:
            raise errors.TooLarge(f"A beacon has at most {BODY_MAX_BYTES} bytes.")
        parts.append(part)
    return b"".join(parts)
