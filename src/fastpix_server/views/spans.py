"""Which views a question is about, by time: `timespan[]` of the contract (9.4).

A span is `[after_s, before_s)` in epoch seconds; a view is in it when its end so far is. Pure: the clock is handed in.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from fastpix_server.base.errors import FieldError, Invalid

FIELD = "timespan[]"
RELATIVE_S: Mapping[str, int] = {
    "60:minutes": 3600,
    "6:hours": 6 * 3600,
    "24:hours": 24 * 3600,
    "3:days": 3 * 86400,
    "7:days": 7 * 86400,
    "30:days": 30 * 86400,
}
DEFAULT = "24:hours"
# The contract's own spans end at 30 days; a year and a day lets a report compare a month with the one a year before.
SPAN_MAX_S = 366 * 86400
# 2000 to 2100: outside are milliseconds taken for seconds, and times that the engine's DateTime does not hold.
EPOCH_MIN_S = 946_684_800
EPOCH_MAX_S = 4_102_444_800
_EPOCH = re.compile(r"[0-9]{9,10}", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    after_s: int
    before_s: int

    @property
    def seconds(self) -> list[int]:
        """As answers repeat it."""
        return [self.after_s, self.before_s]

    @property
    def milliseconds(self) -> list[int]:
        """As timeseries and the current views repeat it (contract 9.5)."""
        return [self.after_s * 1000, self.before_s * 1000]


def parse(values: Sequence[str], now_s: float) -> Span:
    """No value: the default. One: a name. Two: epoch seconds. Raises errors.Invalid."""
    if len(values) == 2 and all(_EPOCH.fullmatch(value) for value in values):
        after_s, before_s = (int(value) for value in values)
        if not EPOCH_MIN_S <= after_s < before_s <= EPOCH_MAX_S:
            raise invalid()
        if before_s - after_s > SPAN_MAX_S:
            raise invalid(f": at most {SPAN_MAX_S // 86400} days")
        return Span(after_s, before_s)
    name = values[0] if len(values) == 1 else DEFAULT if not values else ""
    if name not in RELATIVE_S:
        raise invalid()
    return last(RELATIVE_S[name], now_s)


def last(duration_s: int, now_s: float) -> Span:
    """The span up to now, the running second included: a view that ended this moment counts."""
    before_s = int(now_s) + 1
    return Span(before_s - duration_s, before_s)


def invalid(more: str = "") -> Invalid:
    return Invalid(FieldError(FIELD, f"Invalid timespan value{more}"))
