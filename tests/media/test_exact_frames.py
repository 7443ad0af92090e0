"""Every frame of every rung is the right one, however the source is built and in whatever order segments are made."""

import asyncio
import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from tests import footage
from tests.media.making import SMALL, Made, cheap, make, packets, plan_for, prepared, source_numbers

from fastpix_server.engine import boxes, command, fragments
from fastpix_server.engine.inits import make_init
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.run import started

# What the platform prepares: probe, remux, plan.
KINDS = (
    "p23976",
    "p2997",
    "p5994",
    "one_gop",
    "open_gop",
    "vfr",
    "rotated",
    "tall_sar",
    "odd",
    "hdr",
    "hevc_open_gop",
    "prores",
    "vp9",
    "mpegts",
    "late_video",
    "no_edit_list",
)


@pytest.mark.parametrize("kind", KINDS)
async def test_segments_made_apart_in_any_order_are_one_exact_stream(kind: str, tmp_path: Path):
    plan, source = await prepared(kind, tmp_path)
    if kind not in ("p2997", "odd"):  # what one rung shows, the other does: they come out of one graph
        plan = dataclasses.replace(plan, videos=plan.videos[-1:] if len(plan.videos) > 1 else (cheap(plan.videos[0]),))
    count = plan.timeline.segment_count
    order = random.Random(kind).sample(range(count), count)
    made = await make(plan, source, order=order, sound=False)
    wanted = source_numbers(source, str(plan.timeline.fps))
    for rung in plan.videos:
        stream = await made.write(rung.name, tmp_path / f"{rung.name}.mp4")
        numbers = numbers_of_a_clean_stream(stream, plan.timeline.frame_ticks)
        assert len(numbers) == plan.timeline.frames
        seen = min(len(numbers), len(wanted))
        assert abs(len(numbers) - len(wanted)) <= 1 or kind == "vfr"  # the last picture's duration is a guess there
        assert (numbers[:seen] == wanted[:seen]).all()


def numbers_of_a_clean_stream(stream: Path, frame_ticks: int) -> np.ndarray:
    """Of a stream on its grid that ffmpeg decodes without a word."""
    times = [p.dts for p in packets(stream)]
    assert set(np.diff(times)) == {frame_ticks}
    heard: list[str] = []
    numbers = footage.frame_numbers("-i", str(stream), warnings=heard)
    assert heard == [""]
    return numbers


async def test_a_whole_file_in_one_process_is_as_exact_as_its_parts(tmp_path: Path):
    plan, source = await prepared("p2997", tmp_path)
    plan = dataclasses.replace(plan, videos=plan.videos[-1:])
    made = await make(plan, source, sound=False)
    stream = await made.write(plan.videos[0].name, tmp_path / "o.mp4")
    numbers = numbers_of_a_clean_stream(stream, plan.timeline.frame_ticks)
    assert (numbers == source_numbers(source, "30000/1001")).all()
    starts = [p.pts for p in packets(stream) if p.is_keyframe]
    assert [start - starts[0] for start in starts] == [c * plan.timeline.frame_ticks for c in plan.timeline.cuts[:-1]]


async def test_every_segment_begins_with_an_instantaneous_refresh(tmp_path: Path):
    plan = plan_for(footage.make("p25"), "25", rungs=[SMALL])
    made = await make(plan, footage.make("p25"), sound=False)
    for k in range(plan.timeline.segment_count):
        segment = made.segments[SMALL.name, k]
        mdat = boxes.find(segment, [b"mdat"])
        assert mdat is not None
        assert 5 in first_picture_units(segment[mdat.body : mdat.end])


def first_picture_units(data: bytes) -> list[int]:
    """NAL unit types up to and with the first coded picture."""
    kinds: list[int] = []
    at = 0
    while at + 5 <= len(data):
        kinds.append(data[at + 4] & 31)
        if kinds[-1] in (1, 5):
            return kinds
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    return kinds


async def test_an_interlaced_source_becomes_full_frames_of_its_first_fields(tmp_path: Path):
    plan, source = await prepared("interlaced", tmp_path)
    plan = dataclasses.replace(plan, videos=plan.videos[:1])
    made = await make(plan, source, order=range(plan.timeline.segment_count), sound=False)
    stream = await made.write(plan.videos[0].name, tmp_path / "o.mp4")
    numbers = footage.frame_numbers("-i", str(stream))
    # Field pairs (0,1), (2,3) ...: the lowest bar stands still (dark, bright) and may be woven; the others may not.
    assert (numbers // 2 == np.arange(plan.timeline.frames)).all()
    combed, clean = (combing(f) for f in (source, stream))
    assert clean < combed / 3


def combing(path: Path) -> float:
    """How much neighbouring lines differ more than lines two apart, in the moving texture."""
    out = ("-vf", "format=gray", "-frames:v", "30", "-f", "rawvideo", "-")
    frames = np.frombuffer(footage.ffmpeg("-i", str(path), *out), np.uint8).reshape(30, 360, 640).astype(float)
    area = frames[10:, 100:250]
    return float(np.abs(np.diff(area, axis=1)).mean() - np.abs(area[:, 2:] - area[:, :-2]).mean() / 2)


@pytest.mark.parametrize("fast", [False, True])
async def test_init_segments_from_black_frames_are_those_of_the_real_encode(fast: bool):
    source = footage.make("p2997")
    plan = plan_for(source, "30000/1001", at_keyframes=True)
    inits = {r.name: await make_init(plan, r) for r in plan.videos}
    real = await encoder_headers(plan, source, fast=fast)
    assert real == inits


async def encoder_headers(plan: Plan, source: Path, *, fast: bool) -> dict[str, bytes]:
    argv = command.video_command(plan, source, plan.videos, 1, 3, fast=fast)
    limits = command.video_limits(plan, plan.videos, 1, 3)
    headers = {}
    async with started(argv, limits=limits, outputs=len(plan.videos)) as process:
        read = await asyncio.gather(*(fragments.read_init(output) for output in process.outputs))
        for rung, header in zip(plan.videos, read, strict=True):
            headers[rung.name] = header
    return headers


async def test_the_init_segment_carries_the_announced_codec_string():
    plan = plan_for(footage.make("plain"), "30")
    for rung in plan.videos:
        init = await make_init(plan, rung)
        at = init.index(b"avcC")
        assert f"avc1.{init[at + 5 : at + 8].hex()}" == rung.codec


async def test_fast_and_full_segments_mix_in_one_stream(tmp_path: Path):
    source = footage.make("plain")
    plan = plan_for(source, "30", rungs=[SMALL])
    full, fast = [await make(plan, source, fast=fast, sound=False) for fast in (False, True)]
    mixed = Made(plan)
    for k in range(plan.timeline.segment_count):
        mixed.segments[SMALL.name, k] = (fast if k % 2 else full).segments[SMALL.name, k]
    stream = await mixed.write(SMALL.name, tmp_path / "o.mp4")
    assert (numbers_of_a_clean_stream(stream, plan.timeline.frame_ticks) == np.arange(240)).all()


@pytest.mark.parametrize("at_keyframes", [True, False])
async def test_a_source_without_an_index_is_exact_as_well(at_keyframes: bool, tmp_path: Path):
    source = footage.make("mkv")
    plan = plan_for(source, "30", indexed=False, at_keyframes=at_keyframes, rungs=[SMALL], audio=None)
    made = await make(plan, source, order=range(plan.timeline.segment_count))
    stream = await made.write(SMALL.name, tmp_path / "o.mp4")
    assert (footage.frame_numbers("-i", str(stream)) == np.arange(240)).all()
