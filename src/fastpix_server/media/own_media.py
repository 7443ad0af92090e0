"""Media of ours as inputs of other media: `fp_mediaId://{id}`, and the manifest of a live clip.

The new media gets bytes of its own, so that the old one is never touched and may be deleted. A media that is a file is
copied as a file (a hard link where the store can). What has no single file, a recording or an edited media, is put
together from the stored segments of its best rendition: it then begins as its viewers saw it.

Invariant: a media of another workspace does not exist here.
"""

import dataclasses
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from fastpix_server.base import errors, log
from fastpix_server.base.errors import FieldError, ServiceFault, SourceFault
from fastpix_server.db.pool import Database, Tx
from fastpix_server.engine import assemble
from fastpix_server.media import links, store
from fastpix_server.media.edits import Order
from fastpix_server.media.fetch_rules import Refused
from fastpix_server.media.model import Media
from fastpix_server.media.shapes import OWN_MEDIA
from fastpix_server.media.states import Status
from fastpix_server.playback import service as playback
from fastpix_server.playback.model import Target
from fastpix_server.playback.targets import LiveTarget, RecordedTarget
from fastpix_server.storage.open import Storage
from fastpix_server.storage.port import ObjectMissing, ObjectStore

# How soon to look again at a media that is being made, filled or streamed.
LOOK_AGAIN_S = 5
_GONE = Refused("source_media_gone", "The media that this one is made from was deleted before it was copied.")
_MANIFEST = re.compile(r"/([0-9a-f-]{36})\.m3u8")

_log = log.get(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Later:
    """It will be there, but is not yet."""

    why: str
    wait_s: int = LOOK_AGAIN_S


def id_of(media: Media, position: int, url: str) -> str | None:
    """The media of ours that a file of `media` is copied from; None when it is fetched from its URL."""
    if position == 0 and media.source_media_id is not None:
        return media.source_media_id
    return url.removeprefix(OWN_MEDIA) if url.startswith(OWN_MEDIA) else None


async def refer(tx: Tx, media: Media) -> Media:
    """The new media with what its URLs name of ours. Raises NotFound, BadState and Invalid."""
    await check_files(tx, media.workspace_id, media.edit)
    if media.source_url.startswith(OWN_MEDIA):
        media = media.replace(source_media_id=media.source_url.removeprefix(OWN_MEDIA))
    else:
        media = await _live_clip(tx, media)
    if media.source_media_id is None:
        return media
    source = await _check(tx, media.workspace_id, media.source_media_id)
    # A file is copied as it came: to sound as loud as what its viewers heard, it is measured again.
    return media.replace(optimize_audio=media.optimize_audio or source.optimize_audio)


async def check_files(tx: Tx, workspace_id: str, order: Order) -> None:
    """Raises NotFound and BadState for what an edit names of ours and cannot use."""
    for file in order.files:
        if file.url.startswith(OWN_MEDIA):
            await _check(tx, workspace_id, file.url.removeprefix(OWN_MEDIA))


async def _check(tx: Tx, workspace_id: str, media_id: str) -> Media:
    found = await store.find(tx, media_id, workspace_id=workspace_id)
    if found is None:
        raise errors.NotFound(
            "A media that the inputs name does not exist in the workspace.",
            message="media workspace relation not found",
        )
    if found.status == Status.FAILED:
        raise errors.BadState("A media that is named here has failed: nothing can be made from it.")
    return found


async def _live_clip(tx: Tx, media: Media) -> Media:
    """`{stream}/{playbackId}.m3u8?start=&end=` of ours means that part of the recording (contract section 8)."""
    if not media.source_url.startswith(f"{links.stream_url()}/"):
        return media
    parts = urlsplit(media.source_url)
    match = _MANIFEST.fullmatch(parts.path)
    shown = await playback.find_shown(tx, match[1]) if match else None
    if shown is None or shown.workspace_id != media.workspace_id:
        raise errors.NotFound("The playback ID of the manifest does not exist in the workspace.")
    source_id = shown.target_id
    if shown.is_live:
        target = await playback.find_any(tx, shown.target_id)
        session = target.session if isinstance(target, LiveTarget) else None
        if session is None:
            raise errors.BadState("The live stream has not been on air yet.")
        source_id = session.id
    query = parse_qs(parts.query)
    start_s, end_s = _second(query, "start"), _second(query, "end")
    if end_s is not None and end_s <= (start_s or 0):
        raise errors.Invalid(FieldError("inputs[0].url", "must end after it begins"))
    edit = media.edit
    if start_s or end_s is not None:
        if edit.start_s or edit.end_s is not None:
            raise errors.Invalid(FieldError("inputs[0].startTime", "is given by the manifest already"))
        edit = dataclasses.replace(edit, start_s=float(start_s or 0), end_s=None if end_s is None else float(end_s))
    return media.replace(source_media_id=source_id, edit=edit)


def _second(query: dict[str, list[str]], name: str) -> int | None:
    text = query.get(name, [""])[0]
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,5})s?", text)
    if match is None:
        raise errors.Invalid(FieldError("inputs[0].url", f"has a {name} that is no number of seconds"))
    return int(match[1])


class OwnMedia:
    """Copies for the download job."""

    def __init__(self, db: Database, storage: Storage, work_dir: Path | None = None) -> None:
        self._db = db
        self._objects = storage.objects
        self._work_dir = work_dir

    async def provide(self, media: Media, source_id: str, key: str, *, left_s: float) -> Refused | Later | None:
        """None once the bytes are under `key`. Raises ServiceFault: worth another try."""
        async with self._db.unit() as tx:
            source = await store.find(tx, source_id, workspace_id=media.workspace_id)
            target = await playback.find_any(tx, source_id)
        if source is None:
            return _GONE
        if source.status == Status.FAILED:
            return Refused("source_media_failed", "The media that this one is made from has failed.")
        if left_s <= 0:
            return Refused("source_timeout", "The media that this one is made from was not ready in time.")
        if source.status != Status.READY or target is None:
            return Later(source.status)
        try:
            if isinstance(target, Target):
                return await self._from_plan(target, key)
            if isinstance(target, RecordedTarget):
                await self._from_recording(target, key)
                return None
        except ObjectMissing:
            return _GONE
        except SourceFault as fault:
            return Refused(fault.code, fault.description)
        return Later("the live stream is not over")

    async def _from_plan(self, target: Target, key: str) -> Later | None:
        if target.plan.edit is None or target.plan.edit.is_whole_file:
            await self._objects.copy(target.source_key, key)
            return None
        names = [video.name for video in target.plan.videos[:1]] + [audio.name for audio in target.plan.audios]
        count = target.plan.timeline.segment_count
        parts = [[target.init_key(name), *(target.segment_key(name, k) for k in range(count))] for name in names]
        stored = await self._objects.list_sizes(target.place)
        if any(part not in stored for track in parts for part in track):
            async with self._db.unit() as tx:
                await playback.schedule_fill(tx, target.id)
            return Later("its segments are being made")
        await self._assemble([parts], key)
        return None

    async def _from_recording(self, target: RecordedTarget, key: str) -> None:
        best = max(target.recording.videos, key=lambda facts: (facts.kind == "copy", facts.height), default=None)
        names = [facts.name for facts in (best, *target.recording.audios[:1]) if facts is not None]
        stretches: list[list[list[str]]] = []
        for stretch in target.recording.stretches:
            tracks = [track for name in names if (track := stretch.track(name)) is not None]
            stretches.append(
                [
                    [
                        target.init_key(track.facts.name, stretch.epoch),
                        *(
                            target.segment_key(track.facts.name, stretch.first + k)
                            for k, size in enumerate(track.sizes)
                            if size
                        ),
                    ]
                    for track in tracks
                ]
            )
        await self._check_joinable(stretches)
        await self._assemble(stretches, key)

    async def _check_joinable(self, stretches: Sequence[Sequence[Sequence[str]]]) -> None:
        """Packets are copied, so all stretches must have the headers of the first. Raises SourceFault."""
        first = [await self._objects.get(track[0]) for track in stretches[0]]
        for stretch in stretches[1:]:
            if [await self._objects.get(track[0]) for track in stretch] != first:
                raise SourceFault(
                    "recording_changes", "The publisher changed the format between two connections of the recording."
                )

    async def _assemble(self, stretches: Sequence[Sequence[Sequence[str]]], key: str) -> None:
        """Stretches of tracks of keys -> one file under `key`. It appears whole or not at all."""
        if self._work_dir is not None:
            self._work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix="assemble-", dir=self._work_dir) as name:
            folder = Path(name)
            paths = [
                [await _written(self._objects, keys, folder / f"{i}-{k}.mp4") for k, keys in enumerate(tracks)]
                for i, tracks in enumerate(stretches)
            ]
            await self._objects.put_file(key, await assemble.assemble(paths, folder))


async def _written(objects: ObjectStore, keys: Sequence[str], path: Path) -> Path:
    try:
        with path.open("wb") as file:
            for key in keys:
                file.write(await objects.get(key))
    except OSError as error:
        raise ServiceFault("no_space", "There is no space left to prepare the file.") from error
    return path
