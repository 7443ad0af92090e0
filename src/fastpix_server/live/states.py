"""The life of a stream: its statuses, the moves with their causes, and the one function that moves.

Invariants: a move is one `update ... where status = any(...)`, so that of two who see the same cause only one moves;
`active` holds through the reconnect window (contract section 3); a stream that is disabled comes back only by being
enabled.
"""

import enum

from fastpix_server.db.pool import Tx
from fastpix_server.live import store


class Status(enum.StrEnum):
    IDLE = "idle"
    PREPARING = "preparing"
    ACTIVE = "active"
    DISABLED = "disabled"


class Cause(enum.StrEnum):
    CONNECTED = "an encoder was let in"
    PLAYABLE = "the first segment can be played"
    ENDED = "the reconnect window, the longest duration or the owner ended the session"
    DISABLED = "the owner disabled the stream"
    ENABLED = "the owner enabled it again"


MOVES: dict[Cause, tuple[tuple[Status, ...], Status]] = {
    Cause.CONNECTED: ((Status.IDLE,), Status.PREPARING),
    Cause.PLAYABLE: ((Status.PREPARING,), Status.ACTIVE),
    Cause.ENDED: ((Status.PREPARING, Status.ACTIVE), Status.IDLE),
    Cause.DISABLED: ((Status.IDLE, Status.PREPARING, Status.ACTIVE), Status.DISABLED),
    Cause.ENABLED: ((Status.DISABLED,), Status.IDLE),
}


async def move(tx: Tx, stream_id: str, cause: Cause) -> bool:
    """False when the stream is gone or not where this cause moves it."""
    allowed, to = MOVES[cause]
    return await store.move(tx, stream_id, [status.value for status in allowed], to.value)
