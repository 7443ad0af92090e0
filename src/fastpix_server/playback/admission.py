"""Who may see what, quickly: a bounded cache in front of the tables, dropped entry by entry when something changes.

Invariants: a deletion bites at once where notifications arrive, and within TTL_S where they do not; an answer that was
read before a change is never kept after it; unknown ids have a cache of their own, so that guessing ids cannot push
the real ones out.
"""

import asyncio
import dataclasses
import time
from collections import OrderedDict
from typing import Generic, TypeVar

from fastpix_server.base import errors, ids
from fastpix_server.base.errors import FieldError
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.playback import gate, store
from fastpix_server.playback.model import PlaybackId, Target
from fastpix_server.playback.service import CHANGED

# Long enough to spare the database a busy id, short enough that a lost notification does no harm.
TTL_S = 5.0
# About 1 kB each.
MAX_IDS = 20_000
MAX_UNKNOWN = 20_000
# A plan of a 12-hour film is about 3 MB in memory, one of ten minutes 50 kB.
MAX_TARGETS = 256

V = TypeVar("V")


@dataclasses.dataclass(frozen=True, slots=True)
class Playable:
    """What a request may see: the id it came by and the published target behind it."""

    playback_id: PlaybackId
    target: Target


class _Lru(Generic[V]):
    """Least recently used goes first at `size`; entries older than `ttl_s` count as absent."""

    def __init__(self, size: int, ttl_s: float) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._entries: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def get(self, key: str) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] < time.monotonic():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: str, value: V) -> None:
        self._entries[key] = (time.monotonic() + self._ttl_s, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


class Admission:
    """Answers for every request of an edge. Make it before `listener.start()`."""

    def __init__(self, db: Database, listener: Listener) -> None:
        self._db = db
        self._ids: _Lru[PlaybackId] = _Lru(MAX_IDS, TTL_S)
        self._unknown: _Lru[bool] = _Lru(MAX_UNKNOWN, TTL_S)
        self._targets: _Lru[Target] = _Lru(MAX_TARGETS, TTL_S)
        self._changes = 0
        self._lookups: dict[str, asyncio.Task[Target | None]] = {}
        listener.on(CHANGED, self._on_changed)
        listener.on_reconnect(self._on_reconnect)

    async def admit(self, playback_id: str, viewer: gate.Viewer) -> Playable:
        """Raises Invalid (not an id), Unauthorized, Forbidden, NotFound (deleted) or BadState (not ready)."""
        if not ids.is_uuid(playback_id):
            raise errors.Invalid(FieldError("playbackId", "is invalid"))
        found = await self._find_id(playback_id)
        if found is None:
            raise errors.Unauthorized("There is no such playback id.")
        if found.is_deleted:
            raise errors.NotFound("This playback id was deleted.", message="playbackId not found")
        _check(found, viewer)
        target = await self._find_target(found.target_id)
        if target is None:
            raise errors.BadState(
                "The media behind this playback id is still being prepared, or it failed.", message="media is not ready"
            )
        return Playable(found, target)

    async def _find_id(self, playback_id: str) -> PlaybackId | None:
        found = self._ids.get(playback_id)
        if found is not None or self._unknown.get(playback_id):
            return found
        changes = self._changes
        async with self._db.unit() as tx:
            found = await store.find_id(tx, playback_id)
        if changes == self._changes:
            if found is None:
                self._unknown.put(playback_id, True)
            else:
                self._ids.put(playback_id, found)
        return found

    async def _find_target(self, target_id: str) -> Target | None:
        """A thousand viewers of a new thing read its plan once."""
        found = self._targets.get(target_id)
        if found is not None:
            return found
        lookup = self._lookups.get(target_id)
        if lookup is None:
            lookup = asyncio.create_task(self._read_target(target_id))
            self._lookups[target_id] = lookup
            lookup.add_done_callback(lambda done: self._forget_lookup(target_id, done))
        return await asyncio.shield(lookup)

    async def _read_target(self, target_id: str) -> Target | None:
        changes = self._changes
        async with self._db.unit() as tx:
            found = await store.find_target(tx, target_id)
        if found is not None and changes == self._changes:
            self._targets.put(target_id, found)
        return found

    def _forget_lookup(self, target_id: str, done: asyncio.Task[Target | None]) -> None:
        if self._lookups.get(target_id) is done:
            del self._lookups[target_id]

    def _on_changed(self, payload: str) -> None:
        """`payload` is a playback id or a target's id. A lookup under way may hold the old state: it is not kept."""
        self._changes += 1
        self._ids.drop(payload)
        self._unknown.drop(payload)
        self._targets.drop(payload)
        self._lookups.pop(payload, None)

    def _on_reconnect(self) -> None:
        self._changes += 1
        self._lookups.clear()
        for cache in (self._ids, self._unknown, self._targets):
            cache.clear()


def _check(found: PlaybackId, viewer: gate.Viewer) -> None:
    decision = gate.decide(found.access_policy, found.access_restrictions, viewer)
    if isinstance(decision, gate.Allowed):
        return
    if decision.reason == "token_missing":
        raise errors.Unauthorized("This playback id needs a valid token.")
    what = "this website" if decision.reason == "domain" else "this user agent"
    raise errors.Forbidden(f"The owner does not allow playback from {what}.")
