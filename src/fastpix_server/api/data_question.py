"""What a video data request asks: the workspace of its token, `timespan[]` and `filterby[]` (contract 9.4).

Both keys are read in any case, with and without brackets. With an index they are refused: a filter that is passed over
would answer another question.
"""

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import AfterValidator

from fastpix_server.api.auth import principal
from fastpix_server.api.unit import context_of
from fastpix_server.base import clock, errors
from fastpix_server.base.fields import refused
from fastpix_server.views import filters, spans
from fastpix_server.views.queries import breakdown, timeseries, view_list
from fastpix_server.views.queries.export import Files
from fastpix_server.views.queries.selection import Selection

_TIMESPAN = {
    "name": "timespan[]",
    "in": "query",
    "description": "One of `60:minutes 6:hours 24:hours 3:days 7:days 30:days`, or twice: from and to in epoch seconds."
    " Views count whose end is in it.",
    "schema": {"type": "array", "items": {"type": "string"}, "default": [spans.DEFAULT]},
}
_FILTERBY = {
    "name": "filterby[]",
    "in": "query",
    "description": "`dimension:value`, any number of times; `!dimension:value` excludes. Values of one dimension are"
    " alternatives, different dimensions must all agree.",
    "schema": {"type": "array", "items": {"type": "string"}},
}
# Of every operation that reads `selection_of`.
ASKED: dict[str, Any] = {"parameters": [_TIMESPAN, _FILTERBY]}


def asking(request: Request) -> Files:
    found = context_of(request).video_data
    if found is None:
        raise errors.Unavailable("This process has no analytics database.")
    return found


def workspace_of(request: Request) -> str:
    return principal(request).workspace_id


def now_s() -> float:
    return clock.now().timestamp()


def selection_of(request: Request, *more: filters.Filter) -> Selection:
    """Raises errors.Invalid for the span, errors.BadState for the filters."""
    times: list[str] = []
    wanted: list[str] = []
    for name, value in request.query_params.multi_items():
        key = name.lower()
        if key in ("timespan", "timespan[]"):
            times.append(value)
        elif key in ("filterby", "filterby[]"):
            wanted.append(value)
        elif key.startswith("timespan["):
            raise spans.invalid()
        elif key.startswith("filterby["):
            raise errors.BadState("Filters are repeated as filterby[]=, without an index.")
    return Selection(workspace_of(request), spans.parse(times, now_s()), (*filters.parse(wanted), *more))


def same(dimension: str, value: str) -> filters.Filter:
    """A parameter of its own that means a filter."""
    return filters.Filter(dimension, (filters.checked(value),))


def _one_of(names: Any) -> Any:
    def check(value: str) -> str:
        if value not in names:
            raise refused("is invalid")
        return value

    return AfterValidator(check)


SortOrder = Annotated[Literal["asc", "desc"], Query(alias="sortOrder")]
MeasurementName = Annotated[Literal["95th", "median", "avg", "count", "sum"], Query(alias="measurement")]
ViewOrder = Annotated[
    str, Query(alias="orderBy", json_schema_extra={"enum": sorted(view_list.ORDERS)}), _one_of(view_list.ORDERS)
]
GroupOrder = Annotated[
    str, Query(alias="orderBy", json_schema_extra={"enum": sorted(breakdown.ORDERS)}), _one_of(breakdown.ORDERS)
]
IntervalName = Literal["minute", "ten_minutes", "hour", "day"]
assert set(timeseries.INTERVALS_S) == {"minute", "ten_minutes", "hour", "day"}
