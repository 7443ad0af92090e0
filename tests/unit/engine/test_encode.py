"""The encode unit as its callers see it: order, back-pressure, pausing, killing, bounds, nothing left behind."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests import footage
from tests.media.making import MONO, SMALL, STEREO, Made, make, plan_for
from tests.playing import until

from fastpix_server.engine import encode, inits
from fastpix_server.engine.encode import Control, Killed, encode_audio, encode_video
from fastpix_server.engine.inits import make_init
from fastpix_server.engine.plan import Plan


@pytest.fixture(scope="module")
def source() -> Path:
    return footage.make("long")


@pytest.fixture(scope="module")
def plan(source: Path) -> Plan:
    return plan_for(source, "30", rungs=[SMALL])


@pytest.fixture
def children() -> Callable[[], list[psutil.Process]]:
    """Asks for the encoders and launchers of this test: other tests' servers may be children of this process too."""
    before = set(psutil.Process().children())
    return lambda: [p for p in psutil.Process().children() if p not in before and p.status() != psutil.STATUS_ZOMBIE]


async def test_segments_come_in_order_and_only_those_asked_for(plan: Plan, source: Path):
    made = Made(plan)
    await encode_video(plan, source, plan.videos, 3, 6, made.emit)
    await encode_audio(plan, source, plan.audios[0], 3, 6, made.emit)
    assert made.order == [("180p", 3), ("180p", 4), ("180p", 5), ("a0", 3), ("a0", 4), ("a0", 5)]


@pytest.mark.parametrize(("k0", "k1"), [(-1, 1), (2, 2), (3, 2), (0, 13)])
async def test_a_range_outside_the_plan_is_refused(k0: int, k1: int, plan: Plan, source: Path):
    assert plan.timeline.segment_count == 12
    with pytest.raises(ValueError, match="segments"):
        await encode_video(plan, source, plan.videos, k0, k1, Made(plan).emit)
    with pytest.raises(ValueError, match="segments"):
        await encode_audio(plan, source, plan.audios[0], k0, k1, Made(plan).emit)


async def test_long_ranges_are_chained_without_a_seam(plan: Plan, source: Path, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(encode, "MAX_VIDEO_SEGMENTS", 5)
    monkeypatch.setattr(encode, "MAX_AUDIO_SEGMENTS", 5)
    made = await make(plan, source)
    stream = await made.write("180p", tmp_path / "o.mp4")
    assert footage.frame_numbers("-i", str(stream)).tolist() == list(range(720))
    assert [k for name, k in made.order if name == "a0"] == list(range(12))


async def test_the_encoder_waits_while_a_segment_is_not_taken(plan: Plan, source: Path, children):
    gate, taken = asyncio.Event(), Made(plan)

    async def slow(name: str, k: int, data: bytes) -> None:
        await taken.emit(name, k, data)
        await gate.wait()

    task = asyncio.create_task(encode_video(plan, source, plan.videos, 0, 12, slow))
    await until(lambda: bool(taken.order))
    await asyncio.sleep(1.5)
    assert taken.order == [("180p", 0)]
    (child,) = children()
    async with asyncio.timeout(60):  # a busy machine needs a while to fill the encoder's buffers
        used_s = -1.0
        while child.cpu_times().user - used_s >= 0.2:
            used_s = child.cpu_times().user
            await asyncio.sleep(0.5)
    assert taken.order == [("180p", 0)]
    gate.set()
    await task
    assert len(taken.order) == 12


async def test_killing_ends_the_encode_and_keeps_what_was_made(plan: Plan, source: Path, children):
    control, made = Control(), Made(plan)
    task = asyncio.create_task(encode_video(plan, source, plan.videos, 0, 12, made.emit, control=control))
    await until(lambda: len(made.order) >= 2)
    control.kill()
    with pytest.raises(Killed):
        await task
    assert 2 <= len(made.order) < 12
    assert children() == []


@pytest.mark.parametrize("kind", ["video", "audio"])
async def test_a_kill_before_the_start_makes_nothing(kind: str, plan: Plan, source: Path):
    control, made = Control(), Made(plan)
    control.kill()
    with pytest.raises(Killed):
        if kind == "video":
            await encode_video(plan, source, plan.videos, 0, 2, made.emit, control=control)
        else:
            await encode_audio(plan, source, plan.audios[0], 0, 2, made.emit, control=control)
    assert made.order == []


async def test_a_paused_encode_stands_still_until_it_is_resumed(plan: Plan, source: Path):
    control, made = Control(), Made(plan)
    task = asyncio.create_task(encode_video(plan, source, plan.videos, 0, 12, made.emit, control=control))
    await until(lambda: bool(made.order))
    control.pause()
    stood_at = -1
    async with asyncio.timeout(60):  # what was in the pipe arrives
        while len(made.order) > stood_at:
            stood_at = len(made.order)
            await asyncio.sleep(0.5)
    assert len(made.order) == stood_at < 12
    control.resume()
    await task
    assert len(made.order) == 12


async def test_a_failing_emit_stops_the_encode_and_is_raised_as_it_is(plan: Plan, source: Path, children):
    async def full(name: str, k: int, data: bytes) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await encode_video(plan, source, plan.videos, 0, 12, full)
    assert children() == []


async def test_cancelling_an_encode_leaves_no_process(plan: Plan, source: Path, children):
    made = Made(plan)
    task = asyncio.create_task(encode_video(plan, source, plan.videos, 0, 12, made.emit))
    await until(lambda: bool(made.order))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == []


async def test_an_encoder_that_is_too_slow_is_our_fault_and_ends(plan: Plan, source: Path, monkeypatch):
    real = encode.command.video_limits
    tight = lambda *a: dataclasses.replace(real(*a), wall_s=0.05)  # noqa: E731
    monkeypatch.setattr(encode.command, "video_limits", tight)
    with pytest.raises(encode.ServiceFault, match="too long"):
        await encode_video(plan, source, plan.videos, 0, 12, Made(plan).emit)


async def test_init_segments_are_made_once_per_settings(plan: Plan, monkeypatch):
    inits._cache.clear()
    first = [await make_init(plan, r) for r in (SMALL, STEREO, MONO)]
    monkeypatch.setattr(inits, "started", None)  # from here on only the cache can answer
    renamed = dataclasses.replace(SMALL, name="other")
    assert [await make_init(plan, r) for r in (renamed, STEREO, MONO)] == first
    assert len({*first}) == 3


async def test_the_cache_of_init_segments_is_bounded(plan: Plan, monkeypatch):
    inits._cache.clear()
    monkeypatch.setattr(inits, "MAX_CACHED", 2)
    for crf in (20, 21, 22):
        await make_init(plan, dataclasses.replace(SMALL, crf=crf))
    assert len(inits._cache) == 2
