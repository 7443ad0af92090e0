"""Every answer agrees with a slow reference, on any population, split into rows in any way, merged or not."""

import asyncio
import dataclasses
import random
import uuid
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.unit.views import reference
from tests.unit.views.populations import AFTER_S, BEFORE_S, NOW_S, View, insert, populations
from tests.video_data import Engine, stamp

from fastpix_server.views import filters, metrics, reading
from fastpix_server.views.metrics import Measurement
from fastpix_server.views.queries import comparison as comparisons
from fastpix_server.views.queries.breakdown import Paging, breakdown
from fastpix_server.views.queries.comparison import LINES, comparison
from fastpix_server.views.queries.current_views import current_by, current_series
from fastpix_server.views.queries.filter_values import filter_values
from fastpix_server.views.queries.overall import overall
from fastpix_server.views.queries.playback_errors import playback_errors
from fastpix_server.views.queries.selection import Selection
from fastpix_server.views.queries.timeseries import INTERVALS_S, interval_time, timeseries
from fastpix_server.views.queries.top_content import top_content
from fastpix_server.views.queries.view_detail import view_detail
from fastpix_server.views.queries.view_list import view_list
from fastpix_server.views.reading import Opened
from fastpix_server.views.spans import Span

# Each is a dozen questions to a real engine: few for every change, many for `make soak`.
EXAMPLES = settings(
    max_examples=max(3, settings.default.max_examples // 20),
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
MEASURED = st.sampled_from([(metric, by) for metric in metrics.BY_ID for by in Measurement])
DIMENSION = st.sampled_from(sorted(reference.DIMENSIONS))
VALUE = st.sampled_from(
    ["null", "Chrome", "Safari", "o'Brien \\ {x:String}", "IN", "Cycle", "Ünï 🎬", "true", "false", "a:b", "ann", "v1"]
)
FILTERS = st.lists(st.tuples(DIMENSION, VALUE, st.booleans()), max_size=4)
DICE = st.randoms(use_true_random=False)


def ask(question: Any) -> Any:
    return asyncio.run(question)


class World:
    """A fresh workspace with a population, and a neighbour whose views must never be seen."""

    def __init__(self, engine: Engine, population: list[View], dice: random.Random) -> None:
        self.engine, self.dice = engine, dice
        self.workspace_id = str(uuid.UUID(int=random.SystemRandom().getrandbits(128)))
        neighbour = str(uuid.UUID(int=random.SystemRandom().getrandbits(128)))
        insert(engine, self.workspace_id, population, dice)
        insert(engine, neighbour, [View(str(uuid.uuid4()), NOW_S * 1000 - 9, NOW_S * 1000 - 9, {})], dice)
        self.population = [view for view in population if AFTER_S * 1000 <= view.end_ms < BEFORE_S * 1000]

    def selected(self, wanted: list[tuple[str, str, bool]]) -> tuple[Selection, list[View]]:
        texts = [f"{'!' if out else ''}{dimension}:{value}" for dimension, value, out in wanted]
        selection = Selection(self.workspace_id, Span(AFTER_S, BEFORE_S), filters.parse(texts))
        selection = ask(selection.located(self.engine))
        if self.dice.random() < 0.5:  # as if they were too many to name
            selection = dataclasses.replace(selection, opened=Opened(selection.opened.first_ms))
        return selection, [view for view in self.population if reference.passes(view, wanted)]


def near(value: Any) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)


@EXAMPLES
@given(population=populations, dice=DICE)
def test_every_metric_and_measurement_agrees(engine, population, dice):
    world = World(engine, population, dice)
    selection, found = world.selected([])
    columns, needs, expected = [], [], []
    for metric in metrics.BY_ID.values():
        for by in Measurement:
            columns.append(f"{metric.measured(by)} AS value_{len(columns)}")
            expected.append((metric.id, by.value, reference.measure(found, metric.id, by.value)))
        needs += metric.needs
    for is_merged in (False, True):
        if is_merged:
            engine.merge()
        [row] = engine.ask(f"SELECT {', '.join(columns)} FROM ({selection.views(needs)})", selection.parameters)
        for place, (metric_id, by, value) in enumerate(expected):
            assert row[f"value_{place}"] == near(value), (metric_id, by)


@EXAMPLES
@given(population=populations, dice=DICE, wanted=FILTERS, measured=MEASURED)
def test_an_overall_value_agrees_for_any_filters(engine, population, dice, wanted, measured):
    world = World(engine, population, dice)
    selection, found = world.selected(wanted)
    metric, by = measured
    answer = ask(overall(engine, selection, metrics.BY_ID[metric], by))
    assert answer == {
        "value": near(reference.measure(found, metric, by.value)),
        "totalWatchTime": reference.summed(found, reference.said("watch_time")),
        "uniqueViews": reference.viewers(found),
        "totalViews": len(found),
        "totalPlayTime": reference.summed(found, reference.playing_time),
        "globalValue": near(reference.measure(world.population, metric, by.value)),
    }


@EXAMPLES
@given(population=populations, dice=DICE, wanted=FILTERS, measured=MEASURED, by=DIMENSION, order=st.data())
def test_a_breakdown_agrees_in_any_order_and_page(engine, population, dice, wanted, measured, by, order):
    world = World(engine, population, dice)
    selection, found = world.selected(wanted)
    metric, measurement = measured
    rows = [
        {
            "views": len(views),
            "value": reference.measure(views, metric, measurement.value),
            "totalWatchTime": reference.summed(views, reference.said("watch_time")),
            "totalPlayingTime": reference.summed(views, reference.playing_time),
            "field": field,
        }
        for field, views in reference.grouped(found, lambda view: reference.shown(view, by)).items()
    ]
    key = order.draw(st.sampled_from(["views", "field"]))
    is_descending = order.draw(st.booleans())
    limit, page = order.draw(st.integers(1, 4)), order.draw(st.integers(1, 3))
    rows.sort(key=lambda row: row["field"].encode())
    rows.sort(key=lambda row: row[key].encode() if key == "field" else row[key], reverse=is_descending)
    answer, total = ask(
        breakdown(engine, selection, metrics.BY_ID[metric], measurement, by, Paging(key, is_descending, limit, page))
    )
    assert total == len(rows)
    expected = rows[(page - 1) * limit : page * limit]
    assert answer == [{**row, "value": near(row["value"])} for row in expected]


@EXAMPLES
@given(
    population=populations, dice=DICE, wanted=FILTERS, measured=MEASURED, interval=st.sampled_from(sorted(INTERVALS_S))
)
def test_a_timeseries_agrees(engine, population, dice, wanted, measured, interval):
    world = World(engine, population, dice)
    selection, found = world.selected(wanted)
    metric, measurement = measured
    length_ms = INTERVALS_S[interval] * 1000
    slots = reference.grouped(found, lambda view: view.end_ms // length_ms)
    answer = ask(timeseries(engine, selection, metrics.BY_ID[metric], measurement, interval))
    assert answer == [
        {
            "intervalTime": interval_time(slot * length_ms // 1000),
            "metricValue": near(reference.measure(slots[slot], metric, measurement.value)),
            "numberOfViews": len(slots[slot]),
        }
        for slot in sorted(slots)
    ]
    backwards = ask(timeseries(engine, selection, metrics.BY_ID[metric], measurement, interval, is_descending=True))
    assert [point["intervalTime"] for point in backwards] == [point["intervalTime"] for point in answer[::-1]]


@EXAMPLES
@given(population=populations, dice=DICE, wanted=FILTERS)
def test_a_comparison_agrees_line_by_line(engine, population, dice, wanted):
    selection, found = World(engine, population, dice).selected(wanted)
    tree = ask(comparison(engine, selection))
    flat = [line for top in tree for line in (top, *(top["items"] or ()))]
    assert len(flat) == len(LINES)
    for line, row in zip(LINES, flat, strict=True):
        expected = reference.measure(found, line.metric, line.by.value) or 0
        assert (row["metric"], row["value"]) == (line.metric, near(expected))


@EXAMPLES
@given(population=populations, dice=DICE, wanted=FILTERS)
def test_a_comparison_of_many_views_counts_their_first_digits(engine, population, dice, wanted):
    selection, found = World(engine, population, dice).selected(wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparisons, "EXACT_MAX_VIEWS", -1)
        tree = ask(comparison(engine, selection))
    flat = [line for top in tree for line in (top, *(top["items"] or ()))]
    for line, row in zip(LINES, flat, strict=True):
        expected = reference.measure(found, line.metric, line.by.value) or 0
        if line.by in (Measurement.MEDIAN, Measurement.P95):
            values = [value for value in map(reference.VALUES[line.metric], found) if value is not None]
            expected = reference.sketched(values, 0.5 if line.by is Measurement.MEDIAN else 0.95) if values else 0
        assert (row["metric"], row["value"]) == (line.metric, near(expected))


@EXAMPLES
@given(population=populations, dice=DICE)
def test_how_many_views_there_are_is_between_what_their_keys_say(engine, population, dice):
    selection, found = World(engine, population, dice).selected([])
    [between] = engine.ask(reading.BETWEEN, selection.parameters)
    assert between["least"] <= len(found) <= between["most"]


@EXAMPLES
@given(population=populations, dice=DICE, wanted=FILTERS, dimension=DIMENSION)
def test_top_content_and_filter_values_agree(engine, population, dice, wanted, dimension):
    selection, found = World(engine, population, dice).selected(wanted)

    def counted(by: str) -> list[tuple[str, int, int]]:
        groups = reference.grouped(found, lambda view: reference.shown(view, by))
        rows = [(value, len(views), reference.viewers(views)) for value, views in groups.items()]
        return sorted(rows, key=lambda row: (-row[1], row[0].encode()))

    top = ask(top_content(engine, selection, 2))
    assert [(row["videoTitle"], row["views"], row["uniqueViews"]) for row in top] == counted("video_title")[:2]
    values = ask(filter_values(engine, selection, dimension))
    assert [(row["value"], row["count"], row["uniqueCount"]) for row in values] == counted(dimension)


@EXAMPLES
@given(population=populations, dice=DICE, wanted=FILTERS, limit=st.integers(1, 3))
def test_errors_agree(engine, population, dice, wanted, limit):
    selection, found = World(engine, population, dice).selected(wanted)
    broken = [view for view in found if reference.failed(view)]
    kinds = reference.grouped(broken, lambda view: (view.get("error_code", ""), view.get("error_message", "")))
    expected = sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0]))
    answer = ask(playback_errors(engine, selection, limit))
    assert [
        (row["code"] or "", row["message"] or "", row["count"], row["id"], row["percentage"])
        for row in answer["errors"]
    ] == [
        (*kind, len(views), str(place), near(len(views) / len(found)))
        for place, (kind, views) in enumerate(expected, start=1)
    ]
    assert [row["uniqueViewersEffectedPercentage"] for row in answer["topErrors"]] == [
        near(reference.viewers(views) / max(1, reference.viewers(found))) for _, views in expected[:limit]
    ]


@EXAMPLES
@given(population=populations, dice=DICE, wanted=FILTERS, order=st.data())
def test_a_list_of_views_agrees_in_any_order_and_page(engine, population, dice, wanted, order):
    selection, found = World(engine, population, dice).selected(wanted)
    orders = {
        "view_end": lambda view: view.end_ms,
        "viewStartTime": lambda view: view.start_ms,
        "videoTitle": lambda view: view.get("video_title").encode(),
    }
    key, is_descending = order.draw(st.sampled_from(sorted(orders))), order.draw(st.booleans())
    limit, page = order.draw(st.integers(1, 5)), order.draw(st.integers(1, 3))
    answer, total = ask(view_list(engine, selection, Paging(key, is_descending, limit, page)))
    # The engine orders UUIDs by their halves; equal views are compared as a set.
    found.sort(key=orders[key], reverse=is_descending)
    expected = found[(page - 1) * limit : page * limit]
    assert total == len(found)
    by_id = {view.view_id: view for view in found}
    assert [orders[key](by_id[row["viewId"]]) for row in answer] == [orders[key](view) for view in expected]
    for row in answer:
        view = by_id[row["viewId"]]
        assert row == {
            "viewId": view.view_id,
            "operatingSystem": view.get("detected_os_name") or None,
            "application": reference.DIMENSIONS["browser_name"](view) or None,
            "viewStartTime": stamp(view.start_ms).replace(" ", "T"),
            "viewEndTime": stamp(view.end_ms).replace(" ", "T") if view.is_ended else None,
            "videoTitle": view.get("video_title") or None,
            "errorCode": view.get("error_code") or None,
            "errorMessage": view.get("error_message") or None,
            "errorId": None,
            "country": reference.DIMENSIONS["country"](view) or None,
            "viewWatchTime": view.get("watch_time"),
            "QoeScore": near(reference.overall_score(view)),
        }


@EXAMPLES
@given(population=populations.filter(bool), dice=DICE)
def test_a_view_in_detail_agrees(engine, population, dice):
    world = World(engine, population, dice)
    view = population[0]
    detail = ask(view_detail(engine, world.workspace_id, view.view_id))
    assert len(detail) == 133
    expected = {
        "viewId": view.view_id,
        "workspaceId": world.workspace_id,
        "viewStart": stamp(view.start_ms).replace(" ", "T") + "Z",
        "viewEnd": stamp(view.end_ms).replace(" ", "T") + "Z" if view.is_ended else None,
        "viewHasError": reference.failed(view),
        "watchTime": view.get("watch_time"),
        "viewPlayingTime": reference.playing_time(view),
        "averageBitrate": near(reference.average_bitrate(view)),
        "qualityOfExperienceScore": near(reference.overall_score(view)),
        "startupScore": near(reference.startup_score(view)),
        "viewerId": reference.viewer(view) or None,
        "playerAutoplayOn": bool(view.get("player_autoplay_on")),
        "custom1": view.get("custom_1") or None,
        "drmType": "none",
        "events": [],
        "sign": "1",
    }
    assert {name: detail[name] for name in expected} == expected


@EXAMPLES
@given(population=populations, dice=DICE)
def test_the_current_views_agree(engine, population, dice):
    going = []
    for place, view in enumerate(population):
        end_ms = NOW_S * 1000 - place * 25_000
        length_ms = view.end_ms - view.start_ms
        going.append(View(view.view_id, end_ms - length_ms, end_ms, view.columns))
    world = World(engine, going, dice)
    series, span = ask(current_series(engine, world.workspace_id, NOW_S))
    assert (len(series), span.before_s - 1) == (30, NOW_S)
    first_slot = NOW_S // 60 - 29
    for place, point in enumerate(series):
        slot = first_slot + place
        active = [v for v in going if v.start_ms // 60_000 <= slot <= v.end_ms // 60_000]
        assert point == {"intervalTime": interval_time(slot * 60), "metricValue": None, "numberOfViews": len(active)}
    rows, span = ask(current_by(engine, world.workspace_id, NOW_S, "country", 50))
    now = [v for v in going if v.end_ms >= span.after_s * 1000 and not v.get("is_completed")]
    counts = reference.grouped(now, lambda view: reference.shown(view, "country"))
    assert {row["dimensionName"]: row["concurrentViewers"] for row in rows} == {k: len(v) for k, v in counts.items()}
