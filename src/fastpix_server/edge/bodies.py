"""A body in one piece: HEAD, conditional requests and single byte ranges (RFC 9110, sections 13 and 14).

Invariant: a range is only cut from the version that its ETag names; several ranges at once are answered with the
whole, as the RFC allows.
"""

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from fastpix_server.edge.errors import CORS, PREFLIGHT

IMMUTABLE = "public, max-age=31536000, immutable"
# A deleted or changed thing is gone from caches in front of us after this.
SHORT = "public, max-age=10"
NO_STORE = "no-store"

Kind = Literal["hls", "dash"]
HLS_TYPE = "application/vnd.apple.mpegurl"
DASH_TYPE = "application/dash+xml"

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def digest(data: bytes) -> str:
    """An ETag for text that is written for the request."""
    return hashlib.blake2b(data, digest_size=10).hexdigest()


def preflight() -> Response:
    return Response(status_code=204, headers=PREFLIGHT)


def body(
    request: Request,
    data: bytes,
    *,
    media_type: str,
    etag: str,
    cache: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`etag` without quotes, as it names exactly these bytes."""
    conditions = request.headers
    is_plain = request.method == "GET" and not ("range" in conditions or "if-none-match" in conditions)
    if is_plain and headers is None:
        return _Whole(data, _head_of_whole(media_type, etag, cache, len(data)))
    quoted = f'"{etag}"'
    common = {
        **_common(quoted, cache),
        **(headers or {}),
    }
    if _names(conditions.get("if-none-match", ""), quoted):
        return Response(status_code=304, headers=common)
    status, part = 200, data
    wanted = conditions.get("range")
    if wanted is not None and conditions.get("if-range", quoted) == quoted:
        bounds = _bounds(wanted, len(data))
        if isinstance(bounds, _Outside):
            return Response(status_code=416, headers={**common, "Content-Range": f"bytes */{len(data)}"})
        if bounds is not None:
            first, last = bounds
            status, part = 206, data[first : last + 1]
            common["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    common["Content-Length"] = str(len(part))
    return Response(b"" if request.method == "HEAD" else part, status, common, media_type)


def _common(quoted: str, cache: str) -> dict[str, str]:
    return {
        **CORS,
        "ETag": quoted,
        "Cache-Control": cache,
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }


class _Whole(Response):
    """A body whose head was made before: a thousand players that wait for one playlist are answered at once."""

    def __init__(self, data: bytes, head: Sequence[tuple[bytes, bytes]]) -> None:
        self.status_code, self.body, self.background = 200, data, None
        self.raw_headers = [*head]


@functools.lru_cache(maxsize=256)  # the playlists of now, of some dozens of renditions
def _head_of_whole(media_type: str, etag: str, cache: str, size_bytes: int) -> tuple[tuple[bytes, bytes], ...]:
    quoted = f'"{etag}"'
    headers = {**_common(quoted, cache), "Content-Length": str(size_bytes)}
    return tuple(Response(None, 200, headers, media_type).raw_headers)


def _names(condition: str, quoted: str) -> bool:
    return condition.strip() == "*" or quoted in [c.strip().removeprefix("W/") for c in condition.split(",")]


class _Outside:
    """The range is well formed, and nothing of the body is in it."""


def _bounds(wanted: str, size: int) -> tuple[int, int] | _Outside | None:
    """First and last byte; None when the header is to be ignored."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        length = int(match[2])
        return (max(0, size - length), size - 1) if length and size else _Outside()
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < first:
        return None
    return (first, last) if first < size else _Outside()
