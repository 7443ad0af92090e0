"""What alerts speak about, as values."""

import dataclasses
from datetime import datetime
from typing import Literal

Condition = Literal["above", "below"]
State = Literal["quiet", "breached"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Breached while `measurement` of `metric` over the last `window_minutes` is `condition` the `threshold`.

    Windows with fewer than `minimum_views` say nothing. `filters` are texts as in `filterby[]`.
    """

    id: str
    workspace_id: str
    name: str
    metric: str
    measurement: str
    condition: Condition
    threshold: float
    window_minutes: int
    minimum_views: int
    filters: tuple[str, ...]
    url: str | None
    is_enabled: bool
    created_at: datetime
    # Grows with every change by a user: a judgement of an older version is thrown away.
    version: int = 1
    state: State = "quiet"
    # Since when a breached rule has been within its threshold again.
    within_since: datetime | None = None
    breached_at: datetime | None = None
    evaluated_at: datetime | None = None
    last_value: float | None = None
    last_views: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """The metric over the window; `value` is None where no view says anything."""

    value: float | None
    views: int
