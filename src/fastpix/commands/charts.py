"""Charts of text: bars and sparklines, in the blocks of Unicode or in ASCII.

Invariants: pure: the same numbers make the same text; a value that is missing has no bar, zero has none either, and
anything more has at least one mark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastpix.commands import text

EIGHTHS = " ▏▎▍▌▋▊▉█"
LEVELS = "▁▂▃▄▅▆▇█"
PLAIN_LEVELS = "_.-=+*%#"
GAP = "  "
BAR_MIN_COLUMNS = 4  # a shorter one says nothing
LABEL_MAX_COLUMNS = 32


def bar(value: float, most: float, columns: int, *, is_unicode: bool) -> str:
    """As long as its part of `most`: in eighths of a column, or whole ones."""
    if not most > 0 or not value > 0:
        return ""
    full = min(1.0, value / most) * columns
    if not is_unicode:
        return "#" * max(1, round(full))
    eighths = max(1, round(full * 8))
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def bars(rows: Sequence[tuple[str, float | None, str]], columns: int, *, is_unicode: bool) -> list[str]:
    """A line for each (label, value, value in words): the label, its bar, the words at the right of it."""
    if not rows:
        return []
    labels = [text.fit(label, LABEL_MAX_COLUMNS, "…" if is_unicode else "~") for label, _value, _words in rows]
    left = max(text.width(label) for label in labels)
    right = max(text.width(words) for _label, _value, words in rows)
    room = max(BAR_MIN_COLUMNS, columns - left - right - 2 * len(GAP))
    most = max((value for _label, value, _words in rows if value is not None), default=0.0)
    made = []
    for label, (_label, value, words) in zip(labels, rows, strict=True):
        drawn = bar(value or 0.0, most, room, is_unicode=is_unicode)
        made.append(f"{text.pad(label, left)}{GAP}{text.pad(words, right, is_right=True)}{GAP}{drawn}".rstrip())
    return made


def sparkline(values: Sequence[float | None], columns: int, *, is_unicode: bool) -> str:
    """One mark per value, from the least to the most; neighbours share a mark when there are more values than columns.

    A gap where nothing is known.
    """
    shared = _shared(values, columns)
    known = [value for value in shared if value is not None]
    if not known:
        return ""
    levels = LEVELS if is_unicode else PLAIN_LEVELS
    least, most = min(known), max(known)
    made = []
    for value in shared:
        if value is None:
            made.append(" ")
        elif most == least:
            made.append(levels[0 if most <= 0 else 3])
        else:
            made.append(levels[min(len(levels) - 1, int((value - least) / (most - least) * len(levels)))])
    return "".join(made)


def _shared(values: Sequence[float | None], columns: int) -> list[float | None]:
    """At most so many, each the mean of those that it stands for."""
    if len(values) <= columns:
        return list(values)
    made: list[float | None] = []
    for place in range(columns):
        first, end = len(values) * place // columns, len(values) * (place + 1) // columns
        known = [value for value in values[first:end] if value is not None and math.isfinite(value)]
        made.append(sum(known) / len(known) if known else None)
    return made
