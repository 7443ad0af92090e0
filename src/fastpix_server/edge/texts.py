"""Subtitles: /{playbackId}/text/{trackId}.vtt (contract section 5), and the files and segments that manifests name.

Invariants: every byte was written by us from parsed cues (engine/subtitles.py); a name changes with its file, so what
lies under a revision never changes. Subtitles are not encrypted under ids of the policy drm, but need the same token.
"""

from collections import OrderedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.base import errors
from fastpix_server.edge.bodies import IMMUTABLE, SHORT, body
from fastpix_server.edge.delivery import Delivery, cached, index, route
from fastpix_server.engine import webvtt
from fastpix_server.engine.webvtt import Cue
from fastpix_server.playback import texts
from fastpix_server.playback.admission import Playable
from fastpix_server.playback.model import Text

VTT_TYPE = "text/vtt; charset=utf-8"
# Tracks whose cues are at hand; a film's are some 300 kB, the longest that we take 10 MB.
MAX_KEPT = 32


class Texts:
    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._kept: OrderedDict[str, tuple[Cue, ...]] = OrderedDict()

    def routes(self) -> list[Route]:
        return [
            route("/{playback_id}/text/{track_id}.vtt", self.by_track),
            route("/{playback_id}/{revision}/{rendition}/whole.vtt", self.whole),
            route("/{playback_id}/{revision}/{rendition}/{k}.vtt", self.segment),
            route("/{playback_id}/{signature}/{revision}/{rendition}/whole.vtt", self.whole),
            route("/{playback_id}/{signature}/{revision}/{rendition}/{k}.vtt", self.segment),
        ]

    async def by_track(self, request: Request) -> Response:
        """For who knows the track: it always leads to the newest file of it."""
        playable = await self._delivery.admit(request)
        wanted = request.path_params["track_id"]
        found = next((t for t in playable.target.extras.texts if t.track_id == wanted), None)
        return await self._file(request, playable, _there(found), SHORT)

    async def whole(self, request: Request) -> Response:
        playable, text = await self._named(request)
        return await self._file(request, playable, text, IMMUTABLE)

    async def segment(self, request: Request) -> Response:
        playable, text = await self._named(request)
        timeline = playable.target.plan.timeline
        k = index(request.path_params["k"], texts.segment_count(timeline))
        data = webvtt.segment(await self._cues(text), *texts.window_ms(timeline, k))
        etag = f"{playable.revision}-{text.name}-{k}"
        return body(request, data, media_type=VTT_TYPE, etag=etag, cache=cached(playable, IMMUTABLE))

    async def _named(self, request: Request) -> tuple[Playable, Text]:
        playable = await self._delivery.admit_revision(request)
        return playable, _there(playable.target.extras.text(request.path_params["rendition"]))

    async def _file(self, request: Request, playable: Playable, text: Text, cache: str) -> Response:
        data = await self._delivery.demand.read(text.whole_key)
        if data is None:
            raise errors.NotFound("This subtitle track was deleted.")
        return body(request, data, media_type=VTT_TYPE, etag=f"{text.name}-whole", cache=cached(playable, cache))

    async def _cues(self, text: Text) -> tuple[Cue, ...]:
        kept = self._kept.get(text.cues_key)
        if kept is None:
            data = await self._delivery.demand.read(text.cues_key)
            if data is None:
                raise errors.NotFound("This subtitle track was deleted.")
            kept = webvtt.from_json(msgspec.json.decode(data))
            self._kept[text.cues_key] = kept
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(text.cues_key)
        return kept


def _there(found: Text | None) -> Text:
    if found is None:
        raise errors.NotFound("There is no such subtitle track.")
    return found
