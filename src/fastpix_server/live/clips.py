"""Clips: `?start=&end=` on the manifest of a live stream (contract section 8).

The viewer gets the covering segments at once, as they are; and each distinct range becomes a media once, with copies of
those segments, so that neither deleting the recording nor deleting the clip harms the other.

Invariants: seconds count from the beginning of the session, without the pauses between connections; a start goes down
and an end up to a segment boundary; a range is at most MAX_CLIP_S long, longer ones are cut; a session has at most
MAX_CLIPS clips that are kept.
"""

import asyncio
import dataclasses
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Literal

from fastpix_server.base import clock, errors, ids, log
from fastpix_server.base.errors import FieldError
from fastpix_server.db.pool import Database, Tx
from fastpix_server.jobs.queue import enqueue
from fastpix_server.jobs.registry import Registry
from fastpix_server.live import clips_store, recordings
from fastpix_server.live.clips_store import Clip
from fastpix_server.live.recorder import init_key, segment_key
from fastpix_server.media import recordings as media
from fastpix_server.media import service as media_service
from fastpix_server.playback.recording import Recording
from fastpix_server.storage.port import ObjectMissing, ObjectStore

MAKE_JOB = "live.make_clip"
MAX_CLIP_S = 1200
# Anybody who may watch may clip: what one session can be made to store is bounded. More are shown, but not kept.
MAX_CLIPS = 200
# A clip that reaches into the future is looked at again when its end should be stored, but not less often than this.
MAX_WAIT_S = 300
# The packager's newest segment, and the recorder's way to the journal.
MARGIN_S = 3
# How old the list of a running session's segments may be; a segment is two seconds long.
FRESH_S = 0.5
MAX_KEPT = 64
# Copies of objects at a time: a request each where the store is a server.
COPIES = 8
COPY_RETRIES = 5

_SECONDS = re.compile(r"([0-9]{1,6})s?")
_log = log.get(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """`end_s` None: from `start_s` on, to the end of the stream (a cut pre-roll, which is not kept as a media)."""

    start_s: int
    end_s: int | None
    access: Literal["public", "private"] | None

    @property
    def query(self) -> str:
        """What the URIs of its playlists end in."""
        return f"?start={self.start_s}" + ("" if self.end_s is None else f"&end={self.end_s}")


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """The segments of a range that are there; it grows until it is complete."""

    recording: Recording
    is_complete: bool


def parse(params: Mapping[str, str]) -> Range | None:
    """None when no range is asked for. Raises Invalid with every bad field."""
    if not params.get("start") and not params.get("end"):
        return None
    bad: list[FieldError] = []
    start_s, end_s = _seconds(params, "start", bad), _seconds(params, "end", bad)
    access = params.get("clipAccess") or None
    if access not in (None, "public", "private"):
        bad.append(FieldError("clipAccess", "must be public or private"))
    if not params.get("start"):
        bad.append(FieldError("start", "is required with end"))
    if start_s is not None and end_s is not None and end_s <= start_s:
        bad.append(FieldError("start", "must be before end"))
        bad.append(FieldError("end", "must be after start"))
    if bad or start_s is None:
        raise errors.Invalid(*bad)
    return Range(start_s, None if end_s is None else min(end_s, start_s + MAX_CLIP_S), access)  # type: ignore[arg-type]


def _seconds(params: Mapping[str, str], field: str, bad: list[FieldError]) -> int | None:
    value = params.get(field)
    if not value:
        return None
    match = _SECONDS.fullmatch(value)
    if match is None:
        bad.append(FieldError(field, "must be a whole number of seconds, like 10 or 10s"))
        return None
    return int(match[1])


def cut(whole: Recording, wanted: Range, *, may_grow: bool) -> Cut:
    """Raises BadState while nothing of the range is there yet, and Invalid when it never will be."""
    end_s = whole.duration_s if wanted.end_s is None else Fraction(wanted.end_s)
    found = whole.between(Fraction(wanted.start_s), end_s)
    if found is None:
        if may_grow:
            raise errors.BadState("The live stream has not come this far yet.", message="clip is not ready")
        raise errors.Invalid(FieldError("start", "is after the end of the stream"))
    is_reached = wanted.end_s is not None and whole.duration_s >= wanted.end_s
    return Cut(found, is_complete=is_reached or not may_grow)


class ClipReader:
    """What can be cut from, for one edge process: a thousand viewers of a clip read the journal twice a second."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._reads: OrderedDict[str, tuple[float, asyncio.Task[tuple[Recording | None, bool]]]] = OrderedDict()

    async def shown(self, session_id: str) -> tuple[Recording, bool]:
        """The session's segments, and whether more may come. Raises BadState while there is none."""
        now_s = asyncio.get_running_loop().time()
        read = self._reads.get(session_id)
        if read is None or now_s - read[0] > FRESH_S:
            read = (now_s, asyncio.create_task(self._read(session_id)))
            self._reads[session_id] = read
            self._reads.move_to_end(session_id)
            if len(self._reads) > MAX_KEPT:
                self._reads.popitem(last=False)
        found, may_grow = await asyncio.shield(read[1])
        if found is None:
            raise errors.BadState("Nothing of the live stream is stored yet.", message="clip is not ready")
        return found, may_grow

    async def _read(self, session_id: str) -> tuple[Recording | None, bool]:
        async with self._db.unit() as tx:
            return await recordings.shown_of(tx, session_id)


async def keep(
    tx: Tx,
    wanted: Range,
    *,
    session_id: str,
    stream_id: str,
    workspace_id: str,
    place: str,
    playback_id: str,
    default_access: Literal["public", "private"],
) -> str | None:
    """The media of this range, once; its bytes come by a job. None when it exists, or the session has too many."""
    if wanted.end_s is None:
        return None
    clip = Clip(
        id=ids.new_uuid(),
        session_id=session_id,
        workspace_id=workspace_id,
        place=place,
        playback_id=playback_id,
        start_s=wanted.start_s,
        end_s=wanted.end_s,
        access=wanted.access or default_access,
    )
    if await clips_store.count(tx, session_id) >= MAX_CLIPS:
        _log.warning("too_many_clips", session_id=session_id, playback_id=playback_id)
        return None
    if not await clips_store.insert(tx, clip):
        return None
    await media.create(
        tx,
        media_id=clip.id,
        workspace_id=workspace_id,
        stream_id=stream_id,
        origin="clip",
        policy=clip.access,
        max_resolution="1080p",
    )
    await enqueue(tx, MAKE_JOB, {"clip_id": clip.id})
    return clip.id


class ClipJobs:
    def __init__(self, db: Database, objects: ObjectStore) -> None:
        self._db = db
        self._objects = objects

    def register(self, registry: Registry) -> None:
        registry.add(MAKE_JOB, self.make, retries=COPY_RETRIES, on_exhausted=self.give_up)

    async def make(self, clip_id: str) -> None:
        """Copies the segments of the range beside the clip and publishes them; comes back later for a future end."""
        async with self._db.unit() as tx:
            clip = await clips_store.find(tx, clip_id)
            if clip is None:
                return
            whole, may_grow = await recordings.shown_of(tx, clip.session_id)
            has_s = Fraction(0) if whole is None else whole.duration_s
            if may_grow and has_s < clip.end_s:
                wait_s = min(float(clip.end_s - has_s) + MARGIN_S, MAX_WAIT_S)
                await enqueue(tx, MAKE_JOB, {"clip_id": clip_id}, run_at=clock.now() + timedelta(seconds=wait_s))
                return
        found = None if whole is None else whole.between(Fraction(clip.start_s), Fraction(clip.end_s))
        if found is None:
            await self._fail(clip_id, "clip_is_empty", "The live stream ended before the clip began.")
            return
        place = f"live/{clip_id}"
        if not await self._copy(found, clip.place, place):
            await self._fail(clip_id, "clip_source_missing", "The live recording was deleted before the clip was made.")
            await self._objects.delete_prefix(place)
            return
        revision = clip_id.replace("-", "")[:12]
        async with self._db.unit() as tx:
            await media.adopt(tx, clip_id, found, place=place, revision=revision)
            is_gone = not await media.exists(tx, clip_id)
        if is_gone:  # deleted by its owner meanwhile
            await self._objects.delete_prefix(place)

    async def give_up(self, clip_id: str, error: str) -> None:
        _log.error("clip_exhausted", media_id=clip_id, error=error)
        await self._fail(clip_id, "service_fault", "The clip could not be stored because of a fault on our side.")

    async def _fail(self, clip_id: str, code: str, description: str) -> None:
        async with self._db.unit() as tx:
            await media_service.fail(tx, clip_id, code, description)

    async def _copy(self, recording: Recording, source: str, target: str) -> bool:
        """False when something that was there is gone."""
        pairs = {
            make(source, track.facts.name, number): make(target, track.facts.name, number)
            for stretch in recording.stretches
            for track in stretch.tracks
            for make, number in (
                (init_key, stretch.epoch),
                *((segment_key, stretch.first + k) for k, size in enumerate(track.sizes) if size),
            )
        }
        room = asyncio.Semaphore(COPIES)

        async def one(key: str, to: str) -> None:
            async with room:
                await self._objects.copy(key, to)

        is_whole = True
        try:
            async with asyncio.TaskGroup() as group:
                for key, to in pairs.items():
                    group.create_task(one(key, to))
        except* ObjectMissing:
            is_whole = False
        return is_whole
