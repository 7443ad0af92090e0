"""Pictures: /{playbackId}/thumbnail.{jpg,png,webp} and clip.{gif,webp} (contract section 5), made once by a worker.

Below a signed path too, and by the cookie that a player has got with the manifest.

Invariants: sizes and times are bounded and snapped, so the number of different pictures of a media is bounded too.
"""

import dataclasses
from collections.abc import Mapping
from typing import get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.base import errors
from fastpix_server.base.errors import FieldError
from fastpix_server.edge import picture_cookie
from fastpix_server.edge.bodies import body
from fastpix_server.edge.delivery import Delivery, cached, route
from fastpix_server.edge.live import Live
from fastpix_server.edge.pictures import TYPES, parse_shape, read_number
from fastpix_server.engine import animation
from fastpix_server.engine.plan import Plan
from fastpix_server.playback.admission import LivePlayable, Playable, RecordedPlayable
from fastpix_server.playback.artifacts import MovingFormat, MovingPicture, Picture, PictureFormat

# Finer than any frame rate that we publish (60/s); it keeps endless decimals from being endless pictures.
SNAP_MS = 10
# Moving pictures (contract section 5): what is shown when nothing is said.
MOVING_S = 5
MOVING_WIDTH = 320
MOVING_RATE = 15
MOVING_SNAP_MS = 100
MAX_TIME_S = 13 * 3600  # past the longest media
_ALIASES = (("startTime", "start"), ("endTime", "end"))
# Longer than a manifest, as a picture of a media never changes; shorter than for ever, as its URL has no revision.
CACHE = "public, max-age=3600"


class Images:
    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._live = Live(delivery)

    def routes(self) -> list[Route]:
        return [
            route("/{playback_id}/thumbnail.{format}", self.thumbnail),
            route("/{playback_id}/{signature}/thumbnail.{format}", self.thumbnail),
            route("/{playback_id}/clip.{format}", self.clip),
            route("/{playback_id}/{signature}/clip.{format}", self.clip),
        ]

    async def thumbnail(self, request: Request) -> Response:
        form = request.path_params["format"]
        if form not in get_args(PictureFormat):
            raise errors.NotFound("Pictures are jpg, png or webp.")
        playable = await self._delivery.admit_any(request, cookie=picture_cookie.read(request))
        if isinstance(playable, LivePlayable):
            return await self._live.picture(request, playable, form)
        timing = _timing(playable)
        if timing is None:
            raise errors.NotFound("This media has sound only, so there is no picture of it.")
        return await self._made(request, playable, parse(request.query_params, timing, form))

    async def clip(self, request: Request) -> Response:
        """A few seconds in motion."""
        form = request.path_params["format"]
        if form not in get_args(MovingFormat):
            raise errors.NotFound("Moving pictures are gif or webp.")
        playable = await self._delivery.admit_any(request, cookie=picture_cookie.read(request))
        timing = None if isinstance(playable, LivePlayable) else _timing(playable)
        if timing is None or isinstance(playable, LivePlayable):
            raise errors.NotFound("There is no moving picture of this.")
        return await self._made(request, playable, parse_moving(request.query_params, timing, form))

    async def _made(
        self, request: Request, playable: Playable | RecordedPlayable, picture: Picture | MovingPicture
    ) -> Response:
        found = await self._delivery.demand.get(playable.target, picture)
        etag = f"{playable.revision}-{picture}-{len(found.data):x}".replace("/", "-")
        return body(
            request,
            found.data,
            media_type=TYPES[picture.format],
            etag=etag,
            cache=cached(playable, CACHE),
            headers=picture_cookie.headers(playable, self._delivery.context),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """A time within the last frame, and where the media ends."""

    last_s: float
    duration_s: float


def _timing(playable: Playable | RecordedPlayable) -> Timing | None:
    """None for sound only."""
    if isinstance(playable, RecordedPlayable):
        recording = playable.target.recording
        video = next(iter(recording.videos), None)
        if video is None:
            return None
        duration_s = float(recording.duration_s)
        return Timing(duration_s - (0.5 / video.fps if video.fps > 0 else 0), duration_s)
    plan = playable.target.plan
    return None if plan.video is None else timing_of(plan)


def timing_of(plan: Plan) -> Timing:
    timeline = plan.timeline
    return Timing(timeline.duration_s - timeline.frame_ticks / timeline.timescale, timeline.duration_s)


def parse(params: Mapping[str, str], timing: Timing, form: PictureFormat) -> Picture:
    """Raises Invalid with every bad field. Without a time it is the middle of the video."""
    bad: list[FieldError] = []
    at_s = read_number(params, "time", 0, timing.duration_s, timing.duration_s / 2, bad)
    shape = parse_shape(params, bad)
    return Picture(_snapped_ms(at_s, timing), shape.width, shape.height, shape.fit, form)


def parse_moving(params: Mapping[str, str], timing: Timing, form: MovingFormat) -> MovingPicture:
    """`start`, `end` (or `startTime`, `endTime`), `width`, `height`, `fps`. Raises Invalid with every bad field."""
    bad: list[FieldError] = []
    params = {**params, **{new: params[old] for old, new in _ALIASES if old in params and new not in params}}
    start_s = read_number(params, "start", 0, timing.last_s, 0, bad)
    end_s = min(read_number(params, "end", 0, MAX_TIME_S, start_s + MOVING_S, bad), timing.duration_s)
    if not bad and not start_s < end_s <= start_s + animation.MAX_LENGTH_S:
        bad.append(FieldError("end", f"must be after start, by at most {animation.MAX_LENGTH_S} seconds"))
    side = animation.MAX_SIDE_PIXELS
    height = read_number(params, "height", 1, side, 0, bad)
    width = read_number(params, "width", 1, side, 0 if height else MOVING_WIDTH, bad)
    rate = read_number(params, "fps", 1, animation.MAX_RATE, MOVING_RATE, bad)
    for field, value in (("width", width), ("height", height), ("fps", rate)):
        if value != int(value):
            bad.append(FieldError(field, "must be a whole number"))
    if bad:
        raise errors.Invalid(*bad)
    start_ms = int(start_s * 1000) // MOVING_SNAP_MS * MOVING_SNAP_MS
    length_ms = max(round((end_s * 1000 - start_ms) / MOVING_SNAP_MS), 1) * MOVING_SNAP_MS
    return MovingPicture(start_ms, length_ms, int(width), int(height), int(rate), form)


def _snapped_ms(at_s: float, timing: Timing) -> int:
    """Never past the last frame, whose time is a frame before the end."""
    return int(max(0.0, min(at_s, timing.last_s)) * 1000) // SNAP_MS * SNAP_MS
