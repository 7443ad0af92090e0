"""Who is watching now: the two `/data/viewlist/current-views` operations (contract section 0).

A view goes on while it is not completed and its last event is at most ACTIVE_S old.
"""

from typing import Any

from fastpix_server.views import dimensions, spans
from fastpix_server.views.queries.selection import Rows, Selection
from fastpix_server.views.queries.timeseries import interval_time
from fastpix_server.views.spans import Span

# Players that play send a pulse every 10 s, in batches of 10 s: three batches may be lost before a viewer is.
ACTIVE_S = 60
# The official SDK documents the last 30 minutes.
SERIES_S = 30 * 60
STEP_S = 60
DEFAULT_DIMENSION = "country"


async def current_series(asking: Rows, workspace_id: str, now_s: float) -> tuple[list[dict[str, Any]], Span]:
    """How many views went on in each minute of the last half hour, minutes without any among them."""
    # From the first whole minute on; a view stays in the minute of its last event.
    first_s = (int(now_s) // STEP_S - SERIES_S // STEP_S + 1) * STEP_S
    span = Span(first_s, int(now_s) + 1)
    selection = await Selection(workspace_id, span).located(asking)
    step_ms = STEP_S * 1000
    rows = await asking.rows(
        "SELECT slot, count() AS views FROM ("  # noqa: S608
        "SELECT arrayJoin(range(toUInt64(intDiv(greatest(toUnixTimestamp64Milli(assumeNotNull(view_start)),"
        " {first_ms:Int64}), {step_ms:Int64})),"
        " toUInt64(intDiv(toUnixTimestamp64Milli(view_end), {step_ms:Int64}) + 1))) AS slot"
        f" FROM ({selection.views([], 'view_start <= view_end')})) GROUP BY slot",
        {**selection.parameters, "first_ms": first_s * 1000, "step_ms": step_ms},
    )
    counts = {row["slot"]: row["views"] for row in rows}
    slots = range(first_s // STEP_S, int(now_s) // STEP_S + 1)
    series = [
        {"intervalTime": interval_time(slot * STEP_S), "metricValue": None, "numberOfViews": counts.get(slot, 0)}
        for slot in slots
    ]
    return series, span


async def current_by(
    asking: Rows, workspace_id: str, now_s: float, dimension: str, limit: int
) -> tuple[list[dict[str, Any]], Span]:
    """Views that go on now by the value of a dimension (one of CURRENT_DIMENSIONS), most first."""
    span = spans.last(ACTIVE_S, now_s)
    selection = await Selection(workspace_id, span).located(asking)
    views = selection.views([dimensions.column_of(dimension), "is_completed"], "NOT ifNull(is_completed, false)")
    rows = await asking.rows(
        f"SELECT {dimensions.text_of(dimension)} AS value, count() AS views"  # noqa: S608
        f" FROM ({views}) GROUP BY value ORDER BY views DESC, value LIMIT {{limit:UInt32}}",
        {**selection.parameters, "limit": limit},
    )
    return [_spelled_twice(row["value"], row["views"]) for row in rows], span


def _spelled_twice(value: str, views: int) -> dict[str, Any]:
    """The service's own keys, and those that the official Python SDK reads."""
    return {
        "concurrentViewers": views,
        "dimensionName": value,
        "metricValue": views,
        "concurrent_viewers": views,
        "dimension_name": value,
    }
