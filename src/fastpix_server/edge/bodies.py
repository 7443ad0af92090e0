"""A body in one piece: HEAD, conditional requests and single byte ranges (RFC 9110, sections 13 and 14).

Invariant: a range is only cut from the version that its ETag names; several ranges at once are answered with the
whole, as the RFC allows.
"""

import dataclasses
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
    part = part_of(request, len(data), etag=etag, cache=cache, headers=headers)
    shown = b"" if request.method == "HEAD" else data[part.first : part.end]
    return Response(shown, part.status, part.headers, media_type if part.has_body else None)


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """What is answered of a body: the bytes [first, end), under this status and these headers."""

    status: int
    first: int
    end: int
    headers: dict[str, str]

    @property
    def has_body(self) -> bool:
        return self.status in (200, 206)


def part_of(request: Request, size: int, *, etag: str, cache: str, headers: Mapping[str, str] | None = None) -> Part:
    """As `body`, for who sends the bytes himself."""
    quoted = f'"{etag}"'
    common = {
        **_common(quoted, cache),
        **(headers or {}),
    }
    if _names(request.headers.get("if-none-match", ""), quoted):
        return Part(304, 0, 0, common)
    status, first, end = 200, 0, size
    wanted = request.headers.get("range")
    if wanted is not None and request.headers.get("if-range", quoted) == quoted:
        bounds = _bounds(wanted, size)
        if isinstance(bounds, _Outside):
            return Part(416, 0, 0, {**common, "Content-Range": f"bytes */{size}"})
        if bounds is not None:
            status, first, end = 206, bounds[0], bounds[1] + 1
            common["Content-Range"] = f"bytes {first}-{bounds[1]}/{size}"
    common["Content-Length"] = str(end - first)
    return Part(status, first, end, common)


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
