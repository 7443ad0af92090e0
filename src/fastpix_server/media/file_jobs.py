"""Job media.file: an MP4 or M4A for download, written from what is encoded already.

Invariants: nothing is encoded here: where the best rendition is the source's own, the source is rewritten at once, and
otherwise the job comes back until the background fill has stored what it needs; the file is shown after it is stored.
"""

from pathlib import Path

from fastpix_server.base import log
from fastpix_server.base.errors import SourceFault
from fastpix_server.db.pool import Database
from fastpix_server.engine.plan import AudioRendition, VideoRendition
from fastpix_server.engine.static_file import Part, join
from fastpix_server.jobs.registry import Registry
from fastpix_server.media import additions, files
from fastpix_server.media.joining import Joiner, NotYet, best_picture, sounds_throughout
from fastpix_server.media.model import FileKind, MadeFile, Media
from fastpix_server.playback import selection
from fastpix_server.playback import service as playback
from fastpix_server.playback.extras import File
from fastpix_server.playback.model import Target
from fastpix_server.playback.targets import RecordedTarget
from fastpix_server.storage.open import Storage

RETRIES = 3
# While the fill is at work: soon at first, as short media are filled in seconds, then rarely.
WAITS_S = (1, 2, 5, 10, 30, 60)
# Two days of the last one: by then nobody fills this media.
MAX_WAITS = 2 * 24 * 60
MAX_LINES = 2160  # what `capped_4k` says
_TYPES: dict[FileKind, str] = {"capped_4k": "video/mp4", "audioOnly": "audio/mp4"}

_log = log.get(__name__)


class FileJobs:
    """The handler and what it needs. `work_dir` holds files in the making, cleared by each job itself."""

    def __init__(self, db: Database, storage: Storage, work_dir: Path) -> None:
        self._db = db
        self._storage = storage
        self._joiner = Joiner(db, storage, work_dir)

    def register(self, registry: Registry) -> None:
        registry.add(additions.FILE_JOB, self.make, retries=RETRIES, on_exhausted=self.give_up)

    async def make(self, file_id: str, waited: int = 0) -> None:
        async with self._db.unit() as tx:
            found = await files.find(tx, file_id)
            target = None if found is None else await playback.find_target(tx, found[0].id)
        if found is None or target is None:
            return
        try:
            made = await self._made(*found, target)
        except NotYet:
            await self._come_back(file_id, waited)
            return
        except SourceFault as fault:
            _log.warning("file_impossible", media_id=found[0].id, code=fault.code, error=fault.description)
            await self._end(file_id, None)
            return
        await self._end(file_id, made)

    async def give_up(self, file_id: str, error: str, waited: int = 0) -> None:
        _log.error("file_exhausted", file_id=file_id, error=error)
        await self._end(file_id, None)

    async def _come_back(self, file_id: str, waited: int) -> None:
        if waited >= MAX_WAITS:
            await self._end(file_id, None)
            return
        async with self._db.unit() as tx:
            if await files.find(tx, file_id) is not None:
                wait_s = WAITS_S[min(waited, len(WAITS_S) - 1)]
                await additions.begin_file(tx, file_id, waited=waited + 1, after_s=wait_s)

    async def _end(self, file_id: str, made: "tuple[MadeFile, File] | None") -> None:
        async with self._db.unit() as tx:
            found = await files.find(tx, file_id)
            if found is not None:
                media, file = found
                await files.end(tx, media, made[0] if made else file, made[1] if made else None)
        if found is None and made is not None:  # taken away, or deleted, while it was made
            await self._storage.objects.delete(made[1].key)

    async def _made(self, media: Media, file: MadeFile, target: Target | RecordedTarget) -> tuple[MadeFile, File]:
        async with self._joiner.folder() as folder:
            out = folder / files.NAMES[file.kind]
            write = self._from_plan if isinstance(target, Target) else self._from_recording
            size = await write(target, file.kind, folder, out)  # type: ignore[arg-type]
            size_bytes = out.stat().st_size
            key = files.key_of(media.id, file.id, file.kind)
            await self._storage.objects.put_file(key, out)
        width, height = size or (None, None)
        shown = File(
            name=files.NAMES[file.kind],
            key=key,
            size_bytes=size_bytes,
            media_type=_TYPES[file.kind],
            lines=selection.lines_of_size(*size) if size else 0,
        )
        return MadeFile(file.id, file.kind, "ready", width, height), shown

    async def _from_plan(self, target: Target, kind: FileKind, folder: Path, out: Path) -> tuple[int, int] | None:
        """The size of the picture in it, if it has one."""
        videos = [v for v in target.plan.videos if selection.lines_of(v) <= MAX_LINES]
        video = videos[0] if kind == "capped_4k" and videos else None
        # A player of sound alone shows no menu: it gets the first.
        sounds = target.sounds if kind == "capped_4k" else target.sounds[:1]
        if (video is None) != (kind == "audioOnly") or (video is None and not sounds):
            raise SourceFault("nothing_to_write", "The media has nothing that this file would hold.")
        wanted: list[tuple[Target, VideoRendition | AudioRendition]] = [] if video is None else [(target, video)]
        wanted += [(sound.target, sound.rendition) for sound in sounds]
        if all(owner is target and rendition.kind == "copy" for owner, rendition in wanted):
            facts = target.plan.video
            async with self._storage.sources.open(target.source_key) as source:
                parts = [Part(source, facts.stream_index)] if video is not None and facts is not None else []
                parts += [Part(source, s.rendition.stream_index, s.rendition.language) for s in sounds]
                await join(parts, out)
        else:
            await self._joiner.planned(wanted, folder, out)
        return None if video is None else (video.width, video.height)

    async def _from_recording(
        self, target: RecordedTarget, kind: FileKind, folder: Path, out: Path
    ) -> tuple[int, int] | None:
        best = best_picture(target, MAX_LINES) if kind == "capped_4k" else None
        sounds = sounds_throughout(target)
        wanted = [facts.name for facts in (best, *sounds[:1]) if facts is not None]
        if not wanted or (best is None) != (kind == "audioOnly"):
            raise SourceFault("nothing_to_write", "The recording has nothing throughout that this file would hold.")
        await self._joiner.recorded(target, wanted, folder, out)
        return None if best is None else (best.width, best.height)
