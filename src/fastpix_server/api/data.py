"""`/data`: views, dimensions, errors and who is watching now (contract 2.7 and 9). Metrics are in data_metrics.py."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Path, Query, Request
from starlette.responses import Response

from fastpix_server.api import pages
from fastpix_server.api.answers import JSON, encode
from fastpix_server.api.data_question import (
    ASKED,
    SortOrder,
    ViewOrder,
    asking,
    now_s,
    same,
    selection_of,
    workspace_of,
)
from fastpix_server.api.described_data import (
    CurrentSeriesAnswer,
    CurrentViewsAnswer,
    DimensionsAnswer,
    ErrorsAnswer,
    FilterValuesAnswer,
    TopContentAnswer,
    ViewDetailAnswer,
    ViewPage,
)
from fastpix_server.api.resource import answers, router
from fastpix_server.base import errors
from fastpix_server.views import dimensions, schema
from fastpix_server.views.queries.breakdown import Paging
from fastpix_server.views.queries.current_views import DEFAULT_DIMENSION, current_by, current_series
from fastpix_server.views.queries.filter_values import filter_values
from fastpix_server.views.queries.playback_errors import playback_errors
from fastpix_server.views.queries.top_content import top_content
from fastpix_server.views.queries.view_detail import view_detail
from fastpix_server.views.queries.view_list import DEFAULT_ORDER, view_list

routes = router("Video data")

# A view's id is a UUID; players of others' making may send any text, which is kept as a UUID of its own.
VIEW_ID_MAX_CHARS = 255


def answer(data: Any, timespan: list[int] | None = None, more: Mapping[str, Any] | None = None) -> Response:
    """The envelope of video data: `metadata` and `pagination` are in `more`."""
    body = {"success": True, "data": data, **(more or {})}
    if timespan is not None:
        body["timespan"] = timespan
    return Response(encode(body), media_type=JSON)


@routes.get(
    "/data/viewlist",
    operation_id="list_video_views",
    openapi_extra=ASKED,
    **answers(ViewPage, 400, 401, 403, 422),
)
async def list_video_views(
    request: Request,
    limit: pages.Limit = pages.DEFAULT_LIMIT,
    offset: pages.Offset = pages.DEFAULT_OFFSET,
    viewer_id: Annotated[str, Query(alias="viewerId")] = "",
    error_code: Annotated[str, Query(alias="errorCode")] = "",
    order_by: ViewOrder = DEFAULT_ORDER,
    sort_order: SortOrder = "asc",
) -> Response:
    """Single views. A view that goes on has no `viewEndTime` yet; times are UTC without a Z."""
    asked = {"viewer_id": viewer_id, "error_code": error_code}
    selection = selection_of(request, *(same(name, value) for name, value in asked.items() if value))
    paging = Paging(order_by, sort_order == "desc", limit, offset)
    found, total = await view_list(asking(request), selection, paging)
    return answer(found, selection.span.seconds, {"pagination": pages.pagination(total, limit=limit, offset=offset)})


@routes.get(
    "/data/viewlist/top-content",
    operation_id="list_by_top_content",
    openapi_extra=ASKED,
    **answers(TopContentAnswer, 400, 401, 403, 422),
)
async def list_top_content(request: Request, limit: pages.Limit = pages.DEFAULT_LIMIT) -> Response:
    """What was watched most, by title."""
    selection = selection_of(request)
    return answer(await top_content(asking(request), selection, limit), selection.span.seconds)


@routes.get(
    "/data/viewlist/current-views/getTimeseriesViews",
    operation_id="current-views-timeseries",
    **answers(CurrentSeriesAnswer, 401, 403),
)
async def list_current_series(request: Request) -> Response:
    """How many views went on in each minute of the last half hour."""
    found, span = await current_series(asking(request), workspace_of(request), now_s())
    return answer(found, span.milliseconds)


@routes.get(
    "/data/viewlist/current-views/filter",
    operation_id="current-views-filter",
    **answers(CurrentViewsAnswer, 400, 401, 403, 422),
)
async def list_current_views(
    request: Request,
    dimension: Annotated[
        str, Query(json_schema_extra={"enum": list(dimensions.CURRENT_DIMENSIONS)})
    ] = DEFAULT_DIMENSION,
    limit: pages.Limit = pages.DEFAULT_LIMIT,
) -> Response:
    """Who is watching now, by a dimension."""
    if dimension not in dimensions.CURRENT_DIMENSIONS:
        known = ", ".join(dimensions.CURRENT_DIMENSIONS)
        raise errors.BadState(f"The dimension is none of those of current views: {known}.")
    found, span = await current_by(asking(request), workspace_of(request), now_s(), dimension, limit)
    return answer(found, span.milliseconds)


@routes.get(
    "/data/viewlist/{viewId}",
    operation_id="get_video_view_details",
    **answers(ViewDetailAnswer, 401, 403, 404),
)
async def get_video_view(request: Request, view_id: Annotated[str, Path(alias="viewId")]) -> Response:
    """Everything about one view, with its events. Every key is always there; what is unknown is null."""
    if len(view_id) > VIEW_ID_MAX_CHARS:
        raise errors.NotFound("There is no view of this id in the workspace.", message="View not found")
    kept_as = str(schema.view_uuid(view_id))
    return answer(await view_detail(asking(request), workspace_of(request), kept_as))


@routes.get("/data/dimensions", operation_id="list_dimensions", **answers(DimensionsAnswer, 401, 403))
async def list_dimensions(request: Request) -> Response:
    """What views can be grouped and filtered by."""
    return answer(dimensions.DIMENSIONS)


@routes.get(
    "/data/dimensions/{dimensionsId}",
    operation_id="list_filter_values_for_dimension",
    openapi_extra=ASKED,
    **answers(FilterValuesAnswer, 400, 401, 403, 404, 422),
)
async def list_filter_values(request: Request, dimension: Annotated[str, Path(alias="dimensionsId")]) -> Response:
    """The values of a dimension, the most frequent first (at most 1,000)."""
    if dimension not in dimensions.DIMENSIONS:
        raise errors.NotFound("There is no dimension of this id.", message="dimension not found")
    selection = selection_of(request)
    return answer(await filter_values(asking(request), selection, dimension), selection.span.seconds)


@routes.get(
    "/data/errors",
    operation_id="list_errors",
    openapi_extra=ASKED,
    **answers(ErrorsAnswer, 400, 401, 403, 422),
)
async def list_errors(request: Request, limit: pages.Limit = 1) -> Response:
    """What went wrong, the most frequent first. `limit` bounds `topErrors`; `errors` has at most 100 kinds."""
    selection = selection_of(request)
    return answer(await playback_errors(asking(request), selection, limit), selection.span.seconds)
