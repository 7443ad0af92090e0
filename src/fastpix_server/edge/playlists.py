"""What the page of a playlist plays: `/play/playlist/{playlistId}/items`.

A playlist id is no playback id, and opens nothing. Invariants: an item is listed under a playback id that the gate
would let this very viewer into, now, with what they brought: a public id whose restrictions allow them, or a private
one with its token; an item without such an id is not mentioned, not even counted. Playing it passes the gate again.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.base import errors, ids
from fastpix_server.edge.bodies import NO_STORE, body, digest
from fastpix_server.edge.delivery import Delivery, route
from fastpix_server.media import playlists
from fastpix_server.media.model import Media
from fastpix_server.playback.admission import MAX_TOKENS
from fastpix_server.playback.gate import Viewer
from fastpix_server.playback.model import PlaybackId

# A page that is opened by a crowd reads its list once in this time; what is listed is gated again when it is played.
FRESH_S = 5.0
# Lists of a thousand media are half a megabyte each.
MAX_KEPT = 32

_Sequence = tuple[str, list[tuple[Media, list[PlaybackId]]]]


class Playlists:
    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._reads: OrderedDict[str, tuple[float, asyncio.Task[_Sequence | None]]] = OrderedDict()

    def routes(self) -> list[Route]:
        return [route("/play/playlist/{playlist_id}/items", self.items)]

    async def items(self, request: Request) -> Response:
        playlist_id = request.path_params["playlist_id"]
        found = await self._read(playlist_id) if ids.is_uuid(playlist_id) else None
        if found is None:
            raise errors.NotFound("There is no such playlist.", message="playlist not found")
        name, held = found
        headers = request.headers
        viewer = Viewer.from_headers(
            origin=headers.get("origin", ""),
            referer=headers.get("referer", ""),
            user_agent=headers.get("user-agent", ""),
        )
        brought = request.query_params.getlist("token")[:MAX_TOKENS]
        named = [one for _, all_named in held for one in all_named]
        opened = await self._delivery.admission.openable(named, viewer, brought)
        shown = [item for media, all_named in held if (item := _item(media, all_named, opened)) is not None]
        data = msgspec.json.encode({"name": name, "items": shown})
        return body(request, data, media_type="application/json", etag=digest(data), cache=NO_STORE)

    async def _read(self, playlist_id: str) -> _Sequence | None:
        now_s = time.monotonic()
        read = self._reads.get(playlist_id)
        if read is None or now_s - read[0] > FRESH_S:
            read = (now_s, asyncio.create_task(self._look(playlist_id)))
            self._reads[playlist_id] = read
            self._reads.move_to_end(playlist_id)
            if len(self._reads) > MAX_KEPT:
                self._reads.popitem(last=False)
        try:
            found = await asyncio.shield(read[1])
        except Exception:
            self._drop(playlist_id, read[1])
            raise
        if found is None:  # it may be made in a moment, and guesses shall push nothing out
            self._drop(playlist_id, read[1])
        return found

    def _drop(self, playlist_id: str, task: asyncio.Task[_Sequence | None]) -> None:
        if (read := self._reads.get(playlist_id)) is not None and read[1] is task:
            del self._reads[playlist_id]

    async def _look(self, playlist_id: str) -> _Sequence | None:
        async with self._delivery.context.db.unit() as tx:
            found = await playlists.sequence(tx, playlist_id)
        return None if found is None else (found[0].name, found[1])


def _item(media: Media, named: Sequence[PlaybackId], opened: dict[str, int | None]) -> dict[str, Any] | None:
    """Under the oldest id that is open to this viewer without a token, else with one; None where there is none."""
    candidates = [one for one in named if one.id in opened]
    if not candidates:
        return None
    chosen = min(candidates, key=lambda one: opened[one.id] is not None)
    item: dict[str, Any] = {"playbackId": chosen.id, "title": media.title or "", "isAudioOnly": media.is_audio_only}
    if media.duration_s is not None:
        item["duration"] = round(media.duration_s, 3)
    if (token := opened[chosen.id]) is not None:
        item["token"] = token  # which of the page's own `token` parameters opens it
    return item
