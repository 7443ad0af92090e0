"""Colours survive every kind of source, and still pictures are the right frame in the right shape."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import footage
from tests.media.making import SMALL, Made, make, plan_for, prepared

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine.pictures import picture

BARS = ((255, 0, 0), (0, 192, 64), (0, 0, 255), (128, 128, 128))
SOURCES = {
    "hd, BT.709": ("1280:720", "bt709", "tv", "yuv420p", ("-colorspace", "bt709")),
    "hd that says nothing": ("1280:720", "bt709", "tv", "yuv420p", ()),
    "sd, BT.601": ("640:360", "bt601", "tv", "yuv420p", ("-colorspace", "smpte170m")),
    "sd that says nothing": ("640:360", "bt601", "tv", "yuv420p", ()),
    "full range": ("640:360", "bt601", "pc", "yuvj420p", ("-colorspace", "smpte170m", "-color_range", "pc")),
    "ten bits, 4:4:4": ("640:360", "bt709", "tv", "yuv444p10le", ("-colorspace", "bt709")),
}


def bars(out: Path, size: str, matrix: str, colour_range: str, pixels: str, flags: tuple[str, ...]) -> Path:
    parts = [f"color=0x{r:02x}{g:02x}{b:02x}:s=160x360:r=30:d=2[c{i}]" for i, (r, g, b) in enumerate(BARS)]
    made = f"hstack=4,format=gbrp,scale={size}:out_color_matrix={matrix}:out_range={colour_range},format={pixels}"
    told = "" if flags else ",setparams=colorspace=unknown:range=unknown"
    graph = f"{';'.join(parts)};[c0][c1][c2][c3]{made}{told}[o]"
    footage.ffmpeg("-filter_complex", graph, "-map", "[o]", "-c:v", "libx264", "-qp", "4", "-g", "30", *flags, str(out))
    return out


def seen(path: Path) -> np.ndarray:
    out = ("-frames:v", "1", "-vf", "scale=64:36:flags=area,format=rgb24", "-f", "rawvideo", "-")
    return np.frombuffer(footage.ffmpeg("-i", str(path), *out), np.uint8).reshape(36, 64, 3)[18, 8::16].astype(int)


@pytest.mark.parametrize("name", SOURCES)
async def test_colours_come_out_as_they_were_meant(name: str, tmp_path: Path):
    size, *how = SOURCES[name]
    width, height = map(int, size.split(":"))
    source = bars(tmp_path / "bars.mp4", size, *how)
    facts = {"width": width, "height": height, "display_width": width, "display_height": height}
    plan = plan_for(source, "30", rungs=[SMALL], audio=None, **facts)
    made = await make(plan, source)
    assert np.abs(seen(await made.write("180p", tmp_path / "o.mp4")) - np.array(BARS)).max() < 12
    for kind in ("jpg", "png", "webp"):
        data = await picture(plan, source, at_s=0, width=64, height=36, fit="stretch", format=kind)
        shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)[18, 8::16]
        assert np.abs(shown - np.array(BARS)).max() < 12


async def test_hdr_is_mapped_to_a_picture_of_normal_brightness(tmp_path: Path):
    """Black stays black, diffuse white of PQ (203 cd/m2, code 0.58) is light, 1000 cd/m2 (0.75) does not clip."""
    steps = "color=gray:s=640x360:r=30:d=1,format=yuv420p10le,geq=lum='64+876*X/W':cb=512:cr=512"
    flags = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    x265 = ("-c:v", "libx265", "-x265-params", "log-level=error:colorprim=9:transfer=16:colormatrix=9", "-crf", "10")
    source = tmp_path / "ramp.mp4"
    footage.ffmpeg("-filter_complex", steps, *x265, "-pix_fmt", "yuv420p10le", *flags, str(source))
    plan = plan_for(source, "30", rungs=[SMALL], audio=None, transfer="smpte2084")
    made = await make(plan, source)
    out = ("-frames:v", "1", "-vf", "scale=64:36:flags=area,format=gray", "-f", "rawvideo", "-")
    data = footage.ffmpeg("-i", str(await made.write("180p", tmp_path / "o.mp4")), *out)
    row = np.frombuffer(data, np.uint8).reshape(36, 64)[18].astype(int)
    assert row[1] < 25
    assert (np.diff(row) >= -2).all()
    assert 110 < row[37] < 225  # code value 0.58
    assert row[37] + 20 < row[48] < 250


async def number(data: bytes, folder: Path) -> int:
    shown = folder / "shown.png"
    Image.open(io.BytesIO(data)).convert("RGB").save(shown)
    return int(footage.frame_numbers("-i", str(shown))[0])


async def test_a_far_time_gives_the_exact_frame_and_a_near_one_its_key_frame(tmp_path: Path):
    source = footage.make("one_gop")  # one key frame, at 0
    plan = plan_for(source, "30")
    exact = await picture(plan, source, at_s=7.12, width=None, height=None, fit="preserve", format="png")
    near = await picture(plan, source, at_s=0.4, width=None, height=None, fit="preserve", format="png")
    assert await number(exact, tmp_path) == 213
    assert await number(near, tmp_path) == 0


@pytest.mark.parametrize(("at_s", "shown"), [(-5.0, 0), (1e9, 359)])
async def test_times_outside_the_media_show_its_ends(at_s: float, shown: int, tmp_path: Path):
    source = footage.make("one_gop")
    plan = plan_for(source, "30")
    data = await picture(plan, source, at_s=at_s, width=320, height=None, fit="preserve", format="jpg")
    assert await number(data, tmp_path) == shown


@pytest.mark.parametrize(
    ("fit", "size"), [("preserve", (200, 112)), ("stretch", (200, 200)), ("crop", (200, 200)), ("pad", (200, 200))]
)
async def test_each_fit_gives_its_size(fit: str, size: tuple[int, int]):
    source = footage.make("plain")
    data = await picture(plan_for(source, "30"), source, at_s=0, width=200, height=200, fit=fit, format="png")
    shown = Image.open(io.BytesIO(data))
    assert shown.size == size
    corners = [shown.getpixel((100, y)) for y in (2, size[1] - 3)]
    assert (corners == [(0, 0, 0)] * 2) == (fit == "pad")


@pytest.mark.parametrize(("side", "size"), [({"width": 100}, (100, 56)), ({"height": 90}, (160, 90)), ({}, (640, 360))])
async def test_one_side_alone_keeps_the_shape(side: dict[str, int], size: tuple[int, int]):
    source = footage.make("plain")
    wanted = {"width": None, "height": None, **side}
    data = await picture(plan_for(source, "30"), source, at_s=0, **wanted, fit="preserve", format="webp")
    assert Image.open(io.BytesIO(data)).size == size


async def test_an_enormous_size_is_bounded():
    source = footage.make("tiny")
    data = await picture(plan_for(source, "30"), source, at_s=0, width=10**9, height=4, fit="stretch", format="jpg")
    assert Image.open(io.BytesIO(data)).size == (4096, 4)


@pytest.mark.parametrize(
    ("kind", "size"), [("rotated", (640, 360)), ("tall_sar", (569, 360)), ("portrait", (360, 640))]
)
async def test_pictures_stand_upright_with_square_pixels(kind: str, size: tuple[int, int], tmp_path: Path):
    plan, source = await prepared(kind, tmp_path)
    data = await picture(plan, source, at_s=0, width=None, height=None, fit="preserve", format="png")
    assert Image.open(io.BytesIO(data)).size == pytest.approx(size, abs=1)
    assert await number(data, tmp_path) == 0


async def test_sound_alone_has_no_picture(tmp_path: Path):
    plan, source = await prepared("audio_wav", tmp_path)
    with pytest.raises(SourceFault, match="no picture"):
        await picture(plan, source, at_s=0, width=None, height=None, fit="preserve", format="jpg")
    assert Made(plan).segments == {}
