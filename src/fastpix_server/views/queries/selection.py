"""The views that a question is about: one workspace, one span, some filters. Every query starts from here.

Invariants: every statement names the workspace of the caller, as a bound parameter; every value that came from outside
is bound; a view is merged from all its rows before anything is asked of it, so background merges change no answer.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from fastpix_server.views import filters, reading
from fastpix_server.views.filters import Filter
from fastpix_server.views.reading import Opened
from fastpix_server.views.spans import Span

Value = str | int | float | bool | None | Sequence[str] | Sequence[int]
Row = dict[str, Any]


class Rows(Protocol):
    """What asks: views/clickhouse.py, or anything that speaks the same SQL."""

    async def rows(self, sql: str, parameters: Mapping[str, Value] | None = None) -> list[Row]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    workspace_id: str
    span: Span
    filters: tuple[Filter, ...] = ()
    opened: Opened | None = None

    async def located(self, asking: Rows) -> "Selection":
        """Knows where open views are. Comes before views(); what has it already stays as it is."""
        if self.opened is not None:
            return self
        [row] = await asking.rows(reading.FIRST_OPEN, self.parameters)
        return dataclasses.replace(self, opened=Opened.found(row))

    @property
    def parameters(self) -> dict[str, Value]:
        _, bound = filters.where(self.filters)
        # Epoch seconds with a fraction: they mean the same whatever the engine's time zone is.
        span = {"after": f"{self.span.after_s}.000", "before": f"{self.span.before_s}.000"}
        opened = {} if self.opened is None else self.opened.parameters
        return {"workspace_id": self.workspace_id, **span, **bound, **opened}

    def views(self, names: Iterable[str], more: str = "", *, first: str = "") -> str:
        """SQL: these views, with `view_id`, `view_start`, `view_end` and `names`; `more` is a condition of ours,
        `first` an ORDER BY and LIMIT (reading.merged_views)."""
        condition, _ = filters.where(self.filters)
        wanted = [*names, *filters.columns(self.filters)]
        where = " AND ".join(filter(None, (condition, more)))
        assert self.opened is not None, "located() comes first"
        return reading.merged_views(wanted, self.opened, self.span.after_s, where=where, first=first)

    def unfiltered(self) -> "Selection":
        return dataclasses.replace(self, filters=())


def whole(value: Any) -> int:
    """A sum of milliseconds; nothing to add up is 0."""
    return 0 if value is None else round(value)
