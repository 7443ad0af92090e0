"""The success envelope as bytes (contract section 1). msgspec encodes: three times the requests of a response model."""

from typing import Any

import msgspec
from starlette.responses import Response

JSON = "application/json"
_encoder = msgspec.json.Encoder()


def encode(body: Any) -> bytes:
    return _encoder.encode(body)


def success(data: Any, *, status: int = 200, pagination: dict[str, int] | None = None) -> Response:
    body: dict[str, Any] = {"success": True, "data": data}
    if pagination is not None:
        body["pagination"] = pagination
    return Response(encode(body), status_code=status, media_type=JSON)


def done(*, status: int = 200) -> Response:
    """`{"success": true}`: what deletes and switches answer."""
    return Response(b'{"success":true}', status_code=status, media_type=JSON)
