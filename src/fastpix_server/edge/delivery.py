"""What the endpoints share for one edge process: admission, demand, and the frame around every handler."""

import functools
import re
import time
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.base import errors
from fastpix_server.base.errors import FieldError
from fastpix_server.edge.bodies import preflight
from fastpix_server.edge.context import EdgeContext
from fastpix_server.edge.errors import answer
from fastpix_server.edge.watching import Watching
from fastpix_server.keys.tokens import Purpose
from fastpix_server.playback.admission import Admission, Admitted, AnyPlayable, Brought, Playable
from fastpix_server.playback.demand import Demand
from fastpix_server.playback.gate import Viewer
from fastpix_server.playback.signed_path import PICTURES

Handler = Callable[[Request], Awaitable[Response]]

_MAX_AGE = re.compile(r"max-age=([0-9]+)")
_DIGITS = re.compile(r"0|[1-9][0-9]{0,5}")


class Delivery:
    def __init__(self, context: EdgeContext) -> None:
        self.context = context
        self.admission = Admission(context.db, context.listener, path_keys=context.path_keys)
        self.demand = Demand(context.db, context.listener, context.storage.objects, wait_s=context.segment_wait_s)
        self.watching = Watching(context.origins) if context.origins is not None else None

    async def admit(self, request: Request, *, purpose: Purpose = "media", cookie: str | None = None) -> Playable:
        """For what is made of planned media only; also raises NotFound for live streams and recordings."""
        return _planned(await self.admit_any(request, purpose=purpose, cookie=cookie))

    async def admit_revision(self, request: Request) -> Playable:
        """As `admit`, and raises NotFound for the URLs of a plan that was replaced."""
        return _planned(await self.admit_any_revision(request))

    async def admit_any(
        self, request: Request, *, purpose: Purpose = "media", cookie: str | None = None
    ) -> AnyPlayable:
        """Raises what `Admission.admit` raises. `cookie` is a pass that is good for what is asked, and nothing more."""
        headers = request.headers
        viewer = Viewer.from_headers(
            origin=headers.get("origin", ""),
            referer=headers.get("referer", ""),
            user_agent=headers.get("user-agent", ""),
        )
        path = request.path_params
        brought = Brought(
            tokens=tuple(request.query_params.getlist("token")),
            path=path.get("signature"),
            scope=path.get("revision", PICTURES),
            cookie=cookie,
        )
        return await self.admission.admit(path["playback_id"], viewer, brought, purpose=purpose)

    async def admit_any_revision(self, request: Request) -> AnyPlayable:
        """Also raises NotFound for the URLs of a plan or a session that was replaced."""
        playable = await self.admit_any(request)
        if request.path_params["revision"] != playable.revision:
            raise errors.NotFound("This version of the video was replaced; load the manifest again.")
        return playable


def _planned(playable: AnyPlayable) -> Playable:
    if not isinstance(playable, Playable):
        raise errors.NotFound("There is no such file of a live stream or its recording.")
    return playable


def cached(playable: Admitted, shared: str) -> str:
    """Cache-Control of an answer that anybody may keep as `shared` says, if anybody may have it.

    Below a signed path too, for as long as the path is good: only who has the path can name the answer. Other answers
    of an id that is not open belong to the one who asked: a shared cache may leave tokens out of its key.
    """
    if playable.is_open:
        return shared
    if playable.path_expires_at_s is None:
        return "private, max-age=10"
    left_s = max(0, playable.path_expires_at_s - int(time.time()))
    return _shortened(shared, left_s)


@functools.lru_cache(maxsize=1024)  # a few words, and the seconds of the hours that paths last
def _shortened(shared: str, left_s: int) -> str:
    return _MAX_AGE.sub(lambda age: f"max-age={min(int(age[1]), left_s)}", shared)


def index(text: str, count: int) -> int:
    """The segment index of a URL. Raises NotFound; `007` and `+7` are no indices, so every segment has one URL."""
    if _DIGITS.fullmatch(text) is None or int(text) >= count:
        raise errors.NotFound("There is no such segment.")
    return int(text)


def number(value: str, field: str, low: float, high: float) -> float:
    """Raises Invalid for anything but a plain decimal number within the bounds."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) is None or not low <= float(value) <= high:
        raise errors.Invalid(FieldError(field, f"must be between {low:g} and {high:g}"))
    return float(value)


def route(path: str, handler: Handler) -> Route:
    """GET, HEAD and OPTIONS of `path`, readable across origins; every error is an envelope."""

    async def endpoint(request: Request) -> Response:
        if request.method == "OPTIONS":
            return preflight()
        try:
            if not request.scope["path"].isprintable():
                # The pattern of a route lets a line end follow it: such a path would be a second address.
                raise errors.NotFound("There is no such file.")
            return await handler(request)
        except Exception as error:  # the map in edge.errors decides which are expected
            return answer(error)

    return Route(path, endpoint, methods=["GET", "HEAD", "OPTIONS"])
