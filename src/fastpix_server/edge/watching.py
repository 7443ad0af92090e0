"""Who watches which session, seen by this edge and told to the session's origin every few seconds.

Invariants: nothing is told for requests that were refused; what cannot be told is forgotten, so a count is at worst
too low for a moment; sessions and viewers are bounded.
"""

import asyncio
import time

from starlette.requests import Request

from fastpix_server.edge.origin import pack_viewers
from fastpix_server.edge.origins import Origins
from fastpix_server.live.viewers import Viewers
from fastpix_server.playback.admission import LivePlayable

TELL_S = 5.0
# Of this edge at once; each is a dict of at most 20,000 numbers.
SESSIONS_MAX = 1000
# The name of a player's session in the URIs of a multivariant playlist, and how long it may be.
PARAM = "v"
_PARAM_MAX_CHARS = 16


class Watching:
    """Make it anywhere; it begins to tell with the first viewer, on the event loop."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._seen: dict[tuple[str, str], Viewers] = {}
        self._told_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def saw(self, request: Request, playable: LivePlayable) -> None:
        """A playlist or a segment was given to this viewer."""
        if not playable.session.is_running:
            return
        key = (playable.origin, playable.session.id)
        viewers = self._seen.get(key)
        if viewers is None:
            if len(self._seen) >= SESSIONS_MAX:
                return
            viewers = self._seen[key] = Viewers()
        viewers.add(self._number(request, playable), time.monotonic())
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._tell_on(), name="live-viewers")

    def _number(self, request: Request, playable: LivePlayable) -> int:
        """A player's own name if it carries one; its address and program tell the others apart.

        Behind a proxy the address is in X-Forwarded-For. Whoever lies there is counted more than once: the count
        decides nothing.
        """
        headers = request.headers
        return self._origins.auth.viewer(
            playable.playback_id.id,
            request.client.host if request.client is not None else "",
            headers.get("x-forwarded-for", "")[:200],
            headers.get("user-agent", "")[:500],
            request.query_params.get(PARAM, "")[:_PARAM_MAX_CHARS],
        )

    async def _tell_on(self) -> None:
        while self._seen:
            await asyncio.sleep(TELL_S)
            since_s, self._told_s = self._told_s, time.monotonic()
            for key, viewers in [*self._seen.items()]:
                origin, session_id = key
                fresh = viewers.take_since(since_s, self._told_s)
                if fresh:
                    body = pack_viewers(viewers.level, fresh)
                    await self._origins.tell(origin, f"/live/{session_id}/viewers", body)
                elif not viewers.count(self._told_s):
                    del self._seen[key]
