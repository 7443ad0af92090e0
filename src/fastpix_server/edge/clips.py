"""`?start=&end=&clipAccess=` on the manifests of a live stream: a playlist of what is stored, at once."""

from collections import OrderedDict
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from fastpix_server.base import errors
from fastpix_server.edge.bodies import DASH_TYPE, HLS_TYPE, SHORT, Kind, body, digest
from fastpix_server.edge.delivery import Delivery, cached
from fastpix_server.live import clips
from fastpix_server.live.clips import ClipReader, Cut, Range
from fastpix_server.playback import recorded_dash, recorded_hls, selection
from fastpix_server.playback.admission import AnyPlayable, LivePlayable, RecordedPlayable
from fastpix_server.playback.selection import Selection

# Ranges that this process has asked to keep: asking again would only cost a transaction.
MAX_ASKED = 10_000
# A list that grows is read again every two seconds.
GROWING = "public, max-age=1"

ClipPlayable = LivePlayable | RecordedPlayable


def wanted(request: Request, playable: AnyPlayable) -> tuple[ClipPlayable, Range] | None:
    """The range that is asked for, of what has ranges: the ids of a live stream, not those of its recordings."""
    if isinstance(playable, RecordedPlayable):
        if playable.playback_id.target_id == playable.target.id:
            return None
    elif not isinstance(playable, LivePlayable):
        return None
    found = clips.parse(request.query_params)
    return None if found is None else (playable, found)


class ClipPlaylists:
    def __init__(self, delivery: Delivery) -> None:
        self._db = delivery.context.db
        self._reader = ClipReader(delivery.context.db)
        self._asked: OrderedDict[tuple[str, str, Range], None] = OrderedDict()

    async def manifest(
        self, request: Request, playable: ClipPlayable, wanted: Range, kind: Kind, selected: Selection
    ) -> Response:
        cut = await self._cut(playable, wanted)
        recording = cut.recording
        videos = selection.choose(recording.videos, selected, playable.playback_id.resolution)
        if kind == "hls":
            text = recorded_hls.multivariant(recording, videos, root=playable.folder, query=wanted.query)
        elif cut.is_complete:
            text = recorded_dash.manifest(recording, videos, root=playable.folder)
        else:
            raise errors.BadState("The live stream has not come this far yet.", message="clip is not ready")
        if request.method == "GET":
            await self._keep(playable, wanted)
        return _answer(request, playable, cut, text, HLS_TYPE if kind == "hls" else DASH_TYPE)

    async def playlist(self, request: Request, playable: ClipPlayable, wanted: Range) -> Response:
        cut = await self._cut(playable, wanted)
        name = request.path_params["rendition"]
        if cut.recording.rendition(name) is None:
            raise errors.NotFound("There is no such rendition.")
        text = recorded_hls.media(cut.recording, name, is_closed=cut.is_complete)
        return _answer(request, playable, cut, text, HLS_TYPE)

    async def _cut(self, playable: ClipPlayable, wanted: Range) -> Cut:
        if isinstance(playable, RecordedPlayable):
            return clips.cut(playable.target.recording, wanted, may_grow=False)
        whole, may_grow = await self._reader.shown(playable.session.id)
        return clips.cut(whole, wanted, may_grow=may_grow and playable.session.is_running)

    async def _keep(self, playable: ClipPlayable, wanted: Range) -> None:
        """Once per range; a database that is away is the viewer's 503, as it is for everything else."""
        session_id = playable.session.id if isinstance(playable, LivePlayable) else playable.target.id
        place = playable.session.place if isinstance(playable, LivePlayable) else playable.target.place
        named = playable.playback_id
        asked = (session_id, named.id, wanted)
        if wanted.end_s is None or asked in self._asked:
            return
        access: Literal["public", "private"] = "public" if named.access_policy == "public" else "private"
        async with self._db.unit() as tx:
            await clips.keep(
                tx,
                wanted,
                session_id=session_id,
                stream_id=named.target_id.replace("-", ""),
                workspace_id=named.workspace_id,
                place=place,
                playback_id=named.id,
                default_access=access,
            )
        self._asked[asked] = None
        if len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)


def _answer(request: Request, playable: ClipPlayable, cut: Cut, text: str, media_type: str) -> Response:
    data = text.encode()
    cache = cached(playable, SHORT if cut.is_complete else GROWING)
    return body(request, data, media_type=media_type, etag=digest(data), cache=cache)
