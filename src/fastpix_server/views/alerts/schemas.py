"""What callers may ask of alerts: the request bodies. Strict, every bad field is reported, others are ignored."""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from fastpix_server.base import errors
from fastpix_server.base.fields import Name, ReceiverUrl, between, refused
from fastpix_server.views import filters, metrics

FILTERS_MAX = 20  # a rule with more is better off as several
WINDOW_MIN_MINUTES, WINDOW_MAX_MINUTES = 5, 1440
VIEWS_MAX = 1_000_000_000
_METRICS = tuple(metric.id for metric in metrics.METRICS)


def _metric(value: str) -> str:
    if value not in _METRICS:
        raise refused("is invalid")
    return value


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise refused("is invalid")
    return value


def _filters(values: list[str]) -> list[str]:
    if len(values) > FILTERS_MAX:
        raise refused(f"must have at most {FILTERS_MAX} items")
    try:
        filters.parse(values)
    except errors.BadState as fault:
        raise refused(fault.description) from fault
    return values


Threshold = Annotated[float, AfterValidator(_finite)]


class NewAlert(BaseModel):
    model_config = ConfigDict(strict=True, alias_generator=to_camel, populate_by_name=True)

    name: Name = Field(description="For people: what is wrong when it is told.")
    metric: Annotated[str, AfterValidator(_metric)] = Field(json_schema_extra={"enum": list(_METRICS)})
    measurement: Literal["95th", "median", "avg", "count", "sum"] = "avg"
    condition: Literal["above", "below"] = "above"
    threshold: Threshold = Field(description="In the metric's unit: fractions are 0 to 1, times milliseconds.")
    window_minutes: Annotated[int, between(WINDOW_MIN_MINUTES, WINDOW_MAX_MINUTES)] = Field(
        default=15, description="Views whose end, so far, is in the last so many minutes."
    )
    minimum_views: Annotated[int, between(1, VIEWS_MAX)] = Field(default=10, description="Fewer views say nothing.")
    filterby: Annotated[list[str], AfterValidator(_filters)] = Field(default_factory=list)
    url: ReceiverUrl | None = Field(default=None, description="Where it is told by a POST.")


class ChangedAlert(BaseModel):
    """What is absent or null stays as it is."""

    model_config = ConfigDict(strict=True, alias_generator=to_camel, populate_by_name=True)

    name: Name | None = None
    threshold: Annotated[float, AfterValidator(_finite)] | None = None
    is_enabled: bool | None = None
