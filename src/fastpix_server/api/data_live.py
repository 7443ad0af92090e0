"""`/data/realtime` and `/data/export/views`: video data beyond the FastPix API. Alerts are in data_alerts.py."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from starlette.responses import Response, StreamingResponse

from fastpix_server.api.data import answer
from fastpix_server.api.data_question import ASKED, asking, now_s, selection_of, workspace_of
from fastpix_server.api.described import refusals
from fastpix_server.api.described_realtime import RealtimeAnswer
from fastpix_server.api.resource import answers, router
from fastpix_server.base.fields import between
from fastpix_server.views.queries import export
from fastpix_server.views.queries.realtime import DEFAULT_MINUTES, MINUTES_MAX, realtime, window
from fastpix_server.views.queries.selection import Selection

routes = router("Video data")

_FILTERS: dict[str, Any] = {"parameters": [one for one in ASKED["parameters"] if one["name"] == "filterby[]"]}
CSV = "text/csv; charset=utf-8"
PARQUET = "application/vnd.apache.parquet"
_FILE: dict[str, Any] = {
    "description": "A file with one row per view",
    "content": {"text/csv": {"schema": {"type": "string"}}, PARQUET: {"schema": {"type": "string"}}},
}


@routes.get(
    "/data/realtime",
    operation_id="get-realtime",
    openapi_extra=_FILTERS,
    **answers(RealtimeAnswer, 400, 401, 403, 422),
)
async def get_realtime(
    request: Request,
    minutes: Annotated[
        int,
        Query(description="The window.", json_schema_extra={"minimum": 1, "maximum": MINUTES_MAX}),
        between(1, MINUTES_MAX),
    ] = DEFAULT_MINUTES,
) -> Response:
    """Who is watching now and in each of the last minutes, and what failed meanwhile. `timespan` is in milliseconds."""
    now = now_s()
    filtered = selection_of(request).filters
    selection = Selection(workspace_of(request), window(minutes, now), filtered)
    found = await realtime(asking(request), selection, minutes, now)
    return answer(found, selection.span.milliseconds)


@routes.get(
    "/data/export/views",
    operation_id="export-views",
    openapi_extra=ASKED,
    status_code=200,
    response_model=None,
    responses={200: _FILE, **refusals(400, 401, 403, 422)},
)
async def export_views(request: Request, format: Literal["csv", "parquet"] = "csv") -> Response:
    """Views that are over, as a file. At most 1,000,000 as CSV, which is streamed, or 100,000 as Parquet."""
    selection = selection_of(request)
    name = f"views-{selection.span.after_s}-{selection.span.before_s}.{format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    if format == "parquet":
        return Response(await export.parquet(asking(request), selection), media_type=PARQUET, headers=headers)
    pieces = export.csv_pieces(asking(request), selection)
    # What is wrong with the question, or the database, is an answer of its own and not a broken file.
    first = await anext(pieces)
    return StreamingResponse(_with_first(first, pieces), media_type=CSV, headers=headers)


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
