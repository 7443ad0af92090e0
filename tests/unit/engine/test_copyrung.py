"""The copy rung against real decoders: what leaves is what was in the source, at the times that the plan says."""

import itertools
import json
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests import footage

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine import boxes, copy_verdict
from fastpix_server.engine.copyrung import CopySource, judge
from fastpix_server.engine.plan import Plan, make_plan
from fastpix_server.engine.probe import probe
from fastpix_server.engine.run import run
from fastpix_server.engine.source import Source


async def planned(path: Path) -> tuple[Source, Plan]:
    source = await probe(path, run=run)
    return source, make_plan(source, copy=judge(path, source))


def written(copy: CopySource, plan: Plan, name: str, folder: Path, segments: range | None = None) -> Path:
    out = folder / f"{name}.mp4"
    parts = [copy.segment(name, k) for k in segments or range(plan.timeline.segment_count)]
    out.write_bytes(copy.init(name) + b"".join(parts))
    return out


def packets(path: Path, stream: str) -> list[tuple[Fraction, int, str]]:
    """Presentation second, size and content hash of each packet, as ffprobe reads them."""
    entries = "packet=pts,size,data_hash:stream=time_base"
    command = [footage.FFPROBE, "-v", "error", "-select_streams", stream, "-show_data_hash", "md5"]
    done = subprocess.run(
        [*command, "-show_entries", entries, "-of", "json", str(path)], capture_output=True, check=True
    )
    report = json.loads(done.stdout)
    tick = Fraction(report["streams"][0]["time_base"])
    return [(p["pts"] * tick, int(p["size"]), p["data_hash"]) for p in report["packets"]]


def seconds(times: list[Fraction]) -> list[float]:
    return [round(float(t), 5) for t in times]


@pytest.mark.parametrize("kind", ["p2997", "p23976", "p5994", "no_b_frames", "no_audio"])
async def test_copied_pictures_decode_to_the_very_same_frames(kind, tmp_path):
    path = footage.make(kind)
    _, plan = await planned(path)
    assert plan.videos[0].kind == "copy"
    copied = written(CopySource.open(path, plan), plan, "source", tmp_path)
    assert footage.decoded_md5("-i", str(copied)) == footage.decoded_md5("-i", str(path))
    before, after = packets(path, "v:0"), packets(copied, "v:0")
    assert [p[1:] for p in after] == [p[1:] for p in before]
    assert seconds([p[0] for p in after]) == seconds([p[0] for p in before])


async def test_real_footage_is_copied_unchanged(tmp_path):
    for path in (footage.bigbuckbunny(), footage.bikes()):
        _, plan = await planned(path)
        copied = written(CopySource.open(path, plan), plan, "source", tmp_path)
        assert footage.decoded_md5("-i", str(copied)) == footage.decoded_md5("-i", str(path))


async def test_every_copied_segment_starts_with_an_idr_at_its_cut(tmp_path):
    path = footage.make("p2997")
    _, plan = await planned(path)
    copy = CopySource.open(path, plan)
    for k in range(plan.timeline.segment_count):
        alone = written(copy, plan, "source", tmp_path, range(k, k + 1))
        numbers = footage.frame_numbers("-i", str(alone))
        assert list(numbers) == list(range(plan.timeline.cuts[k], plan.timeline.cuts[k + 1]))
        first = min(p[0] for p in packets(alone, "v:0"))
        assert abs(first - plan.timeline.start_s(k)) < Fraction(1, 10_000)


async def test_decode_times_continue_from_segment_to_segment():
    path = footage.make("p23976")
    _, plan = await planned(path)
    copy = CopySource.open(path, plan)
    for name in ("source", "a0"):
        at = None
        for k in range(plan.timeline.segment_count):
            segment = copy.segment(name, k)
            moof = boxes.find(segment, (b"moof",))
            mdat = boxes.find(segment, (b"mdat",))
            assert moof is not None
            assert mdat is not None
            head = segment[moof.start : moof.end]
            totals = boxes.fragment_totals(head)
            assert at in (None, boxes.decode_time(head))
            assert totals.data_size_bytes == mdat.size - 8
            at = boxes.decode_time(head) + totals.duration_ticks


@pytest.mark.parametrize("kind", ["plain", "rate_44100", "mono", "audio_m4a"])
async def test_copied_sound_is_the_same_sound_at_the_same_time(kind, tmp_path):
    path = footage.make(kind)
    _, plan = await planned(path)
    assert plan.audios[0].kind == "copy"
    copied = written(CopySource.open(path, plan), plan, "a0", tmp_path)
    before, after = packets(path, "a:0"), packets(copied, "a:0")
    assert after == before[: len(after)]
    assert len(before) - len(after) <= copy_verdict.AUDIO_SHORTFALL_FRAMES
    rate = plan.audios[0].sample_rate_hz
    original = footage.click_samples("-i", str(path), rate_hz=rate)
    clicks = footage.click_samples("-i", str(copied), rate_hz=rate)[: len(original)]  # the padded tail may add one
    assert np.array_equal(clicks, original)
    assert abs(clicks[0]) < rate * 0.002


async def test_a_second_sound_stream_is_copied_from_its_own_track(tmp_path):
    path = footage.make("two_audios")
    _, plan = await planned(path)
    copy = CopySource.open(path, plan)
    for number in (0, 1):
        copied = written(copy, plan, f"a{number}", tmp_path)
        before = [p[2] for p in packets(path, f"a:{number}")]
        after = [p[2] for p in packets(copied, "a:0")]
        assert after == before[: len(after)]
        assert len(after) >= plan.timeline.audio_cuts[-1]


@pytest.mark.parametrize(
    "kind",
    [
        *("rotated", "sar", "tall_sar", "odd", "ten_bit", "hdr", "interlaced", "vfr", "p120", "hevc", "prores"),
        *("late_video", "high_rate", "one_gop", "open_gop", "longer_audio"),
    ],
)
async def test_pictures_that_would_not_play_or_cut_exactly_are_not_copied(kind):
    _, plan = await planned(footage.make(kind))
    assert [v.kind for v in plan.videos if v.kind == "copy"] == []
    assert plan.videos


@pytest.mark.parametrize("kind", ["surround", "mp3_in_mp4", "late_audio", "audio_wav", "prores"])
async def test_sound_that_is_no_plain_aac_from_time_zero_is_encoded(kind):
    _, plan = await planned(footage.make(kind))
    assert [a.kind for a in plan.audios] == ["encode"]
    assert plan.audios[0].sample_rate_hz == 48000


async def test_open_groups_are_found_by_their_slices_and_not_by_the_key_flags():
    path = footage.make("open_gop")
    source = await probe(path, run=run)
    verdict = judge(path, source)
    assert verdict is not None
    assert verdict.video is not None
    assert source.video is not None
    assert source.video.keyframes_s is not None
    assert len(verdict.video.cut_frames) < len(source.video.keyframes_s)


async def test_another_file_than_the_planned_one_is_not_opened():
    _, plan = await planned(footage.make("p25"))
    with pytest.raises(ServiceFault):
        CopySource.open(footage.make("plain"), plan)


async def test_a_source_that_shrank_is_a_fault_and_no_broken_segment(tmp_path):
    path = tmp_path / "source.mp4"
    path.write_bytes(footage.make("plain").read_bytes())
    _, plan = await planned(path)
    copy = CopySource.open(path, plan)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert copy.segment("source", 0)
    with pytest.raises(SourceFault):
        copy.segment("source", plan.timeline.segment_count - 1)


async def test_the_copy_rung_keeps_the_order_of_sizes():
    _, plan = await planned(footage.bigbuckbunny())
    heights = [v.height for v in plan.videos]
    assert plan.videos[0].kind == "copy"
    assert all(a > b for a, b in itertools.pairwise(heights))
