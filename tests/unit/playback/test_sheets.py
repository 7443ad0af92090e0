"""Sheets of previews over HTTP: described as every client reads it, made once, bounded, refused in plain words."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from tests import footage
from tests.planned import planned
from tests.playing import Playing, Published, playing

from fastpix_server.engine import sprites
from fastpix_server.playback.artifacts import Sheet, parse


@pytest.fixture
async def stage(database_url: str, tmp_path: Path) -> AsyncIterator[Playing]:
    async with playing(database_url, tmp_path) as made:
        yield made


@pytest.fixture
async def bikes(stage: Playing) -> Published:
    await stage.maker()
    return await stage.publish(footage.bikes(), await planned(footage.bikes()))


async def test_the_description_has_every_key_that_clients_read_and_the_sheet_agrees(
    stage: Playing, bikes: Published
) -> None:
    edge = await stage.edge()
    answer = await edge.get(f"/{bikes.playback_id}/spritesheet.json")
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert found["url"] == f"http://edge/{bikes.playback_id}/spritesheet.jpg"
    assert found["duration"] == pytest.approx(bikes.plan.timeline.duration_s, abs=0.001)
    width, height = found["tile_width"], found["tile_height"]
    assert (found["tileWidth"], found["tileHeight"], width) == (width, height, 256)
    assert len(found["tiles"]) == found["thumbnailCount"] == 50
    assert found["tiles"][0] == {"start": 0, "x": 0, "y": 0}
    for i, tile in enumerate(found["tiles"]):
        assert tile["start"] == pytest.approx(i * found["interval"], abs=0.03)
        assert (tile["x"], tile["y"]) == (i % found["columns"] * width, i // found["columns"] * height)
    for form, name in (("jpg", "JPEG"), ("png", "PNG")):
        sheet = await edge.get(f"/{bikes.playback_id}/spritesheet.{form}")
        image = Image.open(io.BytesIO(sheet.content))
        assert image.format == name
        assert image.size == (found["sheetWidth"], found["sheetHeight"])
        assert image.size == (found["columns"] * width, found["rows"] * height)


async def test_an_advanced_sheet_has_a_tile_for_each_interval(stage: Playing, bikes: Published) -> None:
    edge = await stage.edge()
    for query, interval_s in (("", 10), ("?interval=2", 2), ("?interval=10", 10)):
        found = (await edge.get(f"/{bikes.playback_id}/advanced-spritesheet.json{query}")).json()
        assert found["interval"] == interval_s
        assert len(found["tiles"]) == -(-10 // interval_s)
        assert found["url"].endswith("advanced-spritesheet.jpg" + ("?interval=2" if interval_s == 2 else ""))
        sheet = await edge.get(found["url"])
        assert Image.open(io.BytesIO(sheet.content)).size == (found["sheetWidth"], found["sheetHeight"])


async def test_a_sheet_is_made_once_for_everybody_and_kept(
    stage: Playing, bikes: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = sprites.sheet

    async def counted(*args: object, **named: object) -> bytes:
        calls.append(args)
        return await real(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(sprites, "sheet", counted)
    edges = [await stage.edge(), await stage.edge()]
    url = f"/{bikes.playback_id}/spritesheet.jpg"
    answers = await asyncio.gather(*(edge.get(url) for edge in edges for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert (await edges[0].get(url)).headers["etag"] == answers[0].headers["etag"]
    assert len(calls) == 1
    assert f"{Sheet(0, 'jpg')}" in await stage.stored(bikes)


@pytest.mark.parametrize("interval", ["0", "11", "-1", "1.5", "x", "1e0", "٣"])
@pytest.mark.parametrize("name", ["spritesheet.json", "advanced-spritesheet.jpg"])
async def test_a_bad_interval_is_named(stage: Playing, bikes: Published, name: str, interval: str) -> None:
    edge: httpx.AsyncClient = await stage.edge()
    answer = await edge.get(f"/{bikes.playback_id}/{name}", params={"interval": interval})
    assert answer.status_code == 422
    assert [field["field"] for field in answer.json()["error"]["fields"]] == ["interval"]


async def test_other_formats_and_sound_alone_have_no_sheet(stage: Playing, bikes: Published) -> None:
    edge = await stage.edge()
    for name in ("spritesheet.gif", "spritesheet.webp", "advanced-spritesheet.png", "spritesheet.json.jpg"):
        assert (await edge.get(f"/{bikes.playback_id}/{name}")).status_code == 404
    sound = footage.make("audio_m4a")
    silent = await stage.publish(sound, await planned(sound))
    for name in ("spritesheet.json", "spritesheet.jpg", "advanced-spritesheet.json"):
        assert (await edge.get(f"/{silent.playback_id}/{name}")).status_code == 404


@pytest.mark.parametrize(
    "name", ["pictures/sheet-i11.jpg", "pictures/sheet-i01.jpg", "pictures/sheet-i1.gif", "sheet-i1.jpg"]
)
def test_a_name_that_is_no_sheet_is_nobodys_wish(name: str) -> None:
    assert parse(name) is None
    assert parse(str(Sheet(10, "png"))) == Sheet(10, "png")
