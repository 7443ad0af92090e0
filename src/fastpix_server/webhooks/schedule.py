"""When a delivery is tried again, and when an endpoint is given up: pure decisions (contract section 4)."""

import datetime

# After the first try, the second ... the seventh. One more failure ends the delivery: 31 hours and a half.
RETRY_S = (10, 60, 300, 1800, 7200, 21_600, 86_400)
# An object's later events wait while one is in its first tries (six minutes: a restart, a deployment), then they
# pass it. Order is a convenience; a receiver that chokes on one event must not lose the others over it.
HOLD_TRIES = 4
# Both: a receiver that is away over a long weekend comes back to its events, and one bad event disables nothing.
DISABLE_AFTER = datetime.timedelta(days=3)
DISABLE_FAILURES = 20


def next_try_at(tries: int, now: datetime.datetime) -> datetime.datetime | None:
    """After `tries` failures; None when there is no other."""
    return now + datetime.timedelta(seconds=RETRY_S[tries - 1]) if tries <= len(RETRY_S) else None


def is_hopeless(failures: int, failing_since: datetime.datetime | None, now: datetime.datetime) -> bool:
    """`failures` in a row since then, without one success."""
    return failures >= DISABLE_FAILURES and failing_since is not None and now - failing_since >= DISABLE_AFTER
