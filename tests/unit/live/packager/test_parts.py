"""How long parts are at all usual rates, by the rules of RFC 8216bis, and what a playlist expects next."""

from fractions import Fraction
from itertools import pairwise

import pytest
from tests import live_samples, playlist_rules

from fastpix_server.ingest.model import CLOCK_HZ
from fastpix_server.live.packager import playlist
from fastpix_server.live.packager.segments import Cut, Placed, Rendition

SEGMENT_S = 2


def fed(kind: str, ticks: list[int], scale: int) -> list[str]:
    """The newest playlist after each sample of three segments; `ticks` are the times of the samples."""
    rendition = Rendition("source" if kind == "video" else "a0", lambda _: None, lambda _: None)
    rendition.begin(0, live_samples.publication(seconds=1).track(kind))
    texts: list[str] = []
    number = -1
    for time, following in pairwise(ticks):
        is_key = kind == "audio"
        if time * 2 + following - time >= 2 * (number + 1) * SEGMENT_S * scale:  # its middle has passed the cut
            number += 1
            is_key = True
            rendition.open(Cut(number, 0, number * SEGMENT_S * CLOCK_HZ, 0, is_discontinuity=False))
        rendition.add(Placed(time, following - time, 0, is_key, b"sample"))
        if rendition.segments[0].parts:
            texts.append(playlist.media(rendition, [], playlist.Form(2, is_ended=False), expected_s=SEGMENT_S))
    return texts


def check(texts: list[str]) -> None:
    """Every playlist keeps the rules, and each new part is the one that was expected."""
    hinted = known = ""
    for text in texts:
        read = playlist_rules.read(text)
        parts = [part.uri for s in [*read.segments, *([read.open] if read.open else [])] for part in s.parts]
        if parts and parts[-1] != known:
            assert hinted in ("", parts[-1])
            hinted, known = read.hint, parts[-1]
    assert known.startswith("2.")


@pytest.mark.parametrize(
    "rate",
    ["10", "12", "12.5", "15", "18", "20", "24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60", "120"],
)
def test_parts_of_every_usual_rate_are_of_an_allowed_length_and_come_as_hinted(rate: str):
    pictures = int(3 * SEGMENT_S * Fraction(rate))
    check(fed("video", [round(k * CLOCK_HZ / Fraction(rate)) for k in range(pictures)], CLOCK_HZ))


def test_parts_of_sound_are_of_an_allowed_length_and_come_as_hinted():
    check(fed("audio", [k * 1024 for k in range(3 * SEGMENT_S * 48_000 // 1024)], 48_000))
