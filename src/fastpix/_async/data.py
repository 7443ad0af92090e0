"""`client.data`: what players saw. `timespan` and `filter_by` mean the same in every method.

`timespan` is `24:hours`, `7:days` and the like (default: 24 hours) or a pair (from, to) of times or epoch seconds.
`filter_by` is a list of `dimension:value`; a `!` in front excludes, the same dimension twice is an or.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fastpix import operations as op
from fastpix._async.alerts import AsyncAlertsOperations
from fastpix._async.api import AsyncApi
from fastpix._async.pages import AsyncPages
from fastpix.asking import Timespan, Value, request, timespan
from fastpix.types import (
    BreakdownRow,
    ComparedMetric,
    CurrentViews,
    DimensionValue,
    Interval,
    Measurement,
    Metric,
    Overall,
    PlayerErrors,
    Realtime,
    Series,
    SeriesPoint,
    SortOrder,
    TopContent,
    View,
    ViewDetail,
)


def _asked(span: Timespan | None, filter_by: Sequence[str], **more: Value) -> dict[str, Value]:
    return {"timespan[]": timespan(span), "filterby[]": list(filter_by) or None, **more}


class AsyncViewsOperations:
    """Operations on single views."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    def list(
        self,
        *,
        timespan: Timespan | None = None,
        filter_by: Sequence[str] = (),
        viewer_id: str | None = None,
        error_code: str | None = None,
        order_by: str | None = None,
        sort_order: SortOrder | None = None,
        limit: int | None = None,
        page: int = 1,
    ) -> AsyncPages[View]:
        """Views that ended in the time span."""
        more = {"viewerId": viewer_id, "errorCode": error_code, "orderBy": order_by, "sortOrder": sort_order}
        return self._api.list(op.LIST_VIEWS, View, query=_asked(timespan, filter_by, **more), limit=limit, page=page)

    async def get(self, *, view_id: str) -> ViewDetail:
        """Everything about one view, with its events."""
        return await self._api.call(op.GET_VIEW, ViewDetail, path={"viewId": view_id})

    async def top_content(
        self, *, timespan: Timespan | None = None, filter_by: Sequence[str] = (), limit: int | None = None
    ) -> tuple[TopContent, ...]:
        """The titles that were watched most."""
        query = _asked(timespan, filter_by, limit=limit)
        return await self._api.call(op.TOP_CONTENT, tuple[TopContent, ...], query=query)

    async def export(
        self,
        *,
        format: Literal["csv", "parquet"] = "csv",
        timespan: Timespan | None = None,
        filter_by: Sequence[str] = (),
    ) -> bytes:
        """Views that are over, as a file of at most 32 MiB. Ours. Ask for days one by one when there are many."""
        asked = request(op.EXPORT_VIEWS, query=_asked(timespan, filter_by, format=format))
        return (await self._api.send(asked)).body


class AsyncMetricsOperations:
    """Operations on measures over many views. `metric` is one of the API's 26 metric ids."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    async def overall(
        self,
        *,
        metric: Metric,
        measurement: Measurement | None = None,
        timespan: Timespan | None = None,
        filter_by: Sequence[str] = (),
    ) -> Overall:
        """One number, and the same without the filters."""
        query = _asked(timespan, filter_by, measurement=measurement)
        return await self._api.call(op.OVERALL, Overall, path={"metricId": metric}, query=query)

    def breakdown(
        self,
        *,
        metric: Metric,
        group_by: str | None = None,
        measurement: Measurement | None = None,
        order_by: Literal["views", "value", "field"] | None = None,
        sort_order: SortOrder | None = None,
        timespan: Timespan | None = None,
        filter_by: Sequence[str] = (),
        limit: int | None = None,
        page: int = 1,
    ) -> AsyncPages[BreakdownRow]:
        """One row per value of the dimension `group_by`."""
        more = {"groupBy": group_by, "measurement": measurement, "orderBy": order_by, "sortOrder": sort_order}
        path, query = {"metricId": metric}, _asked(timespan, filter_by, **more)
        return self._api.list(op.BREAKDOWN, BreakdownRow, path=path, query=query, limit=limit, page=page)

    async def timeseries(
        self,
        *,
        metric: Metric,
        group_by: Interval | None = None,
        measurement: Measurement | None = None,
        sort_order: SortOrder | None = None,
        timespan: Timespan | None = None,
        filter_by: Sequence[str] = (),
    ) -> Series:
        """One point per interval; intervals without views are left out."""
        query = _asked(timespan, filter_by, groupBy=group_by, measurement=measurement, sortOrder=sort_order)
        path = {"metricId": metric}
        found = await self._api.envelope(op.TIMESERIES, tuple[SeriesPoint, ...], path=path, query=query)
        from_ms, to_ms = found.timespan if len(found.timespan) == 2 else (None, None)
        granularity = found.metadata.get("granularity")
        return Series(points=found.data, granularity=granularity, from_ms=from_ms, to_ms=to_ms)

    async def comparison(
        self,
        *,
        dimension: str | None = None,
        value: str | None = None,
        timespan: Timespan | None = None,
        filter_by: Sequence[str] = (),
    ) -> tuple[ComparedMetric, ...]:
        """All metrics at once, as a tree, of one value of a dimension."""
        query = _asked(timespan, filter_by, dimension=dimension, value=value)
        return await self._api.call(op.COMPARISON, tuple[ComparedMetric, ...], query=query)


class AsyncDimensionsOperations:
    """Operations on what views can be told apart by."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    async def list(self) -> tuple[str, ...]:
        """The names of all dimensions."""
        return await self._api.call(op.LIST_DIMENSIONS, tuple[str, ...])

    async def values(
        self, *, dimension: str, timespan: Timespan | None = None, filter_by: Sequence[str] = ()
    ) -> tuple[DimensionValue, ...]:
        """The values of a dimension that were seen."""
        path, query = {"dimensionsId": dimension}, _asked(timespan, filter_by)
        return await self._api.call(op.LIST_DIMENSION_VALUES, tuple[DimensionValue, ...], path=path, query=query)


class AsyncErrorsOperations:
    """Operations on errors of players."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    async def list(
        self, *, timespan: Timespan | None = None, filter_by: Sequence[str] = (), limit: int | None = None
    ) -> PlayerErrors:
        """Errors by kind. `limit` bounds the top errors, 1 unless told otherwise."""
        return await self._api.call(op.LIST_ERRORS, PlayerErrors, query=_asked(timespan, filter_by, limit=limit))


class AsyncRealtimeOperations:
    """Operations on what happens right now."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    async def get(self, *, minutes: int | None = None, filter_by: Sequence[str] = ()) -> Realtime:
        """Viewers and errors of now and of the last minutes. Ours."""
        query: dict[str, Value] = {"minutes": minutes, "filterby[]": list(filter_by) or None}
        return await self._api.call(op.GET_REALTIME, Realtime, query=query)

    async def timeseries(self) -> tuple[SeriesPoint, ...]:
        """How many views went on, minute by minute."""
        return await self._api.call(op.CURRENT_VIEWS_SERIES, tuple[SeriesPoint, ...])

    async def by_dimension(self, *, dimension: str | None = None, limit: int | None = None) -> tuple[CurrentViews, ...]:
        """Who is watching now, by country unless told otherwise."""
        query: dict[str, Value] = {"dimension": dimension, "limit": limit}
        return await self._api.call(op.CURRENT_VIEWS_BY, tuple[CurrentViews, ...], query=query)


class AsyncDataOperations:
    """Video data, in groups."""

    def __init__(self, api: AsyncApi) -> None:
        self.views = AsyncViewsOperations(api)
        self.metrics = AsyncMetricsOperations(api)
        self.dimensions = AsyncDimensionsOperations(api)
        self.errors = AsyncErrorsOperations(api)
        self.realtime = AsyncRealtimeOperations(api)
        self.alerts = AsyncAlertsOperations(api)
