"""`filterby[]` of the contract (9.4): which views count, by their dimensions.

`dimension:value`; `!dimension:value` and `dimension:!value` exclude. Values of one dimension are alternatives,
different dimensions must all agree, and what is excluded stays out. Equality is exact. Values are bound, never SQL.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from fastpix_server.base import errors
from fastpix_server.views import dimensions

# A dashboard that pins every dimension has 56; the rest is room for alternatives.
FILTERS_MAX = 100
# The longest value that we keep (URLs are no dimensions; titles are cut far below this).
VALUE_MAX_CHARS = 2048
# They travel to the engine in one line of its HTTP interface (see views/clickhouse.py), up to 12 bytes a character.
TOTAL_MAX_CHARS = 8192


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """`values` are alternatives; with `is_excluding`, none of them may be the view's."""

    dimension: str
    values: tuple[str, ...]
    is_excluding: bool = False


def parse(texts: Sequence[str]) -> tuple[Filter, ...]:
    """One Filter per dimension and direction. Raises errors.BadState (400) for what cannot be understood."""
    if len(texts) > FILTERS_MAX:
        raise errors.BadState(f"There can be at most {FILTERS_MAX} filters.")
    if sum(map(len, texts)) > TOTAL_MAX_CHARS:
        raise errors.BadState(f"All filters together have at most {TOTAL_MAX_CHARS} characters.")
    found: dict[tuple[str, bool], dict[str, None]] = {}
    for text in texts:
        dimension, value, is_excluding = _parse_one(text)
        found.setdefault((dimension, is_excluding), {})[value] = None
    return tuple(Filter(dimension, tuple(values), out) for (dimension, out), values in found.items())


def _parse_one(text: str) -> tuple[str, str, bool]:
    name, colon, value = text.partition(":")
    if not colon:
        raise errors.BadState("A filter is written dimension:value.")
    is_excluding = name.startswith("!")
    if is_excluding:
        name = name[1:]
    elif value.startswith("!"):
        is_excluding, value = True, value[1:]
    return dimensions.require(name), checked(value), is_excluding


def checked(value: str) -> str:
    """A value to compare with: what is empty is missing. Raises errors.BadState (400)."""
    if len(value) > VALUE_MAX_CHARS:
        raise errors.BadState(f"The value of a filter has at most {VALUE_MAX_CHARS} characters.")
    try:
        value.encode()
    except UnicodeEncodeError as fault:
        raise errors.BadState("The value of a filter is not valid text.") from fault
    return value or dimensions.MISSING


def where(filters: Iterable[Filter]) -> tuple[str, dict[str, list[str]]]:
    """SQL over the columns of the filters, and its parameters."""
    conditions, parameters = [], {}
    for position, one in enumerate(filters):
        name = f"filter_{position}"
        condition = f"has({{{name}:Array(String)}}, {dimensions.text_of(one.dimension)})"
        conditions.append(f"NOT {condition}" if one.is_excluding else condition)
        parameters[name] = list(one.values)
    return " AND ".join(conditions), parameters


def columns(filters: Iterable[Filter]) -> list[str]:
    """What `where` reads."""
    return [dimensions.column_of(one.dimension) for one in filters]
