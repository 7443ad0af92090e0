"""What the OpenAPI document says of alerts (see described.py). Here nulls are values: not yet, or nowhere."""

from typing import Literal

from pydantic import Field

from fastpix_server.api.described import Described, Pagination, TimeText, UuidText, maybe


class Alert(Described):
    id: str = UuidText
    name: str
    metric: str
    measurement: Literal["95th", "median", "avg", "count", "sum"]
    condition: Literal["above", "below"]
    threshold: float
    window_minutes: int
    minimum_views: int
    filterby: list[str]
    url: str | None
    is_enabled: bool
    is_breached: bool
    breached_at: str | None
    evaluated_at: str | None
    last_value: float | None = Field(description="At the last judgement; null when no view said anything.")
    last_views: int | None
    created_at: str = TimeText


class NewAlertWithSecret(Alert):
    signing_secret: str = maybe(description="Base64; it cannot be read again. Only with a `url`.")


class NewAlertAnswer(Described):
    success: Literal[True]
    data: NewAlertWithSecret


class AlertAnswer(Described):
    success: Literal[True]
    data: Alert


class AlertPage(Described):
    success: Literal[True]
    data: list[Alert]
    pagination: Pagination
