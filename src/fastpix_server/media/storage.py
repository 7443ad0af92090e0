"""What each media has in storage: counted in the background, reported to its owner and to the metrics, and kept
within the cache's quota.

Invariants: a count is a listing of the folders that a media may have objects in, so it cannot drift for longer than
RECOUNT_AFTER_S, whatever died when; a media is counted within about a minute of a change; the series that the metrics
show are bounded (TOP_MEDIA), however many media there are.
"""

import asyncio
import time
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from fastpix_server.base import clock, log
from fastpix_server.db.pool import Database, Tx
from fastpix_server.jobs.registry import Registry
from fastpix_server.media import storage_store
from fastpix_server.media.storage_store import Sizes
from fastpix_server.playback import cache
from fastpix_server.playback.cache import Quota, Swept
from fastpix_server.storage.keys import media_of, prefixes_of
from fastpix_server.storage.open import Storage
from fastpix_server.storage.port import StorageError

COUNT_JOB = "media.count_storage"
# Every media is looked at this often, changed or not: also what a crash left, or another program did, is found.
RECOUNT_AFTER_S = 86_400.0
# In one run; a run ends after RUN_S, so that the next minute's finds it gone.
COUNT_BATCH = 500
RUN_S = 40.0
# Media with series of their own in the metrics, the largest first: four series each.
TOP_MEDIA = 20

_log = log.get(__name__)


class StorageJobs:
    """`cache_max_bytes` 0: no quota."""

    def __init__(self, db: Database, storage: Storage, *, cache_max_bytes: int) -> None:
        self._db = db
        self._objects = storage.objects
        self._quota = Quota(db, storage.objects, max_bytes=cache_max_bytes)

    def register(self, registry: Registry) -> None:
        registry.every("* * * * *", COUNT_JOB, self.run)

    async def run(self) -> None:
        await self.count_due()
        await self.keep_quota()

    async def keep_quota(self) -> Swept:
        """After counting: what is known is what is dropped by."""
        swept = await self._quota.keep()
        for media_id in sorted({media_id for place in swept.places if (media_id := media_of(place)) is not None}):
            await self.count(media_id)
        return swept

    async def count_due(self) -> None:
        """Media that changed, then those whose last count is old; what is left waits for the next run."""
        ends_s = time.monotonic() + RUN_S
        async with self._db.unit() as tx:
            written = await cache.written(tx, COUNT_BATCH)
            others = await storage_store.due(tx, after_s=RECOUNT_AFTER_S, limit=COUNT_BATCH)
        counted: set[str] = set()
        for seen in written:  # a media may have several targets; it is counted once
            if time.monotonic() > ends_s:
                return
            media_id = (media_of(seen.place) if seen.place else None) or seen.target_id
            if media_id not in counted:
                await self.count(media_id)
                counted.add(media_id)
            async with self._db.unit() as tx:
                await cache.settle(tx, seen)
        for media_id in others:
            if time.monotonic() > ends_s:
                return
            if media_id not in counted:
                await self.count(media_id)

    async def count(self, media_id: str) -> Sizes | None:
        """Lists everything of one media; None when storage did not answer: it is counted another time."""
        began_at = clock.now()
        try:
            listed = await asyncio.gather(
                *(self._objects.list_sizes(prefix) for prefix in prefixes_of(media_id).values())
            )
        except StorageError as fault:
            _log.warning("count_failed", media_id=media_id, error=str(fault))
            return None
        by_family = dict(zip(prefixes_of(media_id), listed, strict=True))
        async with self._db.unit() as tx:
            cached = await cache.count(tx, prefixes_of(media_id)["media"], by_family["media"])
            sizes = Sizes(
                source_bytes=sum(by_family["sources"].values()),
                cache_bytes=cached,
                made_bytes=sum(by_family["media"].values()) - cached,
                recording_bytes=sum(by_family["live"].values()),
            )
            await storage_store.save(tx, media_id, sizes, sum(map(len, listed)), began_at)
        return sizes


async def report(tx: Tx, workspace_id: str, *, limit: int, offset: int) -> tuple[dict[str, Any], int]:
    """What a workspace has in storage as the API shows it, the largest media first; and how many were counted."""
    sizes, object_count, media_count = await storage_store.totals(tx, workspace_id)
    found = await storage_store.page(tx, workspace_id, limit=limit, skip=(offset - 1) * limit)
    shown = {**_shown(sizes), "objectCount": object_count, "mediaCount": media_count, "media": []}
    for one in found:
        entry: dict[str, Any] = {"mediaId": one.media_id}
        if one.title is not None:
            entry["title"] = one.title
        shown["media"].append(
            {**entry, **_shown(one.sizes), "objectCount": one.object_count, "countedAt": clock.iso(one.counted_at)}
        )
    return shown, media_count


def _shown(sizes: Sizes) -> dict[str, Any]:
    return {
        "totalBytes": sizes.total_bytes,
        "sourceBytes": sizes.source_bytes,
        "cacheBytes": sizes.cache_bytes,
        "madeBytes": sizes.made_bytes,
        "recordingBytes": sizes.recording_bytes,
    }


async def metrics_text(db: Database, *, cache_max_bytes: int) -> bytes:
    """Prometheus text from the counts: the same whichever process is asked, so it is no sample of any process."""
    async with db.unit() as tx:
        sizes, object_count, media_count = await storage_store.totals(tx)
        largest = await storage_store.largest(tx, TOP_MEDIA)
    registry = CollectorRegistry()
    registry.register(_Counts(sizes, object_count, media_count, largest, cache_max_bytes))
    return bytes(generate_latest(registry))


class _Counts:
    def __init__(
        self, sizes: Sizes, object_count: int, media_count: int, largest: list[tuple[str, Sizes]], max_bytes: int
    ) -> None:
        self._sizes = sizes
        self._plain = {
            "fastpix_storage_objects": ("Objects of all media.", object_count),
            "fastpix_storage_media": ("Media that were counted.", media_count),
            "fastpix_cache_max_bytes": ("The quota of what is made on demand; 0 is none.", max_bytes),
        }
        self._largest = largest

    def collect(self) -> list[GaugeMetricFamily]:
        about = "Stored bytes of all media, by what they are."
        whole = GaugeMetricFamily("fastpix_storage_bytes", about, labels=["kind"])
        for kind, size in _kinds(self._sizes):
            whole.add_metric([kind], size)
        each = GaugeMetricFamily(
            "fastpix_storage_media_bytes", f"The same of the {TOP_MEDIA} largest media.", labels=["media_id", "kind"]
        )
        for media_id, sizes in self._largest:
            for kind, size in _kinds(sizes):
                each.add_metric([media_id, kind], size)
        return [whole, each, *(GaugeMetricFamily(name, text, value) for name, (text, value) in self._plain.items())]


def _kinds(sizes: Sizes) -> tuple[tuple[str, int], ...]:
    return (
        ("source", sizes.source_bytes),
        ("cache", sizes.cache_bytes),
        ("made", sizes.made_bytes),
        ("recording", sizes.recording_bytes),
    )
