"""The copy rung and an encoded rung of one plan: the same frames, at the same times, segment by segment."""

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest
from tests import footage
from tests.media.making import cheap

from fastpix_server.engine import ladder
from fastpix_server.engine.copyrung import CopySource, judge
from fastpix_server.engine.encode import encode_audio, encode_video
from fastpix_server.engine.inits import make_init
from fastpix_server.engine.plan import Plan, make_plan
from fastpix_server.engine.probe import needs_remux, probe
from fastpix_server.engine.remux import remux
from fastpix_server.engine.run import run


async def planned(kind: str, folder: Path) -> tuple[Path, Plan]:
    path = footage.make(kind)
    source = await probe(path, run=run)
    if needs_remux(source):
        path, before = folder / "normal.mp4", path
        await remux(before, path, source)
        source = await probe(path, run=run)
    return path, make_plan(source, copy=judge(path, source))


async def encoded(plan: Plan, path: Path, out: Path) -> Path:
    """The lowest encoded rung, whole and cheap."""
    rung = cheap(plan.videos[-1])
    parts = [await make_init(plan, rung)]

    async def keep(_name: str, _k: int, fragment: bytes) -> None:
        parts.append(fragment)

    await encode_video(plan, path, [rung], 0, plan.timeline.segment_count, keep, fast=True)
    out.write_bytes(b"".join(parts))
    return out


def shown(path: Path) -> list[tuple[float, bool]]:
    """(presentation second, is key) of each picture, in the order in which they are shown."""
    command = [footage.FFPROBE, "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time,flags"]
    done = subprocess.run([*command, "-of", "json", str(path)], capture_output=True, check=True)
    packets = json.loads(done.stdout)["packets"]
    return sorted((round(float(p["pts_time"]), 4), p["flags"].startswith("K")) for p in packets)


@pytest.mark.parametrize("kind", ["plain", "p2997", "p23976", "p5994", "no_b_frames", "mkv", "mkv_live"])
async def test_copied_and_encoded_pictures_have_the_same_frames_at_the_same_times(kind, tmp_path):
    path, plan = await planned(kind, tmp_path)
    assert plan.videos[0].kind == "copy", plan.videos
    assert plan.videos[-1].kind == "encode"
    copy = CopySource.open(path, plan)
    segments = [copy.segment("source", k) for k in range(plan.timeline.segment_count)]
    copied = tmp_path / "copied.mp4"
    copied.write_bytes(copy.init("source") + b"".join(segments))
    made = await encoded(plan, path, tmp_path / "made.mp4")
    ours, theirs = shown(copied), shown(made)
    assert len(ours) == len(theirs) == plan.timeline.frames
    assert max(abs(a[0] - b[0]) for a, b in zip(ours, theirs, strict=True)) < 0.0011
    cuts = set(plan.timeline.cuts[:-1])
    assert {i for i, (_, is_key) in enumerate(theirs) if is_key} == cuts
    numbers = footage.frame_numbers("-i", str(copied))
    assert list(numbers) == list(footage.frame_numbers("-i", str(made)))
    assert list(numbers) == list(range(plan.timeline.frames))


@pytest.mark.parametrize("kind", ["plain", "rate_44100", "mono", "audio_m4a"])
async def test_copied_and_encoded_sound_click_at_the_same_samples(kind, tmp_path):
    path, plan = await planned(kind, tmp_path)
    copied_rendition = plan.audios[0]
    assert copied_rendition.kind == "copy"
    copy = CopySource.open(path, plan)
    copied, made = tmp_path / "copied.mp4", tmp_path / "made.mp4"
    segments = [copy.segment("a0", k) for k in range(plan.timeline.segment_count)]
    copied.write_bytes(copy.init("a0") + b"".join(segments))
    rendition = dataclasses.replace(copied_rendition, kind="encode")
    parts = [await make_init(plan, rendition)]

    async def keep(_name: str, _k: int, fragment: bytes) -> None:
        parts.append(fragment)

    await encode_audio(plan, path, rendition, 0, plan.timeline.segment_count, keep)
    made.write_bytes(b"".join(parts))
    rate = rendition.sample_rate_hz
    ours, theirs = (footage.click_samples("-i", str(p), rate_hz=rate) for p in (copied, made))
    count = min(len(ours), len(theirs), 8)
    assert count >= 7
    assert abs(ours[1:count] - theirs[1:count]).max() <= 2
    # The very first AAC frame of an encode has no neighbour to overlap with and fades in.
    assert abs(int(ours[0]) - int(theirs[0])) < 0.005 * rate
    assert ours[0] == 0


async def test_the_level_of_an_encoded_rung_is_the_one_that_the_plan_announces(tmp_path):
    _, plan = await planned("plain", tmp_path)
    rung = plan.videos[-1]
    init = await make_init(plan, rung)
    at = init.index(b"avcC") + 5
    assert f"avc1.{init[at : at + 3].hex()}" == rung.codec
    assert rung.codec == ladder.h264_codec(rung.width, rung.height, plan.timeline.fps, rung.max_bitrate_bps)
