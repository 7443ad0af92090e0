"""Sound sits where the source has it, to the sample, and segments made apart join without a click."""

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from tests import footage
from tests.media.making import MIDDLE, MONO, Made, make, plan_for, prepared, warnings_of

from fastpix_server.engine.command_audio import LEAD_FRAMES
from fastpix_server.engine.encode import encode_audio
from fastpix_server.engine.plan import Plan

RATE_HZ = 48000
# The first 1024 samples fade in: their AAC frame overlaps one that lies before time 0. The click there is half heard.
AUDIBLE = slice(1, None)


async def sound_of(plan: Plan, source: Path, out: Path, order: list[range]) -> Path:
    made = Made(plan)
    for part in order:
        await encode_audio(plan, source, plan.audios[0], part.start, part.stop, made.emit)
    return await made.write("a0", out)


def each(plan: Plan) -> list[range]:
    singles = [range(k, k + 1) for k in range(plan.timeline.segment_count)]
    return random.Random(3).sample(singles, len(singles))


def whole(plan: Plan) -> list[range]:
    return [range(plan.timeline.segment_count)]


@pytest.mark.parametrize("kind", ["p2997", "mp3_in_mp4", "surround", "late_audio", "mkv", "mpegts", "flv", "prores"])
async def test_clicks_are_where_the_source_has_them_to_the_sample(kind: str, tmp_path: Path):
    plan, source = await prepared(kind, tmp_path)
    rate_hz = plan.timeline.audio_rate_hz
    wanted = footage.click_samples("-i", str(source), rate_hz=rate_hz)[AUDIBLE]
    for order in (whole(plan), each(plan)):
        stream = await sound_of(plan, source, tmp_path / "o.mp4", order)
        heard = footage.click_samples("-i", str(stream), rate_hz=rate_hz)[AUDIBLE]
        shared = min(len(heard), len(wanted)) - 1  # the last second may be cut in the middle of its click
        assert shared >= 4
        assert (heard[:shared] == wanted[:shared]).all()
        assert warnings_of(stream) == ""


@pytest.mark.parametrize("kind", ["p2997", "hdr", "late_video", "late_audio", "mkv", "mpegts", "mpeg2_ps", "flv"])
async def test_a_flash_and_its_beep_stay_within_twenty_milliseconds(kind: str, tmp_path: Path):
    plan, source = await prepared(kind, tmp_path)
    plan = dataclasses.replace(plan, videos=plan.videos[-1:])
    made = await make(plan, source, order=range(plan.timeline.segment_count))
    picture = await made.write(plan.videos[-1].name, tmp_path / "v.mp4")
    sound = await made.write("a0", tmp_path / "a.mp4")
    flashes = footage.flash_frames("-i", str(picture)) / float(plan.timeline.fps)
    beeps = footage.click_samples("-i", str(sound), rate_hz=plan.timeline.audio_rate_hz) / plan.timeline.audio_rate_hz
    apart = [min(abs(beeps - flash)) for flash in flashes[1:-1]]
    in_source = 0.3 if kind.startswith("late") else 0.0  # those two are made with 0.7 s between sound and picture
    assert len(apart) >= 4
    assert max(abs(a - in_source) for a in apart) < 0.020


def pcm(path: Path) -> np.ndarray:
    out = ("-map", "0:a:0", "-ac", "1", "-ar", str(RATE_HZ), "-f", "s16le", "-")
    return np.frombuffer(footage.ffmpeg("-i", str(path), *out), "<i2").astype(float)


async def test_joins_are_as_smooth_as_the_inside_of_one_encode(tmp_path: Path):
    plan, source = await prepared("p2997", tmp_path)
    one = pcm(await sound_of(plan, source, tmp_path / "one.mp4", whole(plan)))
    apart = pcm(await sound_of(plan, source, tmp_path / "apart.mp4", each(plan)))
    original = np.pad(pcm(source), (0, RATE_HZ))[: len(one)]
    for cut in plan.timeline.audio_cuts[1:-1]:
        around = slice(cut * 1024 - 1024, cut * 1024 + 2048)
        assert rms(apart[around] - original[around]) < 1.3 * rms(one[around] - original[around]) + 1
    assert LEAD_FRAMES == 16


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


async def test_sound_that_ends_early_is_silence_to_the_planned_end(tmp_path: Path):
    source = footage.make("plain")
    plan = plan_for(source, "30", rungs=[MIDDLE])
    short = tmp_path / "short.mp4"
    footage.ffmpeg("-i", str(source), "-map", "0", "-c:v", "copy", "-af", "atrim=end=3", str(short))
    stream = pcm(await sound_of(plan, short, tmp_path / "o.mp4", each(plan)))
    assert len(stream) == plan.timeline.audio_cuts[-1] * 1024
    assert rms(stream[RATE_HZ : 2 * RATE_HZ]) > 50
    assert rms(stream[4 * RATE_HZ :]) < 1


async def test_a_late_sound_begins_with_silence(tmp_path: Path):
    plan, source = await prepared("late_audio", tmp_path)
    stream = pcm(await sound_of(plan, source, tmp_path / "o.mp4", whole(plan)))
    assert rms(stream[: int(0.6 * RATE_HZ)]) < 1
    assert rms(stream[int(0.8 * RATE_HZ) : 2 * RATE_HZ]) > 50


async def test_mono_stays_mono_and_surround_becomes_stereo(tmp_path: Path):
    mono = plan_for(footage.make("mono"), "30", audio=MONO)
    stream = await sound_of(mono, footage.make("mono"), tmp_path / "m.mp4", whole(mono))
    assert channels(stream) == 1
    six = plan_for(footage.make("surround"), "30")
    stream = await sound_of(six, footage.make("surround"), tmp_path / "s.mp4", whole(six))
    assert channels(stream) == 2


def channels(path: Path) -> int:
    one = footage.ffmpeg("-i", str(path), "-map", "0:a:0", "-t", "1", "-f", "s16le", "-")
    return round(len(one) / 2 / RATE_HZ)


@pytest.mark.parametrize("kind", ["audio_mp3", "audio_wav"])
async def test_media_of_sound_alone_is_made_by_the_same_unit(kind: str, tmp_path: Path):
    plan, source = await prepared(kind, tmp_path)
    assert plan.is_audio_only
    stream = await sound_of(plan, source, tmp_path / "o.mp4", each(plan))
    wanted = footage.click_samples("-i", str(source))[AUDIBLE][:-1]
    heard = footage.click_samples("-i", str(stream))[AUDIBLE][: len(wanted)]
    assert (heard == wanted).all()
