"""Files for download: /{playbackId}/capped-4k.mp4, audio.m4a and source.{ext} (contract section 5), with ranges.

Invariants: an id of the policy drm has none of them, as they are not encrypted; an id with a cap shows no file above
it; the ids of a live stream have none, whatever its recordings have; memory is bounded by pieces, not by files.
"""

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fastpix_server.base import errors
from fastpix_server.edge.bodies import SHORT, digest, part_of
from fastpix_server.edge.delivery import Delivery, cached, route
from fastpix_server.playback import selection
from fastpix_server.playback.admission import LivePlayable, Playable, RecordedPlayable
from fastpix_server.playback.model import File

# Each holds a piece of a mebibyte and a connection.
MAX_DOWNLOADS = 256
NAME_MAX_CHARS = 150
_SOURCE = re.compile(r"source\.[a-z0-9]{1,5}")


class Downloads:
    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._running = 0

    def routes(self) -> list[Route]:
        return [
            route("/{playback_id}/capped-4k.mp4", self.mp4),
            route("/{playback_id}/audio.m4a", self.m4a),
            route("/{playback_id}/source.{ending}", self.source),
        ]

    async def mp4(self, request: Request) -> Response:
        return await self._answer(request, "capped-4k.mp4")

    async def m4a(self, request: Request) -> Response:
        return await self._answer(request, "audio.m4a")

    async def source(self, request: Request) -> Response:
        name = f"source.{request.path_params['ending']}"
        if _SOURCE.fullmatch(name) is None:
            raise errors.NotFound("There is no such file.")
        return await self._answer(request, name)

    async def _answer(self, request: Request, name: str) -> Response:
        playable = await self._delivery.admit_any(request)
        file = _file_of(playable, name)
        objects = self._delivery.context.storage.objects
        size = await objects.size(file.key)
        if size is None:
            raise errors.NotFound("This file was deleted.")
        headers = {"Content-Disposition": disposition(request.query_params.get("download"), name)}
        part = part_of(
            request, size, etag=f"{digest(file.key.encode())}-{size:x}", cache=cached(playable, SHORT), headers=headers
        )
        if request.method == "HEAD" or not part.has_body or part.first == part.end:
            return Response(b"", part.status, part.headers, file.media_type if part.has_body else None)
        if self._running >= MAX_DOWNLOADS:
            raise errors.Unavailable("Too many files are downloaded at once; try again in a moment.")
        pieces = self._counted(objects.stream(file.key, part.first, part.end))
        return StreamingResponse(pieces, part.status, part.headers, file.media_type)

    async def _counted(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._running += 1
        try:
            async for piece in pieces:
                yield piece
        finally:
            self._running -= 1


def _file_of(playable: Playable | RecordedPlayable | LivePlayable, name: str) -> File:
    """Raises NotFound, for what must not be shown under this id as for what is not there."""
    missing = errors.NotFound("There is no such file, or it is not ready yet.")
    if isinstance(playable, LivePlayable) or playable.playback_id.target_id != playable.target.id:
        raise missing
    file = playable.target.extras.file(name)
    if file is None or playable.playback_id.access_policy == "drm":
        raise missing
    if file.lines > selection.allowed_lines(playable.playback_id.resolution):
        raise missing
    return file


def disposition(wanted: str | None, name: str) -> str:
    """`?download=name` saves under that name, `?download` under the file's own; without it a browser plays it.

    Only letters, digits and a few marks are left of a name; what they cannot spell is said as RFC 8187 has it.
    """
    if wanted is None:
        return "inline"
    ending = name.rpartition(".")[2]
    stem = wanted.strip()
    if stem.lower().endswith(f".{ending}"):
        stem = stem[: -len(ending) - 1]
    stem = "".join(c if c.isprintable() and c not in '\\/:*?"<>|' else " " for c in stem)
    stem = " ".join(stem.split()).strip(". ")[:NAME_MAX_CHARS].strip()
    if not stem:
        return f'attachment; filename="{name}"'
    plain = re.sub(r"[^A-Za-z0-9 ._()-]", "_", stem)
    spelled = quote(f"{stem}.{ending}".encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{spelled}"
