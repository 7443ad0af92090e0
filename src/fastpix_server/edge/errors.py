"""Errors as viewers get them: the envelope of the contract (section 1), readable across origins, never cached."""

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fastpix_server.base import errors, log

_log = log.get(__name__)

# Any page may play what it may see: access is decided by the gate, not by the browser.
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, Accept-Ranges, ETag, Retry-After",
    "Timing-Allow-Origin": "*",
}
PREFLIGHT = {
    **CORS,
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range, If-Range, If-None-Match, Cache-Control, Content-Type, Authorization",
    # Browsers cap it themselves; a day says: this will not change.
    "Access-Control-Max-Age": "86400",
}
RETRY_AFTER_S = 2

_STATUS: tuple[tuple[type[errors.FastpixError], int], ...] = (
    (errors.Invalid, 422),
    (errors.Unauthorized, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Gone, 404),
    (errors.BadState, 400),
    (errors.TooLarge, 413),
    (errors.TooMany, 429),
    # What the source does not give will not come: for a viewer it is not there. A 5xx would make players try forever.
    (errors.SourceFault, 404),
    (errors.FastpixError, 503),
)


def answer(error: Exception) -> Response:
    """The response for any exception; what nobody expected is logged and told as plain 500."""
    if isinstance(error, errors.FastpixError):
        return _expected(error)
    if isinstance(error, HTTPException):
        return _response(error.status_code, error.detail.lower(), "", dict(error.headers or {}))
    _log.error("edge_failed", exc_info=error)
    return _response(500, "internal error", "Something went wrong on our side.", {})


def _expected(error: errors.FastpixError) -> Response:
    status = next(code for kind, code in _STATUS if isinstance(error, kind))
    if isinstance(error, errors.Invalid):
        fields = [{"field": f.field, "message": f.message} for f in error.fields]
        return _envelope(status, {"code": status, "message": error.message, "fields": fields}, {})
    headers = {"Retry-After": str(getattr(error, "retry_after_s", RETRY_AFTER_S))} if status in (429, 503) else {}
    return _response(status, error.message, error.description, headers)


def _response(status: int, message: str, description: str, headers: dict[str, str]) -> Response:
    return _envelope(status, {"code": status, "message": message, "description": description or message}, headers)


def _envelope(status: int, error: dict[str, object], headers: dict[str, str]) -> Response:
    return Response(
        msgspec.json.encode({"success": False, "error": error}),
        status,
        {**CORS, "Cache-Control": "no-store", **headers},
        "application/json",
    )


async def on_exception(_request: Request, error: Exception) -> Response:
    return answer(error)
