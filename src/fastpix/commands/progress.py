"""A line on stderr that tells how far something is.

On a terminal the line is written anew in place, at most ten times a second; elsewhere there is nothing until the end,
so that logs hold no bars. Invariants: the line never wraps; it ends with a line break whatever happens.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

import click

from fastpix.commands import screen, text

EVERY_S = 0.1
BAR_COLUMNS = 24
RATE_WINDOW_S = 5.0  # the rate is of the last seconds: lines change
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PLAIN_SPINNER = "|/-\\"


class Line:
    """One line that changes. `is_quiet`: nothing is shown (for programs)."""

    def __init__(self, *, is_quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen.of(sys.stderr)
        self._is_shown = self._screen.is_terminal and not is_quiet
        self._clock = clock
        self._next_s = 0.0
        self._is_open = False

    def show(self, line: str, *, is_last: bool = False) -> None:
        now_s = self._clock()
        if not self._is_shown or (now_s < self._next_s and not is_last):
            return
        self._next_s = now_s + EVERY_S
        fitted = text.fit(line, self._screen.columns - 1, self._screen.ellipsis)
        click.echo(f"\r{fitted}\x1b[K", nl=False, err=True)
        self._is_open = True

    @property
    def is_unicode(self) -> bool:
        return self._screen.is_unicode

    @property
    def wait_s(self) -> float:
        """How often a line that turns may be shown."""
        return EVERY_S if self._is_shown else 0.5

    def spin(self, what: str, since_s: float) -> None:
        """Something goes on, and nobody knows how far it is."""
        signs = SPINNER if self.is_unicode else PLAIN_SPINNER
        passed_s = self._clock() - since_s
        self.show(f"{signs[int(passed_s / EVERY_S) % len(signs)]} {what} {text.clock(round(passed_s))}")

    def __enter__(self) -> Line:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_open:
            click.echo(err=True)
            self._is_open = False


class Rate:
    """Units per second over the last seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: list[tuple[float, int]] = []

    def at(self, done: int) -> float | None:
        """After `done` units in all; None while too little is known."""
        now_s = self._clock()
        self._seen = [(at_s, was) for at_s, was in self._seen if now_s - at_s <= RATE_WINDOW_S and was <= done]
        if not self._seen or now_s - self._seen[-1][0] >= EVERY_S:
            self._seen.append((now_s, done))
        since_s, was = self._seen[0]
        return (done - was) / (now_s - since_s) if now_s - since_s >= 0.5 and done > was else None


def bar(fraction: float, *, is_unicode: bool, columns: int = BAR_COLUMNS) -> str:
    full = round(max(0.0, min(1.0, fraction)) * columns)
    return ("█" * full + "░" * (columns - full)) if is_unicode else f"[{'#' * full}{'.' * (columns - full)}]"


def sent(done: int, total: int, rate: float | None, *, is_unicode: bool) -> str:
    """` 45 %  ██████  1.2 GB of 2.6 GB  34.1 MB/s  0:42 left`"""
    parts = [f"{int(100 * done / total):3} %", bar(done / total, is_unicode=is_unicode)]
    parts.append(f"{text.size(done)} of {text.size(total)}")
    if rate:
        parts.append(f"{text.size(rate)}/s")
        if done < total:
            left_s = round((total - done) / rate)
            parts.append(f"{left_s // 60}:{left_s % 60:02} left")
    return "  ".join(parts)
