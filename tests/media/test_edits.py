"""Cuts and joins: every frame and every sample of the timeline is the one that the edit list names."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests import footage
from tests.media.making import Made, warnings_of

from fastpix_server.engine.copyrung import CopySource, judge
from fastpix_server.engine.edit import Edit
from fastpix_server.engine.edit_list import Cuts, Insert, Stretch, compose
from fastpix_server.engine.encode import encode_audio, encode_video
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.probe import probe
from fastpix_server.engine.run import run
from fastpix_server.engine.splice import make_edited_plan, whole

RATE_HZ = 48000


async def edited(paths: list[Path], cuts: Cuts, edit: Edit | None = None, *, copy: bool = False) -> Plan:
    sources = [await probe(path, run=run) for path in paths]
    verdict = judge(paths[0], sources[0]) if copy else None
    return make_edited_plan(sources, compose([whole(0, sources[0])], cuts), edit or Edit(), copy=verdict)


async def shown(plan: Plan, paths: list[Path], folder: Path, *, order: list[int] | None = None) -> np.ndarray:
    """Frame numbers of the smallest rung, made whole or segment by segment in that order."""
    made = Made(plan)
    count = plan.timeline.segment_count
    rung = plan.videos[-1]
    for k0, k1 in [(0, count)] if order is None else [(k, k + 1) for k in order]:
        await encode_video(plan, paths[0], [rung], k0, k1, made.emit, others=paths[1:], fast=True)
    stream = await made.write(rung.name, folder / "v.mp4")
    assert warnings_of(stream) == ""
    return footage.frame_numbers("-i", str(stream))


async def heard(plan: Plan, paths: list[Path], folder: Path, *, apart: bool = False) -> Path:
    made = Made(plan)
    count = plan.timeline.segment_count
    for k0, k1 in [(k, k + 1) for k in range(count)] if apart else [(0, count)]:
        await encode_audio(plan, paths[0], plan.audios[0], k0, k1, made.emit, others=paths[1:])
    return await made.write("a0", folder / "a.mp4")


def frames(*ranges: tuple[float, float], fps: int = 30) -> list[int]:
    return [n for begin, end in ranges for n in range(round(begin * fps), round(end * fps))]


def seconds(*values: float) -> tuple[Fraction, ...]:
    return tuple(Fraction(value).limit_denominator(1000) for value in values)


def clicks_of(path: Path) -> list[float]:
    """When whole clicks begin, in seconds, in order; each to the sample."""
    pcm = samples_of(path)
    match = np.correlate(pcm, footage.click(RATE_HZ), "valid")
    found: list[float] = []
    loud = 0.6 * match.max()
    while match.max() > loud:
        at = int(match.argmax())
        found.append(at / RATE_HZ)
        match[max(0, at - RATE_HZ // 20) : at + RATE_HZ // 20] = 0
    return sorted(found)


def samples_of(path: Path) -> np.ndarray:
    out = ["-map", "0:a:0", "-af", f"aresample={RATE_HZ}:async=1:first_pts=0", "-ac", "1", "-f", "s16le", "-"]
    return np.frombuffer(footage.ffmpeg("-i", str(path), *out), "<i2").astype(float)


async def test_removed_seconds_are_gone_to_the_frame(tmp_path: Path):
    base = footage.make("plain")
    start, end, a, b, c, d = seconds(0.5, 7.2, 2, 3.1, 5, 5.5)
    plan = await edited([base], Cuts(start_s=start, end_s=end, removed_s=((a, b), (c, d))))
    numbers = await shown(plan, [base], tmp_path, order=list(reversed(range(plan.timeline.segment_count))))
    assert numbers.tolist() == frames((0.5, 2), (3.1, 5), (5.5, 7.2))
    assert plan.timeline.frames == len(numbers)
    for apart in (False, True):
        # The base clicks at 1, 4, 6 and 7 s; its clicks at 2, 3 and 5 s lie in what was cut away.
        clicks = clicks_of(await heard(plan, [base], tmp_path, apart=apart))
        assert clicks == pytest.approx([0.5, 2.4, 3.9, 4.9], abs=1.5 / RATE_HZ)


async def test_other_sizes_and_rates_are_joined_into_the_frame_of_the_base(tmp_path: Path):
    paths = [footage.make(kind) for kind in ("plain", "p25", "square", "no_audio")]
    zero, one, two, three = seconds(0, 1, 2, 3)
    inserts = (Insert(two, Stretch(2, one, three)), Insert(None, Stretch(3, one, three)))
    plan = await edited(paths, Cuts(end_s=three, inserts=inserts, intro=Stretch(1, zero, two)))
    numbers = (await shown(plan, paths, tmp_path)).tolist()
    intro, first, square, second, last = (numbers[a * 30 : b * 30] for a, b in ((0, 2), (2, 4), (4, 6), (6, 7), (7, 9)))
    # 25 frames a second on a grid of 30: none is skipped, some are seen twice.
    assert sorted(set(intro)) == list(range(50))
    assert intro == sorted(intro)
    assert (first, second, last) == (frames((0, 2)), frames((2, 3)), frames((1, 3)))
    assert len(square) == 60
    # The square picture stands in the middle of the wide frame, with black at both sides.
    luma = picture_at(tmp_path / "v.mp4", 5, plan)
    border = (luma.shape[1] - luma.shape[0]) // 2
    assert luma[:, : border - 4].max() < 24
    assert luma[:, -border + 4 :].max() < 24
    assert luma[:, border + 4 : -border - 4].std() > 20
    clicks = clicks_of(await heard(plan, paths, tmp_path))
    inside = [c for c in clicks if c % 1 == pytest.approx(0, abs=0.001) and round(c) in (1, 3, 5)]
    assert inside == pytest.approx([1, 3, 5], abs=1.5 / RATE_HZ)
    assert not [c for c in clicks if c > 7], "the last file has no sound"


def picture_at(video: Path, time_s: float, plan: Plan) -> np.ndarray:
    out = ["-frames:v", "1", "-pix_fmt", "gray", "-f", "rawvideo", "-"]
    raw = footage.ffmpeg("-ss", str(time_s), "-i", str(video), *out)
    return np.frombuffer(raw, np.uint8).reshape(plan.videos[-1].height, plan.videos[-1].width).astype(float)


async def test_a_cut_at_clean_pictures_keeps_the_rung_that_is_copied(tmp_path: Path):
    base = footage.make("plain")
    a, b, c = (Fraction(n, 30) for n in (40, 120, 160))  # where its encoder began new groups
    plan = await edited([base], Cuts(start_s=a, removed_s=((b, c),)), copy=True)
    assert plan.videos[0].kind == "copy"
    opened = CopySource.open(base, plan)
    name = plan.videos[0].name
    stream = tmp_path / "copy.mp4"
    parts = (opened.segment(name, k) for k in range(plan.timeline.segment_count))
    stream.write_bytes(opened.init(name) + b"".join(parts))
    assert footage.frame_numbers("-i", str(stream)).tolist() == [*range(40, 120), *range(160, 240)]
    assert warnings_of(stream) == ""
    moved = await edited([base], Cuts(start_s=a + Fraction(1, 30)), copy=True)
    assert all(video.kind == "encode" for video in moved.videos)
