"""`POST /whip/{streamKey}`, or `POST /whip` with the key as bearer token: live publishing by WebRTC (RFC 9725).

Invariants: every answer can be read across origins, refusals too; a session's URL holds a secret and ends that session
only; keys and SDP are never logged. There is no trickle and no ICE restart, so PATCH is a 405 (RFC 9725, 4.3).
"""

import hashlib
import re

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fastpix_server.base import errors
from fastpix_server.ingest.model import Refused
from fastpix_server.ingest.whip_model import MAX_OFFER_BYTES, Accepted, Unusable, WhipSessions

SDP = "application/sdp"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Accept-Post, Retry-After, WWW-Authenticate",
}
BUSY_RETRY_S = 5  # sessions end when people do; a publisher that tries each second would only add load

_BEARER = re.compile(r"bearer +([^\s]+) *", re.IGNORECASE)
_REFUSALS = {
    "unknown_key": (404, "not found", "There is no stream with this key."),
    "disabled": (403, "forbidden", "This stream is disabled."),
    "already_publishing": (409, "conflict", "Somebody is publishing to this stream already."),
    "busy": (503, "temporarily unavailable", "This server takes no more WebRTC publishers at the moment."),
    "unavailable": (503, "temporarily unavailable", "Live ingest is not available at the moment."),
}


def routes(sessions: WhipSessions) -> list[Route]:
    endpoint = Endpoint(sessions)
    return [
        Route("/whip", endpoint),
        Route("/whip/{stream_key}", endpoint),
        Route("/whip/session/{session_id}", SessionUrl(sessions)),
    ]


class Endpoint:
    """ASGI endpoint of both forms of the WHIP URL."""

    def __init__(self, sessions: WhipSessions) -> None:
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method == "OPTIONS":
            response = _preflight("POST, OPTIONS")
        elif request.method == "POST":
            try:
                response = await self._post(request)
            except errors.Unavailable as fault:
                response = _refusal(503, fault.message, fault.description, {"Retry-After": str(BUSY_RETRY_S)})
            except ClientDisconnect:
                response = _refusal(400, "bad request", "The body stopped.")
        else:
            response = _refusal(405, "method not allowed", "A WHIP URL takes POST.", {"Allow": "POST, OPTIONS"})
        await response(scope, receive, send)

    async def _post(self, request: Request) -> Response:
        in_path = str(request.path_params.get("stream_key", ""))
        stream_key = in_path or _bearer(request)
        if not stream_key:
            return _unauthorized(
                "The stream key belongs into the URL, or into the Authorization header as a bearer token."
            )
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != SDP:
            return _refusal(415, "unsupported media type", f"An offer has the type {SDP}.", {"Accept-Post": SDP})
        body = await _read(request)
        if body is None:
            return _refusal(413, "payload too large", f"An offer has at most {MAX_OFFER_BYTES} bytes.")
        try:
            sdp = body.decode()
        except UnicodeDecodeError:
            return _refusal(400, "bad request", "The body is not an SDP offer.")
        outcome = await self._sessions.offer(sdp, stream_key, request.client.host if request.client else "")
        if isinstance(outcome, Accepted):
            return _created(outcome)
        if isinstance(outcome, Unusable):
            status, message = (400, "bad request") if outcome.reason == "malformed" else (422, "unprocessable offer")
            return _refusal(status, message, outcome.text)
        return _refused(outcome, is_in_path=bool(in_path))


class SessionUrl:
    """ASGI endpoint of one session: DELETE ends it."""

    def __init__(self, sessions: WhipSessions) -> None:
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method == "OPTIONS":
            response = _preflight("DELETE, OPTIONS")
        elif request.method == "DELETE":
            response = await self._delete(str(request.path_params["session_id"]))
        else:
            text = "A session takes DELETE. It supports neither trickle ICE nor ICE restarts."
            response = _refusal(405, "method not allowed", text, {"Allow": "DELETE, OPTIONS"})
        await response(scope, receive, send)

    async def _delete(self, session_id: str) -> Response:
        try:
            is_ended = await self._sessions.end(session_id)
        except errors.Unavailable as fault:
            return _refusal(503, fault.message, fault.description, {"Retry-After": str(BUSY_RETRY_S)})
        if not is_ended:
            return _refusal(404, "not found", "There is no such session (any more).")
        return Response(status_code=200, headers={**CORS, "Content-Length": "0", "Cache-Control": "no-store"})


def _bearer(request: Request) -> str:
    found = _BEARER.fullmatch(request.headers.get("authorization", ""))
    return found[1] if found else ""


async def _read(request: Request) -> bytes | None:
    """The body, None when it is larger than an offer may be."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_OFFER_BYTES:
            return None
    return bytes(body)


def _created(accepted: Accepted) -> Response:
    answer = accepted.answer_sdp.encode()
    headers = {
        **CORS,
        # Some publishers (ffmpeg's muxer) read to the end of the connection without it.
        "Content-Length": str(len(answer)),
        "Location": f"/whip/session/{accepted.session_id}",
        # Names the ICE session, which never changes here.
        "ETag": f'"{hashlib.blake2b(answer, digest_size=8).hexdigest()}"',
        "Cache-Control": "no-store",
    }
    return Response(answer, 201, headers, SDP)


def _refused(refused: Refused, *, is_in_path: bool) -> Response:
    status, message, text = _REFUSALS[refused.reason]
    if refused.reason == "unknown_key" and not is_in_path:
        return _unauthorized(text)
    return _refusal(status, message, text, {"Retry-After": str(BUSY_RETRY_S)} if status == 503 else None)


def _unauthorized(text: str) -> Response:
    return _refusal(401, "unauthorized", text, {"WWW-Authenticate": 'Bearer realm="whip"'})


def _preflight(methods: str) -> Response:
    headers = {
        **CORS,
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
        "Access-Control-Max-Age": "86400",
        "Accept-Post": SDP,
    }
    return Response(status_code=204, headers=headers)


def _refusal(status: int, message: str, text: str, extra: dict[str, str] | None = None) -> Response:
    body = msgspec.json.encode({"success": False, "error": {"code": status, "message": message, "description": text}})
    return Response(body, status, {**CORS, "Cache-Control": "no-store", **(extra or {})}, "application/json")
