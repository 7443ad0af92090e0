"""One row per value of a dimension: `/data/metrics/{metricId}/breakdown`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from fastpix_server.views import dimensions
from fastpix_server.views.metrics import Measurement, Metric
from fastpix_server.views.queries.selection import Rows, Selection, whole

DEFAULT_GROUP = "browser_name"
# What `orderBy` may say, as columns of the query below.
ORDERS: Mapping[str, str] = {
    "views": "views",
    "value": "value",
    "field": "field",
    "totalWatchTime": "watched",
    "totalPlayingTime": "played",
}
DEFAULT_ORDER = "views"


@dataclasses.dataclass(frozen=True, slots=True)
class Paging:
    """`order_by` is a key of the query's ORDERS; `page` counts from 1."""

    order_by: str
    is_descending: bool
    limit: int
    page: int

    @property
    def direction(self) -> str:
        return "DESC" if self.is_descending else "ASC"

    @property
    def parameters(self) -> dict[str, int]:
        return {"limit": self.limit, "skip": (self.page - 1) * self.limit}


async def breakdown(
    asking: Rows, selection: Selection, metric: Metric, measurement: Measurement, group_by: str, paging: Paging
) -> tuple[list[dict[str, Any]], int]:
    """The rows of the page, and how many there are in all. Rows that are equal in order are sorted by their field."""
    selection = await selection.located(asking)
    views = selection.views([*metric.needs, "watch_time", "playing_time", dimensions.column_of(group_by)])
    grouped = (
        f"SELECT {dimensions.text_of(group_by)} AS field, count() AS views,"  # noqa: S608
        f" {metric.measured(measurement)} AS value, sum(watch_time) AS watched, sum(playing_time) AS played"
        f" FROM ({views}) GROUP BY field"
    )
    rows = await asking.rows(
        f"SELECT *, count() OVER () AS total FROM ({grouped})"  # noqa: S608
        f" ORDER BY {ORDERS[paging.order_by]} {paging.direction} NULLS LAST, field"
        " LIMIT {limit:UInt32} OFFSET {skip:UInt64}",
        {**selection.parameters, **paging.parameters},
    )
    if rows or paging.page == 1:
        total = rows[0]["total"] if rows else 0
    else:
        [counted] = await asking.rows(f"SELECT count() AS total FROM ({grouped})", selection.parameters)  # noqa: S608
        total = counted["total"]
    return [_shown(row) for row in rows], total


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "views": row["views"],
        "value": row["value"],
        "totalWatchTime": whole(row["watched"]),
        "totalPlayingTime": whole(row["played"]),
        "field": row["field"],
    }
