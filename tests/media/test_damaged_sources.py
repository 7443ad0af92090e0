"""A damaged source still gives exactly the planned frames, and an unreadable one says whose fault it is."""

from pathlib import Path

import numpy as np
import pytest
from tests import footage
from tests.media.making import SMALL, Made, cheap, make, plan_for, warnings_of

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine.encode import encode_audio, encode_video
from fastpix_server.engine.plan import Plan

RUNG = cheap(SMALL)


def zeroed(source: Path, out: Path, first: float, last: float) -> Path:
    """The same file with this part of its samples overwritten by zeros."""
    data = bytearray(source.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    low, high = begin + int((end - begin) * first), begin + int((end - begin) * last)
    data[low:high] = bytes(high - low)
    out.write_bytes(data)
    return out


async def numbers_of(plan: Plan, source: Path, folder: Path, order: range | None) -> np.ndarray:
    made = await make(plan, source, order=order)
    stream = await made.write(RUNG.name, folder / "o.mp4")
    assert warnings_of(stream) == ""
    numbers = footage.frame_numbers("-i", str(stream))
    assert len(numbers) == plan.timeline.frames
    return numbers


@pytest.mark.parametrize("apart", [False, True])
async def test_a_hole_in_the_middle_shows_a_neighbouring_picture(apart: bool, tmp_path: Path):
    source = footage.make("long")
    plan = plan_for(source, "30", rungs=[RUNG], audio=None)
    broken = zeroed(source, tmp_path / "broken.mp4", 0.4, 0.6)
    numbers = await numbers_of(plan, broken, tmp_path, range(plan.timeline.segment_count) if apart else None)
    wrong = np.flatnonzero(numbers != np.arange(len(numbers)))
    assert 0 < wrong[-1] - wrong[0] < 0.35 * len(numbers)  # the hole is 0.2; decoding begins anew at a key frame
    shown = numbers[wrong[0] : wrong[-1]]
    assert np.median(np.diff(shown)) == 0  # one picture stands still; at the rim the decoder guesses


async def test_a_lost_end_repeats_the_last_picture(tmp_path: Path):
    source = footage.make("long")
    plan = plan_for(source, "30", rungs=[RUNG], audio=None)
    broken = zeroed(source, tmp_path / "broken.mp4", 0.7, 1.0)
    numbers = await numbers_of(plan, broken, tmp_path, range(plan.timeline.segment_count))
    last = int(numbers[-1])
    assert 0.6 * len(numbers) < last < 0.8 * len(numbers)
    rim = 4  # pictures that refer to lost ones: the decoder guesses
    assert (numbers[: last - rim] == np.arange(last - rim)).all()
    assert (numbers[last + rim :] == last).all()


async def test_a_picture_that_stays_past_the_last_frame_is_repeated(tmp_path: Path):
    source = footage.make("plain")
    plan = plan_for(footage.make("long"), "30", rungs=[RUNG], audio=None)  # 24 s planned, 8 s there
    made = Made(plan)
    await encode_video(plan, source, plan.videos, 8, 10, made.emit)
    assert set(made.segments) == {("180p", 8), ("180p", 9)}


async def test_a_stream_that_changes_size_and_colour_keeps_its_count(tmp_path: Path):
    parts = (("0", "null", "bt709"), ("4", "scale=320:180", "smpte170m"))
    joined = b""
    for start, filters, matrix in parts:
        coded = ("-an", "-vf", filters, "-c:v", "libx264", "-bf", "0", "-g", "30", "-colorspace", matrix)
        joined += footage.ffmpeg("-ss", start, "-t", "4", "-i", str(footage.make("plain")), *coded, "-f", "h264", "-")
    raw, source = tmp_path / "both.h264", tmp_path / "both.mp4"
    raw.write_bytes(joined)
    footage.ffmpeg("-f", "h264", "-r", "30", "-i", str(raw), "-c", "copy", str(source))
    plan = plan_for(source, "30", rungs=[RUNG], audio=None)
    for order in (None, range(plan.timeline.segment_count)):
        assert (await numbers_of(plan, source, tmp_path, order) == np.arange(240)).all()


async def test_an_undecodable_source_is_the_sources_fault(tmp_path: Path):
    source = footage.make("long")
    plan = plan_for(source, "30", rungs=[RUNG])
    broken = zeroed(source, tmp_path / "broken.mp4", 0.0, 1.0)
    made = Made(plan)
    with pytest.raises(SourceFault, match="cannot be decoded"):
        await encode_video(plan, broken, plan.videos, 0, 2, made.emit)
    assert made.segments == {}


async def test_a_missing_source_is_our_fault(tmp_path: Path):
    plan = plan_for(footage.make("plain"), "30", rungs=[RUNG])
    for encode, what in ((encode_video, plan.videos), (encode_audio, plan.audios[0])):
        with pytest.raises(ServiceFault, match="not there"):
            await encode(plan, tmp_path / "gone.mp4", what, 0, 1, Made(plan).emit)


@pytest.mark.parametrize("kind", ["m3u8", "ffconcat", "dash", "text"])
async def test_a_file_that_names_other_files_is_never_followed(kind: str):
    plan = plan_for(footage.make("plain"), "30", rungs=[RUNG])
    with pytest.raises(SourceFault):
        await encode_video(plan, footage.make(kind), plan.videos, 0, 1, Made(plan).emit)
