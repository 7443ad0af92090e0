"""The only map from errors to HTTP: status, envelope, exact strings (contract section 1).

Invariants: every fault of a caller is a 4xx in the envelope; a 422 names every bad field; only passing faults of ours
are 5xx, since SDKs retry those for up to an hour.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fastpix_server.api.answers import JSON, encode
from fastpix_server.base import errors
from fastpix_server.base.errors import FieldError
from fastpix_server.base.fields import CONTRACT

_STATUS: tuple[tuple[type[errors.FastpixError], int], ...] = (
    (errors.Invalid, 422),
    (errors.Unauthorized, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.BadState, 400),
    (errors.Gone, 410),
    (errors.TooLarge, 413),
    (errors.TooMany, 429),
    (errors.Unavailable, 503),
)
# Long enough for a database to come back from a restart, short enough for a person who waits.
UNAVAILABLE_RETRY_S = 2
_BOUNDS = {
    "greater_than_equal": "must be at least {ge}",
    "too_long": "must have at most {max_length} entries",
    "string_too_long": "must be at most {max_length} characters",
}
FIELDS_MAX = 100  # bad fields listed in one answer; a body of 1 MiB can hold a hundred thousand


def envelope(status: int, message: str, description: str = "", fields: Iterable[FieldError] | None = None) -> bytes:
    error: dict[str, Any] = {"code": status, "message": message}
    if description:
        error["description"] = description
    if fields is not None:
        error["fields"] = [{"field": f.field, "message": f.message} for f in fields][:FIELDS_MAX]
    return encode({"success": False, "error": error})


def answer(fault: errors.FastpixError, path: str = "") -> Response:
    """`path` is below /v1: the iam family says code and message only, but for a missing permission."""
    status = next((code for kind, code in _STATUS if isinstance(fault, kind)), 500)
    headers: dict[str, str] = {}
    if isinstance(fault, errors.Invalid):
        return _respond(status, envelope(status, fault.message, fields=fault.fields))
    if isinstance(fault, errors.Unauthorized):
        headers["WWW-Authenticate"] = 'Basic realm="fastpix", charset="UTF-8"'
    elif isinstance(fault, errors.TooMany):
        headers["Retry-After"] = str(fault.retry_after_s)
    elif isinstance(fault, errors.Unavailable):
        headers["Retry-After"] = str(UNAVAILABLE_RETRY_S)
    is_terse = path.startswith("/iam") and isinstance(fault, errors.Unauthorized | errors.NotFound)
    description = "" if is_terse else fault.description or str(fault)
    return _respond(status, envelope(status, fault.message, description), headers)


def internal(request_id: str) -> Response:
    """Something that we did not foresee; the log knows it by the request id."""
    return _respond(500, envelope(500, "internal server error", f"The request {request_id} failed on our side."))


async def on_fastpix_error(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, errors.FastpixError)
    return answer(fault, request.scope["path"].removeprefix(request.scope.get("root_path", "")))


async def on_bad_request(_request: Request, fault: Exception) -> Response:
    assert isinstance(fault, RequestValidationError)
    return answer(errors.Invalid(*field_errors(fault.errors())))


async def on_http_exception(_request: Request, fault: Exception) -> Response:
    """What the framework itself says: no such route, no such method."""
    assert isinstance(fault, HTTPException)
    if fault.status_code == 404:
        body = envelope(404, "not found", "No operation of this API has this path.")
    elif fault.status_code == 405:
        body = envelope(405, "method not allowed", "The path exists, but not with this method.")
    else:
        body = envelope(fault.status_code, "Bad Request", str(fault.detail))
    return _respond(fault.status_code, body, fault.headers)


def _respond(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status_code=status, headers=dict(headers or {}), media_type=JSON)


# The variants of `inputs[]` (media/inputs.py).
INPUT_KINDS = ("video", "watermark", "audio", "subtitle")


def field_errors(found: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """pydantic's findings in the contract's words, each field once."""
    fields: dict[str, FieldError] = {}
    for error in found:
        name = field_name(error)
        fields.setdefault(name, FieldError(name, field_message(error)))
    return list(fields.values())


def field_name(error: Mapping[str, Any]) -> str:
    """`inputs[0].url` for a body, the plain name for path and query; `body` when the whole body is meant."""
    where, *loc = error["loc"]
    context = error.get("ctx") or {}
    if loc and loc[-1] == "[key]":
        loc = loc[:-1]
    if loc and context.get("named"):
        loc[-1] = context["named"]
    if context.get("below"):
        loc.append(context["below"])
    if not loc or error["type"] == "json_invalid":
        return str(where)
    name = ""
    for i, part in enumerate(loc):
        # Of a list of variants pydantic says which one it took: that is no part of the caller's body.
        if part in INPUT_KINDS and i and isinstance(loc[i - 1], int):
            continue
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return name[:255]


def field_message(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx") or {}
    if kind == CONTRACT:
        return str(context["text"])
    if kind == "missing":
        return "must not be null"
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    return "is invalid"
