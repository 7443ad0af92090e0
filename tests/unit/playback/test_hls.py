"""Playlists are parsed back by a small strict reader and held against the rules of RFC 8216."""

import itertools
import re
from fractions import Fraction

import pytest
from tests.unit.playback.plans import LADDER, plan, rung, sound, target, timeline

from fastpix_server.playback import hls
from fastpix_server.playback.model import Measured

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(?:,|$)')


def attributes(line: str) -> dict[str, str]:
    """Reads an attribute list; fails when anything is left over or named twice (RFC 8216, 4.2)."""
    text = line.split(":", 1)[1]
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _ATTRIBUTE.match(text, position)
        assert match is not None, text[position:]
        assert match[1] not in found
        found[match[1]] = match[2].strip('"')
        position = match.end()
    return found


def variants(text: str) -> list[tuple[dict[str, str], str]]:
    lines = text.splitlines()
    return [(attributes(a), b) for a, b in itertools.pairwise(lines) if a.startswith("#EXT-X-STREAM-INF")]


def tags(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(name)]


def test_a_multivariant_playlist_has_its_head_once_and_in_order() -> None:
    text = hls.multivariant(target(), LADDER, root="x/r")
    assert text.splitlines()[:3] == ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    assert text.endswith("\n")


def test_every_variant_says_what_a_player_needs_to_choose() -> None:
    text = hls.multivariant(target(), LADDER, root="x/r")
    (first, uri), *_ = variants(text)
    assert uri == "x/r/1080p/index.m3u8"
    assert first["RESOLUTION"] == "1920x1080"
    assert first["FRAME-RATE"] == "29.970"
    assert first["CODECS"] == "avc1.64001f,mp4a.40.2"
    assert int(first["BANDWIDTH"]) >= int(first["AVERAGE-BANDWIDTH"]) > 0
    assert first["AUDIO"] == "audio"


def test_sound_is_a_group_of_its_own_with_one_default() -> None:
    two = plan(audios=(sound(language="en", title="English"), sound("a1", language="de", title="Deutsch", channels=1)))
    text = hls.multivariant(target(two), LADDER, root="x/r")
    groups = [attributes(line) for line in tags(text, "#EXT-X-MEDIA:")]
    assert [(g["NAME"], g["LANGUAGE"], g["DEFAULT"], g["CHANNELS"]) for g in groups] == [
        ("English", "en", "YES", "2"),
        ("Deutsch", "de", "NO", "1"),
    ]
    assert {g["GROUP-ID"] for g in groups} == {"audio"}


def test_names_within_a_group_differ_and_cannot_break_the_line() -> None:
    same = plan(audios=(sound(title='A "quoted"\nname'), sound("a1", title='A "quoted"\nname'), sound("a2", title="")))
    text = hls.multivariant(target(same), LADDER, root="x/r")
    names = [attributes(line)["NAME"] for line in tags(text, "#EXT-X-MEDIA:")]
    assert len(set(names)) == 3
    assert not any('"' in name or "\n" in name for name in names)


def test_the_audio_only_variant_is_last_and_has_no_picture() -> None:
    (attrs, uri) = variants(hls.multivariant(target(), LADDER, root="x/r"))[-1]
    assert attrs["CODECS"] == "mp4a.40.2"
    assert "RESOLUTION" not in attrs
    assert uri == "x/r/a0/index.m3u8"


def test_media_without_sound_has_no_group_and_no_audio_codec() -> None:
    text = hls.multivariant(target(plan(audios=())), LADDER, root="x/r")
    assert "AUDIO" not in text
    assert {attrs["CODECS"] for attrs, _ in variants(text)} == {"avc1.64001f"}


def test_audio_only_media_is_one_variant_without_a_group() -> None:
    text = hls.multivariant(target(plan(videos=())), (), root="x/r", with_audio_only=False)
    ((attrs, uri),) = variants(text)
    assert attrs["CODECS"] == "mp4a.40.2"
    assert "AUDIO" not in attrs
    assert uri == "x/r/a0/index.m3u8"
    assert not tags(text, "#EXT-X-MEDIA:")


def test_measured_rates_of_picture_and_sound_add_up() -> None:
    measured = {"720p": Measured(2_000_000, 1_000_000), "a0": Measured(150_000, 130_000)}
    ((attrs, _), *_) = variants(hls.multivariant(target(measured=measured), LADDER[1:2], root="x/r"))
    assert (attrs["BANDWIDTH"], attrs["AVERAGE-BANDWIDTH"]) == ("2150000", "1130000")


def test_a_media_playlist_lists_every_segment_once_and_ends() -> None:
    made = target()
    text = hls.media(made, LADDER[0])
    uris = [line for line in text.splitlines() if not line.startswith("#")]
    assert uris == [f"{k}.m4s" for k in range(made.plan.timeline.segment_count)]
    assert text.splitlines()[-1] == "#EXT-X-ENDLIST"
    assert text.count("#EXT-X-MAP:") == 1
    assert text.index("#EXT-X-MAP:") < text.index("#EXTINF")
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in text


@pytest.mark.parametrize("per_segment", [15, 44, 45, 60, 75, 120, 290])
def test_no_rounded_length_is_above_the_target_duration(per_segment: int) -> None:
    made = target(plan(times=timeline(per_segment=per_segment)))
    for rendition in (LADDER[0], sound()):
        text = hls.media(made, rendition)
        longest = int(tags(text, "#EXT-X-TARGETDURATION")[0].split(":")[1])
        lengths = [Fraction(line[8:-1]) for line in tags(text, "#EXTINF")]
        assert all(int(length + Fraction(1, 2)) <= longest for length in lengths)


def test_the_lengths_of_three_hours_add_up_within_a_frame() -> None:
    times = timeline(frames=30 * 3600 * 3)
    text = hls.media(target(plan(times=times)), LADDER[0])
    assert sum(float(line[8:-1]) for line in tags(text, "#EXTINF")) == pytest.approx(times.duration_s, abs=0.01)


def test_a_copied_rung_is_a_variant_like_any_other() -> None:
    source = rung("source", 1920, 1080, 6_000_000, "copy")
    ((attrs, uri), *_) = variants(hls.multivariant(target(plan(videos=(source,))), (source,), root="x/r"))
    assert uri == "x/r/source/index.m3u8"
    assert attrs["RESOLUTION"] == "1920x1080"
