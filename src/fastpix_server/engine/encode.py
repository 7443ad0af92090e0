"""The one unit of encoding: a plan, some renditions, segments k0..k1 -> finished CMAF fragments, in order.

Invariants: every emitted segment has exactly the planned frames and duration, whatever the source holds (holes are
filled with the last picture, then black; missing sound is silence); while an `emit` has not returned its pipe is not
read, so ffmpeg waits; leaving by any path leaves no process behind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from prometheus_client import Counter

from fastpix_server.base import log
from fastpix_server.base.errors import MediaFault, ServiceFault, SourceFault
from fastpix_server.engine import command, command_audio, command_mix, fragments, framing
from fastpix_server.engine.fragments import FragmentError
from fastpix_server.engine.plan import AAC_FRAME_SAMPLES, AudioRendition, Plan, VideoRendition
from fastpix_server.engine.run import Control, Finished, Killed, Process, started
from fastpix_server.engine.sandbox import Limits

__all__ = ["Control", "Emit", "Killed", "encode_audio", "encode_video"]

_log = log.get(__name__)

Emit = Callable[[str, int, bytes], Awaitable[None]]  # rendition name, segment index, finished fragment

# Segments per ffmpeg: its list of cuts is one argument (128 KiB at most on Linux), and limits stay meaningful.
MAX_VIDEO_SEGMENTS = 256
MAX_AUDIO_SEGMENTS = 8192  # about 4.5 hours of 2 s: whole files in one process, so no lead is encoded twice

# Where decoding starts when a range gave too few frames: there, then this many segments earlier (a hole in the
# source is then filled with the picture before it), and at last black.
EARLIER_SEGMENTS = (0, 4, 32)

_segments = Counter("fastpix_encoded_segments_total", "Segments made by encoding", ["kind"])
_holes = Counter("fastpix_encode_holes_total", "Ranges where the source had no picture", ["filled_with"])


class _Short(Exception):
    """The process ended in peace before it had made all segments: the source has a hole here."""


async def encode_video(
    plan: Plan,
    source: Path,
    renditions: Sequence[VideoRendition],
    k0: int,
    k1: int,
    emit: Emit,
    *,
    others: Sequence[Path] = (),
    fast: bool = False,
    nice: int = 0,
    threads: int = 0,
    control: Control | None = None,
) -> None:
    """Encode segments k0..k1-1 of every rendition, decoding once. `emit` is awaited once per rendition and segment.

    `source` is file 0 of the plan, `others` are its files from 1 on, where an edit has joined several.

    Raises SourceFault (unreadable), ServiceFault (worth another try) or Killed (by `control`). Segments that were
    emitted before that are good. `fast` spends less on small size and shares the init segment with the slow one.
    """
    _check_range(plan, k0, k1)
    files = [source, *others]
    job = _VideoJob(plan, files, list(renditions), emit, fast=fast, nice=nice, threads=threads, control=control)
    first = k0
    while first < k1:
        end = min(first + MAX_VIDEO_SEGMENTS, plan.piece_end(plan.piece_at(first)), k1)
        await job.encode(first, end)
        first = end


async def encode_audio(
    plan: Plan,
    source: Path,
    rendition: AudioRendition,
    k0: int,
    k1: int,
    emit: Emit,
    *,
    others: Sequence[Path] = (),
    nice: int = 0,
    control: Control | None = None,
) -> None:
    """Encode the sound of segments k0..k1-1, streamed out as it goes; joins to ranges made apart without a click.

    Files and failures are as in `encode_video`. A source without sound at some time is silent there; that is no error.
    """
    _check_range(plan, k0, k1)
    files = [source, *others]
    first = k0
    while first < k1:
        end = min(first + MAX_AUDIO_SEGMENTS, command_mix.last_of_run(plan, first), k1)
        await _encode_audio(plan, files, rendition, first, end, emit, nice, control)
        first = end


def _check_range(plan: Plan, k0: int, k1: int) -> None:
    if not 0 <= k0 < k1 <= plan.timeline.segment_count:
        raise ValueError(f"segments {k0}..{k1} of {plan.timeline.segment_count}")


class _VideoJob:
    """One call of encode_video: what stays the same from process to process."""

    def __init__(
        self,
        plan: Plan,
        files: list[Path],
        renditions: list[VideoRendition],
        emit: Emit,
        *,
        fast: bool,
        nice: int,
        threads: int,
        control: Control | None,
    ) -> None:
        self.plan, self.files, self.renditions, self.emit = plan, files, renditions, emit
        self.marks = framing.plan_marks(plan, files)
        self.fast, self.nice, self.threads, self.control = fast, nice, threads, control
        self.wrong = ""  # why a fragment did not match the plan; with no word of ffmpeg's it is our fault

    async def encode(self, k0: int, k1: int) -> None:
        """Try the source, then the source from further back, then black; each goes on where the last one stopped."""
        done = dict.fromkeys((r.name for r in self.renditions), k0)
        piece = self.plan.piece_at(k0)
        for earlier in EARLIER_SEGMENTS:
            start = min(done.values())
            if earlier and start == piece.first:
                break
            argv = command.video_command(
                self.plan,
                self.files[piece.file],
                self.renditions,
                start,
                k1,
                fast=self.fast,
                threads=self.threads,
                seek_segment=max(piece.first, start - earlier),
                marks=self.marks,
            )
            try:
                await self._run(argv, start, k1, done)
                if earlier:
                    _holes.labels("last_picture").inc()
                return
            except _Short as short:
                _log.warning("encode_source_hole", segment=min(done.values()), earlier=earlier, said=str(short))
        if min(done.values()) == 0:
            raise SourceFault("video_unreadable", "The video stream cannot be decoded.")
        await self._fill_with_black(k1, done)

    async def _fill_with_black(self, k1: int, done: dict[str, int]) -> None:
        _holes.labels("black").inc()
        start = min(done.values())
        argv = command.black_segments_command(self.plan, self.renditions, start, k1, fast=self.fast)
        try:
            await self._run(argv, start, k1, done)
        except _Short as short:
            raise ServiceFault("encode_failed", "The encoder stopped too early.") from short

    async def _run(self, argv: list[str], start: int, k1: int, done: dict[str, int]) -> None:
        self.wrong = ""
        limits = command.video_limits(self.plan, self.renditions, start, k1)
        async with started(
            argv, limits=limits, outputs=len(self.renditions), nice=self.nice, control=self.control
        ) as process:
            await _all_or_none(
                self._collect(process, i, rendition, start, k1, done) for i, rendition in enumerate(self.renditions)
            )
            finished = await process.finish()
        if self.wrong and finished.is_ok and not finished.stderr:
            raise ServiceFault("encode_mismatch", f"The encoder broke the plan: {self.wrong}.")
        if any(k < k1 for k in done.values()):
            raise _failure(finished, self.control)

    async def _collect(
        self, process: Process, output: int, rendition: VideoRendition, start: int, k1: int, done: dict[str, int]
    ) -> None:
        timeline = self.plan.timeline
        k = start
        async for fragment in fragments.read_fragments(process.outputs[output]):
            if k >= k1:
                self.wrong = self.wrong or f"more than {k1 - start} segments"
                continue
            frames = timeline.cuts[k + 1] - timeline.cuts[k]
            try:
                segment = fragments.video_segment(
                    fragment,
                    index=k,
                    frames=frames,
                    frame_ticks=timeline.frame_ticks,
                    decode_time=timeline.cuts[k] * timeline.frame_ticks,
                )
            except FragmentError as wrong:
                self.wrong = str(wrong)
                k = k1  # the rest is read and dropped, so that the process ends by itself and says why
                continue
            if k >= done[rendition.name]:  # a second attempt repeats what faster rungs have emitted already
                with process.unread():
                    await self.emit(rendition.name, k, segment)
                _segments.labels("fast" if self.fast else "video").inc()
                done[rendition.name] = k + 1
            k += 1


async def _encode_audio(
    plan: Plan,
    files: Sequence[Path],
    rendition: AudioRendition,
    k0: int,
    k1: int,
    emit: Emit,
    nice: int,
    control: Control | None,
) -> None:
    if plan.edit is None:
        argv = command_audio.audio_command(plan, files[0], rendition, k0, k1)
    else:
        argv = command_mix.mixed_audio_command(plan, files, rendition, k0, k1)
    limits: Limits = command_audio.audio_limits(plan, k0, k1)
    cuts = plan.timeline.audio_cuts
    k, index = k0, command_audio.first_frame(plan, k0)
    frames: list[bytes] = []
    async with started(argv, limits=limits, outputs=1, nice=nice, control=control) as process:
        async for frame in fragments.read_adts(process.outputs[0]):
            if index >= cuts[k0] and k < k1:
                frames.append(frame)
            index += 1
            while k < k1 and index >= cuts[k + 1]:
                segment = fragments.audio_segment(frames, index=k, decode_time=cuts[k] * AAC_FRAME_SAMPLES)
                with process.unread():
                    await emit(rendition.name, k, segment)
                _segments.labels("audio").inc()
                frames, k = [], k + 1
        finished = await process.finish()
    if k < k1:
        failure = _failure(finished, control)
        if isinstance(failure, _Short):
            raise SourceFault("audio_unreadable", "The audio stream cannot be decoded.")
        raise failure


async def _all_or_none(parts: Iterable[Coroutine[object, object, None]]) -> None:
    """Run all; the first failure cancels the others and is raised as it is."""
    async with AsyncExitStack() as stack:
        tasks = [asyncio.ensure_future(part) for part in parts]
        stack.push_async_callback(_cancelled, tasks)
        for finished in asyncio.as_completed(tasks):
            await finished


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _failure(finished: Finished, control: Control | None) -> Exception:
    """Whose fault it is that segments are missing."""
    said = finished.stderr.decode(errors="replace").strip()
    if finished.ended == "killed" or (control and control.is_killed):
        return Killed()
    if finished.ended == "wall":
        return ServiceFault("encode_timeout", "The encoder took too long.")
    if finished.returncode < 0:
        return ServiceFault("encode_killed", "The encoder was ended by the system.")
    return _reading_fault(said) or _Short(said[:200])


def _reading_fault(said: str) -> MediaFault | None:
    if "No such file or directory" in said or "Permission denied" in said:
        return ServiceFault("source_missing", "The stored source is not there.")
    if "matches no streams" in said or "not on whitelist" in said or "moov atom not found" in said:
        return SourceFault("source_unreadable", "The file is damaged or not a video that can be read.")
    if "Cannot allocate memory" in said:
        return ServiceFault("encode_memory", "The encoder ran out of memory.")
    return None
