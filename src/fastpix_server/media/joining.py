"""What is stored of a media as one file: for downloads, and for media that are made from another.

Invariants: nothing is encoded; a file holds every segment of its renditions in order, or an exception says why not.
What a planned media lacks, because it was not filled yet or was dropped to make room, is asked of the fill, and the
caller comes back; what is the source's own is read from the source. What a recording lacks is gone for ever.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.db.pool import Database
from fastpix_server.engine.plan import AudioRendition, VideoRendition
from fastpix_server.engine.static_file import Part, join
from fastpix_server.playback import assembling, selection
from fastpix_server.playback import service as playback
from fastpix_server.playback.model import Target
from fastpix_server.playback.recording import Facts
from fastpix_server.playback.targets import RecordedTarget
from fastpix_server.storage.open import Storage

PART_GONE = "part_gone"  # code of the fault when a recording is not whole any more


class NotYet(Exception):
    """Not all segments are stored. The fill has been asked for them."""


class Joiner:
    """`work_dir` holds files in the making; None: where temporary files lie."""

    def __init__(self, db: Database, storage: Storage, work_dir: Path | None) -> None:
        self._db = db
        self._objects = storage.objects
        self._sources = storage.sources
        self._work_dir = work_dir

    @asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """For the parts and the file; gone afterwards."""
        if self._work_dir is not None:
            self._work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix="file-", dir=self._work_dir) as name:
            yield Path(name)

    async def planned(
        self, wanted: Sequence[tuple[Target, VideoRendition | AudioRendition]], folder: Path, out: Path
    ) -> None:
        """Renditions and the targets that make them, the picture first. Raises NotYet and MediaFault."""
        lacking = [
            target
            for target, one in wanted
            if one.kind == "encode" and not await assembling.is_stored(self._objects, target, one.name)
        ]
        if lacking:
            await self._ask_for_fill(lacking)
            raise NotYet
        parts = []
        for k, (target, one) in enumerate(wanted):
            path = folder / f"{k}.mp4"
            try:
                if one.kind == "copy":
                    await self._copied(target, one.name, path)
                else:
                    await assembling.planned(self._objects, target, one.name, path)
            except assembling.Missing as missing:  # dropped since we looked
                await self._ask_for_fill([target])
                raise NotYet from missing
            parts.append(Part(path, 0, one.language if isinstance(one, AudioRendition) else None))
        await join(parts, out)

    async def _copied(self, target: Target, name: str, path: Path) -> None:
        """The segments that the fill would store."""
        async with self._sources.open(target.source_key) as source:
            await asyncio.to_thread(_write_copied, source, target, name, path)

    async def _ask_for_fill(self, targets: Sequence[Target]) -> None:
        async with self._db.unit() as tx:
            for target_id in {target.id for target in targets}:
                await playback.schedule_fill(tx, target_id)

    async def recorded(self, target: RecordedTarget, names: Sequence[str], folder: Path, out: Path) -> None:
        """These renditions, the picture first. Raises MediaFault."""
        parts = []
        for k, name in enumerate(names):
            path = folder / f"{k}.mp4"
            try:
                await assembling.recorded(self._objects, target, name, path)
            except assembling.Missing as missing:
                raise SourceFault(PART_GONE, "A stored part of the recording was deleted.") from missing
            parts.append(Part(path, 0))
        await join(parts, out)


def _write_copied(source: Path, target: Target, name: str, path: Path) -> None:
    # The HTTP role knows this module and joins nothing: it does without sample tables, and so without numpy.
    from fastpix_server.engine.copyrung import CopySource

    copy = CopySource.open(source, target.plan)
    try:
        with path.open("wb") as file:
            file.write(copy.init(name))
            for k in range(target.plan.timeline.segment_count):
                file.write(copy.segment(name, k))
    except OSError as error:
        raise ServiceFault("no_space", "There is no space left to write the file.") from error


def best_picture(target: RecordedTarget, max_lines: int | None = None) -> Facts | None:
    """Of what is there throughout, up to `max_lines`; the publisher's own before an encode of the same size."""
    videos = [
        video
        for video in target.recording.videos
        if (max_lines is None or selection.lines_of(video) <= max_lines) and assembling.is_throughout(target, video)
    ]
    return max(videos, key=lambda video: (video.height, video.kind == "copy"), default=None)


def sounds_throughout(target: RecordedTarget) -> list[Facts]:
    return [sound for sound in target.recording.audios if assembling.is_throughout(target, sound)]
