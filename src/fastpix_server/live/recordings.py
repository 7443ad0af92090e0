"""A session's stored segments become its recording: a media, Ready as soon as the session is over.

Invariants: nothing is encoded or copied; a session is finished once, and from then on its journal is closed; whatever
process calls `finish`, and however often, the outcome is the same. A session without a stored segment leaves no media.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from datetime import timedelta

from fastpix_server.base import clock, log
from fastpix_server.db.pool import Database, Tx
from fastpix_server.jobs.queue import enqueue
from fastpix_server.jobs.registry import Registry
from fastpix_server.live import journal
from fastpix_server.live.journal import Run
from fastpix_server.live.model import SOURCE_RENDITION, RenditionInfo, SessionSpec
from fastpix_server.media import recordings as media
from fastpix_server.media.recordings import LivePolicy as MediaPolicy
from fastpix_server.playback import service as playback
from fastpix_server.playback.recording import Facts, Recording, Stretch, Track, words
from fastpix_server.storage.port import ObjectStore

__all__ = ["MediaPolicy", "RecordingJobs", "begin", "finish", "recording_of", "schedule_finish", "shown_of"]

FINISH_JOB = "live.finish_recording"
ERASE_JOB = "live.erase_session"
# Of a session that is not recorded: viewers are still in it for a moment, and clips of it are being copied.
ERASE_AFTER = timedelta(minutes=10)
# A step in a rendition's clock up to this is rounding of its packager, not a hole.
_STEP_S = 0.05

_log = log.get(__name__)


async def begin(tx: Tx, spec: SessionSpec, *, media_policy: MediaPolicy) -> None:
    """The media of a session that is recorded; called with its first stored segment, and again after a restart."""
    await media.create(
        tx,
        media_id=spec.session_id,
        workspace_id=spec.workspace_id,
        stream_id=spec.stream_id,
        origin="live",
        policy=media_policy,
        max_resolution=f"{spec.max_lines}p",
    )


async def finish(tx: Tx, spec: SessionSpec) -> bool:
    """Closes the journal and makes the media Ready. True when the session has a media. Repeatable.

    Call it after the session's recorder is closed; what a dead recorder left is taken as it is.
    """
    if not await journal.finish(tx, spec.session_id):
        return bool(spec.is_recorded and await media.exists(tx, spec.session_id))
    recording = await recording_of(tx, spec.session_id) if spec.is_recorded else None
    adopted = None
    if recording is not None:
        adopted = await media.adopt(tx, spec.session_id, recording, place=spec.place, revision=spec.revision)
    if adopted is None:
        # Not recorded, or deleted by its owner while it ran.
        erase: dict[str, object] = {"session_id": spec.session_id, "place": spec.place}
        await enqueue(tx, ERASE_JOB, erase, run_at=clock.now() + ERASE_AFTER)
    else:
        await journal.forget(tx, spec.session_id)
    _log.info("session_finished", session_id=spec.session_id, has_media=adopted is not None)
    return adopted is not None


async def schedule_finish(tx: Tx, spec: SessionSpec) -> None:
    """`finish` by a worker, after the caller's commit: also when the process that ran the session is dead."""
    name = f"{FINISH_JOB}:{spec.session_id}"
    await enqueue(tx, FINISH_JOB, {"spec": dataclasses.asdict(spec)}, queueing_lock=name)


class RecordingJobs:
    def __init__(self, db: Database, objects: ObjectStore) -> None:
        self._db = db
        self._objects = objects

    def register(self, registry: Registry) -> None:
        registry.add(FINISH_JOB, self.finish)
        registry.add(ERASE_JOB, self.erase, retries=10)

    async def finish(self, spec: dict[str, object]) -> None:
        async with self._db.unit() as tx:
            await finish(tx, SessionSpec(**spec))  # type: ignore[arg-type]

    async def erase(self, session_id: str, place: str) -> None:
        async with self._db.unit() as tx:
            await journal.forget(tx, session_id)
        count = await self._objects.delete_prefix(place)
        _log.info("session_erased", place=place, objects=count)


async def recording_of(tx: Tx, session_id: str) -> Recording | None:
    """What the journal holds of a session now, as a closed list; None when nothing."""
    runs = await journal.runs(tx, session_id)
    stretches = [
        stretch
        for _, group in itertools.groupby(runs, key=lambda run: run.epoch)
        for stretch in _stretches(sorted(group, key=_rank))
    ]
    return Recording(stretches) if stretches else None


async def shown_of(tx: Tx, session_id: str) -> tuple[Recording | None, bool]:
    """What there is of a session, running or over, and whether more may come."""
    is_over = await journal.is_finished(tx, session_id)
    found = await recording_of(tx, session_id)
    if found is None:
        found = await playback.find_recording(tx, session_id)
    return found, not is_over


def _rank(run: Run) -> tuple[bool, bool, int, str]:
    """The publisher's own picture leads, then the largest; sound leads only where there is no picture."""
    info = run.info
    return info.kind != "video", info.name != SOURCE_RENDITION, -info.height, info.name


def _stretches(runs: Sequence[Run]) -> list[Stretch]:
    """One epoch: cut wherever its lead has a hole."""
    lead = runs[0]
    cuts = [0, *(k for k in range(1, len(lead.numbers)) if _is_hole(lead, k)), len(lead.numbers)]
    places = [{number: k for k, number in enumerate(run.numbers)} for run in runs]
    return [_stretch(runs, places, low, high) for low, high in itertools.pairwise(cuts)]


def _is_hole(lead: Run, k: int) -> bool:
    step = lead.starts[k] - lead.starts[k - 1] - lead.durations[k - 1]
    return lead.numbers[k] != lead.numbers[k - 1] + 1 or abs(step) > _STEP_S * lead.info.timescale


def _stretch(runs: Sequence[Run], places: Sequence[Mapping[int, int]], low: int, high: int) -> Stretch:
    lead = runs[0]
    numbers = lead.numbers[low:high]
    tracks = [_track(run, place, lead, low, numbers) for run, place in zip(runs, places, strict=True)]
    return Stretch(lead.epoch, numbers[0], lead.pdts_ms[low], tuple(t for t in tracks if t is not None))


def _track(run: Run, place: Mapping[int, int], lead: Run, low: int, numbers: Sequence[int]) -> Track | None:
    """The run's share of a stretch; segments that it lacks last as long as the lead's. None when it lacks all."""
    durations, sizes, start_ticks = [], [], None
    before = 0
    for k, number in enumerate(numbers, low):
        at = place.get(number)
        if at is None:
            durations.append(lead.durations[k] * run.info.timescale // lead.info.timescale)
            sizes.append(0)
        else:
            if start_ticks is None:
                start_ticks = run.starts[at] - before
            durations.append(run.durations[at])
            sizes.append(run.sizes[at])
        before += durations[-1]
    if start_ticks is None:
        return None
    return Track(_facts(run.info), max(start_ticks, 0), words(durations), words(sizes))


def _facts(info: RenditionInfo) -> Facts:
    return Facts(
        name=info.name,
        media=info.kind,
        kind="copy" if info.name == SOURCE_RENDITION else "encode",
        codec=info.codec,
        timescale=info.timescale,
        width=info.width,
        height=info.height,
        fps=info.fps,
        channels=info.channels,
        sample_rate_hz=info.sample_rate_hz,
        max_bitrate_bps=info.bitrate_bps,
    )
