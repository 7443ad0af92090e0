"""Files without an index become MP4 without losing a packet, and what cannot be copied is encoded instead."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tests import footage

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine import remux as remux_module
from fastpix_server.engine.probe import probe
from fastpix_server.engine.remux import remux
from fastpix_server.engine.run import run
from fastpix_server.engine.sandbox import Limits

LIMITS = Limits(cpu_s=20, wall_s=20.0)


@pytest.mark.parametrize("kind", ["mpegts", "mpeg2_ps", "avi", "flv", "mkv", "mkv_live", "vp9"])
async def test_the_copy_has_an_index_and_the_same_pictures(kind: str, tmp_path: Path):
    source, out = footage.make(kind), tmp_path / "normal.mp4"
    await remux(source, out, await probe(source, run=run))
    facts = await probe(out, run=run)
    assert facts.has_sample_index
    assert facts.video is not None
    before, after = (footage.frame_numbers("-i", str(f)) for f in (source, out))
    assert set(np.unique(after)) == set(np.unique(before))
    assert len(facts.audios) == 1


@pytest.mark.parametrize("kind", ["mkv", "mkv_live", "vfr_mkv", "vp9"])
async def test_sound_of_millisecond_containers_is_back_on_its_grid(kind: str, tmp_path: Path):
    source, out = footage.make(kind), tmp_path / "normal.mp4"
    await remux(source, out, await probe(source, run=run))
    listed = ("-select_streams", "a", "-show_entries", "packet=pts", "-of", "csv=p=0")
    done = await run([footage.FFPROBE, "-v", "error", *listed, str(out)], limits=LIMITS)
    times = np.array([int(line.strip(b",")) for line in done.stdout.split()])
    step = 960 if kind == "vp9" else 1024
    assert set(np.diff(times)) == {step}


async def test_a_codec_that_mp4_cannot_hold_is_encoded_and_keeps_its_frames(tmp_path: Path):
    source, out = tmp_path / "vp8.webm", tmp_path / "normal.mp4"
    coded = ("-t", "2", "-c:v", "libvpx", "-b:v", "2M", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libvorbis")
    footage.ffmpeg("-i", str(footage.make("plain")), *coded, str(source))
    await remux(source, out, await probe(source, run=run))
    facts = await probe(out, run=run)
    assert facts.video is not None
    assert facts.video.codec == "h264"
    assert (footage.frame_numbers("-i", str(out)) == np.arange(60)).all()


async def test_an_unreadable_file_leaves_nothing_behind(tmp_path: Path):
    facts = await probe(footage.make("mkv"), run=run)
    out = tmp_path / "normal.mp4"
    with pytest.raises(SourceFault):
        await remux(footage.make("text"), out, facts)
    assert not out.exists()


async def test_an_output_beyond_its_bound_is_refused(tmp_path: Path):
    source = footage.make("mkv")
    facts = await probe(source, run=run)
    tight = dataclasses.replace(remux_module.remux_limits(facts, frozenset()), file_bytes=10_000)
    argv = remux_module.remux_command(source, tmp_path / "o.mp4", facts, frozenset())
    assert not (await run(argv, limits=tight)).is_ok
    roomy = remux_module.remux_limits(facts, frozenset())
    assert (await run(argv, limits=roomy)).is_ok
