"""The viewer's side of a session that some ingest process has in memory.

Invariants: what a viewer may see was decided by the gate for this very request, playlists included, so a token or a
path that runs out ends a broadcast for its viewer; a session's answers come from its origin, through `Origins`.
"""

import re
import secrets

from starlette.requests import Request
from starlette.responses import Response

from fastpix_server.base import errors
from fastpix_server.base.errors import FieldError
from fastpix_server.edge.bodies import NO_STORE, Kind, body, digest
from fastpix_server.edge.delivery import Delivery, cached
from fastpix_server.edge.now_pictures import NowPictures
from fastpix_server.edge.origins import Origins
from fastpix_server.edge.watching import PARAM
from fastpix_server.live.model import Answer
from fastpix_server.playback.admission import LivePlayable
from fastpix_server.playback.artifacts import PictureFormat

# What viewers may say in a manifest's URL; the rest (token, t, ...) stays here, or the same question would be many.
_MANIFEST_PARAMS = (
    "minResolution", "min_resolution", "maxResolution", "max_resolution", "resolution", "renditionOrder", "dvrMode",
)  # fmt: skip
# What was given for a token is kept by the one who has it, and not long: the token runs out, the stream goes on.
PRIVATE_AGE_S = 10
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_PART = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")
_RENDITION = re.compile(r"[a-z0-9]{1,16}")
_URI = re.compile(rb"(/index\.m3u8)(\?)?")


class Live:
    """Each method answers one kind of URL of a session that a process has in memory."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._pictures = NowPictures(self._newest_picture)

    async def manifest(self, request: Request, playable: LivePlayable, kind: Kind) -> Response:
        """`/{playback id}.m3u8` and `.mpd`."""
        params = {name: request.query_params[name] for name in _MANIFEST_PARAMS if name in request.query_params}
        name = "dash" if kind == "dash" else "multivariant"
        found = await self._ask(playable, name, {**params, "folder": playable.folder})
        if kind == "dash":
            self._saw(request, playable)
        elif playable.session.is_running:
            found = _named(found)
        return self._answer(request, playable, found)

    async def playlist(self, request: Request, playable: LivePlayable) -> Response:
        """`{folder}/{rendition}/index.m3u8`."""
        params = request.query_params
        query: dict[str, str] = {}
        for name, key in (("_HLS_msn", "msn"), ("_HLS_part", "part")):
            value = params.get(name)
            if value is not None:
                if _NUMBER.fullmatch(value) is None:
                    raise errors.Invalid(FieldError(name, "is invalid"))
                query[key] = value
        if params.get("_HLS_skip") in ("YES", "v2"):
            query["skip"] = "1"
        if params.get("dvrMode") == "true" and playable.session.is_dvr:
            query["dvr"] = "1"
        # Who waits for the next part watches: counted now, not when a thousand of them are to be answered at once.
        self._saw(request, playable)
        return self._answer(request, playable, await self._ask(playable, f"{_rendition(request)}/index.m3u8", query))

    async def segment(self, request: Request, playable: LivePlayable) -> Response:
        """`{folder}/{rendition}/{k}.m4s`; the path parameter `k` is `{number}` or `{number}.{part}`."""
        k = request.path_params["k"]
        if _NUMBER.fullmatch(k) is None and _PART.fullmatch(k) is None:
            raise errors.NotFound("There is no such segment.")
        found = await self._ask(playable, f"{_rendition(request)}/{k}.m4s")
        self._saw(request, playable)
        return self._answer(request, playable, found, is_immutable=True)

    async def init(self, request: Request, playable: LivePlayable) -> Response:
        """`{folder}/{rendition}/init-{epoch}.mp4`."""
        epoch = request.path_params["epoch"]
        if _NUMBER.fullmatch(epoch) is None:
            raise errors.NotFound("There is no such file.")
        found = await self._ask(playable, f"{_rendition(request)}/init-{epoch}.mp4")
        return self._answer(request, playable, found, is_immutable=True)

    async def picture(self, request: Request, playable: LivePlayable, form: PictureFormat) -> Response:
        """`/{playback id}/thumbnail.{format}`: the picture of now."""
        return await self._pictures.answer(request, playable, form)

    async def _newest_picture(self, playable: LivePlayable) -> bytes | None:
        found = await self._origins.get(playable.origin, f"/live/{playable.session.id}/picture")
        return found.body if found.status == 200 else None

    async def _ask(self, playable: LivePlayable, what: str, query: dict[str, str] | None = None) -> Answer:
        """The origin's answer when it is one; otherwise raises what stands for it."""
        found = await self._origins.get(playable.origin, f"/live/{playable.session.id}/{what}", query)
        if found.status == 200:
            return found
        said = found.body[:200].decode("utf-8", "replace")
        if found.status == 400:
            raise errors.BadState(said, message=said if "ready" in said else "Bad Request")
        if found.status == 404:
            raise errors.NotFound("There is no such part of the live stream.")
        raise errors.Unavailable("The live stream has nothing new; try again shortly.")

    def _saw(self, request: Request, playable: LivePlayable) -> None:
        if self._delivery.watching is not None:
            self._delivery.watching.saw(request, playable)

    @property
    def _origins(self) -> Origins:
        if self._delivery.context.origins is None:
            raise _not_ready()
        return self._delivery.context.origins

    def _answer(
        self, request: Request, playable: LivePlayable, found: Answer, *, is_immutable: bool = False
    ) -> Response:
        cache = f"public, max-age={found.max_age_s}" + (", immutable" if is_immutable else "")
        if not playable.is_open and playable.path_expires_at_s is None:
            kept = f"private, max-age={min(found.max_age_s, PRIVATE_AGE_S)}"
        else:
            kept = cached(playable, cache)
        return body(
            request,
            found.body,
            media_type=found.media_type,
            etag=found.etag or digest(found.body),
            cache=kept if found.max_age_s > 0 else NO_STORE,
        )


def _named(found: Answer) -> Answer:
    """The same multivariant playlist, in which the player finds a name of its own to be counted by."""
    name = f"{PARAM}={secrets.token_hex(4)}".encode()
    text = _URI.sub(lambda uri: uri[1] + b"?" + name + (b"&" if uri[2] else b""), found.body)
    return Answer(found.status, text, found.media_type, found.max_age_s)


def _rendition(request: Request) -> str:
    name = request.path_params["rendition"]
    if _RENDITION.fullmatch(name) is None:
        raise errors.NotFound("There is no such rendition.")
    return str(name)


def _not_ready() -> errors.BadState:
    return errors.BadState("The live stream has no picture yet.", message="live stream is not ready")
