"""A metric over time: `/data/metrics/{metricId}/timeseries`. An interval without views is left out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastpix_server.base.errors import FieldError, Invalid
from fastpix_server.views.metrics import Measurement, Metric
from fastpix_server.views.queries.selection import Rows, Selection

INTERVALS_S: Mapping[str, int] = {"minute": 60, "ten_minutes": 600, "hour": 3600, "day": 86400}
DEFAULT_INTERVAL = "minute"
# 30 days, the longest named span, by the minute: 43,200 points, about 4 MB of JSON.
POINTS_MAX = 43_201


async def timeseries(
    asking: Rows,
    selection: Selection,
    metric: Metric,
    measurement: Measurement,
    interval: str,
    *,
    is_descending: bool = False,
) -> list[dict[str, Any]]:
    """Intervals are aligned to UTC and hold the views that ended in them. Raises errors.Invalid for too many."""
    length_s = INTERVALS_S[interval]
    if (selection.span.before_s - selection.span.after_s) / length_s > POINTS_MAX:
        raise Invalid(FieldError("groupBy", "gives too many points for this timespan"))
    selection = await selection.located(asking)
    views = selection.views(metric.needs)
    rows = await asking.rows(
        "SELECT intDiv(toUnixTimestamp64Milli(view_end), {length_ms:Int64}) AS slot,"  # noqa: S608
        f" {metric.measured(measurement)} AS value, count() AS views FROM ({views})"
        f" GROUP BY slot ORDER BY slot {'DESC' if is_descending else 'ASC'}",
        {**selection.parameters, "length_ms": length_s * 1000},
    )
    return [
        {
            "intervalTime": interval_time(row["slot"] * length_s),
            "metricValue": row["value"],
            "numberOfViews": row["views"],
        }
        for row in rows
    ]


def interval_time(epoch_s: int) -> str:
    """`2026-05-20T09:00:00Z` (contract 9.5)."""
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
