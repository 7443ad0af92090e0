"""The background: everything of a target that no viewer has asked for yet, in slices, when the machine is free.

Invariants: a slice is idempotent and may die at any moment: it begins with what storage lacks; a chunk is claimed by a
lease, so two workers never encode the same one; a viewer's wish for a segment in the making ends that chunk. When all
segments are stored the exact bit rates replace the estimates.
"""

import asyncio
import dataclasses
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Literal

from fastpix_server.base import log
from fastpix_server.db.notify import notify
from fastpix_server.engine.encode import Control, Killed, encode_audio, encode_video
from fastpix_server.engine.inits import make_init
from fastpix_server.engine.plan import AudioRendition, VideoRendition
from fastpix_server.playback import service, store
from fastpix_server.playback.borrowing import borrow
from fastpix_server.playback.lane import SETTLE_S
from fastpix_server.playback.model import Measured, Target
from fastpix_server.playback.rates import durations_s, measure
from fastpix_server.playback.shop import OpenTarget, Shop, made_total
from fastpix_server.storage.port import ObjectStore

_log = log.get(__name__)

# Five segments of all rungs cost no more CPU than one encoder for the whole file; shorter chunks decode pre-roll more
# often, longer ones lose more when a viewer ends them.
CHUNK_SEGMENTS = 5
# A slice ends at the first chunk border after this, so that one long film does not keep short ones waiting.
SLICE_S = 45.0
NICE = 15

# more: call again. others: what is left is being made by other workers, who will finish. done: nothing is left to do.
# full: the cache has reached its quota, and what nobody has asked for is not worth dropping something for.
Progress = Literal["more", "others", "done", "full"]


@dataclasses.dataclass(slots=True, eq=False)
class _Chunk:
    """What is being made now, for whoever has to decide whether to end it."""

    target_id: str
    renditions: frozenset[str]
    next_k: dict[str, int]
    end: int
    control: Control

    def is_making(self, target_id: str, rendition: str, k: int) -> bool:
        return (
            target_id == self.target_id
            and rendition in self.renditions
            and self.next_k.get(rendition, 0) <= k < self.end
        )


class Fill:
    """`slice` is the job; `give_way` is called for every wish of a viewer that this process hears of."""

    def __init__(self, shop: Shop, *, threads: int) -> None:
        self._shop = shop
        self._threads = threads
        self._chunks: set[_Chunk] = set()

    def give_way(self, target_id: str, rendition: str, k: int) -> None:
        for chunk in self._chunks:
            if chunk.is_making(target_id, rendition, k):
                chunk.control.kill()

    def drop(self, target_id: str) -> None:
        """The target is gone or was replaced."""
        for chunk in self._chunks:
            if chunk.target_id == target_id:
                chunk.control.kill()

    async def slice(self, opened: OpenTarget) -> Progress:
        """Works for about SLICE_S. Raises MediaFault."""
        target = opened.target
        deadline_s = time.monotonic() + SLICE_S
        await self._inits(opened)
        missing = _Missing(target, self._shop.objects, await self._shop.objects.list_sizes(target.place))
        while missing.anything:
            if time.monotonic() > deadline_s or not await self._is_free_by(deadline_s):
                return "more"
            if not await self._is_published(target):
                return "done"
            if not await self._shop.has_room():
                return "full"
            if not await self._next_piece(opened, missing):
                return "others"
        await self._finish(target)
        return "done"

    async def _is_free_by(self, deadline_s: float) -> bool:
        """True once no viewer waits on this machine, False when that takes longer than our turn."""
        if self._shop.lane.is_free():
            return True
        try:
            async with asyncio.timeout(max(deadline_s - time.monotonic(), 1.0)):
                await self._shop.lane.wait_free()
        except TimeoutError:
            return False
        return True

    async def _is_published(self, target: Target) -> bool:
        async with self._shop.db.unit() as tx:
            return await store.is_current(tx, target.id, target.plan.revision)

    async def _inits(self, opened: OpenTarget) -> None:
        target = opened.target
        for rendition in target.renditions:
            key = target.init_key(rendition.name)
            if await self._shop.objects.size(key) is None:
                await self._shop.put(target.id, key, await init_of(opened, rendition))

    async def _next_piece(self, opened: OpenTarget, missing: "_Missing") -> bool:
        """One chunk, or one track's sound; False when all that is left is claimed by others.

        The first chunk goes before the sound: it is what the first viewer sees. The sound of everything then goes
        before the other chunks: it is cheap, and whole it is best.
        """
        chunks = missing.chunks
        first = chunks[:1] if chunks[:1] == [0] else []
        pieces: list[int | AudioRendition] = [*first, *missing.audios, *chunks[len(first) :]]
        for piece in pieces:
            name = f"fill/{piece if isinstance(piece, int) else piece.name}"
            if not await self._shop.take_lease(opened.target.id, name):
                continue
            try:
                # Another worker may have made it between our listing and our lease.
                await missing.look_again(piece)
                await self._make(opened, missing, piece)
                await missing.look_again(piece)
            finally:
                await asyncio.shield(self._shop.release_lease(opened.target.id, name))
            return True
        return False

    async def _make(self, opened: OpenTarget, missing: "_Missing", piece: int | AudioRendition) -> None:
        try:
            if isinstance(piece, int):
                await self._chunk(opened, missing, piece)
            else:
                await self._sound(opened, piece, missing.of(piece.name))
        except Killed:
            _log.info("fill_gave_way", media_id=opened.target.id)
            # The viewer's encoder is about to start: do not begin the same again before it.
            await asyncio.sleep(SETTLE_S)

    async def _chunk(self, opened: OpenTarget, missing: "_Missing", first: int) -> None:
        target = opened.target
        end = min(first + CHUNK_SEGMENTS, target.plan.timeline.segment_count)
        wanted = {v: [k for k in missing.of(v.name) if first <= k < end] for v in target.plan.videos}
        for video, ks in wanted.items():
            if video.kind == "copy":
                await self._copies(opened, video.name, ks)
            else:
                wanted[video] = [k for k in ks if not await borrow(self._shop, target, video.name, k)]
        rungs = [v for v, ks in wanted.items() if ks and v.kind == "encode"]
        if not rungs:
            return
        start = min(k for v in rungs for k in wanted[v])
        chunk = _Chunk(target.id, frozenset(v.name for v in rungs), {v.name: start for v in rungs}, end, Control())

        async def keep(name: str, k: int, segment: bytes) -> None:
            await self._shop.put(target.id, target.segment_key(name, k), segment)
            await self._shop.objects.delete(target.fast_segment_key(name, k))
            chunk.next_k[name] = k + 1
            made_total.labels("video", "fill").inc()

        async with AsyncExitStack() as stack:
            await self._background(stack, chunk)
            await encode_video(
                target.plan,
                opened.source,
                rungs,
                start,
                end,
                keep,
                others=opened.others,
                nice=NICE,
                threads=self._threads,
                control=chunk.control,
            )

    async def _sound(self, opened: OpenTarget, audio: AudioRendition, missing: Sequence[int]) -> None:
        """All that is missing up to the next stored segment, in one run."""
        target = opened.target
        if not missing:
            return
        if audio.kind == "copy":
            await self._copies(opened, audio.name, missing[: CHUNK_SEGMENTS * 100])
            return
        start = end = missing[0]
        while end - start < len(missing) and missing[end - start] == end:
            end += 1
        chunk = _Chunk(target.id, frozenset([audio.name]), {audio.name: start}, end, Control())

        async def keep(name: str, k: int, segment: bytes) -> None:
            if not await self._shop.is_stored([target.segment_key(name, k)]):
                await self._shop.put(target.id, target.segment_key(name, k), segment)
            chunk.next_k[name] = k + 1
            made_total.labels("audio", "fill").inc()

        async with AsyncExitStack() as stack:
            await self._background(stack, chunk)
            await encode_audio(
                target.plan,
                opened.source,
                audio,
                start,
                end,
                keep,
                others=opened.others,
                nice=NICE,
                control=chunk.control,
            )

    async def _background(self, stack: AsyncExitStack, chunk: _Chunk) -> None:
        self._chunks.add(chunk)
        stack.callback(self._chunks.discard, chunk)
        await stack.enter_async_context(self._shop.lane.background(chunk.control))

    async def _copies(self, opened: OpenTarget, name: str, ks: Sequence[int]) -> None:
        for k in ks:
            assert opened.copy is not None
            segment = await asyncio.to_thread(opened.copy.segment, name, k)
            await self._shop.put(opened.target.id, opened.target.segment_key(name, k), segment)
            made_total.labels("copy", "fill").inc()

    async def _finish(self, target: Target) -> None:
        sizes = await self._shop.objects.list_sizes(target.place)
        measured: dict[str, Measured] = {}
        for rendition in target.renditions:
            keys = [target.segment_key(rendition.name, k) for k in range(target.plan.timeline.segment_count)]
            if any(key not in sizes for key in keys):
                return  # deleted meanwhile
            measured[rendition.name] = measure([sizes[key] for key in keys], durations_s(target.plan, rendition))
        async with self._shop.db.unit() as tx:
            if not await store.is_current(tx, target.id, target.plan.revision):
                return
            await store.save_measured(tx, target.id, target.plan.revision, measured)
            await notify(tx, service.CHANGED, target.id)
        for key in sizes:
            if key.endswith(".fast.m4s"):
                await self._shop.objects.delete(key)
        _log.info("fill_done", media_id=target.id, size_bytes=sum(sizes.values()))


class _Missing:
    """What storage lacks of the final segments: listed once, then looked up piece by piece."""

    def __init__(self, target: Target, objects: ObjectStore, sizes: Mapping[str, int]) -> None:
        self._target = target
        self._objects = objects
        count = target.plan.timeline.segment_count
        self._missing = {
            r.name: {k for k in range(count) if target.segment_key(r.name, k) not in sizes} for r in target.renditions
        }

    @property
    def anything(self) -> bool:
        return any(self._missing.values())

    @property
    def audios(self) -> list[AudioRendition]:
        return [a for a in self._target.plan.audios if self._missing[a.name]]

    @property
    def chunks(self) -> list[int]:
        """First segments of the chunks that lack something of a picture."""
        return sorted({k - k % CHUNK_SEGMENTS for v in self._target.plan.videos for k in self._missing[v.name]})

    def of(self, name: str) -> list[int]:
        return sorted(self._missing[name])

    async def look_again(self, piece: int | AudioRendition) -> None:
        if not isinstance(piece, int):
            sizes = await self._objects.list_sizes(f"{self._target.place}/{piece.name}")
            keep = {k for k in self._missing[piece.name] if self._target.segment_key(piece.name, k) not in sizes}
            self._missing[piece.name] = keep
            return
        for video in self._target.plan.videos:
            for k in [k for k in range(piece, piece + CHUNK_SEGMENTS) if k in self._missing[video.name]]:
                if await self._objects.size(self._target.segment_key(video.name, k)) is not None:
                    self._missing[video.name].discard(k)


async def init_of(opened: OpenTarget, rendition: VideoRendition | AudioRendition) -> bytes:
    """The header of a rendition: of its settings, or of the source when it is copied."""
    if rendition.kind == "encode":
        return await make_init(opened.target.plan, rendition)
    assert opened.copy is not None
    return await asyncio.to_thread(opened.copy.init, rendition.name)
