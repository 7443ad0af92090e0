"""Lengths and spans of time as people type them: 90s, 30m, 24h, 7d; a day; a moment."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
DURATION_MAX_S = 3660 * 86_400  # ten years: a typing error rather than a wish
_DURATION = re.compile(r"(\d{1,9})([smhdw])")


def duration_s(given: str) -> int:
    found = _DURATION.fullmatch(given.strip().lower())
    total_s = int(found[1]) * UNITS_S[found[2]] if found else 0
    if not 0 < total_s <= DURATION_MAX_S:
        raise click.BadParameter(f"{given!r} is no length of time: 90s, 30m, 24h, 7d, 4w")
    return total_s


def as_duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    return None if value is None else duration_s(value)


def moment(given: str) -> datetime:
    """A day, or a time of ISO 8601; without a zone it is UTC."""
    try:
        when = datetime.fromisoformat(given.strip().replace("Z", "+00:00"))
    except ValueError:
        raise click.BadParameter(f"{given!r} is no time: 2026-11-20, or 2026-11-20T18:30") from None
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)


def as_moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    return None if value is None else moment(value)


def options(function: F) -> F:
    """`--last`, or `--from` and `--to`."""
    for option in (
        click.option("--to", "until", metavar="TIME", callback=as_moment, help="Up to here; now without it."),
        click.option(
            "--from", "since", metavar="TIME", callback=as_moment, help="From here: 2026-11-20, or 2026-11-20T18:30."
        ),
        click.option("--last", metavar="SPAN", callback=as_duration, help="30m, 24h, 7d, 4w; 24h without it."),
    ):
        function = option(function)
    return function


def chosen(last: int | None, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime] | None:
    """From and to; None for what the API does without being told, the last 24 hours."""
    if last is not None and (since is not None or until is not None):
        raise click.UsageError("Either --last, or --from and --to")
    if last is None and since is None and until is None:
        return None
    # The API leaves out what ends in the very second of `to`: what ended just now belongs to "the last hour".
    now = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=1)
    if last is not None:
        return now - timedelta(seconds=last), now
    if since is None:
        raise click.UsageError("--to needs --from")
    if since >= (until or now):
        raise click.UsageError("--from must be before --to")
    return since, until or now
