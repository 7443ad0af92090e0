"""Single views, a page at a time: `/data/viewlist`.

Two steps, so that a long span does not carry every column of every view through a sort: the ids of the page, by the
column of the order alone, then the rows of these ids.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastpix_server.views import reading
from fastpix_server.views.queries.breakdown import Paging
from fastpix_server.views.queries.selection import Row, Rows, Selection
from fastpix_server.views.spans import Span

# What `orderBy` may say: the names of our columns, and those of the answer.
ORDERS: Mapping[str, str] = {
    "view_end": "view_end",
    "viewEndTime": "view_end",
    "view_start": "view_start",
    "viewStartTime": "view_start",
    "view_id": "view_id",
    "viewId": "view_id",
    "os_name": "os_name",
    "operatingSystem": "os_name",
    "browser_name": "browser_name",
    "application": "browser_name",
    "video_title": "video_title",
    "videoTitle": "video_title",
    "error_code": "error_code",
    "errorCode": "error_code",
    "country": "country_code",
    "watch_time": "watch_time",
    "viewWatchTime": "watch_time",
    "quality_of_experience_score": "quality_of_experience_score",
    "QoeScore": "quality_of_experience_score",
}
DEFAULT_ORDER = "view_end"
_SHOWN = (
    "os_name",
    "browser_name",
    "is_ended",
    "video_title",
    "error_code",
    "error_message",
    "country_code",
    "watch_time",
    "quality_of_experience_score",
)


async def view_list(asking: Rows, selection: Selection, paging: Paging) -> tuple[list[dict[str, Any]], int]:
    """The rows of the page, and how many views there are in all. Equal ones are in order of their ids."""
    selection = await selection.located(asking)
    order = ORDERS[paging.order_by]
    ordered = f"ORDER BY {order} {paging.direction} NULLS LAST, view_id"
    found, [counted] = await asyncio.gather(
        asking.rows(
            "SELECT toString(view_id) AS id, toUnixTimestamp64Milli(view_end) AS end_ms"  # noqa: S608
            f" FROM ({selection.views([order], first=f'{ordered} LIMIT {{limit:UInt32}} + {{skip:UInt64}}')})"
            f" {ordered} LIMIT {{limit:UInt32}} OFFSET {{skip:UInt64}}",
            {**selection.parameters, **paging.parameters},
        ),
        asking.rows(f"SELECT count() AS total FROM ({selection.views([])})", selection.parameters),  # noqa: S608
    )
    places = {row["id"]: place for place, row in enumerate(found)}
    if not places:
        return [], counted["total"]
    # A view may have got another beacon since: its end is later then, and filters do not choose any more. The ids do.
    ends_s = [row["end_ms"] // 1000 for row in found]
    page = Selection(selection.workspace_id, Span(min(ends_s), max(ends_s) + 1))
    rows = await asking.rows(
        f"SELECT toString(view_id) AS id, * EXCEPT view_id FROM ({reading.chosen_views((*_SHOWN, 'view_end'))})",  # noqa: S608
        {**page.parameters, "ids": list(places)},
    )
    rows.sort(key=lambda row: places[row["id"]])
    return [_shown(row) for row in rows], counted["total"]


def _shown(row: Row) -> dict[str, Any]:
    return {
        "viewId": row["id"],
        "operatingSystem": row["os_name"] or None,
        "application": row["browser_name"] or None,
        "viewStartTime": without_zone(row["view_start"]),
        "viewEndTime": without_zone(row["view_end"]) if row["is_ended"] else None,
        "videoTitle": row["video_title"] or None,
        "errorCode": row["error_code"] or None,
        "errorMessage": row["error_message"] or None,
        "errorId": None,
        "country": row["country_code"] or None,
        "viewWatchTime": row["watch_time"],
        "QoeScore": row["quality_of_experience_score"],
    }


def without_zone(text: str) -> str:
    """`2026-05-20T09:50:42.361`: this answer alone has no Z (contract 9.5)."""
    return text.replace(" ", "T")
