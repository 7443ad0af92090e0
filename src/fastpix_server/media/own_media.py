"""Media of ours as inputs of other media: `fp_mediaId://{id}`, and the manifest of a live clip.

The new media gets bytes of its own, so that the old one is never touched and may be deleted. A media that is a file is
copied as a file (a hard link where the store can). What has no single file, a recording or an edited media, is put
together from the stored segments of its best rendition: it then begins as its viewers saw it.

Invariant: a media of another workspace does not exist here.
"""

import dataclasses
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from fastpix_server.base import errors, log
from fastpix_server.base.errors import FieldError, SourceFault
from fastpix_server.db.pool import Database, Tx
from fastpix_server.engine.plan import AudioRendition, VideoRendition
from fastpix_server.media import links, store
from fastpix_server.media.edits import Order
from fastpix_server.media.fetch_rules import Refused
from fastpix_server.media.joining import PART_GONE, Joiner, NotYet, best_picture, sounds_throughout
from fastpix_server.media.model import Media
from fastpix_server.media.shapes import OWN_MEDIA
from fastpix_server.media.states import Status
from fastpix_server.playback import service as playback
from fastpix_server.playback.model import Target
from fastpix_server.playback.targets import LiveTarget, RecordedTarget
from fastpix_server.storage.open import Storage
from fastpix_server.storage.port import ObjectMissing

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
        self._joiner = Joiner(db, storage, work_dir)

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
            return _GONE if fault.code == PART_GONE else Refused(fault.code, fault.description)
        return Later("the live stream is not over")

    async def _from_plan(self, target: Target, key: str) -> Later | None:
        if target.plan.edit is None or target.plan.edit.is_whole_file:
            await self._objects.copy(target.source_key, key)
            return None
        async with self._joiner.folder() as folder:
            out = folder / "whole.mp4"
            wanted: list[tuple[Target, VideoRendition | AudioRendition]]
            wanted = [(target, video) for video in target.plan.videos[:1]]
            wanted += [(target, audio) for audio in target.plan.audios]
            try:
                await self._joiner.planned(wanted, folder, out)
            except NotYet:
                return Later("its segments are being made")
            await self._objects.put_file(key, out)
        return None

    async def _from_recording(self, target: RecordedTarget, key: str) -> None:
        names = [facts.name for facts in (best_picture(target), *sounds_throughout(target)[:1]) if facts is not None]
        if not names:
            raise SourceFault("recording_changes", "The recording has no rendition throughout.")
        async with self._joiner.folder() as folder:
            out = folder / "whole.mp4"
            await self._joiner.recorded(target, names, folder, out)
            await self._objects.put_file(key, out)
