"""What is known of the place that output goes to.

Invariants: colours and bars are for terminals alone, and colours for those that did not set NO_COLOR; a terminal that
cannot show a letter is not sent it.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TextIO

import click

PLAIN_COLUMNS = 80  # of charts in files and pipes, when they are asked for all the same
COLUMNS_MAX = 200  # a line longer than that is hard to follow


@dataclass(frozen=True)
class Screen:
    """Columns, and what may be written. `is_terminal` is false for a pipe or a file."""

    is_terminal: bool = False
    columns: int = PLAIN_COLUMNS
    is_unicode: bool = True
    has_colour: bool = False

    @property
    def ellipsis(self) -> str:
        return "…" if self.is_unicode else "~"

    def paint(self, text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
        """`text` in a colour, where there are colours."""
        return click.style(text, fg=colour, bold=bold or None, dim=dim or None) if self.has_colour else text


def of(stream: TextIO | None = None) -> Screen:
    """The screen behind a stream, stdout unless told otherwise."""
    stream = stream or sys.stdout
    is_terminal = stream.isatty()
    columns = shutil.get_terminal_size((PLAIN_COLUMNS, 24)).columns if is_terminal else PLAIN_COLUMNS
    return Screen(
        is_terminal=is_terminal,
        columns=max(20, min(columns, COLUMNS_MAX)),
        is_unicode=_is_unicode(stream),
        has_colour=is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
    )


def _is_unicode(stream: TextIO) -> bool:
    try:
        "█▁…".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return os.environ.get("TERM") not in ("dumb", "linux")
