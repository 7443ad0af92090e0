"""Init and media segments: one body each, stored or made now."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.base import errors
from fastpix_server.edge.bodies import IMMUTABLE, body
from fastpix_server.edge.delivery import Delivery, cached, index, route
from fastpix_server.edge.live import Live
from fastpix_server.edge.recorded import Recorded
from fastpix_server.engine.plan import AudioRendition, VideoRendition
from fastpix_server.playback.admission import LivePlayable, Playable, RecordedPlayable
from fastpix_server.playback.artifacts import InitOf, SegmentOf
from fastpix_server.playback.model import Target

# CMAF media segments have a type of their own (video/iso.segment), but players and CDNs know these.
_TYPES = {True: "video/mp4", False: "audio/mp4"}


class Segments:
    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._live = Live(delivery)
        self._recorded = Recorded(delivery)

    def routes(self) -> list[Route]:
        return [
            route("/{playback_id}/{revision}/{rendition}/init.mp4", self.init),
            route("/{playback_id}/{revision}/{rendition}/init-{epoch}.mp4", self.epoch_init),
            route("/{playback_id}/{revision}/{rendition}/{k}.m4s", self.segment),
            route("/{playback_id}/{signature}/{revision}/{rendition}/init.mp4", self.init),
            route("/{playback_id}/{signature}/{revision}/{rendition}/init-{epoch}.mp4", self.epoch_init),
            route("/{playback_id}/{signature}/{revision}/{rendition}/{k}.m4s", self.segment),
        ]

    async def segment(self, request: Request) -> Response:
        playable = await self._delivery.admit_any_revision(request)
        if isinstance(playable, LivePlayable):
            return await self._live.segment(request, playable)
        if isinstance(playable, RecordedPlayable):
            return await self._recorded.segment(request, playable)
        target, rendition = _rendition(playable, request)
        k = index(request.path_params["k"], target.plan.timeline.segment_count)
        return await self._serve(request, playable, target, rendition, SegmentOf(rendition.name, k))

    async def init(self, request: Request) -> Response:
        playable = await self._delivery.admit_revision(request)
        target, rendition = _rendition(playable, request)
        return await self._serve(request, playable, target, rendition, InitOf(rendition.name))

    async def epoch_init(self, request: Request) -> Response:
        """Live sessions and their recordings have one header per connection of the publisher."""
        playable = await self._delivery.admit_any_revision(request)
        if isinstance(playable, LivePlayable):
            return await self._live.init(request, playable)
        if isinstance(playable, RecordedPlayable):
            return await self._recorded.init(request, playable)
        raise errors.NotFound("There is no such file.")

    async def _serve(
        self,
        request: Request,
        playable: Playable,
        target: Target,
        rendition: VideoRendition | AudioRendition,
        clear: SegmentOf | InitOf,
    ) -> Response:
        """`target` makes the rendition: that of the id, or an added sound's."""
        artifact = playable.shown(clear)
        found = await self._delivery.demand.get(target, artifact)
        # The quick version of a segment is as valid as the final one, for ever; the tag keeps their ranges apart.
        version = "q" if found.key.endswith(".fast.m4s") else "f"
        return body(
            request,
            found.data,
            media_type=_TYPES[isinstance(rendition, VideoRendition)],
            etag=f"{target.plan.revision}-{artifact}-{version}{len(found.data):x}".replace("/", "-"),
            cache=cached(playable, IMMUTABLE),
        )


def _rendition(playable: Playable, request: Request) -> tuple[Target, VideoRendition | AudioRendition]:
    found = playable.target.find(request.path_params["rendition"])
    if found is None:
        raise errors.NotFound("There is no such rendition.")
    return found
