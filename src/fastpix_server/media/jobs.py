"""Background work on media: prepare (stored bytes -> Ready) and erase (all bytes of a deleted media).

Invariants: both are idempotent and may run twice at once; every change of status is a short transaction of its own
and no transaction is open while the engine works; what prepare wrote for a media that was deleted meanwhile, it
removes again.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import Counter, Histogram

from fastpix_server.base import log
from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.db.pool import Database
from fastpix_server.engine.plan import make_plan
from fastpix_server.engine.remux import remux
from fastpix_server.engine.run import run
from fastpix_server.engine.source import Source
from fastpix_server.jobs.registry import Registry
from fastpix_server.media import service, states, store
from fastpix_server.media.edited import Editor
from fastpix_server.media.edits import NOTHING
from fastpix_server.media.model import Media
from fastpix_server.media.service import Prepared
from fastpix_server.media.states import Status
from fastpix_server.playback import service as playback
from fastpix_server.playback.model import Target
from fastpix_server.storage import keys
from fastpix_server.storage.open import Storage
from fastpix_server.storage.port import ObjectMissing

# The engine's own limits bound each try; three tries tell a passing fault from a lasting one.
PREPARE_RETRIES = 3
# Nothing depends on an erase, and a store that is away for an hour must not leave bytes behind.
ERASE_RETRIES = 10
GAVE_UP = "The file could not be prepared because of a fault on our side; try again later or ask the operator."

_log = log.get(__name__)
_seconds = Histogram(
    "fastpix_media_prepare_seconds",
    "From the start of prepare to Ready.",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 120, 600),
)
_failures = Counter("fastpix_media_failures", "Media that failed in prepare, by reason.", ["code"])


class MediaJobs:
    """The handlers and what they need. `work_dir` holds files in the making, cleared by each job itself.

    `may_prepare` is asked before the engine sees a media, and raises SourceFault for one that has to fail.
    """

    def __init__(
        self, db: Database, storage: Storage, work_dir: Path, may_prepare: Callable[[str], None] | None = None
    ) -> None:
        self._db = db
        self._storage = storage
        self._work_dir = work_dir
        self._editor = Editor(storage, work_dir)
        self._may_prepare = may_prepare

    def register(self, registry: Registry) -> None:
        registry.add(
            service.PREPARE_JOB,
            self.prepare,
            queue="prepare",
            retries=PREPARE_RETRIES,
            on_exhausted=self.give_up,
        )
        registry.add(service.ERASE_JOB, self.erase, retries=ERASE_RETRIES)

    async def prepare(self, media_id: str) -> None:
        """Stored source -> probed, planned, published: Ready; or Failed, when the file is at fault."""
        begun_s = time.perf_counter()
        media = await self._begin(media_id)
        if media is None:
            return
        try:
            if self._may_prepare is not None:
                self._may_prepare(media_id)
            prepared = await self._understand(media)
        except SourceFault as fault:
            _failures.labels(fault.code).inc()
            async with self._db.unit() as tx:
                await service.fail(tx, media_id, fault.code, fault.description)
            return
        if prepared is not None:
            async with self._db.unit() as tx:
                ready = await service.make_ready(tx, media_id, prepared)
            if ready is not None:
                _seconds.observe(time.perf_counter() - begun_s)
                return
        async with self._db.unit() as tx:
            is_gone = await store.status_of(tx, media_id) is None
        if is_gone:
            await self.erase(media_id)

    async def give_up(self, media_id: str, error: str) -> None:
        """After the last try: the user must not wait for ever for a fault of ours."""
        _log.error("media_prepare_exhausted", media_id=media_id, error=error)
        _failures.labels("service_fault").inc()
        async with self._db.unit() as tx:
            await service.fail(tx, media_id, "service_fault", GAVE_UP)

    async def erase(self, media_id: str) -> None:
        """Every byte that belongs to the media: what the user sent, and all that was made of it. Raises ServiceFault
        when something is there again afterwards: somebody was still writing."""
        objects = self._storage.objects
        await self._storage.staging.discard(media_id)
        count, left = 0, 0
        for prefix in keys.prefixes_of(media_id).values():
            for key in await objects.list_sizes(prefix):
                await self._storage.sources.forget(key)
            count += await objects.delete_prefix(prefix)
            left += len(await objects.list_sizes(prefix))
        if left:
            raise ServiceFault("erase_incomplete", f"{left} objects of media {media_id} are left.")
        _log.info("media_erased", media_id=media_id, objects=count)

    async def _begin(self, media_id: str) -> Media | None:
        async with self._db.unit() as tx:
            if not await states.advance(tx, media_id, Status.VALIDATING):
                return None
            return await store.find(tx, media_id)

    async def _advance(self, media_id: str, to: Status) -> bool:
        async with self._db.unit() as tx:
            return await states.advance(tx, media_id, to)

    async def _understand(self, media: Media) -> Prepared | None:
        """Facts and plan; None when the media went away meanwhile."""
        if media.edit != NOTHING or media.optimize_audio or media.source_media_id is not None:
            return await self._edited(media)
        from fastpix_server.engine.probe import needs_remux, probe  # numpy: loaded by the first media

        key = service.source_key(media.id)
        try:
            async with self._storage.sources.open(key) as path:
                source = await probe(path, run=run)
                normal_key = None
                if needs_remux(source):
                    normal_key = await self._normalise(media.id, path, source)
                if not await self._advance(media.id, Status.IN_QUEUE):
                    return None
                if normal_key is None:
                    return await self._plan(media, path, source, source, key)
            async with self._storage.sources.open(normal_key) as path:
                return await self._plan(media, path, await probe(path, run=run), source, normal_key)
        except ObjectMissing as fault:
            if not await self._advance(media.id, Status.VALIDATING):
                return None
            raise ServiceFault("source_missing", f"The stored source of media {media.id} is missing.") from fault

    async def _edited(self, media: Media) -> Prepared | None:
        if not (await self._advance(media.id, Status.IN_QUEUE) and await self._advance(media.id, Status.PROCESSING)):
            return None
        try:
            edited = await self._editor.plan(media, await self._lender(media))
        except ObjectMissing as fault:
            if not await self._advance(media.id, Status.PROCESSING):
                return None
            raise ServiceFault("source_missing", f"A stored source of media {media.id} is missing.") from fault
        return Prepared(
            source=edited.source,
            plan=edited.plan,
            source_key=edited.keys[0],
            other_source_keys=edited.keys[1:],
            place=f"media/{media.id}/{edited.plan.revision}",
        )

    async def _lender(self, media: Media) -> Target | None:
        if media.source_media_id is None:
            return None
        async with self._db.unit() as tx:
            found = await playback.find_any(tx, media.source_media_id)
        return found if isinstance(found, Target) else None

    async def _plan(self, media: Media, path: Path, facts: Source, source: Source, key: str) -> Prepared | None:
        """`facts` are of the file at `path`, `source` of what the user sent."""
        if not await self._advance(media.id, Status.PROCESSING):
            return None
        from fastpix_server.engine import copyrung

        verdict = await asyncio.to_thread(copyrung.judge, path, facts)
        plan = await asyncio.to_thread(
            make_plan, facts, max_resolution=media.max_resolution, quality=media.media_quality, copy=verdict
        )
        return Prepared(source=source, plan=plan, source_key=key, place=f"media/{media.id}/{plan.revision}")

    async def _normalise(self, media_id: str, path: Path, source: Source) -> str:
        """A container without an index becomes an MP4 beside it, stored whole or not at all."""
        key = f"sources/{media_id}/normal.mp4"
        if await self._storage.objects.size(key) is not None:
            return key  # an earlier try came as far as this
        self._work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix="normalise-", dir=self._work_dir) as folder:
            out = Path(folder) / "normal.mp4"
            await remux(path, out, source)
            await self._storage.objects.put_file(key, out)
        return key
