"""Ten minutes in, sound and picture are where they were at the start."""

import dataclasses
from pathlib import Path

import numpy as np
from tests import footage
from tests.media.making import make
from tests.planned import planned

LENGTH_S = 600
LAST_SEGMENTS = 6


async def test_sound_and_picture_have_not_drifted_apart_after_ten_minutes(tmp_path: Path):
    source = tmp_path / "long.mp4"
    loop = ("-stream_loop", "-1", "-i", str(footage.make("p2997")), "-t", str(LENGTH_S), "-c", "copy")
    footage.ffmpeg(*loop, str(source))
    plan = await planned(source, copy=False)
    plan = dataclasses.replace(plan, videos=plan.videos[-1:])
    timeline = plan.timeline
    first = timeline.segment_count - LAST_SEGMENTS
    assert timeline.start_s(first) > LENGTH_S - 30
    made = await make(plan, source, order=range(first, timeline.segment_count))
    picture = await made.write(plan.videos[-1].name, tmp_path / "v.mp4", first=first)
    sound = await made.write(plan.audios[0].name, tmp_path / "a.mp4", first=first)
    rate_hz = timeline.audio_rate_hz
    flashes_s = float(timeline.start_s(first)) + footage.flash_frames("-i", str(picture)) / float(timeline.fps)
    begins = timeline.audio_cuts[first] * 1024
    beeps_s = (begins + footage.click_samples("-i", str(sound), rate_hz=rate_hz)) / rate_hz
    apart_s = [float(np.min(np.abs(beeps_s - flash_s))) for flash_s in flashes_s[1:-1]]
    assert len(apart_s) >= 5
    assert max(apart_s) < 0.020
