import pytest
from tests.unit.playback.plans import LADDER, rung

from fastpix_server.base.errors import Invalid
from fastpix_server.playback.selection import Selection, choose, lines_of, parse


def names(selection: Selection, cap: str | None = None, videos=LADDER) -> list[str]:  # type: ignore[no-untyped-def]
    return [v.name for v in choose(videos, selection, cap)]


def test_without_wishes_a_cheap_rung_comes_first_and_the_rest_from_the_top() -> None:
    assert names(Selection()) == ["480p", "1080p", "720p", "360p"]


def test_a_modest_copy_of_the_source_comes_first_because_it_costs_nothing() -> None:
    videos = (rung("source", 1280, 720, 1_500_000, "copy"), *LADDER[2:])
    assert names(Selection(), videos=videos)[0] == "source"


def test_a_heavy_copy_of_the_source_does_not_come_first() -> None:
    videos = (rung("source", 1920, 1080, 12_000_000, "copy"), *LADDER[2:])
    assert names(Selection(), videos=videos)[0] == "480p"


def test_the_order_can_be_asked_for() -> None:
    assert names(parse({"renditionOrder": "asc"})) == ["360p", "480p", "720p", "1080p"]
    assert names(parse({"renditionOrder": "desc"})) == ["1080p", "720p", "480p", "360p"]


def test_bounds_drop_what_is_outside() -> None:
    wanted = parse({"minResolution": "480p", "maxResolution": "720p", "renditionOrder": "desc"})
    assert names(wanted) == ["720p", "480p"]


def test_the_older_names_of_the_bounds_mean_the_same() -> None:
    old = parse({"min_resolution": "480p", "max_resolution": "720p"})
    assert old == parse({"minResolution": "480p", "maxResolution": "720p"})


def test_one_resolution_leaves_one_rung() -> None:
    assert names(parse({"resolution": "720p"})) == ["720p"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"maxResolution": "270p"}, ["360p"]),
        ({"minResolution": "2160p"}, ["1080p"]),
        ({"resolution": "540p"}, ["480p"]),
        ({"resolution": "1440p"}, ["1080p"]),
        ({"minResolution": "540p", "maxResolution": "540p"}, ["480p"]),
    ],
)
def test_a_bound_that_matches_nothing_is_capped_to_the_nearest(params: dict[str, str], expected: list[str]) -> None:
    assert names(parse(params)) == expected


def test_the_cap_of_the_id_beats_the_wish_of_the_viewer() -> None:
    assert names(parse({"minResolution": "1080p"}), cap="720p") == ["720p"]
    assert names(parse({"renditionOrder": "desc"}), cap="720p") == ["720p", "480p", "360p"]


def test_a_cap_below_the_ladder_leaves_the_lowest_rung() -> None:
    assert names(Selection(), cap="270p") == ["360p"]


def fields(params: dict[str, str]) -> list[str]:
    with pytest.raises(Invalid) as caught:
        parse(params)
    return [f.field for f in caught.value.fields]


def test_contradictory_bounds_name_both_fields() -> None:
    assert fields({"minResolution": "720p", "maxResolution": "480p"}) == ["minResolution", "maxResolution"]


def test_equal_bounds_are_no_contradiction() -> None:
    assert names(parse({"minResolution": "720p", "maxResolution": "720p"})) == ["720p"]


def test_one_resolution_and_a_bound_contradict_each_other() -> None:
    assert fields({"resolution": "720p", "maxResolution": "720p"}) == ["resolution"]


def test_every_bad_field_is_named_at_once() -> None:
    assert fields({"minResolution": "hd", "maxResolution": "721p", "renditionOrder": "up"}) == [
        "minResolution",
        "maxResolution",
        "order",
    ]


def test_unknown_and_empty_parameters_are_ignored() -> None:
    assert parse({"t": "123", "token": "x", "minResolution": ""}) == Selection()


@pytest.mark.parametrize(
    ("width", "height", "lines"),
    [(1920, 1080, 1080), (1080, 1920, 1080), (1920, 800, 1080), (1280, 720, 720), (640, 480, 480), (8000, 4000, 2160)],
)
def test_a_copied_rung_counts_as_the_class_whose_box_holds_it(width: int, height: int, lines: int) -> None:
    assert lines_of(rung("source", width, height, 1, "copy")) == lines
