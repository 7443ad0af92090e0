"""Every metric at once, as a tree: `/data/metrics/comparison` (contract 9.5)."""

import asyncio
import dataclasses
from typing import Any

from fastpix_server.views import metrics, reading
from fastpix_server.views.metrics import Measurement
from fastpix_server.views.queries.selection import Rows, Selection


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One row of the tree. `says` is its `measurement`; it is measured as `by`, which a null leaves to us."""

    metric: str
    name: str
    by: Measurement
    says: str | None
    items: "tuple[Line, ...] | None" = None


def _line(metric: str, name: str, by: Measurement) -> Line:
    return Line(metric, name, by, by.value)


def _plain(metric: str, name: str) -> Line:
    """An average that does not say so."""
    return Line(metric, name, Measurement.AVERAGE, None)


def _score(metric: str, name: str, *items: Line, says: str | None = None) -> Line:
    return Line(metric, name, Measurement.AVERAGE, says, items or None)


def _median_and_95th(metric: str, name: str) -> tuple[Line, Line]:
    return (
        _line(metric, f"{name} (median)", Measurement.MEDIAN),
        _line(metric, f"{name} (95th percentile)", Measurement.P95),
    )


def _three(metric: str, name: str) -> tuple[Line, Line, Line]:
    return (*_median_and_95th(metric, name), _line(metric, f"{name} (average)", Measurement.AVERAGE))


TREE: tuple[Line, ...] = (
    Line(
        "views",
        "Views",
        Measurement.COUNT,
        "count",
        (
            _line("unique_viewers", "Unique Viewers", Measurement.COUNT),
            _line("playing_time", "Playing Time (total)", Measurement.SUM),
            _line("playing_time", "Playing Time (median)", Measurement.MEDIAN),
            _line("playing_time", "Playing Time (average)", Measurement.AVERAGE),
        ),
    ),
    _score("overall_score", "Overall Score", says="avg"),
    _score(
        "playback_success_score",
        "Playback Success Score",
        _plain("playback_failure_percentage", "Playback Failure Percentage"),
        _plain("video_startup_failure_percentage", "Video Startup Failure Percentage"),
        _plain("exit_before_video_start", "Exit Before Video Start"),
        says="avg",
    ),
    _score(
        "startup_score",
        "Startup Time Score",
        *_median_and_95th("video_startup_time", "Video Startup Time"),
        *_median_and_95th("player_startup_time", "Player Startup Time"),
        *_median_and_95th("page_load_time", "Page Load Time"),
        *_median_and_95th("total_startup_time", "Total Startup Time"),
        _line("jump_latency", "Jump Latency", Measurement.AVERAGE),
    ),
    _score(
        "stability_score",
        "Stability Score",
        _plain("buffer_ratio", "Buffer Ratio"),
        _plain("buffer_frequency", "Buffer Frequency"),
        *_median_and_95th("buffer_fill", "Buffer Fill"),
        *_median_and_95th("buffer_count", "Buffer Count"),
    ),
    _score(
        "render_quality_score",
        "Render Quality Score",
        *_three("upscale_percentage", "Upscale Percentage"),
        *_three("downscale_percentage", "Downscale Percentage"),
        *_median_and_95th("max_upscale_percentage", "Max Upscale Percentage"),
        *_median_and_95th("max_downscale_percentage", "Max Downscale Percentage"),
        *_median_and_95th("average_bitrate", "Average Bitrate"),
        *_median_and_95th("live_stream_latency", "Live Stream Latency"),
    ),
)
LINES: tuple[Line, ...] = tuple(line for top in TREE for line in (top, *(top.items or ())))


# Up to here percentiles are exact. The exact ones of more views take seconds: each keeps and sorts every value.
EXACT_MAX_VIEWS = 500_000
_PERCENTILES = (Measurement.MEDIAN, Measurement.P95)


async def comparison(asking: Rows, selection: Selection) -> list[dict[str, Any]]:
    """One pass over the views. What is unknown is 0: the contract has no null here. Percentiles of more than
    EXACT_MAX_VIEWS views are up to 1/128 too small, the same ones however the views are stored."""
    selection, is_exact = await asyncio.gather(selection.located(asking), _are_few(asking, selection))
    columns = {_column(line): _measured(line, is_exact=is_exact) for line in LINES}
    values = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    needs = [need for line in LINES for need in metrics.BY_ID[line.metric].needs]
    [row] = await asking.rows(f"SELECT {values} FROM ({selection.views(needs)})", selection.parameters)  # noqa: S608
    found = {line: _value(line, row[_column(line)]) or 0 for line in LINES}
    return [_shown(line, found) for line in TREE]


async def _are_few(asking: Rows, selection: Selection) -> bool:
    """Whether there are at most EXACT_MAX_VIEWS. Counting rows by their keys is quicker, and nearly always enough
    without filters."""
    [between] = await asking.rows(reading.BETWEEN, selection.parameters)
    if between["most"] <= EXACT_MAX_VIEWS:
        return True
    if between["least"] > EXACT_MAX_VIEWS and not selection.filters:
        return False
    selection = await selection.located(asking)
    [counted] = await asking.rows(f"SELECT count() AS views FROM ({selection.views([])})", selection.parameters)  # noqa: S608
    return bool(counted["views"] <= EXACT_MAX_VIEWS)


def _column(line: Line) -> str:
    """The percentiles of a metric are one column: they need the same sorted values."""
    by = "percentiles" if line.by in _PERCENTILES else line.by.value
    return f"{line.metric}_{by}"


def _measured(line: Line, *, is_exact: bool) -> str:
    metric = metrics.BY_ID[line.metric]
    return metric.percentiles(is_exact=is_exact) if line.by in _PERCENTILES else metric.measured(line.by)


def _value(line: Line, found: Any) -> Any:
    return found[_PERCENTILES.index(line.by)] if line.by in _PERCENTILES else found


def _shown(line: Line, found: dict[Line, Any]) -> dict[str, Any]:
    return {
        "value": found[line],
        "type": metrics.BY_ID[line.metric].unit.value,
        "name": line.name,
        "metric": line.metric,
        "measurement": line.says,
        "items": None if line.items is None else [_shown(item, found) for item in line.items],
    }
