"""One number for all selected views: `/data/metrics/{metricId}/overall`."""

import asyncio
from typing import Any

from fastpix_server.views.metrics import ALL_VIEWERS, Measurement, Metric
from fastpix_server.views.queries.selection import Rows, Selection, whole


async def overall(asking: Rows, selection: Selection, metric: Metric, measurement: Measurement) -> dict[str, Any]:
    """`globalValue` is the same metric of all views of the span, whatever the filters."""
    selection = await selection.located(asking)
    if not selection.filters:
        found = await _measure(asking, selection, metric, measurement)
        return {**found, "globalValue": found["value"]}
    found, everything = await asyncio.gather(
        _measure(asking, selection, metric, measurement),
        asking.rows(
            f"SELECT {metric.measured(measurement)} AS value FROM ({selection.unfiltered().views(metric.needs)})",  # noqa: S608
            selection.unfiltered().parameters,
        ),
    )
    return {**found, "globalValue": everything[0]["value"]}


async def _measure(asking: Rows, selection: Selection, metric: Metric, measurement: Measurement) -> dict[str, Any]:
    views = selection.views([*metric.needs, "watch_time", "playing_time", "viewer_hash"])
    [row] = await asking.rows(
        f"SELECT {metric.measured(measurement)} AS value, sum(watch_time) AS watched, sum(playing_time) AS played,"  # noqa: S608
        f" count() AS views, {ALL_VIEWERS} AS viewers FROM ({views})",
        selection.parameters,
    )
    return {
        "value": row["value"],
        "totalWatchTime": whole(row["watched"]),
        "uniqueViews": row["viewers"],
        "totalViews": row["views"],
        "totalPlayTime": whole(row["played"]),
    }
