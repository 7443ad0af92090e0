"""The viewer's side of a running session."""

from starlette.requests import Request
from starlette.responses import Response

from fastpix_server.base import errors
from fastpix_server.edge.bodies import Kind
from fastpix_server.edge.delivery import Delivery
from fastpix_server.playback.admission import LivePlayable
from fastpix_server.playback.artifacts import PictureFormat


class Live:
    """Each method answers one kind of URL of a session that a process has in memory."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    async def manifest(self, request: Request, playable: LivePlayable, kind: Kind) -> Response:
        """`/{playback id}.m3u8` and `.mpd`."""
        raise _not_ready()

    async def playlist(self, request: Request, playable: LivePlayable) -> Response:
        """`{folder}/{rendition}/index.m3u8`."""
        raise _not_ready()

    async def segment(self, request: Request, playable: LivePlayable) -> Response:
        """`{folder}/{rendition}/{k}.m4s`; the path parameter `k` is `{number}` or `{number}.{part}`."""
        raise _not_ready()

    async def init(self, request: Request, playable: LivePlayable) -> Response:
        """`{folder}/{rendition}/init-{epoch}.mp4`."""
        raise _not_ready()

    async def picture(self, request: Request, playable: LivePlayable, form: PictureFormat) -> Response:
        """`/{playback id}/thumbnail.{format}`: the picture of now."""
        raise _not_ready()


def _not_ready() -> errors.BadState:
    return errors.BadState("The live stream has no picture yet.", message="live stream is not ready")
