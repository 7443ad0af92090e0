"""Job media.track: the file behind a URL becomes a sound or subtitles of a media that is Ready.

Invariants: nothing is shown before it is stored; the job may die anywhere and begins anew; a track that was deleted or
given another file meanwhile is left alone, and what was stored for it is erased.
"""

import asyncio
import tempfile
from pathlib import Path

import msgspec

from fastpix_server.base import log
from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.db.pool import Database
from fastpix_server.engine import subtitles, webvtt
from fastpix_server.engine.added_sound import plan_added_sound
from fastpix_server.engine.remux import remux
from fastpix_server.engine.run import run
from fastpix_server.jobs.registry import Registry
from fastpix_server.media import additions, tracks
from fastpix_server.media.fetch import FetchLimits
from fastpix_server.media.fetch_rules import Refused
from fastpix_server.media.model import Media, Track
from fastpix_server.media.track_fetch import TrackFetch
from fastpix_server.playback import extras
from fastpix_server.playback import service as playback
from fastpix_server.playback.model import Target
from fastpix_server.storage.open import Storage
from fastpix_server.storage.port import ObjectMissing

# The fetch has tries of its own; these are for faults of ours.
RETRIES = 3
ERASE_RETRIES = 10
GAVE_UP = "The file could not be prepared because of a fault on our side; try again later or ask the operator."

_log = log.get(__name__)


class TrackJobs:
    """The handlers and what they need. `work_dir` holds files in the making, cleared by each job itself."""

    def __init__(
        self, db: Database, storage: Storage, work_dir: Path, policy: AddressPolicy, limits: FetchLimits | None = None
    ) -> None:
        self._db = db
        self._storage = storage
        self._work_dir = work_dir
        self._fetch = TrackFetch(db, storage, policy, limits or FetchLimits())

    def register(self, registry: Registry) -> None:
        registry.add(additions.TRACK_JOB, self.make, queue="fetch", retries=RETRIES, on_exhausted=self.give_up)
        registry.add(additions.ERASE_JOB, self.erase, retries=ERASE_RETRIES)

    async def make(self, track_id: str, version: int) -> None:
        found = await self._find(track_id, version)
        if found is None:
            await self._fetch.discard(track_id, version)
            return
        media, track = found
        key = source_key(media.id, track)
        refused = await self._fetch.fetch(track, key)
        if refused is not None:
            await self._fail(track_id, version, refused)
            return
        try:
            await self._prepare(media, track, key)
        except SourceFault as fault:
            await self._fail(track_id, version, Refused(fault.code, fault.description))
        except ObjectMissing as fault:
            if await self._find(track_id, version) is not None:
                raise ServiceFault("source_missing", f"The stored file of track {track_id} is missing.") from fault
        await self._tidy(media.id, track)

    async def give_up(self, track_id: str, version: int, error: str) -> None:
        _log.error("track_exhausted", track_id=track_id, error=error)
        await self._fail(track_id, version, Refused("service_fault", GAVE_UP))

    async def erase(self, media_id: str, name: str) -> None:
        for prefix in (f"sources/{media_id}/{name}", f"media/{media_id}/{name}"):
            await self._storage.objects.delete_prefix(prefix)

    async def _find(self, track_id: str, version: int) -> tuple[Media, Track] | None:
        async with self._db.unit() as tx:
            return await tracks.find(tx, track_id, version)

    async def _fail(self, track_id: str, version: int, refused: Refused) -> None:
        async with self._db.unit() as tx:
            found = await tracks.find(tx, track_id, version)
            if found is not None:
                await tracks.end(tx, *found, fault={"code": refused.code, "description": refused.sentence})

    async def _prepare(self, media: Media, track: Track, key: str) -> None:
        if track.type == "subtitle":
            await self._prepare_text(media, track, key)
        else:
            await self._prepare_sound(media, track, key)

    async def _prepare_text(self, media: Media, track: Track, key: str) -> None:
        data = await self._storage.objects.get(key)
        cues = await asyncio.to_thread(subtitles.parse, data)
        text = extras.Text(track.id, f"s{_short(track)}", tracks.label_of(track), made_place(media.id, track))
        await self._storage.objects.put(text.cues_key, msgspec.json.encode(webvtt.to_json(cues)), durable=True)
        await self._storage.objects.put(text.whole_key, webvtt.document(cues), durable=True)
        async with self._db.unit() as tx:
            found = await tracks.find(tx, track.id, track.version)
            if found is not None:
                # The words may have changed since.
                await extras.add_text(
                    tx, media.id, extras.Text(text.track_id, text.name, tracks.label_of(found[1]), text.place)
                )
                await tracks.end(tx, *found)

    async def _prepare_sound(self, media: Media, track: Track, key: str) -> None:
        async with self._db.unit() as tx:
            shown = await playback.find_target(tx, media.id)
        if not isinstance(shown, Target):
            return  # the media was deleted meanwhile
        from fastpix_server.engine.probe import needs_remux, probe  # numpy: loaded by the first media

        async with self._storage.sources.open(key) as path:
            source = await probe(path, run=run)
            if source.audios and needs_remux(source):
                key = await self._normalise(path, key)
        if key.endswith("-normal.mp4"):
            async with self._storage.sources.open(key) as path:
                source = await probe(path, run=run)
        label = tracks.label_of(track)
        plan = plan_added_sound(
            shown.plan,
            source,
            name=f"x{_short(track)}",
            language=label.language,
            title=label.title,
            quality=media.media_quality,
        )
        async with self._db.unit() as tx:
            found = await tracks.find(tx, track.id, track.version)
            if found is not None:
                await extras.add_sound(
                    tx,
                    media.id,
                    track_id=track.id,
                    workspace_id=media.workspace_id,
                    source_key=key,
                    place=made_place(media.id, track),
                    plan=plan,
                    label=tracks.label_of(found[1]),
                )
                await tracks.end(tx, *found)

    async def _normalise(self, path: Path, key: str) -> str:
        """Positions in time that are only guessed become exact in an MP4 beside it, stored whole or not at all."""
        from fastpix_server.engine.probe import probe

        made = f"{key}-normal.mp4"
        if await self._storage.objects.size(made) is None:
            self._work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(prefix="track-", dir=self._work_dir) as folder:
                out = Path(folder) / "normal.mp4"
                await remux(path, out, await probe(path, run=run))
                await self._storage.objects.put_file(made, out)
        return made

    async def _tidy(self, media_id: str, track: Track) -> None:
        """Of a track that is gone no file stays, and of one that is shown now none but that."""
        async with self._db.unit() as tx:
            now = await tracks.current(tx, track.id)
        if now is None:
            await self.erase(media_id, f"tracks/{track.id}")
        elif (now.version, now.status) == (track.version, "available"):
            for version in range(1, track.version):
                await self.erase(media_id, f"tracks/{track.id}/{version}")


def source_key(media_id: str, track: Track) -> str:
    return f"sources/{media_id}/tracks/{track.id}/{track.version}/file"


def made_place(media_id: str, track: Track) -> str:
    return f"media/{media_id}/tracks/{track.id}/{track.version}"


def _short(track: Track) -> str:
    """Names the renditions of this very file: another file has other URLs."""
    return f"{track.id.replace('-', '')[:16]}-{track.version}"
