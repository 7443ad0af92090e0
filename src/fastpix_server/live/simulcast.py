"""The verbs of simulcast targets. Each joins the caller's transaction and tells its event there.

Invariants: targets are added while nothing runs (contract op 51), so a session begins with all of them; enabling and
disabling reaches a running session through the announcement.
"""

import dataclasses

from fastpix_server.base import errors, ids
from fastpix_server.db.pool import Tx
from fastpix_server.live import service, store
from fastpix_server.live.schemas import NewTarget, UpdateTarget
from fastpix_server.live.states import Status
from fastpix_server.live.streams import Target
from fastpix_server.live.telling import announce, tell_target

# Each enabled target is a connection, and a copy of the stream's upload; nobody pushes to more platforms.
TARGETS_MAX = 20


async def create(tx: Tx, workspace_id: str, stream_id: str, request: NewTarget) -> Target:
    stream = await service.get(tx, workspace_id, stream_id, lock=True)
    if stream.status != Status.IDLE:
        raise errors.BadState(
            "A simulcast target can be added only while the stream is idle.", message="stream is not idle"
        )
    known = await store.targets_of(tx, [stream_id])
    if len(known[stream_id]) >= TARGETS_MAX:
        raise errors.BadState(f"A stream has at most {TARGETS_MAX} simulcast targets; delete one first.")
    target = Target(
        id=ids.new_hex32(),
        stream_id=stream_id,
        url=request.url,
        stream_key=request.stream_key,
        is_enabled=True,
        metadata=request.metadata,
    )
    await store.insert_target(tx, target)
    await tell_target(tx, workspace_id, target, "created")
    await announce(tx, stream_id)
    return target


async def get(tx: Tx, workspace_id: str, stream_id: str, target_id: str) -> Target:
    """Raises errors.NotFound for an unknown stream and for an unknown target alike."""
    await service.get(tx, workspace_id, stream_id)
    target = await store.find_target(tx, stream_id, target_id)
    if target is None:
        raise errors.NotFound(
            "The requested simulcast target does not exist for the stream.", message="stream/simulcast not found"
        )
    return target


async def update(tx: Tx, workspace_id: str, stream_id: str, target_id: str, request: UpdateTarget) -> Target:
    """What is absent stays; `metadata` is replaced whole."""
    stream = await service.get(tx, workspace_id, stream_id, lock=True)
    before = await get(tx, workspace_id, stream_id, target_id)
    if stream.status == Status.DISABLED:
        raise errors.BadState(
            "The simulcast of a disabled stream cannot be changed; enable the stream first.",
            message="stream is disabled",
        )
    target = dataclasses.replace(
        before,
        is_enabled=before.is_enabled if request.is_enabled is None else request.is_enabled,
        metadata=before.metadata if request.metadata is None else request.metadata,
    )
    await store.set_target(tx, target)
    await tell_target(tx, workspace_id, target, "updated")
    await announce(tx, stream_id)
    return target


async def delete(tx: Tx, workspace_id: str, stream_id: str, target_id: str) -> None:
    """Stops the push, if one runs."""
    await service.get(tx, workspace_id, stream_id, lock=True)
    target = await get(tx, workspace_id, stream_id, target_id)
    await store.delete_target(tx, target_id)
    await tell_target(tx, workspace_id, target, "deleted")
    await announce(tx, stream_id)
