"""Pictures of recordings and clips: from the stored segment that shows the moment, at any size.

`picture_of` needs no worker's state: whoever composes pictures (sheets of thumbnails) may call it for each of them.
"""

from collections import OrderedDict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from fastpix_server.base.errors import SourceFault
from fastpix_server.db.pool import Database
from fastpix_server.engine.animation import Moving, stored_animation
from fastpix_server.engine.encode import encode_video
from fastpix_server.engine.inits import make_init
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.still import still
from fastpix_server.playback import store
from fastpix_server.playback.artifacts import Fit, MovingPicture, PictureFormat
from fastpix_server.playback.recording import Facts, Recording, Spot
from fastpix_server.playback.targets import RecordedTarget
from fastpix_server.storage.port import ObjectMissing, ObjectStore

# Recordings kept for the next picture of them; the list of eight hours is about a megabyte.
MAX_KEPT = 16


async def picture_of(
    objects: ObjectStore,
    target: RecordedTarget,
    *,
    at_s: Fraction,
    width: int | None,
    height: int | None,
    fit: Fit = "preserve",
    format: PictureFormat = "jpg",
) -> bytes:
    """The frame that a player shows at `at_s`, clamped to the recording. Raises SourceFault where there is none."""
    if not target.recording.videos:
        raise SourceFault("no_video", "The media has no picture.")
    spot = _best_spot(target.recording, at_s)
    if spot is None:
        raise SourceFault("picture_unreadable", "There is no picture at that time.")
    try:
        init = await objects.get(target.init_key(spot.facts.name, spot.epoch))
        segment = await objects.get(target.segment_key(spot.facts.name, spot.number))
    except ObjectMissing:
        raise SourceFault("picture_unreadable", "This part of the recording was deleted.") from None
    return await still(
        init,
        segment,
        shape=(spot.facts.width, spot.facts.height),
        offset_s=_within(spot),
        fps=spot.facts.fps,
        width=width,
        height=height,
        fit=fit,
        format=format,
    )


def moving(artifact: MovingPicture) -> Moving:
    return Moving(
        start_s=Fraction(artifact.start_ms, 1000),
        length_s=Fraction(artifact.length_ms, 1000),
        width=artifact.width,
        height=artifact.height,
        rate=artifact.rate,
        format=artifact.format,
    )


async def moving_picture_of(objects: ObjectStore, target: RecordedTarget, artifact: MovingPicture) -> bytes:
    """Of the smallest rendition that is large enough. It ends where the recording has a break."""
    wanted, recording = moving(artifact), target.recording
    part = recording.between(wanted.start_s, wanted.start_s + wanted.length_s)
    if part is None or not recording.videos:
        raise SourceFault("picture_unreadable", "There is no picture at that time.")
    stretch = part.stretches[0]
    rungs = [t for t in stretch.tracks if t.facts.media == "video" and not t.has_gaps]
    enough = [t for t in rungs if t.facts.width >= wanted.width and t.facts.height >= wanted.height]
    track = min(enough or rungs, key=lambda t: t.facts.height if enough else -t.facts.height, default=None)
    if track is None:
        raise SourceFault("picture_unreadable", "There is no picture at that time.")
    spot = recording.spot(wanted.start_s, track.facts.name)
    try:
        init = await objects.get(target.init_key(track.facts.name, stretch.epoch))
        names = range(stretch.first, stretch.first + stretch.count)
        segments = [await objects.get(target.segment_key(track.facts.name, number)) for number in names]
    except ObjectMissing:
        raise SourceFault("picture_unreadable", "This part of the recording was deleted.") from None
    return await stored_animation(
        init,
        segments,
        wanted,
        shape=(track.facts.width, track.facts.height),
        fps=track.facts.fps,
        offset_s=spot.offset_s if spot is not None else Fraction(0),
    )


async def moving_picture_of_edit(plan: Plan, source: Path, others: Sequence[Path], artifact: MovingPicture) -> bytes:
    """Of the edit's own segments, encoded for this: no one file holds what the edit shows."""
    wanted, timeline = moving(artifact), plan.timeline
    rungs = sorted((v for v in plan.videos if v.kind == "encode"), key=lambda v: v.height)
    if not rungs:
        raise SourceFault("no_video", "The media has no picture.")
    enough = (v for v in rungs if v.width >= wanted.width and v.height >= wanted.height)
    rung = next(enough, rungs[-1])
    first = timeline.segment_at(float(wanted.start_s))
    end = timeline.segment_at(float(wanted.start_s + wanted.length_s)) + 1
    segments: list[bytes] = []

    async def keep(_name: str, _k: int, data: bytes) -> None:
        segments.append(data)

    await encode_video(plan, source, [rung], first, end, keep, others=others, fast=True)
    return await stored_animation(
        await make_init(plan, rung),
        segments,
        wanted,
        shape=(rung.width, rung.height),
        fps=float(timeline.fps),
        offset_s=max(wanted.start_s - timeline.start_s(first), Fraction(0)),
    )


def _best_spot(recording: Recording, at_s: Fraction) -> Spot | None:
    """In the best rendition that has the moment."""
    for facts in sorted(recording.videos, key=_size, reverse=True):
        spot = recording.spot(at_s, facts.name)
        if spot is not None:
            return spot
    return None


def _size(facts: Facts) -> tuple[bool, int]:
    return facts.kind == "copy", facts.height


def _within(spot: Spot) -> Fraction:
    """Not past the segment's last frame."""
    frame_s = 1 / Fraction(spot.facts.fps).limit_denominator(1001) if spot.facts.fps > 0 else Fraction(1, 10)
    return max(min(spot.offset_s, spot.length_s - frame_s), Fraction(0))


class KnownRecordings:
    """Recordings of which pictures are wanted, read once. `drop` when one changed."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: OrderedDict[str, RecordedTarget] = OrderedDict()

    async def find(self, target_id: str) -> RecordedTarget | None:
        known = self._known.get(target_id)
        if known is not None:
            self._known.move_to_end(target_id)
            return known
        async with self._db.unit() as tx:
            found = await store.find_any(tx, target_id)
        if not isinstance(found, RecordedTarget):
            return None
        self._known[target_id] = found
        if len(self._known) > MAX_KEPT:
            self._known.popitem(last=False)
        return found

    def drop(self, target_id: str) -> None:
        self._known.pop(target_id, None)
