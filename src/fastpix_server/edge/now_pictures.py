"""The picture of now of a live stream: made from the newest key frame, once in FRESH_S per size, however many ask.

Invariants: at most MAX_MAKING pictures are made at a time in this process, and at most MAX_WAITING wait for their turn;
sizes are bounded as those of other pictures; kept pictures are bounded in number.
"""

import asyncio
import struct
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from fractions import Fraction

from starlette.requests import Request
from starlette.responses import Response

from fastpix_server.base import errors
from fastpix_server.edge.bodies import body, digest
from fastpix_server.edge.delivery import cached
from fastpix_server.edge.pictures import TYPES, Shape, parse_shape
from fastpix_server.engine.still import picture_size, still
from fastpix_server.playback.admission import LivePlayable
from fastpix_server.playback.artifacts import PictureFormat

# A key frame comes about every two seconds; a poster need not be newer.
FRESH_S = 2.0
# A picture costs 0.1 s of a core, which belongs to the viewers of this process.
MAX_MAKING = 2
MAX_WAITING = 64
# Of a few hundred kB each.
MAX_KEPT = 128
CACHE = "public, max-age=2"

# The answer of the origin: an init segment and a part that begins with a key frame, packed; None before the first one.
Fetch = Callable[[LivePlayable], Awaitable[bytes | None]]
_Key = tuple[str, Shape, PictureFormat]


class NowPictures:
    """`fetch` asks the process that has the session."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._kept: OrderedDict[_Key, tuple[float, bytes]] = OrderedDict()
        self._making: dict[_Key, asyncio.Task[bytes]] = {}
        self._turn = asyncio.Semaphore(MAX_MAKING)

    async def answer(self, request: Request, playable: LivePlayable, form: PictureFormat) -> Response:
        """`time` has no meaning here and is ignored, as every parameter that we do not know."""
        picture = await self._get(playable, parse_shape(request.query_params), form)
        return body(request, picture, media_type=TYPES[form], etag=digest(picture), cache=cached(playable, CACHE))

    async def _get(self, playable: LivePlayable, shape: Shape, form: PictureFormat) -> bytes:
        key = (playable.session.id, shape, form)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < FRESH_S:
            return kept[1]
        making = self._making.get(key)
        if making is None:
            if len(self._making) >= MAX_WAITING:
                raise errors.Unavailable("Too many live pictures are wanted at once; try again in a moment.")
            making = asyncio.create_task(self._make(playable, shape, form))
            self._making[key] = making
            making.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(making)

    async def _make(self, playable: LivePlayable, shape: Shape, form: PictureFormat) -> bytes:
        packed = await self._fetch(playable)
        if packed is None:
            raise errors.BadState("The live stream has no picture yet.", message="live stream is not ready")
        init, part = unpack(packed)
        async with self._turn:
            picture = await still(
                init,
                part,
                shape=picture_size(init),
                offset_s=Fraction(0),
                fps=0,
                width=shape.width or None,
                height=shape.height or None,
                fit=shape.fit,
                format=form,
            )
        key = (playable.session.id, shape, form)
        self._kept[key] = (time.monotonic(), picture)
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return picture

    def _forget(self, key: _Key, done: "asyncio.Task[bytes]") -> None:
        del self._making[key]
        if not done.cancelled():
            done.exception()  # every viewer may have left: nobody else would look at it


def unpack(packed: bytes) -> tuple[bytes, bytes]:
    """Four bytes of length, the init segment, the part: as the origin server packs them."""
    (size,) = struct.unpack_from(">I", packed)
    return packed[4 : 4 + size], packed[4 + size :]
