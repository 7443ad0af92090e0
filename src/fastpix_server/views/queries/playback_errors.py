"""What went wrong in the selected views: `/data/errors`."""

import asyncio
from typing import Any

from fastpix_server.views.metrics import ALL_VIEWERS, UNIQUE_VIEWERS
from fastpix_server.views.queries.selection import Rows, Selection

# `errors` has no pages: kinds of errors are few, unless a player puts numbers into its messages.
ERRORS_MAX = 100


async def playback_errors(asking: Rows, selection: Selection, limit: int) -> dict[str, Any]:
    """Each pair of code and message, the most frequent first. `limit` bounds `topErrors`; fractions are of all."""
    selection = await selection.located(asking)
    needs = ["viewer_hash", "has_error", "playback_failed", "error_code", "error_message", "error_context"]
    # The last error of a view stands for it.
    kinds = (
        "SELECT error_code AS code, error_message AS message, max(error_context) AS context, count() AS views,"  # noqa: S608
        f" {UNIQUE_VIEWERS} AS viewers, toString(max(view_end)) AS seen"
        f" FROM ({selection.views(needs, 'playback_failed')})"
        " GROUP BY code, message ORDER BY views DESC, code, message LIMIT {limit:UInt32}"
    )
    everything = f"SELECT count() AS views, {ALL_VIEWERS} AS viewers FROM ({selection.views(['viewer_hash'])})"  # noqa: S608
    rows, [total] = await asyncio.gather(
        asking.rows(kinds, {**selection.parameters, "limit": max(limit, ERRORS_MAX)}),
        asking.rows(everything, selection.parameters),
    )
    shown = [(row, _common(row, total["views"])) for row in rows]
    return {
        "errors": [
            {**common, "id": str(place), "description": row["context"] or None}
            for place, (row, common) in enumerate(shown, start=1)
        ],
        "topErrors": [
            {**common, "uniqueViewersEffectedPercentage": _fraction(row["viewers"], total["viewers"])}
            for row, common in shown[:limit]
        ],
    }


def _common(row: dict[str, Any], views: int) -> dict[str, Any]:
    return {
        "percentage": _fraction(row["views"], views),
        "notes": "",
        "message": row["message"] or None,
        "lastSeen": last_seen(row["seen"]),
        "count": row["views"],
        "code": row["code"] or None,
    }


def _fraction(part: int, of: int) -> float:
    return part / of if of else 0.0


def last_seen(text: str) -> str:
    """`2026-05-20 09:55:36.02`: a fraction without zeros at its end, but for a lone one (captured answers)."""
    seconds, _, fraction = text.partition(".")
    return f"{seconds}.{fraction.rstrip('0') or '0'}"
