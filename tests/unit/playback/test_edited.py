"""Edited media on demand: what a viewer is served comes from the right file, and the fill makes the same."""

import dataclasses
from fractions import Fraction
from pathlib import Path

from tests import footage
from tests.playing import Playing

from fastpix_server.engine.edit import Edit
from fastpix_server.engine.edit_list import Stretch
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.probe import probe
from fastpix_server.engine.run import run
from fastpix_server.engine.splice import make_edited_plan

SHOWN = [*range(30, 90), *range(60, 120), *range(150, 210)]


async def joined(paths: list[Path]) -> Plan:
    """Two seconds of the one, two of the other, two of the first again; the smallest rung and the sound."""
    sources = [await probe(path, run=run) for path in paths]
    times = ((0, 1, 3), (1, 2, 4), (0, 5, 7))
    stretches = [Stretch(file, Fraction(begin), Fraction(end)) for file, begin, end in times]
    plan = make_edited_plan(sources, stretches, Edit())
    return dataclasses.replace(plan, videos=plan.videos[-1:])


async def test_a_viewer_and_the_fill_are_given_the_pieces_of_the_right_files(stage: Playing, tmp_path: Path):
    paths = [footage.make("plain"), footage.make("no_b_frames")]
    plan = await joined(paths)
    published = await stage.publish(paths[0], plan, others=paths[1:])
    client = await stage.edge()
    maker = await stage.maker()
    rung, count = plan.videos[0].name, plan.timeline.segment_count
    master = await client.get(f"/{published.playback_id}.m3u8")
    assert master.status_code == 200
    # The last one first, so that two encoders of two pieces run.
    for k in [count - 1, *range(count - 1)]:
        assert (await client.get(published.url(rung, f"{k}.m4s"))).status_code == 200
    seen = await client_file(client, published, rung, count, tmp_path / "seen.mp4")
    assert footage.frame_numbers("-i", str(seen)).tolist() == SHOWN
    sound = await client_file(client, published, "a0", count, tmp_path / "sound.mp4")
    assert footage.click_samples("-i", str(sound))[1:6].tolist() == [48000 * second for second in range(1, 6)]
    picture = await client.get(f"/{published.playback_id}/thumbnail.png?time=2.5")
    assert picture.status_code == 200
    await maker.fill(published.media_id)
    stored = await stage.stored(published)
    assert {f"{rung}/{k}.m4s" for k in range(count)} <= set(stored)
    filled = await client_file(client, published, rung, count, tmp_path / "filled.mp4")
    assert footage.frame_numbers("-i", str(filled)).tolist() == SHOWN


async def client_file(client, published, name: str, count: int, out: Path) -> Path:  # type: ignore[no-untyped-def]
    parts = ["init.mp4", *(f"{k}.m4s" for k in range(count))]
    out.write_bytes(b"".join([(await client.get(published.url(name, part))).content for part in parts]))
    return out
