"""The plan of an edited media: stretches of several files as one timeline, with the same rules as a plan of one file.

The base (file 0) gives the grid, the size and the ladder; pictures of other files are fitted into it. Every border of
a stretch is a cut, so that a segment comes from one file and the encode unit stays what it is. Invariants: a border
in the base lies on its own frames, so what is cut away is gone to the frame; no process is started and no file read.
"""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine import cuts as cutting
from fastpix_server.engine import ladder
from fastpix_server.engine import plan as planning
from fastpix_server.engine.copy_verdict import CopyVerdict, CopyVideo
from fastpix_server.engine.edit import SILENT, Edit, Lender, Piece
from fastpix_server.engine.edit_list import Stretch
from fastpix_server.engine.plan import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ, Plan, Timeline
from fastpix_server.engine.plan_json import revision_of
from fastpix_server.engine.source import AudioFacts, Source

# A rest of a lent segment that is shorter is made together with its neighbour: a request for so little costs more.
SHORTEST_FRAMES = 6


@dataclasses.dataclass(frozen=True, slots=True)
class _Run:
    """A stretch on the grid of the timeline."""

    at: int  # the timeline's frame that it begins with
    file: int
    in_frame: int  # on the grid, counted from the file's beginning
    in_s: Fraction
    frames: int


def length_of(source: Source) -> Fraction:
    """How long a whole file is shown."""
    if source.video is not None:
        return planning.frames_of(source, source.video) / source.video.fps
    return Fraction(source.duration_s).limit_denominator(AUDIO_RATE_HZ)


def whole(file: int, source: Source) -> Stretch:
    return Stretch(file, Fraction(0), length_of(source))


def make_edited_plan(
    sources: Sequence[Source],
    stretches: Sequence[Stretch],
    edit: Edit,
    *,
    max_resolution: str = "1080p",
    quality: str = "standard",
    copy: CopyVerdict | None = None,
) -> Plan:
    """`sources[i]` are the facts of file i; `copy` is the verdict on file 0; `edit` has no pieces yet.

    Raises SourceFault when the files do not go together, or nothing is left.
    """
    base = sources[0]
    if base.video is None and edit.watermarks:
        raise SourceFault("no_video", "A watermark needs a video; the media has only sound.")
    shown = dataclasses.replace(base, audios=heard(sources, stretches, edit))
    copy = _unchanged(copy, edit)
    if list(stretches) == [whole(0, base)] and all(a is b for a, b in zip(shown.audios, base.audios, strict=False)):
        plan = planning.make_plan(shown, max_resolution=max_resolution, quality=quality, copy=copy)
        return _finished(plan, edit)
    tier, cap = ladder.TIERS[quality], planning.SHORT_SIDES[max_resolution]
    grid = _grid(base)
    runs = _runs(sources, stretches, grid)
    candidate = None
    if base.video is not None and copy is not None and copy.video is not None:
        candidate = planning.affordable(_copied(copy.video, runs), base.video, tier, cap)
    local = [_cuts(sources[run.file], run, grid, candidate, edit.lender) for run in runs]
    timeline = _timeline(grid, local, has_sound=bool(shown.audios), is_audio_only=base.video is None)
    videos = planning.video_renditions(base.video, timeline, candidate, tier, cap) if base.video else ()
    pieces, seeks = _pieces(sources, runs, local, grid, shown.audios)
    plan = Plan(
        revision="",
        container=base.container,
        start_s=base.start_s,
        duration_s=timeline.duration_s,
        timeline=timeline,
        video=None if base.video is None else dataclasses.replace(base.video, keyframes_s=None),
        seeks_s=seeks,
        videos=videos,
        audios=planning.audio_renditions(shown, timeline, None, tier),
    )
    return _finished(plan, dataclasses.replace(edit, pieces=pieces))


def _finished(plan: Plan, edit: Edit) -> Plan:
    plan = dataclasses.replace(plan, edit=edit)
    return dataclasses.replace(plan, revision=revision_of(plan))


def _unchanged(copy: CopyVerdict | None, edit: Edit) -> CopyVerdict | None:
    """What of the base may still be served as it is."""
    if copy is None:
        return None
    video = None if edit.watermarks else copy.video
    audios = () if edit.changes_sound else copy.audios
    return CopyVerdict(video, audios) if video or audios else None


def heard(sources: Sequence[Source], stretches: Sequence[Stretch], edit: Edit) -> tuple[AudioFacts, ...]:
    """One for each sound of the plan: the base's own; or that of the file that replaces it; or the first there is."""
    if edit.swap is not None:
        return _sounds_of(sources[edit.swap.file], edit.swap.stream)
    if sources[0].audios:
        return sources[0].audios
    joined = next((sources[s.file].audios[:1] for s in stretches if sources[s.file].audios), ())
    mixed = sources[edit.overlays[0].file].audios[:1] if edit.overlays else ()
    # It lies in another file: in the base there is nothing to be heard.
    return tuple(dataclasses.replace(facts, stream_index=SILENT) for facts in joined or mixed)


def _sounds_of(source: Source, stream: int) -> tuple[AudioFacts, ...]:
    return tuple(facts for facts in source.audios if facts.stream_index == stream)


def _grid(base: Source) -> Fraction:
    return base.video.fps if base.video else Fraction(AUDIO_RATE_HZ, AAC_FRAME_SAMPLES)


def _runs(sources: Sequence[Source], stretches: Sequence[Stretch], grid: Fraction) -> list[_Run]:
    """Stretches in whole frames. Those shorter than half a frame are gone."""
    runs: list[_Run] = []
    for stretch in stretches:
        source = sources[stretch.file]
        if sources[0].video is not None and source.video is None:
            raise SourceFault("no_video", "A file that should be joined to the video has no picture.")
        first, last = round(stretch.in_s * grid), round(stretch.out_s * grid)
        is_aligned = source.video is None or source.video.fps == grid
        in_s = first / grid if is_aligned else stretch.in_s
        if last > first:
            at = runs[-1].at + runs[-1].frames if runs else 0
            runs.append(_Run(at, stretch.file, first, in_s, last - first))
    if not runs:
        raise SourceFault("nothing_left", "The cuts leave less than one frame of the video.")
    return runs


def _cuts(source: Source, run: _Run, grid: Fraction, copy: CopyVideo | None, lender: Lender | None) -> tuple[int, ...]:
    """Where the segments of a run begin, counted from its first frame, then its end. `copy` is of the timeline."""
    if source.video is None:
        return cutting.grid_cuts(run.frames, round(cutting.AUDIO_ONLY_TARGET_S * grid))
    if lender is not None and run.file == 0:
        return _lent_cuts(run, lender)
    if copy is not None:
        clean = [cut - run.at for cut in copy.cut_frames if run.at < cut < run.at + run.frames]
        chosen = cutting.key_cuts(run.frames, grid, clean, max_gop_s=cutting.MAX_COPY_GOP_S)
        if chosen is not None:
            return chosen
    if source.video.keyframes_s is not None:
        keys = sorted({cutting.key_frame_index(t - float(run.in_s), grid) for t in source.video.keyframes_s})
        chosen = cutting.key_cuts(run.frames, grid, keys, max_gop_s=cutting.MAX_GOP_S)
        if chosen is not None:
            return chosen
    return cutting.grid_cuts(run.frames, cutting.target_frames(grid))


def _lent_cuts(run: _Run, lender: Lender) -> tuple[int, ...]:
    """Where the lender's segments begin, so that all but the first and the last are the very same."""
    end = run.in_frame + run.frames
    first, last = run.in_frame + SHORTEST_FRAMES, end - SHORTEST_FRAMES
    inner = [cut - run.in_frame for cut in lender.cuts if first <= cut <= last]
    return (0, *inner, run.frames)


def _copied(video: CopyVideo, runs: Sequence[_Run]) -> CopyVideo | None:
    """The verdict on the base, told of the timeline: None when a run begins or ends where no clean cut is."""
    known = dict(zip(video.cut_frames, video.cut_bytes, strict=True)) | {video.frames: video.total_bytes}
    frames: list[int] = []
    sizes: list[int] = []
    at_bytes = 0
    for run in runs:
        end = run.in_frame + run.frames
        if run.file != 0 or run.in_frame not in known or end not in known:
            return None
        inside = [cut for cut in video.cut_frames if run.in_frame <= cut < end]
        frames += [run.at + cut - run.in_frame for cut in inside]
        sizes += [at_bytes + known[cut] - known[run.in_frame] for cut in inside]
        at_bytes += known[end] - known[run.in_frame]
    length = runs[-1].at + runs[-1].frames
    return dataclasses.replace(
        video, cut_frames=tuple(frames), cut_bytes=tuple(sizes), total_bytes=at_bytes, frames=length
    )


def _timeline(grid: Fraction, local: Sequence[tuple[int, ...]], *, has_sound: bool, is_audio_only: bool) -> Timeline:
    timescale, ticks = (AUDIO_RATE_HZ, AAC_FRAME_SAMPLES) if is_audio_only else planning.timescale_of(grid)
    cuts = [0]
    for run in local:
        begin = cuts[-1]
        cuts += [begin + cut for cut in run[1:]]
    starts = [Fraction(cut * ticks, timescale) for cut in cuts]
    if is_audio_only:
        sounds = tuple(cuts)
    elif has_sound:
        sounds = cutting.audio_cuts(starts[:-1], starts[-1], AUDIO_RATE_HZ)
    else:
        sounds = (0,) * len(cuts)
    return Timeline(
        fps=grid,
        timescale=timescale,
        frame_ticks=ticks,
        cuts=tuple(cuts),
        audio_rate_hz=AUDIO_RATE_HZ,
        audio_cuts=sounds,
    )


def _pieces(
    sources: Sequence[Source],
    runs: Sequence[_Run],
    local: Sequence[tuple[int, ...]],
    grid: Fraction,
    audios: Sequence[AudioFacts],
) -> tuple[tuple[Piece, ...], tuple[float | None, ...]]:
    """The pieces, and for each segment where decoding begins in its file."""
    pieces: list[Piece] = []
    seeks: list[float | None] = []
    for run, cuts in zip(runs, local, strict=True):
        source = sources[run.file]
        pieces.append(
            Piece(
                first=len(seeks),
                file=run.file,
                in_s=run.in_s,
                video=None if source.video is None else dataclasses.replace(source.video, keyframes_s=None),
                streams=_streams(source, run.file, audios),
            )
        )
        keys = source.video.keyframes_s if source.video else None
        seeks += [cutting.seek(float(run.in_s + cut / grid), grid, keys) for cut in cuts[:-1]]
    return tuple(pieces), tuple(seeks)


def _streams(source: Source, file: int, audios: Sequence[AudioFacts]) -> tuple[int, ...]:
    """The base has a stream for each sound; the first sound of another file is heard in all of them."""
    if file == 0:
        return tuple(facts.stream_index for facts in audios)
    return (source.audios[0].stream_index if source.audios else SILENT,) * len(audios)
