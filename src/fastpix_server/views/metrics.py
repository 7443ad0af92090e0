"""The 26 metrics of the contract (9.4) and the ids that only comparisons use: what each says of one view, as SQL.

Invariants: a view for which a metric says nothing (NULL) is not part of its average, percentiles and count; identifiers
in SQL come from this module, from views/scores.py and views/schema.py. Definitions: docs/reference/metrics.md.
"""

import dataclasses
import enum
from collections.abc import Mapping

from fastpix_server.base import errors
from fastpix_server.views.scores import PLAYED


class Unit(enum.Enum):
    """`type` in comparisons. `mbps` is the contract's word; the value is bits per second."""

    NUMBER = "number"
    MILLISECONDS = "milliseconds"
    FRACTION = "percentage"
    RATE = "mbps"
    SCORE = "score"


class Measurement(enum.Enum):
    """How the values of many views become one."""

    P95 = "95th"
    MEDIAN = "median"
    AVERAGE = "avg"
    COUNT = "count"
    SUM = "sum"


# Percentiles are exact and between neighbours in proportion, so that any two runs agree.
_FUNCTIONS: Mapping[Measurement, str] = {
    Measurement.P95: "quantileExactInclusive(0.95)",
    Measurement.MEDIAN: "quantileExactInclusive(0.5)",
    Measurement.AVERAGE: "avg",
    Measurement.COUNT: "count",
    Measurement.SUM: "sum",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """`value` is SQL for one view, over `needs`; with `whole`, SQL over all views, whatever the measurement."""

    id: str
    unit: Unit
    value: str
    needs: tuple[str, ...]
    whole: str = ""

    def measured(self, measurement: Measurement) -> str:
        """SQL: one value of many views. Of no view it is NULL, but for a count."""
        return self.whole or f"{_FUNCTIONS[measurement]}(toNullable(toFloat64({self.value})))"

    def percentiles(self, *, is_exact: bool) -> str:
        """SQL: [median, 95th], of no view [NULL, NULL]. What is not exact counts values by their first eight binary
        digits, so it does not depend on the order of views either."""
        if is_exact:
            return f"quantilesExactInclusive(0.5, 0.95)(toNullable(toFloat64({self.value})))"
        # A number that is none is left out, as NULL is, in a third of the time.
        numbers = f"ifNull(toFloat32({self.value}), toFloat32(nan))"
        return f"CAST(quantilesBFloat16(0.5, 0.95)({numbers}), 'Array(Float64)')"


def _plain(name: str, unit: Unit) -> Metric:
    """What views report themselves; unreported is left out."""
    return Metric(name, unit, name, (name,))


def _played(name: str, unit: Unit, column: str = "", *, missing: str = "") -> Metric:
    """Of views that have shown a first frame. SDKs send changes only: a counter that never came is `missing`."""
    column = column or name
    value = f"ifNull({column}, {missing})" if missing else column
    return Metric(name, unit, f"if({PLAYED}, {value}, NULL)", (column, "has_played"))


def _share(name: str, column: str) -> Metric:
    """Of all views: 1 for those of which `column` is true."""
    return Metric(name, Unit.FRACTION, column, (column,))


# 0 is nobody. Of all views: a set with a condition takes half as long again.
ALL_VIEWERS = "(uniqExact(viewer_hash) - (count() > 0 AND min(viewer_hash) = 0))"
# Of each of many groups: there the condition is quicker than two more aggregates.
UNIQUE_VIEWERS = "uniqExactIf(viewer_hash, viewer_hash != 0)"


METRICS: tuple[Metric, ...] = (
    Metric("views", Unit.NUMBER, "1", (), whole="count()"),
    Metric("unique_viewers", Unit.NUMBER, "1", ("viewer_hash",), whole=ALL_VIEWERS),
    _plain("playing_time", Unit.MILLISECONDS),
    _plain("quality_of_experience_score", Unit.SCORE),
    _plain("playback_score", Unit.SCORE),
    _share("playback_failure_percentage", "playback_failed"),
    _share("exit_before_video_start", "exit_before_video_start"),
    _share("video_startup_failure_percentage", "video_startup_failed"),
    _plain("startup_score", Unit.SCORE),
    _played("video_startup_time", Unit.MILLISECONDS),
    Metric("player_startup_time", Unit.MILLISECONDS, "player_init_time", ("player_init_time",)),
    _plain("page_load_time", Unit.MILLISECONDS),
    _played("total_startup_time", Unit.MILLISECONDS),
    _plain("live_stream_latency", Unit.MILLISECONDS),
    _plain("average_bitrate", Unit.RATE),
    _played("buffer_count", Unit.NUMBER, missing="0"),
    _plain("render_quality_score", Unit.SCORE),
    _played("avg_upscaling", Unit.FRACTION),
    _played("avg_downscaling", Unit.FRACTION),
    _played("max_upscaling", Unit.FRACTION),
    _played("max_downscaling", Unit.FRACTION),
    _plain("jump_latency", Unit.MILLISECONDS),
    _plain("stability_score", Unit.SCORE),
    _played("buffer_ratio", Unit.FRACTION),
    _played("buffer_frequency", Unit.NUMBER),
    _played("buffer_fill", Unit.MILLISECONDS, missing="0"),
)

_KEPT = "NOT playback_failed"
# Ids of comparisons (contract section 11, row 21). The two scores leave failed views out (rows 43 and 44).
COMPARED: tuple[Metric, ...] = (
    Metric(
        "overall_score",
        Unit.SCORE,
        f"if({_KEPT}, quality_of_experience_score, NULL)",
        ("playback_failed", "quality_of_experience_score"),
    ),
    Metric(
        "playback_success_score",
        Unit.SCORE,
        f"if({_KEPT}, playback_score, NULL)",
        ("playback_failed", "playback_score"),
    ),
    _played("upscale_percentage", Unit.FRACTION, "avg_upscaling"),
    _played("downscale_percentage", Unit.FRACTION, "avg_downscaling"),
    _played("max_upscale_percentage", Unit.FRACTION, "max_upscaling"),
    _played("max_downscale_percentage", Unit.FRACTION, "max_downscaling"),
)

BY_ID: Mapping[str, Metric] = {metric.id: metric for metric in (*METRICS, *COMPARED)}


def require(metric_id: str) -> Metric:
    """Raises errors.NotFound."""
    if metric_id not in BY_ID:
        raise errors.NotFound("There is no metric of this id.", message="metric not found")
    return BY_ID[metric_id]
