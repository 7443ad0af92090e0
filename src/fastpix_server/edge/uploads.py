"""`/upload/{uploadId}`: the resumable upload protocol over HTTP (contract section 7); the work is in upload_sessions.

Invariants: every answer carries the CORS headers of the upload, refusals too, or a browser could not read them; a 308
has no body and no Location; refusals are JSON in the error envelope.
"""

import asyncio
import re
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fastpix_server.base import errors, ids
from fastpix_server.edge.context import EdgeContext
from fastpix_server.media import uploads
from fastpix_server.media.upload_protocol import Ask, Reply
from fastpix_server.media.upload_sessions import Interrupted, UploadSessions
from fastpix_server.media.uploads_store import Upload

METHODS = "PUT, POST, DELETE, OPTIONS"
CORS = {
    "Access-Control-Allow-Methods": METHODS,
    "Access-Control-Allow-Headers": "Content-Type, Content-Range, x-goog-resumable",
    "Access-Control-Expose-Headers": "Range, Location",
    "Access-Control-Max-Age": "3600",
}
DRAIN_BYTES = (
    64 * 1024 * 1024
)  # a refused chunk is read to its end, so that the client reads the answer; four usual ones
DRAIN_S = 60.0
BUSY_RETRY_S = 1  # the older request makes its bytes durable within milliseconds once it has noticed

_LENGTH = re.compile(r"[0-9]{1,18}")


def routes(context: EdgeContext) -> list[Route]:
    """The routes of upload URLs, for edge/app.py."""
    sessions = UploadSessions(context.db, context.listener, context.storage, context.public_url)
    return [Route("/upload/{upload_id}", UploadUrl(sessions, context.public_url))]


class _Incoming:
    """The body of a request, piece by piece, which remembers whether it has ended."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_ended = False

    async def read(self) -> bytes | None:
        """The next piece, None at the end. Raises Interrupted when the client has gone."""
        while not self.is_ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Interrupted
            self.is_ended = not message.get("more_body", False)
            if piece := message.get("body", b""):
                return bytes(piece)
        return None

    async def drain(self) -> None:
        """Reads what is left, within bounds: many clients look for an answer only after their last byte."""
        left = DRAIN_BYTES
        try:
            async with asyncio.timeout(DRAIN_S):
                while left > 0 and (piece := await self.read()) is not None:
                    left -= len(piece)
        except TimeoutError:
            return


class UploadUrl:
    """ASGI endpoint of one upload's URL."""

    def __init__(self, sessions: UploadSessions, public_url: str) -> None:
        self._sessions = sessions
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, incoming = Request(scope), _Incoming(receive)
        try:
            response = await self._respond(request, incoming)
            if response.status_code < 400 or "expect" not in request.headers:
                # A client that waits for 100 Continue and is refused has not sent its body.
                await incoming.drain()
        except Interrupted:
            # Nobody listens any more, or a newer request took over; what arrived is durable.
            response = _refusal(Reply(503, message="temporarily unavailable", description="The body stopped."), "*")
        except errors.Unavailable as fault:
            response = _refusal(Reply(503, message=fault.message, description=str(fault)), "*")
        await response(scope, receive, send)

    async def _respond(self, request: Request, incoming: _Incoming) -> Response:
        upload_id = str(request.path_params["upload_id"]).lower()
        upload = await self._sessions.find(upload_id) if ids.is_uuid(upload_id) else None
        if upload is None:
            return _preflight("*") if request.method == "OPTIONS" else _refusal(_unknown(), "*")
        origin = _cors_origin(upload)
        if request.method == "OPTIONS":
            return _preflight(origin)
        if request.method not in ("PUT", "POST", "DELETE"):
            return _refusal(_not_allowed(), origin, {"Allow": METHODS})
        if not _is_signed(upload, request.query_params):
            return _refusal(_forbidden(), origin)
        reply = await self._sessions.answer(upload, _ask(request), incoming.read)
        return self._answer(upload, reply, origin) if reply.status < 400 else _refusal(reply, origin)

    def _answer(self, upload: Upload, reply: Reply, origin: str) -> Response:
        headers = _cors(origin)
        if reply.range_header is not None:
            headers["Range"] = reply.range_header
        if reply.status == 201:
            headers["Location"] = uploads.url_of(upload, self._public_url, with_session=True)
        return Response(status_code=reply.status, headers=headers)


def _ask(request: Request) -> Ask:
    length = request.headers.get("content-length", "")
    known = int(length) if _LENGTH.fullmatch(length) else None
    if known is None and "transfer-encoding" not in request.headers and request.scope["http_version"] != "2":
        known = 0  # HTTP/1.1: neither length nor chunks means no body
    return Ask(
        request.method,
        request.headers.get("content-range"),
        known,
        request.headers.get("x-goog-resumable"),
    )


def _is_signed(upload: Upload, query: Mapping[str, str]) -> bool:
    return uploads.is_signed(upload, exp=query.get("exp", ""), sig=query.get("sig", ""), session=query.get("upload_id"))


def _cors_origin(upload: Upload) -> str:
    """An origin has no trailing slash, but people write one."""
    return upload.cors_origin.rstrip("/") or "*"


def _cors(origin: str) -> dict[str, str]:
    return CORS | {"Access-Control-Allow-Origin": origin} | ({} if origin == "*" else {"Vary": "Origin"})


def _preflight(origin: str) -> Response:
    return Response(status_code=204, headers=_cors(origin))


def _refusal(reply: Reply, origin: str, extra: Mapping[str, str] | None = None) -> Response:
    error = {"code": reply.status, "message": reply.message, "description": reply.description}
    headers = _cors(origin) | dict(extra or {})
    if reply.status == 503:
        headers["Retry-After"] = str(BUSY_RETRY_S)
    body = msgspec.json.encode({"success": False, "error": error})
    return Response(body, status_code=reply.status, headers=headers, media_type="application/json")


def _unknown() -> Reply:
    return Reply(404, message="not found", description="There is no such upload.")


def _forbidden() -> Reply:
    return Reply(403, message="forbidden", description="The signature of the upload URL is wrong or was cut off.")


def _not_allowed() -> Reply:
    return Reply(405, message="method not allowed", description=f"An upload URL takes {METHODS}.")
