"""Multivariant playlists, media playlists and the DASH manifest.

Invariant: what is written depends only on the target, the id's cap and the parameters, so it is written once and kept
as long as none of them changes.
"""

import functools
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.base import errors
from fastpix_server.edge import clips, picture_cookie
from fastpix_server.edge.bodies import DASH_TYPE, HLS_TYPE, SHORT, Kind, body, digest
from fastpix_server.edge.delivery import Delivery, cached, route
from fastpix_server.edge.live import Live
from fastpix_server.edge.recorded import Recorded
from fastpix_server.playback import dash, hls, locks, selection
from fastpix_server.playback.admission import LivePlayable, Playable, RecordedPlayable
from fastpix_server.playback.artifacts import SegmentOf
from fastpix_server.playback.selection import Selection

# A media playlist of a 12-hour film is 700 kB, one of ten minutes 10 kB.
MAX_KEPT = 256


class Manifests:
    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._clips = clips.ClipPlaylists(delivery)
        self._live = Live(delivery)
        self._recorded = Recorded(delivery)
        self._write = functools.lru_cache(maxsize=MAX_KEPT)(_write)

    def routes(self) -> list[Route]:
        return [
            route("/{playback_id}.m3u8", self.multivariant),
            route("/{playback_id}.mpd", self.dash),
            route("/{playback_id}/{revision}/{rendition}/index.m3u8", self.media),
            route("/{playback_id}/{signature}/{revision}/{rendition}/index.m3u8", self.media),
        ]

    async def multivariant(self, request: Request) -> Response:
        return await self._selected(request, "hls", HLS_TYPE)

    async def dash(self, request: Request) -> Response:
        return await self._selected(request, "dash", DASH_TYPE)

    async def media(self, request: Request) -> Response:
        playable = await self._delivery.admit_any_revision(request)
        clip = clips.wanted(request, playable)
        if clip is not None:
            return await self._clips.playlist(request, *clip)
        if isinstance(playable, LivePlayable):
            return await self._live.playlist(request, playable)
        if isinstance(playable, RecordedPlayable):
            return self._recorded.playlist(request, playable)
        name = request.path_params["rendition"]
        if playable.target.find(name) is None and playable.target.extras.text(name) is None:
            raise errors.NotFound("There is no such rendition.")
        return self._answer(request, _Kept(playable, ("media", name)), HLS_TYPE)

    async def _selected(self, request: Request, kind: Kind, media_type: str) -> Response:
        playable = await self._delivery.admit_any(request)
        wanted = selection.parse(request.query_params)
        clip = clips.wanted(request, playable)
        if clip is not None:
            return await self._clips.manifest(request, *clip, kind, wanted)
        if isinstance(playable, LivePlayable):
            return await self._live.manifest(request, playable, kind)
        if isinstance(playable, RecordedPlayable):
            return self._recorded.manifest(request, playable, kind, wanted)
        if request.method == "GET":
            await self._foresee(playable, wanted)
        headers = picture_cookie.headers(playable, self._delivery.context)
        return self._answer(request, _Kept(playable, (kind, wanted)), media_type, headers)

    async def _foresee(self, playable: Playable, wanted: Selection) -> None:
        """Players begin with the first variant and the first sound: both are made while the player still loads.

        Also of a media whose fill was done once: the cache may have dropped them since.
        """
        target = playable.target
        videos = selection.choose(target.plan.videos, wanted, playable.playback_id.resolution)
        first = [(target, video.name) for video in videos[:1]]
        first += [(sound.target, sound.rendition.name) for sound in target.sounds[:1]]
        for maker, name in first:
            await self._delivery.demand.foresee(maker, playable.shown(SegmentOf(name, 0)))

    def _answer(
        self, request: Request, kept: "_Kept", media_type: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        text, etag = self._write(kept)
        return body(
            request, text, media_type=media_type, etag=etag, cache=cached(kept.playable, SHORT), headers=headers
        )


class _Kept:
    """A cache key that stands for a whole target by the few values that can change."""

    def __init__(self, playable: Playable, what: tuple[str, Selection | str]) -> None:
        self.playable = playable
        self.what = what
        target = playable.target
        self._key = (
            what,
            playable.playback_id.id,
            playable.playback_id.resolution,
            playable.folder,
            bool(target.measured),
            target.extras.stamp,
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kept) and self._key == other._key


def _write(kept: _Kept) -> tuple[bytes, str]:
    text = _text(kept.playable, *kept.what).encode()
    return text, digest(text)


def _text(playable: Playable, kind: str, wanted: Selection | str) -> str:
    target, playback_id = playable.target, playable.playback_id
    if isinstance(wanted, str):
        if target.extras.text(wanted) is not None:
            return hls.text(target)
        found = target.find(wanted)
        assert found is not None, "checked by the caller"
        return hls.media(*found, keys=locks.hls_keys(playback_id))
    videos = selection.choose(target.plan.videos, wanted, playback_id.resolution)
    root = playable.folder
    if kind == "dash":
        return dash.manifest(target, videos, root=root, protection=locks.dash_protection(playback_id))
    # A viewer who names bounds or wants the worst first would otherwise get, or start with, no picture at all.
    with_audio_only = wanted.is_everything and wanted.order != "asc"
    return hls.multivariant(
        target, videos, root=root, with_audio_only=with_audio_only, keys=locks.hls_session_keys(playback_id)
    )
