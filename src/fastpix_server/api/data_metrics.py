"""`/data/metrics`: breakdown, overall, timeseries and comparison (contract 2.7, 9.4, 9.5)."""

from typing import Annotated, Any

from fastapi import Path, Query, Request
from starlette.responses import Response

from fastpix_server.api import pages
from fastpix_server.api.data import answer
from fastpix_server.api.data_question import (
    ASKED,
    GroupOrder,
    IntervalName,
    MeasurementName,
    SortOrder,
    asking,
    same,
    selection_of,
)
from fastpix_server.api.described_data import BreakdownAnswer, ComparisonAnswer, OverallAnswer, TimeseriesAnswer
from fastpix_server.api.resource import answers, router
from fastpix_server.base.errors import FieldError, Invalid
from fastpix_server.views import dimensions, metrics
from fastpix_server.views.metrics import Measurement
from fastpix_server.views.queries.breakdown import DEFAULT_GROUP, DEFAULT_ORDER, Paging, breakdown
from fastpix_server.views.queries.comparison import comparison
from fastpix_server.views.queries.overall import overall
from fastpix_server.views.queries.timeseries import DEFAULT_INTERVAL, timeseries

routes = router("Video data")

MetricId = Annotated[str, Path(alias="metricId", json_schema_extra={"enum": list(metrics.BY_ID)})]
GroupBy = Annotated[str, Query(alias="groupBy", json_schema_extra={"enum": list(dimensions.DIMENSIONS)})]
_BY_END: dict[str, Any] = {"aggregation": "view_end"}


@routes.get(
    "/data/metrics/comparison",
    operation_id="list_comparison_values",
    openapi_extra=ASKED,
    **answers(ComparisonAnswer, 400, 401, 403, 422),
)
async def list_comparison(request: Request, dimension: str | None = None, value: str | None = None) -> Response:
    """Every metric as a tree, of the views whose `dimension` has `value`. What is unknown is 0 here."""
    if (dimension is None) != (value is None):
        raise Invalid(FieldError("value" if value is None else "dimension", "must not be null"))
    more = [] if dimension is None or value is None else [same(dimensions.require(dimension), value)]
    selection = selection_of(request, *more)
    return answer(await comparison(asking(request), selection), selection.span.seconds)


@routes.get(
    "/data/metrics/{metricId}/breakdown",
    operation_id="list_breakdown_values",
    openapi_extra=ASKED,
    **answers(BreakdownAnswer, 400, 401, 403, 404, 422),
)
async def list_breakdown(
    request: Request,
    metric_id: MetricId,
    limit: pages.Limit = pages.DEFAULT_LIMIT,
    offset: pages.Offset = pages.DEFAULT_OFFSET,
    group_by: GroupBy = DEFAULT_GROUP,
    order_by: GroupOrder = DEFAULT_ORDER,
    sort_order: SortOrder = "asc",
    measurement: MeasurementName = "avg",
) -> Response:
    """The metric for each value of a dimension."""
    metric = metrics.require(metric_id)
    selection = selection_of(request)
    paging = Paging(order_by, sort_order == "desc", limit, offset)
    found, total = await breakdown(
        asking(request), selection, metric, Measurement(measurement), dimensions.require(group_by), paging
    )
    page = pages.pagination(total, limit=limit, offset=offset)
    return answer(found, selection.span.seconds, {"metadata": _BY_END, "pagination": page})


@routes.get(
    "/data/metrics/{metricId}/overall",
    operation_id="list_overall_values",
    openapi_extra=ASKED,
    **answers(OverallAnswer, 400, 401, 403, 404, 422),
)
async def list_overall(request: Request, metric_id: MetricId, measurement: MeasurementName = "avg") -> Response:
    """The metric of all selected views; `globalValue` is that of all views of the span, without the filters."""
    metric = metrics.require(metric_id)
    selection = selection_of(request)
    found = await overall(asking(request), selection, metric, Measurement(measurement))
    return answer(found, selection.span.seconds, {"metadata": _BY_END})


@routes.get(
    "/data/metrics/{metricId}/timeseries",
    operation_id="get_timeseries_data",
    openapi_extra=ASKED,
    **answers(TimeseriesAnswer, 400, 401, 403, 404, 422),
)
async def get_timeseries(
    request: Request,
    metric_id: MetricId,
    group_by: Annotated[IntervalName | None, Query(alias="groupBy")] = None,
    granularity: Annotated[IntervalName | None, Query(description="Another name of groupBy.")] = None,
    sort_order: SortOrder = "asc",
    measurement: MeasurementName = "avg",
) -> Response:
    """The metric over time; an interval without views is left out. `timespan` is in milliseconds here."""
    metric = metrics.require(metric_id)
    interval = group_by or granularity or DEFAULT_INTERVAL
    selection = selection_of(request)
    found = await timeseries(
        asking(request),
        selection,
        metric,
        Measurement(measurement),
        interval,
        is_descending=sort_order == "desc",
    )
    return answer(found, selection.span.milliseconds, {"metadata": {"granularity": interval, **_BY_END}})
