"""The life of a media: its statuses, the allowed moves with their causes, and the one function that moves.

Invariants: a move is one `update ... where status = any(...)`, so that of two workers with the same job only one
moves; `Ready` and `Failed` are final; status names are the wire's own, case and space included (contract section 3).
"""

import enum

from fastpix_server.db.pool import Tx
from fastpix_server.media import store


class Status(enum.StrEnum):
    CREATED = "Created"
    DOWNLOADING = "Downloading"
    DOWNLOADED = "Downloaded"
    VALIDATING = "Validating"
    IN_QUEUE = "In Queue"
    PROCESSING = "Processing"
    READY = "Ready"
    FAILED = "Failed"


# To each status: from where, because of what. Probing a source that was probed before a crash is not a move back.
MOVES: dict[Status, tuple[tuple[Status, ...], str]] = {
    Status.DOWNLOADING: ((Status.CREATED,), "a worker began to fetch the URL"),
    Status.DOWNLOADED: ((Status.CREATED, Status.DOWNLOADING), "the last byte of the URL is stored"),
    Status.VALIDATING: ((Status.CREATED, Status.DOWNLOADED), "a worker began to read the file's facts"),
    Status.IN_QUEUE: ((Status.VALIDATING,), "the file is media that we can play"),
    # From Created only recordings and clips of live streams: their bytes are in storage as they are.
    Status.PROCESSING: ((Status.CREATED, Status.IN_QUEUE), "a worker began to plan, or the live session ended"),
    Status.READY: ((Status.PROCESSING,), "the plan is published"),
    Status.FAILED: (
        (
            Status.CREATED,
            Status.DOWNLOADING,
            Status.DOWNLOADED,
            Status.VALIDATING,
            Status.IN_QUEUE,
            Status.PROCESSING,
        ),
        "the file or its URL cannot be used, or we gave up",
    ),
}
_ORDER = (
    Status.CREATED,
    Status.DOWNLOADING,
    Status.DOWNLOADED,
    Status.VALIDATING,
    Status.IN_QUEUE,
    Status.PROCESSING,
)


async def move(tx: Tx, media_id: str, to: Status) -> bool:
    """Moves the media to `to`; False when it is gone or not where a move to `to` may begin."""
    return await store.move(tx, media_id, [s.value for s in MOVES[to][0]], to.value)


async def advance(tx: Tx, media_id: str, to: Status) -> bool:
    """As `move`, but a media that is past `to` and still at work is fine: a job is run again after a crash."""
    if await move(tx, media_id, to):
        return True
    now = await store.status_of(tx, media_id)
    return now in _ORDER and _ORDER.index(Status(now)) >= _ORDER.index(to)
