"""What is made on demand is a cache: it has a quota, and the least recently used shelf goes first.

A shelf is one folder below a planned target's place: a rendition, its encrypted copies, the pictures.
Invariants: only what can be made again is ever dropped (a key whose name is a wish, see artifacts.py, below the place
of a planned target), so never a source, a recording or a file of another kind; nothing that was used or written in the
last UNUSED_S is dropped, even when that leaves the cache above its quota; a shelf is claimed in the database before its
bytes go and counted again afterwards, so that a process killed in between costs neither bytes nor truth.
"""

import asyncio
import dataclasses
import time
from collections import OrderedDict
from collections.abc import Mapping

from prometheus_client import Counter

from fastpix_server.base import errors, log
from fastpix_server.db.pool import Database, Tx
from fastpix_server.playback import ledger, shelves_store
from fastpix_server.playback.artifacts import Artifact, Placed, parse
from fastpix_server.playback.shelves_store import Place, Shelf
from fastpix_server.storage.port import ObjectStore

_log = log.get(__name__)

# A use is written down once in this time per shelf and process; that is how coarse "recently" is.
NOTE_EVERY_S = 300.0
# Longer than that and the way of a note, so that what is being watched is never among the unused.
UNUSED_S = 420.0
# Uses gathered into one statement.
GATHER_S = 0.5
MAX_BATCH = 500
# Shelves whose last note a process remembers (200 bytes each); beyond it the oldest are noted more often.
MAX_NOTED = 50_000
# Uses that wait for the database; when it is away for long, the next request after it tells again.
MAX_PENDING = 20_000
# A writer says so once in this time per target; a count that began sooner after the last word is not the final one.
WRITE_NOTE_EVERY_S = 30.0
SETTLED_AFTER_S = 40.0
# Dropping ends below this share of the quota: not every new segment then drops an old one.
LOW_WATER = 0.9
# Shelves looked at in one query, and dropped in one run: the next minute goes on.
MAX_CANDIDATES = 200
MAX_DROPS = 2000
# Rows of empty shelves are forgotten after a day without use.
FORGET_EMPTY_S = 86_400.0

_dropped = Counter("fastpix_cache_dropped_bytes_total", "Bytes dropped because the cache was above its quota")
_dropped_shelves = Counter("fastpix_cache_dropped_shelves_total", "Renditions and folders of pictures dropped")

# How a stored thing may end after its name; every key is proven by making it from the name again.
_ENDINGS = ("", ".m4s", ".fast.m4s", ".mp4")


@dataclasses.dataclass(frozen=True, slots=True)
class Swept:
    """What a look at the quota found and did, and at which targets' places."""

    before_bytes: int
    after_bytes: int
    dropped: tuple[Shelf, ...] = ()
    places: frozenset[str] = frozenset()


def shelf_of_artifact(target: Placed, artifact: Artifact) -> str:
    return artifact.keys(target)[0].removeprefix(f"{target.place}/").rpartition("/")[0]


def shelf_of_key(target: Placed, key: str) -> str | None:
    """The shelf of a stored key; None for anything that nobody could wish for, and that is therefore kept."""
    rest = key.removeprefix(f"{target.place}/")
    if rest == key:
        return None
    for ending in _ENDINGS:
        artifact = parse(rest.removesuffix(ending)) if rest.endswith(ending) else None
        if artifact is not None and key in artifact.keys(target):
            return rest.rpartition("/")[0] or None
    return None


def by_shelf(target: Placed, sizes: Mapping[str, int]) -> dict[str, int]:
    """Bytes of each shelf among stored keys and their sizes; what is kept is in none."""
    found: dict[str, int] = {}
    for key, size in sizes.items():
        shelf = shelf_of_key(target, key)
        if shelf is not None:
            found[shelf] = found.get(shelf, 0) + size
    return found


async def count(tx: Tx, folder: str, sizes: Mapping[str, int]) -> int:
    """Writes down what a listing of a folder found of the targets below it; the bytes of their cache."""
    total = 0
    for target in await shelves_store.places_below(tx, folder):
        found = by_shelf(target, sizes)
        await shelves_store.set_sizes(tx, target.id, found)
        total += sum(found.values())
    return total


class Uses:
    """The edge's side: who was served from which shelf, told to the database now and then, never per request."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._pending: set[tuple[str, str]] = set()
        self._sending: asyncio.Task[None] | None = None

    def note(self, target: Placed, artifact: Artifact) -> None:
        """Returns at once; costs a look into a dictionary for all but the first use in NOTE_EVERY_S."""
        use = (target.id, shelf_of_artifact(target, artifact))
        now_s = time.monotonic()
        if now_s - self._noted.get(use, float("-inf")) < NOTE_EVERY_S or len(self._pending) >= MAX_PENDING:
            return
        self._noted[use] = now_s
        self._noted.move_to_end(use)
        if len(self._noted) > MAX_NOTED:
            self._noted.popitem(last=False)
        self._pending.add(use)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        batch: list[tuple[str, str]] = []
        try:
            while self._pending:
                await asyncio.sleep(GATHER_S)
                batch = [self._pending.pop() for _ in range(min(len(self._pending), MAX_BATCH))]
                async with ledger.hasty(self._db) as tx:
                    await shelves_store.note_uses(tx, batch)
        except errors.Unavailable:
            for use in (*batch, *self._pending):  # the next request tells again
                self._noted.pop(use, None)
            self._pending.clear()
        finally:
            self._sending = None


class Writes:
    """The worker's side: says of a target that something is about to be written there, before it is."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: OrderedDict[str, float] = OrderedDict()

    async def note(self, target_id: str) -> None:
        now_s = time.monotonic()
        if now_s - self._noted.get(target_id, float("-inf")) < WRITE_NOTE_EVERY_S:
            return
        async with ledger.hasty(self._db) as tx:
            await shelves_store.note_write(tx, target_id)
        self._noted[target_id] = now_s
        self._noted.move_to_end(target_id)
        if len(self._noted) > MAX_NOTED:
            self._noted.popitem(last=False)


class Quota:
    """`max_bytes` 0: no quota, nothing is ever dropped. `unused_s` is for tests that cannot wait."""

    def __init__(self, db: Database, objects: ObjectStore, *, max_bytes: int, unused_s: float = UNUSED_S) -> None:
        self._db = db
        self._objects = objects
        self._max_bytes = max_bytes
        self._unused_s = unused_s

    async def keep(self) -> Swept:
        """Above the quota: drops the least recently used shelves until LOW_WATER of it, or none is left to drop."""
        async with self._db.unit() as tx:
            before = total = await shelves_store.total_bytes(tx)
            await shelves_store.forget_empty(tx, unused_s=FORGET_EMPTY_S)
        if not self._max_bytes or total <= self._max_bytes:
            return Swept(before, total)
        goal = int(self._max_bytes * LOW_WATER)
        dropped: list[Shelf] = []
        places: set[str] = set()
        while total > goal and len(dropped) < MAX_DROPS:
            async with self._db.unit() as tx:
                candidates = await shelves_store.oldest(tx, unused_s=self._unused_s, limit=MAX_CANDIDATES)
            if not candidates:
                break
            for shelf in candidates:
                if total <= goal:
                    break
                if (place := await self._drop(shelf)) is not None:
                    total -= shelf.size_bytes
                    dropped.append(shelf)
                    places.add(place)
        if total > self._max_bytes:
            _log.warning("cache_above_quota", size_bytes=total, max_bytes=self._max_bytes)
        return Swept(before, total, tuple(dropped), frozenset(places))

    async def _drop(self, shelf: Shelf) -> str | None:
        """The place that it was dropped from; None when it is in use again, or its target is gone."""
        async with self._db.unit() as tx:
            place = await shelves_store.place_of(tx, shelf.target_id)
            if not await shelves_store.claim(tx, shelf, unused_s=self._unused_s) or place is None:
                return None
        target = Place(shelf.target_id, place)
        folder = f"{place}/{shelf.shelf}"
        stored = await self._objects.list_sizes(folder)
        ours = [key for key in stored if shelf_of_key(target, key) == shelf.shelf]
        if len(ours) == len(stored):
            await self._objects.delete_prefix(folder)
        else:
            for key in ours:
                await self._objects.delete(key)
        _dropped.inc(shelf.size_bytes)
        _dropped_shelves.inc()
        _log.info("cache_dropped", media_id=shelf.target_id, shelf=shelf.shelf, size_bytes=shelf.size_bytes)
        return place


async def has_room(tx: Tx, max_bytes: int) -> bool:
    """May the background make more? Viewers always get what they ask for."""
    return not max_bytes or await shelves_store.total_bytes(tx) < max_bytes


async def written(tx: Tx, limit: int) -> list[shelves_store.Written]:
    return await shelves_store.written(tx, limit)


async def settle(tx: Tx, seen: shelves_store.Written) -> None:
    """After a count of that target. Does nothing when the last word of its writer was too fresh."""
    if seen.age_s >= SETTLED_AFTER_S:
        await shelves_store.settle(tx, seen)
