"""What happens now: `/data/realtime`, ours beyond the contract. Who is watching, minute by minute, and what fails.

A view goes on as in current_views. Errors are counted in the minute in which players reported them, from the events of
the views whose end is in the window: such a view is a failed one, so these are few.
"""

import asyncio
import dataclasses
from typing import Any

from fastpix_server.views import dimensions, schema, spans
from fastpix_server.views.metrics import UNIQUE_VIEWERS
from fastpix_server.views.queries.current_views import ACTIVE_S, STEP_S
from fastpix_server.views.queries.selection import Rows, Selection
from fastpix_server.views.queries.timeseries import interval_time
from fastpix_server.views.spans import Span

MINUTES_MAX = 60
DEFAULT_MINUTES = 10
# A screen has room for as many; the whole list is /data/errors and /data/viewlist/top-content.
TOP_MAX = 10
# Failed views whose errors are looked up, the latest first: a second query names them all.
FAILED_MAX = 10_000


async def realtime(asking: Rows, selection: Selection, minutes: int, now_s: float) -> dict[str, Any]:
    """`selection.span` is the window: `window(minutes, now_s)`. The last point of the series is the running minute."""
    selection = await selection.located(asking)
    now, points, failures, videos = await asyncio.gather(
        _now(asking, selection, now_s),
        _viewers(asking, selection),
        _errors(asking, selection),
        _videos(asking, selection, now_s),
    )
    last = int(now_s) // STEP_S
    slots = range(last - minutes + 1, last + 1)
    errors_by_slot: dict[int, int] = {}
    for row in failures:
        errors_by_slot[row["slot"]] = errors_by_slot.get(row["slot"], 0) + row["errors"]
    return {
        **now,
        "errors": sum(errors_by_slot.get(slot, 0) for slot in slots),
        "series": [
            {
                "intervalTime": interval_time(slot * STEP_S),
                "concurrentViewers": points.get(slot, 0),
                "errors": errors_by_slot.get(slot, 0),
            }
            for slot in slots
        ],
        "topVideos": videos,
        "topErrors": _top_errors(failures),
    }


def window(minutes: int, now_s: float) -> Span:
    """From the first whole minute on."""
    return Span((int(now_s) // STEP_S - minutes + 1) * STEP_S, int(now_s) + 1)


def _going_on(selection: Selection, now_s: float) -> Selection:
    # The window reaches at least as far, so what is known of its open rows holds here too.
    return dataclasses.replace(selection, span=spans.last(ACTIVE_S, now_s))


_NOT_OVER = "NOT ifNull(is_completed, false)"


async def _now(asking: Rows, selection: Selection, now_s: float) -> dict[str, int]:
    active = _going_on(selection, now_s)
    [row] = await asking.rows(
        f"SELECT count() AS views, {UNIQUE_VIEWERS} AS viewers"  # noqa: S608 - names of our own tables only
        f" FROM ({active.views(['viewer_hash', 'is_completed'], _NOT_OVER)})",
        active.parameters,
    )
    return {"concurrentViews": row["views"], "concurrentViewers": row["viewers"]}


async def _viewers(asking: Rows, selection: Selection) -> dict[int, int]:
    """Distinct viewers of the views that went on in each minute."""
    first_ms, step_ms = selection.span.after_s * 1000, STEP_S * 1000
    rows = await asking.rows(
        f"SELECT slot, {UNIQUE_VIEWERS} AS viewers FROM (SELECT viewer_hash,"  # noqa: S608
        " arrayJoin(range(toUInt64(intDiv(greatest(toUnixTimestamp64Milli(assumeNotNull(view_start)),"
        " {first_ms:Int64}), {step_ms:Int64})),"
        " toUInt64(intDiv(toUnixTimestamp64Milli(view_end), {step_ms:Int64}) + 1))) AS slot"
        f" FROM ({selection.views(['viewer_hash'], 'view_start <= view_end')})) GROUP BY slot",
        {**selection.parameters, "first_ms": first_ms, "step_ms": step_ms},
    )
    return {row["slot"]: row["viewers"] for row in rows}


async def _errors(asking: Rows, selection: Selection) -> list[dict[str, Any]]:
    """Error events by minute and code, each event once however often it arrived."""
    failed = await asking.rows(
        "SELECT toString(view_id) AS id, error_code AS code"  # noqa: S608
        f" FROM ({selection.views(['error_code', 'playback_failed'], 'playback_failed')})"
        " ORDER BY view_end DESC, view_id LIMIT {most:UInt32}",
        {**selection.parameters, "most": FAILED_MAX},
    )
    if not failed:
        return []
    found = await asking.rows(
        "SELECT intDiv(toUnixTimestamp64Milli(at), {step_ms:Int64}) AS slot, toString(view_id) AS id,"  # noqa: S608
        f" uniqExact(sequence) AS errors FROM {schema.EVENTS}"
        " WHERE workspace_id = {workspace_id:UUID} AND view_id IN {ids:Array(UUID)} AND name = 'error'"
        " AND at >= {after:DateTime64(3)} AND at < {before:DateTime64(3)} GROUP BY slot, view_id",
        {**selection.parameters, "step_ms": STEP_S * 1000, "ids": [row["id"] for row in failed]},
    )
    codes = {row["id"]: row["code"] for row in failed}
    return [{**row, "code": codes[row["id"]]} for row in found]


async def _videos(asking: Rows, selection: Selection, now_s: float) -> list[dict[str, Any]]:
    active = _going_on(selection, now_s)
    views = active.views(["video_id", "video_title", "viewer_hash", "is_completed"], _NOT_OVER)
    rows = await asking.rows(
        f"SELECT {dimensions.text_of('video_id')} AS id, max(video_title) AS title, count() AS views,"  # noqa: S608
        f" {UNIQUE_VIEWERS} AS viewers FROM ({views}) GROUP BY id ORDER BY views DESC, id LIMIT {{top:UInt32}}",
        {**active.parameters, "top": TOP_MAX},
    )
    return [
        {
            "videoId": row["id"],
            "videoTitle": row["title"] or None,
            "concurrentViews": row["views"],
            "concurrentViewers": row["viewers"],
        }
        for row in rows
    ]


def _top_errors(failures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_code: dict[str, int] = {}
    for row in failures:
        code = row["code"] or dimensions.MISSING
        by_code[code] = by_code.get(code, 0) + row["errors"]
    ranked = sorted(by_code.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"code": code, "errors": count} for code, count in ranked[:TOP_MAX]]
