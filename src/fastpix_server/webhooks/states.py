"""The life of an endpoint: its statuses, the moves with their causes, and the one function that moves.

Invariants: a move is one `update ... where status = any(...)`; only an active endpoint is sent events, and it becomes
active only by a probe that its present URL answered; an endpoint that its owner switched off comes back by its owner.
"""

import enum

from fastpix_server.db.pool import Tx
from fastpix_server.webhooks import store


class Status(enum.StrEnum):
    VERIFYING = "verifying"
    ACTIVE = "active"
    INACTIVE = "inactive"
    DISABLED = "disabled"


class Cause(enum.StrEnum):
    ANSWERED = "the probe was answered with 2xx"
    UNANSWERED = "the probe was not answered, or not with 2xx"
    ASKED = "the owner gave another URL, or switched it on"
    SWITCHED_OFF = "the owner switched it off"
    GAVE_UP = "nothing has been taken for too long, or too much is waiting"


_ANY = tuple(Status)
MOVES: dict[Cause, tuple[tuple[Status, ...], Status]] = {
    Cause.ANSWERED: ((Status.VERIFYING,), Status.ACTIVE),
    Cause.UNANSWERED: ((Status.VERIFYING,), Status.INACTIVE),
    Cause.ASKED: (_ANY, Status.VERIFYING),
    Cause.SWITCHED_OFF: (_ANY, Status.DISABLED),
    Cause.GAVE_UP: ((Status.ACTIVE,), Status.DISABLED),
}
# Events are kept for these: a probe takes seconds, and what happens meanwhile is not lost.
HEARING = (Status.ACTIVE, Status.VERIFYING)


async def move(
    tx: Tx, endpoint_id: str, cause: Cause, *, reason: str | None = None, version: int | None = None
) -> bool:
    """False when it is gone, not where this cause moves it, or no longer of that `version`."""
    allowed, to = MOVES[cause]
    return await store.move(
        tx,
        endpoint_id,
        [status.value for status in allowed],
        to.value,
        hearing=[status.value for status in HEARING],
        reason=reason,
        version=version,
    )
