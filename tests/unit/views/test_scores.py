"""Scores by hand: captured figures of the real service (contract 9.3, 9.5) and cases worked out on paper."""

import math

import pytest
from tests.video_data import Engine

from fastpix_server.views import schema
from fastpix_server.views.scores import SCORES

# A view that played without a fault, and what its columns are when nothing went wrong.
PLAYED = {
    "has_played": True,
    "has_error": False,
    "video_startup_time": 3,
    "buffer_count": 0,
    "buffer_fill": 0,
    "watch_time": 17607,
    "max_upscaling": 0.0,
    "total_upscaling": 0.0,
    "content_playback_time": 17000,
    "total_content_playback_time": 17000,
    "is_ended": True,
}
TYPES = {"has_played": "Nullable(Bool)", "has_error": "Nullable(Bool)", "is_ended": "Bool"}
BASE = ("playback_failed", "buffer_ratio", "avg_upscaling")


def scores(engine: Engine, **changes: object) -> dict[str, float | None]:
    """The five scores of a view with these columns, by the expressions that every query uses."""
    view = {**PLAYED, **changes}
    columns = ", ".join(
        f"CAST({'NULL' if value is None else value} AS {TYPES.get(name, 'Nullable(Float64)')}) AS {name}"
        for name, value in view.items()
    )
    derived = [schema.DERIVED_BY_NAME[name] for name in BASE] + list(SCORES.values())
    values = ", ".join(f"{one.expression} AS {one.name}" for one in derived)
    [row] = engine.ask(f"SELECT {values} FROM (SELECT {columns})", {})
    return {name.removesuffix("_score"): row[name] for name in SCORES}


def test_the_captured_view_that_started_in_3_ms(engine):
    found = scores(engine)
    assert found["startup"] == pytest.approx(0.9996251, abs=1e-7)
    assert (found["stability"], found["render_quality"], found["playback"]) == (1, 1, 1)
    assert found["quality_of_experience"] == pytest.approx(0.9998969, abs=1e-7)


def test_the_documented_view_that_started_in_987_ms(engine):
    found = scores(engine, video_startup_time=987)
    assert found["startup"] == pytest.approx(0.8901746967842439, abs=1e-7)
    assert found["quality_of_experience"] == pytest.approx(0.9697980416156672, abs=1e-7)


@pytest.mark.parametrize(("ms", "score"), [(0, 1), (8000, 1 / 2), (24000, 1 / 4), (-5, 1)])
def test_a_slower_start_scores_less(engine, ms, score):
    assert scores(engine, video_startup_time=ms)["startup"] == score


def test_a_captured_view_with_downscaling_renders_perfectly(engine):
    assert scores(engine, max_upscaling=0, total_upscaling=0)["render_quality"] == 1


def test_rebuffering_by_hand(engine):
    # Two interruptions, a tenth of the time: (1/sqrt(2) + e^-1) / 2.
    found = scores(engine, buffer_count=2, buffer_fill=1000, watch_time=10_000)
    assert found["stability"] == pytest.approx((1 / math.sqrt(2) + math.exp(-1)) / 2)
    assert found["stability"] == pytest.approx(0.5374931, abs=1e-7)


def test_blur_by_hand(engine):
    # At worst twice the size, half on average: e^(-0.33 * (0.15 * 1 + 0.85 * 0.5)) = e^-0.18975.
    found = scores(engine, max_upscaling=1, total_upscaling=8500)
    assert found["render_quality"] == pytest.approx(0.8271659, abs=1e-7)


def test_all_of_it_together_by_hand(engine):
    found = scores(engine, video_startup_time=8000, buffer_count=2, buffer_fill=1000, watch_time=10_000)
    assert found["quality_of_experience"] == pytest.approx(0.45 * 0.5374931 + 0.275 * 1 + 0.275 * 0.5, abs=1e-7)


def test_a_failed_view_scores_zero_whatever_it_showed_before(engine):
    found = scores(engine, has_error=True)
    assert (found["playback"], found["quality_of_experience"]) == (0, 0)
    assert found["startup"] == pytest.approx(0.9996251, abs=1e-7)


def test_a_view_that_failed_before_its_first_frame_has_only_the_zeros(engine):
    found = scores(engine, has_error=True, has_played=None, video_startup_time=None)
    assert found == {
        "startup": None, "stability": None, "render_quality": None, "playback": 0, "quality_of_experience": 0,
    }  # fmt: skip


def test_a_view_left_before_its_first_frame_has_no_score(engine):
    assert set(scores(engine, has_played=None, video_startup_time=None).values()) == {None}


def test_a_player_that_does_not_measure_its_start_is_judged_by_the_rest(engine):
    found = scores(engine, video_startup_time=None, buffer_count=2, buffer_fill=1000, watch_time=10_000)
    assert found["startup"] is None
    assert found["quality_of_experience"] == pytest.approx((0.45 * 0.5374931 + 0.275) / 0.725, abs=1e-7)


def test_counters_that_never_came_have_not_moved(engine):
    found = scores(engine, buffer_count=None, buffer_fill=None, max_upscaling=None, total_upscaling=None)
    assert (found["stability"], found["render_quality"]) == (1, 1)
