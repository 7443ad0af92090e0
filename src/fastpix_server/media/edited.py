"""From the files of an edited media to its plan: probe them all, compose the cuts, place the marks, measure the sound.

Invariants: nothing of a picture is decoded here but the watermarks; every file that is made lies beside the media's
others under a name that a second run finds again.
"""

import asyncio
import contextlib
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine import edit_list as cutting
from fastpix_server.engine import loudness, splice
from fastpix_server.engine import watermark as watermarks
from fastpix_server.engine.edit import Edit, Lender, Overlay, SoundSource, Watermark
from fastpix_server.engine.edit_list import Cuts, Insert, Stretch
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.remux import remux
from fastpix_server.engine.run import run
from fastpix_server.engine.source import Source
from fastpix_server.engine.watermark import Picture
from fastpix_server.media import service
from fastpix_server.media.edits import Mark, Order
from fastpix_server.media.model import Media
from fastpix_server.playback.model import Target
from fastpix_server.storage.open import Storage


@dataclasses.dataclass(frozen=True, slots=True)
class _Understood:
    """One file of ours, ready for encoders: a video or a sound with its facts, or a picture with its size."""

    key: str
    source: Source | None = None
    picture: Picture | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class EditedPlan:
    """`source` are the facts of the base as its viewers find them: its picture, and the sounds of the plan."""

    plan: Plan
    source: Source
    keys: tuple[str, ...]


class Editor:
    """`keep` stores what had to be made of a file: a copy with an index, a decoded picture."""

    def __init__(self, storage: Storage, work_dir: Path) -> None:
        self._storage = storage
        self._work_dir = work_dir

    async def plan(self, media: Media, lender: Target | None) -> EditedPlan:
        """`lender` is the media that it is made from, where that is of the planned kind.

        Raises SourceFault for the user's mistakes, with the file that is meant, and ServiceFault.
        """
        kinds = ["video", *(file.kind for file in media.edit.files)]
        files = [await self._understand(media.id, position, kind) for position, kind in enumerate(kinds)]
        async with contextlib.AsyncExitStack() as stack:
            paths = [await stack.enter_async_context(self._storage.sources.open(file.key)) for file in files]
            return await _planned(media, files, paths, lender)

    async def _understand(self, media_id: str, position: int, kind: str) -> _Understood:
        from fastpix_server.engine.probe import needs_remux, probe  # numpy: loaded by the first media

        key = service.source_key(media_id, position)
        try:
            if kind == "image":
                return await self._picture(key, f"sources/{media_id}/{position}-mark.mov")
            async with self._storage.sources.open(key) as path:
                source = await probe(path, run=run)
                if not needs_remux(source):
                    return _Understood(key, source)
                normal = (
                    f"sources/{media_id}/normal.mp4" if position == 0 else f"sources/{media_id}/{position}-normal.mp4"
                )
                if await self._storage.objects.size(normal) is None:
                    await self._remux(path, source, normal)
            async with self._storage.sources.open(normal) as path:
                return _Understood(normal, await probe(path, run=run))
        except SourceFault as fault:
            if position == 0:
                raise
            raise SourceFault(fault.code, f"File {position} of the edit: {fault.description}") from fault

    async def _remux(self, path: Path, source: Source, key: str) -> None:
        with self._folder() as folder:
            out = folder / "normal.mp4"
            await remux(path, out, source)
            await self._storage.objects.put_file(key, out)

    async def _picture(self, key: str, kept: str) -> _Understood:
        with self._folder() as folder:
            out = folder / "mark.mov"
            async with self._storage.sources.open(key) as path:
                picture = await watermarks.decode(path, out)
            await self._storage.objects.put_file(kept, out)
        return _Understood(kept, picture=picture)

    @contextlib.contextmanager
    def _folder(self):  # type: ignore[no-untyped-def]
        self._work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix="edit-", dir=self._work_dir) as name:
            yield Path(name)


async def _planned(
    media: Media, files: Sequence[_Understood], paths: Sequence[Path], lender: Target | None
) -> EditedPlan:
    order = media.edit
    sources = {position: file.source for position, file in enumerate(files) if file.source is not None}
    base = sources[0]
    cuts = cuts_of(order, sources)
    stretches = cutting.compose([splice.whole(0, base)], cuts)
    pictures = {position: file.picture for position, file in enumerate(files) if file.picture is not None}
    shown_s = sum((stretch.length_s for stretch in stretches), Fraction(0))
    edit = Edit(
        watermarks=tuple(_placed(mark, base, pictures[mark.file]) for mark in order.marks),
        swap=None if order.swap is None else _sound(order.swap, sources),
        overlays=_overlays(order, sources, shown_s),
    )
    from fastpix_server.engine import copyrung

    verdict = await asyncio.to_thread(copyrung.judge, paths[0], base)

    def made(edit: Edit) -> Plan:
        return splice.make_edited_plan(
            [sources.get(i, base) for i in range(len(files))],
            stretches,
            edit,
            max_resolution=media.max_resolution,
            quality=media.media_quality,
            copy=verdict,
        )

    plan = await asyncio.to_thread(made, edit)
    lent = None if lender is None else lender_of(lender, plan)
    if lent is not None:
        edit = dataclasses.replace(edit, lender=lent)
        plan = await asyncio.to_thread(made, edit)
    if media.optimize_audio and plan.audios:
        gains = await loudness.gains_db(plan, paths)
        plan = await asyncio.to_thread(made, dataclasses.replace(edit, gains_db=gains))
    heard = splice.heard([sources.get(i, base) for i in range(len(files))], stretches, edit)
    return EditedPlan(plan, dataclasses.replace(base, audios=heard), tuple(file.key for file in files))


def lender_of(source: Target, plan: Plan) -> Lender | None:
    """What of the media that `plan` is cut from can be taken over segment by segment."""
    whole = source.plan
    is_same_file = whole.edit is None or whole.edit.is_whole_file
    if not is_same_file or plan.edit is None or plan.edit.watermarks:
        return None
    if whole.video != plan.video or (whole.timeline.fps, whole.timeline.timescale) != (
        plan.timeline.fps,
        plan.timeline.timescale,
    ):
        return None
    if plan.edit.pieces and any(video.kind == "copy" for video in plan.videos):
        return None  # cut at clean pictures already: what it would borrow costs as little to make
    names = tuple(video.name for video in plan.videos if video.kind == "encode" and video in whole.videos)
    return Lender(source.place, whole.timeline.cuts, names) if names else None


def cuts_of(order: Order, sources: Mapping[int, Source]) -> Cuts:
    """The cuts in exact times. Other files are joined whole."""

    def whole(file: int | None) -> Stretch | None:
        return None if file is None else splice.whole(file, sources[file])

    return Cuts(
        start_s=_exact(order.start_s),
        end_s=None if order.end_s is None else _exact(order.end_s),
        removed_s=tuple((_exact(begin), _exact(end)) for begin, end in order.removed_s),
        inserts=tuple(
            Insert(None if item.at_s is None else _exact(item.at_s), splice.whole(item.file, sources[item.file]))
            for item in order.inserts
        ),
        intro=whole(order.intro),
        outro=whole(order.outro),
    )


def _exact(time_s: float) -> Fraction:
    """As it was written: thousandths are the finest that a request can name."""
    return Fraction(round(time_s * 1000), 1000)


def _sound(file: int, sources: Mapping[int, Source]) -> SoundSource:
    audios = sources[file].audios
    if not audios:
        raise SourceFault("no_audio", f"File {file} of the edit has no sound.")
    return SoundSource(file, audios[0].stream_index)


def _overlays(order: Order, sources: Mapping[int, Source], shown_s: Fraction) -> tuple[Overlay, ...]:
    """Those that begin before the media ends; each ends with its file, its own end or the media's."""
    found = []
    for item in order.overlays:
        sound = _sound(item.file, sources)
        start_s = _exact(item.start_s)
        end_s = min(start_s + Fraction(sources[item.file].duration_s).limit_denominator(48000), shown_s)
        if item.end_s is not None:
            end_s = min(end_s, _exact(item.end_s))
        if end_s <= start_s:
            continue
        fade_in_s = min(_exact(item.fade_in_s), end_s - start_s)
        fade_out_s = min(_exact(item.fade_out_s), end_s - start_s - fade_in_s)
        found.append(Overlay(sound.file, sound.stream, start_s, end_s, fade_in_s, fade_out_s))
    return tuple(found)


def _placed(mark: Mark, base: Source, picture: Picture) -> Watermark:
    """The box of a watermark in parts of the frame: as large as asked, never larger than the frame, always inside."""
    if base.video is None:
        raise SourceFault("no_video", "A watermark needs a video; the media has only sound.")
    across, down = base.video.display_width, base.video.display_height
    shape = picture.width / picture.height * down / across  # width against height, both in parts of the frame
    width = None if mark.width is None else mark.width.of(across)
    height = None if mark.height is None else mark.height.of(down)
    if width is None and height is None:
        width, height = picture.width / across, picture.height / down
    elif width is None:
        width = (height or 0.0) * shape
    elif height is None:
        height = width / shape
    shrink = min(1.0, 1 / width, 1 / (height or 1.0))
    width, height = width * shrink, (height or 0.0) * shrink
    x, y = mark.x_margin.of(across), mark.y_margin.of(down)
    left = {"left": x, "center": (1 - width) / 2 + x, "right": 1 - width - x}[mark.x_align]
    top = {"top": y, "middle": (1 - height) / 2 + y, "bottom": 1 - height - y}[mark.y_align]
    return Watermark(
        file=mark.file,
        left=min(max(left, 0.0), 1 - width),
        top=min(max(top, 0.0), 1 - height),
        width=width,
        height=height,
        opacity=mark.opacity,
    )
