"""Tiles of a sheet show the times that its description names, whichever way they were made."""

import dataclasses
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import footage
from tests.media.making import plan_for
from tests.planned import planned

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine import sprites
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.sprites import Layout

KINDS = ("plain", "p2997", "p5994", "one_gop", "open_gop", "portrait", "hdr", "slow", "square")


def numbers(data: bytes, shown: Layout) -> list[int]:
    """The number that each tile's picture carries."""
    image = Image.open(io.BytesIO(data))
    assert image.size == (shown.columns * shown.tile_width, shown.rows * shown.tile_height)
    found = []
    for i in range(shown.count):
        x, y = shown.place(i)
        tile = image.crop((x, y, x + shown.tile_width, y + shown.tile_height)).convert("L")
        gray = np.asarray(tile.resize((64, 36), Image.Resampling.BOX))
        found += list(footage._numbers(gray[None]))
    return found


def assert_own_times(data: bytes, shown: Layout, plan: Plan, *, exactly: bool = False) -> None:
    for i, number in enumerate(numbers(data, shown)):
        begin, end = i * shown.step, min((i + 1) * shown.step, Fraction(plan.timeline.frames))
        assert begin <= number < end, (i, number, float(begin), float(end))
        if exactly:
            assert number == min(shown.middle(i), plan.timeline.frames - 1)


@pytest.mark.parametrize("one_pass", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_each_tile_shows_a_frame_of_its_own_time(
    kind: str, one_pass: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = footage.make(kind)
    plan = await planned(source)
    shown = sprites.layout(plan, 1)
    monkeypatch.setattr(sprites, "is_one_pass", lambda *_: one_pass)
    assert_own_times(await sprites.sheet(plan, source, shown, "png"), shown, plan, exactly=one_pass)


@pytest.mark.parametrize("one_pass", [True, False])
async def test_tiles_of_two_frames_are_exact_too(one_pass: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    source = footage.make("slow")
    plan = await planned(source)
    shown = sprites.layout(plan)
    assert (shown.step, shown.count) == (2, 5)
    monkeypatch.setattr(sprites, "is_one_pass", lambda *_: one_pass)
    assert_own_times(await sprites.sheet(plan, source, shown, "png"), shown, plan)


async def test_a_source_whose_key_frames_are_not_known_gives_exact_tiles() -> None:
    source = footage.make("plain")
    plan = plan_for(source, "30", indexed=False)
    shown = sprites.layout(plan, 2)
    assert not any(place.offset_s == 0 for place in sprites.places(plan, shown))
    tiles = await sprites._sought(plan, [source], shown)
    data = b"".join(tiles)
    assert len(data) == shown.count * shown.tile_width * shown.tile_height * 3


@pytest.mark.parametrize(("kind", "is_taken"), [("plain", True), ("rotated", False), ("open_gop", False)])
async def test_key_frames_alone_give_the_tiles_that_seeking_gives(kind: str, is_taken: bool) -> None:
    """Where they cannot be taken, nothing comes of it, and the tiles are sought."""
    source = footage.make(kind)
    plan = await planned(source)
    shown = sprites.layout(plan, 2)
    at = [place for place in sprites.places(plan, shown) if place.offset_s == 0]
    taken = await sprites._from_keys(plan, [source], shown, at)
    if is_taken:
        assert len(at) == shown.count
        assert taken == await sprites._one_by_one(plan, [source], shown, at)
    else:
        assert sum(map(bool, taken)) <= 1  # the first group of a file is closed


async def test_a_short_clip_is_decoded_once_and_a_long_one_is_sought_in() -> None:
    plan = await planned(footage.make("long"))
    assert sprites.is_one_pass(plan, sprites.layout(plan))
    assert not sprites.is_one_pass(plan, sprites.layout(plan, 10))


async def test_a_hole_in_the_source_is_a_black_tile_and_moves_no_other(tmp_path: Path) -> None:
    """Nothing is left of the second half."""
    source = footage.make("long")
    plan = await planned(source)
    shown = sprites.layout(plan, 4)
    whole = bytearray(source.read_bytes())
    begin, end = whole.index(b"mdat") + 4, whole.rindex(b"moov") - 4
    half = (begin + end) // 2
    whole[half:end] = bytes(end - half)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole)
    tiles = await sprites._sought(plan, [broken], shown)
    assert len(tiles) == shown.count
    good = await sprites._sought(plan, [source], shown)
    assert tiles[0] == good[0]
    assert not tiles[-1] or tiles[-1] != good[-1]  # damaged, or not there at all
    made = Image.open(io.BytesIO(await sprites.sheet(plan, broken, shown, "jpg")))
    assert made.size == (shown.columns * shown.tile_width, shown.rows * shown.tile_height)


async def test_a_media_without_any_picture_is_refused(tmp_path: Path) -> None:
    source = footage.make("plain")
    plan = await planned(source)
    empty = tmp_path / "empty.mp4"
    whole = source.read_bytes()
    start = whole.index(b"mdat") + 4
    empty.write_bytes(whole[:start] + bytes(len(whole) - start))
    with pytest.raises(SourceFault, match="no picture"):
        await sprites.sheet(plan, empty, sprites.layout(plan, 4), "jpg")
    sound = footage.make("audio_m4a")
    with pytest.raises(SourceFault, match="no picture"):
        sprites.layout(await planned(sound))


@pytest.mark.parametrize(("duration_s", "interval_s", "count"), [
    (60, 0, 50), (900, 0, 50), (901, 0, 100), (43_200, 0, 100), (60, 1, 60), (60, 7, 9), (400, 1, 400),
    (43_200, 1, 400), (43_200, 10, 400), (0.1, 10, 1),
])  # fmt: skip
async def test_the_number_of_tiles_is_bounded(duration_s: float, interval_s: int, count: int) -> None:
    plan = await planned(footage.make("plain"))
    frames = max(1, round(duration_s * plan.timeline.fps))
    cuts = (0, frames)
    plan = dataclasses.replace(plan, timeline=dataclasses.replace(plan.timeline, cuts=cuts, audio_cuts=(0, 0)))
    shown = sprites.layout(plan, interval_s)
    assert shown.count == count
    assert shown.columns * shown.tile_width * shown.rows * shown.tile_height <= sprites.SHEET_PIXELS_MAX
    assert shown.start_s(shown.count - 1) < duration_s
    if duration_s < 400 and interval_s:
        assert shown.interval_s == interval_s


@pytest.mark.parametrize(("kind", "size"), [
    ("plain", (256, 144)), ("portrait", (256, 456)), ("square", (256, 256)), ("wide", (256, 64)), ("tall_sar", None),
])  # fmt: skip
async def test_tiles_keep_the_shape_of_the_picture(kind: str, size: tuple[int, int] | None) -> None:
    plan = await planned(footage.make(kind))
    shown = sprites.layout(plan)
    assert plan.video is not None
    wanted = plan.video.display_width / plan.video.display_height
    assert shown.tile_width / shown.tile_height == pytest.approx(wanted, rel=0.02)
    if size:
        assert (shown.tile_width, shown.tile_height) == size
