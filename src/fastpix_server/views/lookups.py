"""Whose a beacon is and what its source shows, from the metadata database, remembered for a while.

Invariants: each memory has at most ENTRIES_MAX entries, and an unknown name is remembered too, so that strangers cannot
make the database work. A workspace that was known stays known while the database is away. A playback id of another
workspace shows nothing. At most ASKING_MAX questions wait for the database.
"""

import asyncio
import dataclasses
import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from fastpix_server.access import service as access
from fastpix_server.base import errors, ids
from fastpix_server.db.pool import Database
from fastpix_server.playback import service as playback

T = TypeVar("T")

ENTRIES_MAX = 20_000
KNOWN_S = 300.0
# A workspace made just now is counted after this; a media's id is in use only after it was made.
UNKNOWN_S = 10.0
ASKING_MAX = 4
# A beacon does not wait longer for what it can do without.
LOOKUP_TIMEOUT_S = 2.0
# Names that can be a key; anything else is no question for the database.
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SOURCE = re.compile(
    r"https?://[^/?#]{1,255}/(?:[^?#]{0,200}/)?"
    r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:\.m3u8|\.mpd|/)",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """What a playback id shows; one of the two ids is ''."""

    playback_id: str
    media_id: str
    live_stream_id: str


class _Memory(Generic[T]):
    """Answers by key, the oldest-used go first."""

    def __init__(self, ask: Callable[[str], Awaitable[T | None]]) -> None:
        self._ask = ask
        self._answers: OrderedDict[str, tuple[float, T | None]] = OrderedDict()
        self._asking = asyncio.Semaphore(ASKING_MAX)

    async def get(self, key: str) -> T | None:
        """Raises errors.Unavailable when the database is away and nothing is remembered."""
        known = self._answers.get(key)
        if known is not None and time.monotonic() < known[0]:
            self._answers.move_to_end(key)
            return known[1]
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S), self._asking:
                found = await self._ask(key)
        except (errors.Unavailable, TimeoutError) as fault:
            if known is not None:
                return known[1]
            raise errors.Unavailable("The database cannot be reached; try again shortly.") from fault
        self._answers[key] = (time.monotonic() + (UNKNOWN_S if found is None else KNOWN_S), found)
        self._answers.move_to_end(key)
        while len(self._answers) > ENTRIES_MAX:
            self._answers.popitem(last=False)
        return found


class Lookups:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._workspaces = _Memory(self._ask_workspace)
        self._shown = _Memory(self._ask_shown)

    async def workspaces(self, keys: Iterable[str]) -> dict[str, str]:
        """Key -> workspace id, of those that exist. Raises errors.Unavailable when that cannot be known."""
        found = {}
        for key in keys:
            if _KEY.fullmatch(key) and (workspace_id := await self._workspaces.get(key)) is not None:
                found[key] = workspace_id
        return found

    async def source(self, workspace_id: str, url: str, playback_id: str = "") -> Source | None:
        """By the given id, else by the one in the URL. None when there is none; the rest is missing when the id is
        not this workspace's, or the database is away: a view must not wait for that."""
        name = playback_id if ids.is_uuid(playback_id) else playback_id_of(url)
        if not name:
            return None
        try:
            shown = await self._shown.get(name)
        except errors.Unavailable:
            shown = None
        if shown is None or shown.workspace_id != workspace_id:
            return Source(name, "", "")
        if shown.is_live:
            return Source(name, "", uuid.UUID(shown.target_id).hex)
        return Source(name, shown.target_id, "")

    async def _ask_workspace(self, key: str) -> str | None:
        async with self._db.unit() as tx:
            return await access.find_workspace_of_key(tx, key)

    async def _ask_shown(self, playback_id: str) -> playback.Shown | None:
        async with self._db.unit() as tx:
            return await playback.find_shown(tx, playback_id)


def playback_id_of(url: str) -> str:
    """`https://host/{playbackId}.m3u8`, or below `/{playbackId}/`; '' when the URL names none."""
    found = _SOURCE.match(url)
    return found[1].lower() if found else ""
