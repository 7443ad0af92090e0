"""The values of a dimension that can be filtered by: `/data/dimensions/{dimensionsId}`."""

from typing import Any

from fastpix_server.views import dimensions
from fastpix_server.views.metrics import UNIQUE_VIEWERS
from fastpix_server.views.queries.selection import Rows, Selection

# This answer has no pages. Dimensions such as viewer_id have millions of values; a menu holds the most frequent ones.
VALUES_MAX = 1000


async def filter_values(asking: Rows, selection: Selection, dimension: str) -> list[dict[str, Any]]:
    """The most frequent first; `count` is views, `uniqueCount` viewers."""
    selection = await selection.located(asking)
    views = selection.views([dimensions.column_of(dimension), "viewer_hash"])
    rows = await asking.rows(
        f"SELECT {dimensions.text_of(dimension)} AS value, count() AS views, {UNIQUE_VIEWERS} AS viewers"  # noqa: S608
        f" FROM ({views}) GROUP BY value ORDER BY views DESC, value LIMIT {{limit:UInt32}}",
        {**selection.parameters, "limit": VALUES_MAX},
    )
    return [{"value": row["value"], "uniqueCount": row["viewers"], "count": row["views"]} for row in rows]
