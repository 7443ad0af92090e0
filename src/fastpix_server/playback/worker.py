"""The maker of a worker process: hears what viewers want, and makes it, or leaves it to a worker who is at it.

Invariants: a wish whose notification was lost is found within POLL_S; a worker that cannot renew its leases ends the
runners behind them, so that two workers never go on with the same rung; stopping leaves no process and no lease.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

from fastpix_server.base import errors, ids, log
from fastpix_server.base.errors import MediaFault, ServiceFault, SourceFault
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.engine import sprites
from fastpix_server.engine.animation import animation
from fastpix_server.engine.pictures import picture
from fastpix_server.playback import ledger, service, store
from fastpix_server.playback.artifacts import (
    PICTURES,
    Artifact,
    InitOf,
    MovingPicture,
    Picture,
    Placed,
    Protected,
    SegmentOf,
    Sheet,
    parse,
)
from fastpix_server.playback.fill import Fill, init_of
from fastpix_server.playback.lane import Lane, default_folder
from fastpix_server.playback.maker import Rung
from fastpix_server.playback.model import Target
from fastpix_server.playback.protecting import protect
from fastpix_server.playback.shop import OpenTarget, Runners, Shop, default_runner_count, made_total
from fastpix_server.playback.stills import (
    KnownRecordings,
    moving,
    moving_picture_of,
    moving_picture_of_edit,
    picture_of,
)
from fastpix_server.playback.targets import RecordedTarget
from fastpix_server.storage.open import Storage

_log = log.get(__name__)

POLL_S = 1.0
# A third of a lease: two lost beats do not lose it.
RENEW_S = 2.0
# Edges ask for half a minute and then tell their viewer to come back: older wishes have nobody behind them.
WISH_AGE_S = 30.0
FORGET_AGE_S = 3600.0
FORGET_EVERY_S = 300.0
# Wishes in hand at once; more wait in the table and are found by the poll.
MAX_HANDLING = 500
# Sources kept open for viewers: a path and the sample tables of those with a copied rung (a few MB each).
MAX_OPEN = 32
# Small one-shot works (pictures, headers, encryption of a segment) at a time.
MAX_SMALL = 2
# Sheets and moving pictures take seconds: they have a place of their own, so that no picture waits behind them.
MAX_SHEETS = 1
# Kept pictures of one target: above that the folder, which is only a cache, is emptied.
MAX_PICTURES = 2000
# A worker with much to do lets others go first for a new rung.
_YIELD_S = 0.02

# What is made in one piece.
Small = InitOf | Picture | Sheet | MovingPicture


class SegmentMaker:
    """Make it before `listener.start()`, then `run()` until cancelled. `fill_threads` per encoder; 0: one per core."""

    def __init__(
        self,
        db: Database,
        listener: Listener,
        storage: Storage,
        *,
        machine_folder: Path | None = None,
        max_runners: int | None = None,
        cache_max_bytes: int = 0,
        fill_threads: int = 1,  # a chunk has an encoder a rung, which fill the cores with less waste than threads
    ) -> None:
        self._db = db
        self._holder = ids.new_uuid()
        self._lane = Lane(machine_folder or default_folder())
        runners = Runners(max_runners or default_runner_count())
        self._shop = Shop(db, storage, self._lane, runners, self._holder, cache_max_bytes=cache_max_bytes)
        self._fill = Fill(self._shop, threads=fill_threads)
        self._rungs: dict[tuple[str, str], Rung] = {}
        self._opened: OrderedDict[str, asyncio.Task[_Open | None]] = OrderedDict()
        self._small = asyncio.Semaphore(MAX_SMALL)
        self._sheets = asyncio.Semaphore(MAX_SHEETS)
        self._recordings = KnownRecordings(db)
        self._making: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        listener.on(ledger.WANTED, self._on_wanted)
        listener.on(service.CHANGED, self._on_changed)

    async def run(self) -> None:
        """Until cancelled; then all runners end and the leases are given back."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._poll())
                group.create_task(self._renew())
                group.create_task(self._forget())
        finally:
            await asyncio.shield(self._close())

    async def fill(self, target_id: str) -> None:
        """One slice of the background job; asks for the next one while anything is left."""
        async with self._db.unit() as tx:
            target = await store.find_target(tx, target_id)
        if target is None:
            return
        opened = await _open(self._shop, target)
        try:
            progress = await self._fill.slice(opened.opened)
        except SourceFault as fault:
            # Trying again cannot help; viewers of the parts that can be made still get them on demand.
            _log.warning("fill_impossible", media_id=target_id, code=fault.code, error=fault.description)
            return
        finally:
            await opened.close()
        if progress == "full":
            _log.info("fill_ended_by_quota", media_id=target_id)
        if progress == "more":
            async with self._db.unit() as tx:
                await service.schedule_fill(tx, target_id)

    # Hearing

    def _on_wanted(self, payload: str) -> None:
        target_id, _, name = payload.partition(" ")
        hint = name.startswith("+")
        artifact = parse(name.removeprefix("+"))
        if artifact is None:
            return
        if hint:
            if isinstance(artifact, SegmentOf) and (rung := self._rungs.get((target_id, artifact.rendition))):
                rung.hint(artifact.k)
            return
        if isinstance(artifact, SegmentOf):
            self._fill.give_way(target_id, artifact.rendition, artifact.k)
        self._take(target_id, artifact)

    def _take(self, target_id: str, artifact: Artifact) -> None:
        key = (target_id, str(artifact))
        if key in self._making or len(self._making) >= MAX_HANDLING:
            return
        self._making.add(key)
        task = asyncio.create_task(self._handle(target_id, artifact))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._making.discard(key))

    def _on_changed(self, payload: str) -> None:
        """A target was replaced or is gone: nothing of the old one is made any more."""
        self._recordings.drop(payload)
        if payload in self._opened:
            task = asyncio.create_task(self._recheck(payload))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _recheck(self, target_id: str) -> None:
        task = self._opened.get(target_id)
        opened = None if task is None else await task
        async with self._db.unit() as tx:
            current = opened is not None and await store.is_current(tx, target_id, opened.opened.target.plan.revision)
        if not current:
            self._fill.drop(target_id)
            await self._drop(target_id)
            if opened is not None:
                # Fetched again, if it was only replaced; otherwise nothing of it stays on this machine.
                await self._shop.sources.forget(opened.opened.target.source_key)

    # Making

    async def _handle(self, target_id: str, artifact: Artifact) -> None:
        try:
            if isinstance(artifact, SegmentOf):
                await self._handle_segment(target_id, artifact)
            else:
                await self._handle_small(target_id, artifact)
        except errors.Unavailable as error:
            _log.warning("making_postponed", media_id=target_id, artifact=str(artifact), error=str(error))
        except Exception as error:  # whoever waits must hear of it, whatever it was
            await self._shop.announce_failed(target_id, artifact, error)

    async def _handle_segment(self, target_id: str, artifact: SegmentOf) -> None:
        rung = self._rungs.get((target_id, artifact.rendition))
        if rung is None:
            await asyncio.sleep(_YIELD_S * len(self._shop.runners))
            opened = await self._open_target(target_id)
            if opened is None or opened.target.plan.rendition(artifact.rendition) is None:
                return
            key = (target_id, artifact.rendition)
            rung = self._rungs.get(key) or self._rungs.setdefault(key, Rung(opened, artifact.rendition, self._shop))
        await rung.want(artifact.k)

    async def _handle_small(self, target_id: str, artifact: Small | Protected) -> None:
        opened: OpenTarget | RecordedTarget | None = await self._open_target(target_id)
        if opened is None and isinstance(artifact, Picture | MovingPicture):
            opened = await self._recordings.find(target_id)
        if opened is None:
            return
        target = opened.target if isinstance(opened, OpenTarget) else opened
        async with self._sheets if isinstance(artifact, Sheet | MovingPicture) else self._small:
            if not await self._shop.take_lease(target_id, str(artifact)):
                return
            try:
                keys = artifact.keys(target)
                if not await self._shop.is_stored(keys):
                    with self._lane.foreground():
                        if not isinstance(artifact, Protected):
                            await self._shop.put(target_id, keys[0], await self._make_small(opened, artifact))
                        elif isinstance(opened, OpenTarget):
                            await protect(self._shop, opened.target, artifact)
                await self._shop.announce_made(target_id, artifact)
            finally:
                await asyncio.shield(self._shop.release_lease(target_id, str(artifact)))

    async def _make_small(self, opened: OpenTarget | RecordedTarget, artifact: Small) -> bytes:
        if isinstance(opened, RecordedTarget):
            return await self._make_still(opened, artifact)
        plan = opened.target.plan
        if isinstance(artifact, Picture):
            await self._bound_pictures(opened.target)
            made_total.labels("picture", "viewer").inc()
            return await picture(
                plan,
                opened.source,
                at_s=artifact.at_ms / 1000,
                width=artifact.width or None,
                height=artifact.height or None,
                fit=artifact.fit,
                format=artifact.format,
                others=opened.others,
            )
        if isinstance(artifact, Sheet):
            await self._bound_pictures(opened.target)
            made_total.labels("sheet", "viewer").inc()
            shown = sprites.layout(plan, artifact.interval_s)
            return await sprites.sheet(plan, opened.source, shown, artifact.format, others=opened.others)
        if isinstance(artifact, MovingPicture):
            await self._bound_pictures(opened.target)
            made_total.labels("animation", "viewer").inc()
            if plan.edit is not None:
                return await moving_picture_of_edit(plan, opened.source, opened.others, artifact)
            return await animation(plan, opened.source, moving(artifact))
        rendition = plan.rendition(artifact.rendition)
        if rendition is None:
            raise SourceFault("no_rendition", "There is no such rendition.")
        made_total.labels("init", "viewer").inc()
        return await init_of(opened, rendition)

    async def _make_still(self, target: RecordedTarget, artifact: Small) -> bytes:
        if isinstance(artifact, MovingPicture):
            await self._bound_pictures(target)
            made_total.labels("animation", "viewer").inc()
            return await moving_picture_of(self._shop.objects, target, artifact)
        if not isinstance(artifact, Picture):
            raise SourceFault("no_rendition", "Of recordings only single pictures are made; all else is stored.")
        await self._bound_pictures(target)
        made_total.labels("picture", "viewer").inc()
        return await picture_of(
            self._shop.objects,
            target,
            at_s=Fraction(artifact.at_ms, 1000),
            width=artifact.width or None,
            height=artifact.height or None,
            fit=artifact.fit,
            format=artifact.format,
        )

    async def _bound_pictures(self, target: Placed) -> None:
        folder = f"{target.place}/{PICTURES}"
        if len(await self._shop.objects.list_sizes(folder)) >= MAX_PICTURES:
            await self._shop.objects.delete_prefix(folder)

    # Open sources

    async def _open_target(self, target_id: str) -> OpenTarget | None:
        """The target with its source at hand; many wishes for a new one open it once."""
        task = self._opened.get(target_id)
        if task is None:
            task = asyncio.create_task(self._read_and_open(target_id))
            self._opened[target_id] = task
            self._close_oldest()
        self._opened.move_to_end(target_id)
        try:
            opened = await asyncio.shield(task)
        except Exception:
            self._opened.pop(target_id, None)
            raise
        if opened is None:
            self._opened.pop(target_id, None)
            return None
        return opened.opened

    async def _read_and_open(self, target_id: str) -> "_Open | None":
        async with self._db.unit() as tx:
            target = await store.find_target(tx, target_id)
        return None if target is None else await _open(self._shop, target)

    def _close_oldest(self) -> None:
        if len(self._opened) <= MAX_OPEN:
            return
        working = {target_id for (target_id, _), rung in self._rungs.items() if rung.is_working}
        oldest = next((i for i in self._opened if i not in working), None)
        if oldest is not None:
            task = asyncio.create_task(self._drop(oldest))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _drop(self, target_id: str) -> None:
        for key in [key for key in self._rungs if key[0] == target_id]:
            await self._end_rung(key)
        task = self._opened.pop(target_id, None)
        if task is not None:
            with contextlib.suppress(Exception):
                opened = await task
                if opened is not None:
                    await opened.close()

    async def _end_rung(self, key: tuple[str, str]) -> None:
        rung = self._rungs.pop(key, None)
        if rung is not None:
            await rung.close()
            await self._shop.release_lease(*key)

    # Keeping house

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            with contextlib.suppress(errors.Unavailable):
                async with ledger.hasty(self._db) as tx:
                    wants = await ledger.open_wants(tx, WISH_AGE_S)
                for target_id, name in wants:
                    artifact = parse(name)
                    if artifact is not None:
                        self._take(target_id, artifact)

    async def _renew(self) -> None:
        last_s = time.monotonic()
        while True:
            await asyncio.sleep(RENEW_S)
            for key in [key for key, rung in self._rungs.items() if rung.is_idle]:
                await self._end_rung(key)
            # Asked before the query: a lease that is taken meanwhile is missing in its answer and yet ours.
            holding = [key for key, rung in self._rungs.items() if rung.has_lease]
            try:
                async with ledger.hasty(self._db) as tx:
                    held = await ledger.renew_leases(tx, self._holder)
                last_s = time.monotonic()
            except errors.Unavailable:
                if time.monotonic() - last_s < ledger.LEASE_S:
                    continue
                held = set()
            for key in holding:
                if key not in held:
                    _log.warning("lease_lost", media_id=key[0], rendition=key[1])
                    await self._end_rung(key)

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(FORGET_EVERY_S)
            with contextlib.suppress(errors.Unavailable):
                async with ledger.hasty(self._db) as tx:
                    await ledger.forget_old_wants(tx, FORGET_AGE_S)

    async def _close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for rung in self._rungs.values():
            await rung.close()
        self._rungs.clear()
        for target_id in list(self._opened):
            await self._drop(target_id)
        with contextlib.suppress(errors.Unavailable):
            async with ledger.hasty(self._db) as tx:
                await ledger.release_all(tx, self._holder)
        self._lane.close()


async def fill(target_id: str, *, maker: SegmentMaker) -> None:
    """The handler of the job `playback.fill`. Raises MediaFault or Unavailable: worth another try."""
    await maker.fill(target_id)


class _Open:
    """An opened target and what has to be closed with it."""

    def __init__(self, opened: OpenTarget, stack: contextlib.AsyncExitStack) -> None:
        self.opened = opened
        self._stack = stack

    async def close(self) -> None:
        await self._stack.aclose()


async def _open(shop: Shop, target: Target) -> _Open:
    from fastpix_server.engine.copyrung import CopySource  # numpy: loaded by the first media

    stack = contextlib.AsyncExitStack()
    try:
        path = await stack.enter_async_context(shop.sources.open(target.source_key))
        others = [await stack.enter_async_context(shop.sources.open(key)) for key in target.other_source_keys]
        has_copy = any(r.kind == "copy" for r in target.renditions)
        copy = await asyncio.to_thread(CopySource.open, path, target.plan) if has_copy else None
    except MediaFault:
        await stack.aclose()
        raise
    except Exception as error:
        await stack.aclose()
        raise ServiceFault("source_missing", "The stored source cannot be opened.") from error
    return _Open(OpenTarget(target, path, copy, tuple(others)), stack)
