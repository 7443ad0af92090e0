"""The manifest is parsed back as XML and its timelines are added up."""

import xml.etree.ElementTree as ElementTree
from fractions import Fraction

import pytest
from tests.unit.playback.plans import LADDER, plan, sound, target, timeline

from fastpix_server.playback import dash

NS = "{urn:mpeg:dash:schema:mpd:2011}"


def parsed(*args: object, **kwargs: object) -> ElementTree.Element:
    return ElementTree.fromstring(dash.manifest(*args, **kwargs))  # type: ignore[arg-type]


def lengths(template: ElementTree.Element) -> list[int]:
    entries = template.findall(f"{NS}SegmentTimeline/{NS}S")
    return [int(s.attrib["d"]) for s in entries for _ in range(int(s.get("r", "0")) + 1)]


def seconds(period: str) -> float:
    assert period.startswith("PT")
    assert period.endswith("S")
    return float(period[2:-1])


def test_picture_and_sound_are_sets_of_their_own() -> None:
    sets = parsed(target(), LADDER, root="x/r").findall(f"{NS}Period/{NS}AdaptationSet")
    assert [s.attrib["contentType"] for s in sets] == ["video", "audio"]
    assert [r.attrib["id"] for r in sets[0].findall(f"{NS}Representation")] == [v.name for v in LADDER]


def test_every_timeline_has_all_segments_and_their_exact_ticks() -> None:
    made = target()
    times = made.plan.timeline
    for template in parsed(made, LADDER, root="x/r").iter(f"{NS}SegmentTemplate"):
        ticks = lengths(template)
        assert len(ticks) == times.segment_count
        total = Fraction(sum(ticks), int(template.attrib["timescale"]))
        assert abs(float(total) - times.duration_s) < 0.03  # sound ends on its own grid
        assert template.find(f"{NS}SegmentTimeline/{NS}S").attrib["t"] == "0"  # type: ignore[union-attr]


def test_segment_urls_are_those_of_hls() -> None:
    template = next(parsed(target(), LADDER, root="x/r").iter(f"{NS}SegmentTemplate"))
    assert template.attrib["media"] == "x/r/1080p/$Number$.m4s"
    assert template.attrib["initialization"] == "x/r/1080p/init.mp4"
    assert template.attrib["startNumber"] == "0"


def test_equal_lengths_are_written_once() -> None:
    template = next(
        parsed(target(plan(times=timeline(frames=60 * 900))), LADDER, root="x/r").iter(f"{NS}SegmentTemplate")
    )
    assert len(template.findall(f"{NS}SegmentTimeline/{NS}S")) == 1


def test_the_whole_lasts_as_long_as_its_longest_part() -> None:
    made = target()
    root = parsed(made, LADDER, root="x/r")
    assert root.attrib["type"] == "static"
    assert seconds(root.attrib["mediaPresentationDuration"]) >= made.plan.timeline.duration_s - 1e-6


def test_a_title_with_markup_does_not_break_the_manifest() -> None:
    odd = plan(audios=(sound(title='<b>&"x"', language='e"n'),))
    label = next(parsed(target(odd), LADDER, root="x/r").iter(f"{NS}Label"))
    assert label.text is not None
    assert label.text.startswith("<b>&")


def test_audio_only_media_has_one_set() -> None:
    sets = parsed(target(plan(videos=())), (), root="x/r").findall(f"{NS}Period/{NS}AdaptationSet")
    assert [s.attrib["contentType"] for s in sets] == ["audio"]


@pytest.mark.parametrize("audios", [(), (sound(), sound("a1", title="Second", language="de"))])
def test_ids_of_sets_differ(audios: tuple[object, ...]) -> None:
    sets = parsed(target(plan(audios=audios)), LADDER, root="x/r").findall(f"{NS}Period/{NS}AdaptationSet")  # type: ignore[arg-type]
    assert len({s.attrib["id"] for s in sets}) == len(sets) == 1 + len(audios)
