"""What a caller may set about every request: time limits, retries, headers. Values, checked when they are made."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from time import time

# Statuses that may be different next time. 524 is a proxy's "the origin took too long".
REPEATED_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 524})


@dataclass(frozen=True)
class Retries:
    """How often a request is tried, and how long the waits between are.

    A wait doubles from `first_wait_s` to `max_wait_s` and is shortened by up to half at random, so that many clients
    do not come back at once. A `Retry-After` of the server counts instead; one of more than `max_retry_after_s` is not
    waited for: the error is raised.
    """

    attempts: int = 4
    first_wait_s: float = 0.5
    max_wait_s: float = 10.0
    max_retry_after_s: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.first_wait_s, self.max_wait_s, self.max_retry_after_s) < 0:
            raise ValueError("attempts must be at least 1, waits must not be negative")

    def wait_s(self, attempt: int, retry_after: str | None = None) -> float | None:
        """Before the attempt after number `attempt`; None: there is none."""
        if attempt >= self.attempts:
            return None
        told_s = _told_s(retry_after)
        if told_s is not None:
            return told_s if told_s <= self.max_retry_after_s else None
        full_s = min(self.max_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 30))
        return full_s * random.uniform(0.5, 1)  # no secret: it spreads clients


def _none() -> dict[str, str]:
    return {}


NO_RETRIES = Retries(attempts=1)


@dataclass(frozen=True)
class Options:
    """`timeout_s` bounds every wait of one attempt, and the arrival of its answer as a whole."""

    timeout_s: float = 30.0
    retries: Retries = field(default_factory=Retries)
    headers: Mapping[str, str] = field(default_factory=_none)
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ValueError("timeout_s must be more than 0")

    def is_repeated(self, status: int) -> bool:
        """Whether an answer of this status may be another one next time."""
        return status in REPEATED_STATUSES

    def changed(
        self,
        *,
        timeout_s: float | None = None,
        retries: Retries | int | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Options:
        """With what is not None; `headers` are added to those that are there."""
        return replace(
            self,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
            retries=self.retries if retries is None else as_retries(retries, self.retries),
            headers={**self.headers, **(headers or {})},
            idempotency_key=idempotency_key or self.idempotency_key,
        )


def as_retries(value: Retries | int, base: Retries) -> Retries:
    """A number is how many more attempts there are after the first one."""
    return value if isinstance(value, Retries) else replace(base, attempts=value + 1)


def _told_s(retry_after: str | None) -> float | None:
    """Seconds, or a date; what is neither was not said."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        seconds = None
    if seconds is not None:
        return max(0.0, seconds) if math.isfinite(seconds) else None
    from email.utils import parsedate_to_datetime  # dates are rare here, and this is slow to load

    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time())
    except (ValueError, TypeError, OverflowError):
        return None
