"""Recordings and clips: closed lists of segments that are all stored, so everything here is read and never made.

Invariant: an answer depends on the recording, the id's cap and the parameters alone, and a recording never changes
under its revision.
"""

import functools
import re

from starlette.requests import Request
from starlette.responses import Response

from fastpix_server.base import errors
from fastpix_server.edge.bodies import DASH_TYPE, HLS_TYPE, IMMUTABLE, SHORT, Kind, body, digest
from fastpix_server.edge.delivery import Delivery, cached
from fastpix_server.playback import recorded_dash, recorded_hls, selection
from fastpix_server.playback.admission import RecordedPlayable
from fastpix_server.playback.recording import Facts
from fastpix_server.playback.selection import Selection

# A media playlist of an eight-hour recording is 600 kB.
MAX_KEPT = 128
# A running number of a session, or of its epochs.
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_TYPES = {"video": "video/mp4", "audio": "audio/mp4"}


class Recorded:
    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._write = functools.lru_cache(maxsize=MAX_KEPT)(_write)

    def manifest(self, request: Request, playable: RecordedPlayable, kind: Kind, wanted: Selection) -> Response:
        media_type = HLS_TYPE if kind == "hls" else DASH_TYPE
        return self._answer(request, _Kept(playable, kind, wanted), media_type)

    def playlist(self, request: Request, playable: RecordedPlayable) -> Response:
        facts = _rendition(request, playable)
        return self._answer(request, _Kept(playable, "media", facts.name), HLS_TYPE)

    async def segment(self, request: Request, playable: RecordedPlayable) -> Response:
        facts = _rendition(request, playable)
        number = _number(request.path_params["k"])
        if not playable.target.recording.has_segment(facts.name, number):
            raise errors.NotFound("There is no such segment.")
        key = playable.target.segment_key(facts.name, number)
        return await self._object(request, playable, facts, key, str(number))

    async def init(self, request: Request, playable: RecordedPlayable) -> Response:
        facts = _rendition(request, playable)
        epoch = _number(request.path_params["epoch"])
        if not playable.target.recording.has_epoch(facts.name, epoch):
            raise errors.NotFound("There is no such segment.")
        key = playable.target.init_key(facts.name, epoch)
        return await self._object(request, playable, facts, key, f"i{epoch}")

    async def _object(
        self, request: Request, playable: RecordedPlayable, facts: Facts, key: str, name: str
    ) -> Response:
        data = await self._delivery.demand.read(key)
        if data is None:
            raise errors.NotFound("This part of the recording was deleted.")
        return body(
            request,
            data,
            media_type=_TYPES[facts.media],
            etag=f"{playable.target.revision}-{facts.name}-{name}-{len(data):x}",
            cache=cached(playable, IMMUTABLE),
        )

    def _answer(self, request: Request, kept: "_Kept", media_type: str) -> Response:
        text, etag = self._write(kept)
        return body(request, text, media_type=media_type, etag=etag, cache=cached(kept.playable, SHORT))


class _Kept:
    """A cache key that stands for a whole recording by its revision."""

    def __init__(self, playable: RecordedPlayable, kind: str, what: Selection | str) -> None:
        self.playable = playable
        self.kind = kind
        self.what = what
        self._key = (kind, what, playable.target.id, playable.playback_id.resolution, playable.folder)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kept) and self._key == other._key


def _write(kept: _Kept) -> tuple[bytes, str]:
    text = _text(kept).encode()
    return text, digest(text)


def _text(kept: _Kept) -> str:
    recording, root = kept.playable.target.recording, kept.playable.folder
    if isinstance(kept.what, str):
        return recorded_hls.media(recording, kept.what)
    videos = selection.choose(recording.videos, kept.what, kept.playable.playback_id.resolution)
    if kept.kind == "dash":
        return recorded_dash.manifest(recording, videos, root=root)
    with_audio_only = kept.what.is_everything and kept.what.order != "asc"
    return recorded_hls.multivariant(recording, videos, root=root, with_audio_only=with_audio_only)


def _rendition(request: Request, playable: RecordedPlayable) -> Facts:
    found = playable.target.recording.rendition(request.path_params["rendition"])
    if found is None:
        raise errors.NotFound("There is no such rendition.")
    return found


def _number(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise errors.NotFound("There is no such segment.")
    return int(text)
