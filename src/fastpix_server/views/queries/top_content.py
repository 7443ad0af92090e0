"""What was watched most: `/data/viewlist/top-content`."""

from typing import Any

from fastpix_server.views import dimensions
from fastpix_server.views.metrics import UNIQUE_VIEWERS
from fastpix_server.views.queries.selection import Rows, Selection


async def top_content(asking: Rows, selection: Selection, limit: int) -> list[dict[str, Any]]:
    """By title, most views first; titles with as many views in order of the alphabet."""
    selection = await selection.located(asking)
    views = selection.views(["video_title", "viewer_hash"])
    rows = await asking.rows(
        f"SELECT {dimensions.text_of('video_title')} AS title, count() AS views, {UNIQUE_VIEWERS} AS viewers"  # noqa: S608
        f" FROM ({views}) GROUP BY title ORDER BY views DESC, title LIMIT {{limit:UInt32}}",
        {**selection.parameters, "limit": limit},
    )
    return [{"videoTitle": row["title"], "views": row["views"], "uniqueViews": row["viewers"]} for row in rows]
