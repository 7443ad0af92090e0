"""Wall-clock time as the API writes it: ISO 8601, UTC, microseconds, `Z` (contract section 1)."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """`2026-05-20T09:06:43.064393Z`; `moment` must be aware."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
