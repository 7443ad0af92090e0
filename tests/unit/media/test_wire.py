"""How facts are spelled on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpix_server.media import links, wire


@pytest.mark.parametrize(
    ("width", "height", "tier"),
    [
        (1920, 1080, "1080"),
        (1920, 1088, "1080"),
        (1080, 1920, "1080"),
        (3840, 2160, "2160"),
        (1280, 536, "720"),
        (1920, 800, "1080"),
        (1440, 1080, "1080"),
        (854, 480, "480"),
        (640, 360, "360"),
        (160, 120, "360"),
        (2560, 1440, "1440"),
        (7680, 4320, "2160"),
        (1080, 1080, "1080"),
    ],
)
def test_the_source_resolution_is_the_nearest_tier_without_a_p(width, height, tier):
    assert wire.source_resolution(width, height) == tier


@pytest.mark.parametrize(
    ("width", "height", "ratio"),
    [
        (1920, 1080, "16:9"),
        (1920, 1088, "16:9"),
        (854, 480, "16:9"),
        (1080, 1920, "9:16"),
        (640, 480, "4:3"),
        (500, 500, "1:1"),
        (1280, 536, "160:67"),
        (1080, 1350, "4:5"),
        (1000, 70, "100:7"),
    ],
)
def test_the_aspect_ratio_has_its_usual_name_where_it_has_one(width, height, ratio):
    assert wire.aspect_ratio(width, height) == ratio


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_every_picture_has_a_tier_and_a_ratio(width, height):
    assert wire.source_resolution(width, height) in {"2160", "1440", "1080", "720", "480", "360"}
    across, down = wire.aspect_ratio(width, height).split(":")
    assert abs(int(across) / int(down) / (width / height) - 1) < 0.02


async def test_thumbnails_link_to_where_images_are_served(house):
    media = await house.create()
    links.configure("https://images.example.com/")
    try:
        assert links.thumbnail("abc") == "https://images.example.com/abc/thumbnail.png"
    finally:
        links.configure("http://127.0.0.1:8080")
    full = wire.media_full(media, [])
    assert "thumbnail" not in full
