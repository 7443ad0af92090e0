"""Tables and lists of facts, as lines of text.

Invariants: every cell is clean; on a terminal a table fits, by shortening its flexible column alone (ids are for
copying); in a pipe nothing is shortened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastpix.commands import text
from fastpix.commands.screen import Screen

Row = Mapping[str, Any]
GAP = "  "
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
FLEXIBLE_MIN = 8  # columns: a title of less says nothing
INDENT_MAX = 12  # the API has four levels
CELL_MAX_ITEMS = 20  # of a list inside a cell
OWN_WORDS = "metadata"  # keys of users, which stay as they wrote them
SECONDS = frozenset({"reconnectWindow", "maxDuration", "timeout"})
COLOURS = {
    **dict.fromkeys(("ready", "active", "delivered", "available", "yes"), "green"),
    **dict.fromkeys(("failed", "disabled", "inactive"), "red"),
    **dict.fromkeys(("processing", "created", "preparing", "pending", "verifying", "in queue"), "yellow"),
}


@dataclass(frozen=True)
class Column:
    """`get` is a path of keys (`a.b`) or a function of the row."""

    heading: str
    get: str | Callable[[Row], object]
    shown: Callable[[Any], str] = text.clean
    is_right: bool = False
    is_flexible: bool = False
    is_status: bool = False

    def cell(self, row: Row) -> str:
        value = found(row, self.get) if isinstance(self.get, str) else self.get(row)
        return text.clean(self.shown(value))


def found(row: Any, path: str) -> Any:
    """What is at `a.b`; None when something on the way is missing."""
    for key in path.split("."):
        row = row.get(key) if isinstance(row, Mapping) else None
    return row


def lines(rows: Sequence[Row], columns: Sequence[Column], screen: Screen) -> list[str]:
    """A heading and a line per row."""
    cells = [[column.cell(row) for column in columns] for row in rows]
    widths = [
        max([text.width(column.heading), *(text.width(line[place]) for line in cells)])
        for place, column in enumerate(columns)
    ]
    if screen.is_terminal:
        widths = _narrowed(widths, columns, screen.columns)
    made = [screen.paint(_line([c.heading for c in columns], columns, widths, None), dim=True)]
    for line in cells:
        fitted = [
            text.fit(cell, widths[place], screen.ellipsis) if columns[place].is_flexible else cell
            for place, cell in enumerate(line)
        ]
        made.append(_line(fitted, columns, widths, screen))
    return made


def _narrowed(widths: list[int], columns: Sequence[Column], room: int) -> list[int]:
    """The flexible columns share what is missing."""
    places = [place for place, column in enumerate(columns) if column.is_flexible]
    missing = sum(widths) + len(GAP) * (len(widths) - 1) - room
    narrowed = list(widths)
    for place in sorted(places, key=lambda place: -widths[place]):
        given = min(max(0, missing), max(0, narrowed[place] - FLEXIBLE_MIN))
        narrowed[place] -= given
        missing -= given
    return narrowed


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int], screen: Screen | None) -> str:
    parts = []
    for cell, column, room in zip(cells, columns, widths, strict=True):
        padded = text.pad(cell, room, is_right=column.is_right)
        colour = COLOURS.get(cell.lower()) if column.is_status else None
        parts.append(screen.paint(padded, colour) if screen and colour else padded)
    return GAP.join(parts).rstrip()


def facts(pairs: Sequence[tuple[str, str]], screen: Screen, indent: int = 0) -> list[str]:
    """`name  value`, a line each."""
    room = max((text.width(name) for name, _value in pairs), default=0)
    made = []
    for name, value in pairs:
        colour = COLOURS.get(value.lower()) if name == "Status" else None
        head = screen.paint(text.pad(name, room), dim=True)
        made.append(" " * indent + f"{head}{GAP}{screen.paint(value, colour) if colour else value}")
    return made


def details(
    data: Row,
    screen: Screen,
    *,
    first: Sequence[str] = (),
    hidden: Sequence[str] = (),
    tables: Mapping[str, Sequence[Column]] | None = None,
) -> list[str]:
    """An object of the API whole: its plain values, then what it holds. Absent values are left out.

    `first` come first, in this order; `hidden` stay away; lists that are `tables` have these columns.
    """
    special = {key: columns for key, columns in (tables or {}).items() if data.get(key)}
    keys = [*(key for key in first if key in data), *(key for key in data if key not in first)]
    made = _object({key: data[key] for key in keys if key not in hidden and key not in special}, screen, 0)
    for key, columns in special.items():
        made.append(screen.paint(text.label(key), bold=True))
        made += _indented([row for row in data[key] if isinstance(row, Mapping)], columns, screen, 2)
    return made


def _object(data: Row, screen: Screen, indent: int) -> list[str]:
    plain = [(key, value) for key, value in data.items() if _is_plain(value)]
    made = facts([(text.label(text.clean(key)), shown(key, value)) for key, value in plain], screen, indent)
    for key, value in data.items():
        if key == OWN_WORDS and isinstance(value, Mapping) and value:
            made.append(" " * indent + screen.paint(text.label(key), bold=True))
            made += facts([(text.clean(name), text.clean(word)) for name, word in value.items()], screen, indent + 2)
        elif not _is_plain(value):
            made += _section(key, value, screen, indent)
    return made


def _section(key: str, value: Any, screen: Screen, indent: int) -> Iterator[str]:
    """An object below its name, or a list of objects as a table. What is absent, or nested beyond reason, is not."""
    if indent > INDENT_MAX or not isinstance(value, (Mapping, list, tuple)):
        return
    inner = _object(value, screen, indent + 2) if isinstance(value, Mapping) else _rows(value, screen, indent + 2)
    if inner:
        yield " " * indent + screen.paint(text.label(text.clean(key)), bold=True)
        yield from inner


def _rows(items: Sequence[Any], screen: Screen, indent: int) -> list[str]:
    rows = [item for item in items if isinstance(item, Mapping)]
    keys = list(dict.fromkeys(key for row in rows for key, value in row.items() if _is_plain(value)))
    columns = [
        Column(text.label(text.clean(key)).upper(), lambda row, key=key: shown(key, row.get(key)))  # type: ignore[misc]
        for key in keys
    ]
    return _indented(rows, columns, screen, indent) if columns else []


def _indented(rows: Sequence[Row], columns: Sequence[Column], screen: Screen, indent: int) -> list[str]:
    inner = replace(screen, columns=screen.columns - indent)
    return [" " * indent + line for line in lines(rows, columns, inner)] if rows else []


def _is_plain(value: Any) -> bool:
    """Fits on one line. An absent value does not: it is left out."""
    if isinstance(value, (list, tuple)):
        return bool(value) and not any(isinstance(item, (Mapping, list)) for item in value)
    return value is not None and value != "" and not isinstance(value, Mapping)


def shown(key: str, value: Any) -> str:
    """By what the API's names tell of their values."""
    if isinstance(value, str) and _TIME.match(value) and text.parsed(value):
        return text.moment(value)
    if key == "duration" and isinstance(value, (int, float)):
        return f"{text.clock(value)} ({text.number(value)} s)"
    if key in SECONDS and isinstance(value, (int, float)):
        return f"{value} s"
    if key.endswith("Bytes"):
        return text.size(value)
    if key.endswith(("Bps", "Ms")) and isinstance(value, (int, float)):
        return f"{value / 1e6:.2f} Mb/s" if key.endswith("Bps") else f"{text.number(value)} ms"
    if isinstance(value, (list, tuple)):
        rest = len(value) - CELL_MAX_ITEMS
        return text.clean(value[:CELL_MAX_ITEMS]) + (f" and {rest} more" if rest > 0 else "")
    return text.number(value) if isinstance(value, float) else text.clean(value)
