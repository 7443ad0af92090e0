"""What the OpenAPI document says of video data (see described.py). Here nulls are values: unknown, or not yet."""

from typing import Any, Literal

from pydantic import Field, create_model

from fastpix_server.api.described import Described, Pagination, TimeText, UuidText
from fastpix_server.views.queries.view_detail import KEYS, Shape

Timespan = Field(description="From and to, in epoch seconds.", min_length=2, max_length=2)
TimespanMs = Field(description="From and to, in epoch milliseconds.", min_length=2, max_length=2)
Fraction = Field(ge=0, le=1)
_NUMBER = int | float


class ViewRow(Described):
    view_id: str = UuidText
    operating_system: str | None
    application: str | None = Field(description="The browser.")
    view_start_time: str = Field(description="UTC, without a Z.")
    view_end_time: str | None = Field(description="UTC, without a Z; null while the view goes on.")
    video_title: str | None
    error_code: str | None
    error_message: str | None
    error_id: None
    country: str | None = Field(description="Two letters.")
    view_watch_time: int | None = Field(description="Milliseconds.")
    qoe_score: float | None = Field(alias="QoeScore")


class ViewPage(Described):
    success: Literal[True]
    data: list[ViewRow]
    pagination: Pagination
    timespan: list[int] = Timespan


class ViewEvent(Described):
    pt: int = Field(description="Playhead, milliseconds.")
    e: str = Field(description="Name.")
    vt: int = Field(description="When, epoch milliseconds.")
    d: Any = Field(default=None, description="What belongs to this kind of event.")


_TYPES: dict[Shape, Any] = {
    Shape.TEXT: str | None,
    Shape.WORDS: str,
    Shape.WHOLE: int | None,
    Shape.REAL: _NUMBER | None,
    Shape.YES_OR_NO: bool,
    Shape.TIME: str | None,
    Shape.NOTHING: None,
}


class ViewIdentity(Described):
    """The keys of a view that are not one column."""

    view_id: str = UuidText
    workspace_id: str = UuidText
    sign: Literal["1"]
    custom: dict[str, Any]
    fp_embed: str | None
    events: list[ViewEvent]


_FIELDS: dict[str, Any] = {f"of_{key.name}": (_TYPES[key.shape], Field(alias=key.name)) for key in KEYS}
ViewDetail = create_model("ViewDetail", __base__=ViewIdentity, **_FIELDS)
ViewDetailAnswer = create_model(
    "ViewDetailAnswer", __base__=Described, success=(Literal[True], ...), data=(ViewDetail, ...)
)


class TopContent(Described):
    video_title: str
    views: int
    unique_views: int


class TopContentAnswer(Described):
    success: Literal[True]
    data: list[TopContent]
    timespan: list[int] = Timespan


class DimensionsAnswer(Described):
    success: Literal[True]
    data: list[str]


class FilterValue(Described):
    value: str
    unique_count: int = Field(description="Viewers.")
    count: int = Field(description="Views.")


class FilterValuesAnswer(Described):
    success: Literal[True]
    data: list[FilterValue]
    timespan: list[int] = Timespan


class ByEnd(Described):
    aggregation: Literal["view_end"]


class SeriesMetadata(ByEnd):
    granularity: Literal["minute", "ten_minutes", "hour", "day"]


class BreakdownRow(Described):
    views: int
    value: _NUMBER | None
    total_watch_time: int = Field(description="Milliseconds.")
    total_playing_time: int = Field(description="Milliseconds.")
    field: str = Field(description="The value of the dimension; `null` where it is missing.")


class BreakdownAnswer(Described):
    success: Literal[True]
    metadata: ByEnd
    data: list[BreakdownRow]
    pagination: Pagination
    timespan: list[int] = Timespan


class Overall(Described):
    value: _NUMBER | None
    total_watch_time: int = Field(description="Milliseconds.")
    unique_views: int
    total_views: int
    total_play_time: int = Field(description="Milliseconds.")
    global_value: _NUMBER | None = Field(description="Without the filters.")


class OverallAnswer(Described):
    success: Literal[True]
    metadata: ByEnd
    data: Overall
    timespan: list[int] = Timespan


class SeriesPoint(Described):
    interval_time: str = TimeText
    metric_value: _NUMBER | None
    number_of_views: int


class TimeseriesAnswer(Described):
    success: Literal[True]
    metadata: SeriesMetadata
    data: list[SeriesPoint]
    timespan: list[int] = TimespanMs


class ComparedMetric(Described):
    value: _NUMBER
    type: Literal["number", "milliseconds", "percentage", "mbps", "score"]
    name: str
    metric: str
    measurement: Literal["95th", "median", "avg", "count", "sum"] | None
    items: "list[ComparedMetric] | None"


class ComparisonAnswer(Described):
    success: Literal[True]
    data: list[ComparedMetric]
    timespan: list[int] = Timespan


class CommonError(Described):
    percentage: float = Fraction
    notes: str
    message: str | None
    last_seen: str = Field(description="UTC: `2026-05-20 09:55:36.02`.")
    count: int = Field(description="Views.")
    code: str | None


class KindOfError(CommonError):
    id: str
    description: str | None


class TopError(CommonError):
    unique_viewers_effected_percentage: float = Fraction


class Errors(Described):
    errors: list[KindOfError]
    top_errors: list[TopError]


class ErrorsAnswer(Described):
    success: Literal[True]
    data: Errors
    timespan: list[int] = Timespan


class CurrentPoint(Described):
    interval_time: str = TimeText
    metric_value: None
    number_of_views: int


class CurrentSeriesAnswer(Described):
    success: Literal[True]
    data: list[CurrentPoint]
    timespan: list[int] = TimespanMs


class CurrentViews(Described):
    """Keys as the service documents them, and once more as the official Python SDK reads them."""

    concurrent_viewers: int
    dimension_name: str
    metric_value: int
    concurrent_viewers_of_sdk: int = Field(alias="concurrent_viewers")
    dimension_name_of_sdk: str = Field(alias="dimension_name")


class CurrentViewsAnswer(Described):
    success: Literal[True]
    data: list[CurrentViews]
    timespan: list[int] = TimespanMs
