"""The verbs of playback: name a target publicly, publish it, take it back.

Invariants: a change is announced on the channel `playback_changed` in the transaction that makes it, so an edge
never drops a cache entry before the new state can be read. A deleted id never comes back.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from fastpix_server.base import ids
from fastpix_server.db.notify import notify
from fastpix_server.db.pool import Tx
from fastpix_server.engine.plan import Plan
from fastpix_server.jobs.queue import enqueue
from fastpix_server.playback import content_keys, store
from fastpix_server.playback.model import AccessPolicy, PlaybackId, Shown, Target
from fastpix_server.playback.recording import Recording
from fastpix_server.playback.targets import AnyTarget, LiveSession, RecordedTarget

__all__ = [
    "CHANGED",
    "LiveSession",
    "PlaybackId",
    "Recording",
    "Shown",
    "Target",
    "create_id",
    "delete_id",
    "find_id",
    "find_recording",
    "find_shown",
    "find_target",
    "list_ids",
    "list_ids_of",
    "public_playback_id",
    "publish",
    "publish_live",
    "publish_recording",
    "restrict_id",
    "schedule_fill",
    "unpublish",
]

CHANGED = "playback_changed"
FILL_JOB = "playback.fill"
# A new media's first slice goes before the long rest of older ones.
FIRST_FILL_PRIORITY = 10
LATER_FILL_PRIORITY = 0
# Workers that may fill one target at the same time, each its own chunks.
FILL_LANES = 2


def _default_restrictions() -> dict[str, object]:
    def rule() -> dict[str, object]:
        return {"defaultPolicy": "allow", "allow": [], "deny": []}

    return {"domains": rule(), "userAgents": rule()}


async def create_id(
    tx: Tx,
    *,
    workspace_id: str,
    target_id: str,
    access_policy: AccessPolicy,
    access_restrictions: Mapping[str, object] | None = None,
    resolution: str | None = None,
    drm_configuration_id: str | None = None,
) -> PlaybackId:
    """A new public name; the target need not be published yet. `resolution` ("720p") caps what this id shows.

    The first one of the policy drm brings the target its content key.
    """
    if access_policy == "drm":
        await content_keys.ensure(tx, target_id)
    playback_id = await store.insert_id(
        tx,
        playback_id=ids.new_uuid(),
        workspace_id=workspace_id,
        target_id=target_id,
        access_policy=access_policy,
        access_restrictions={**_default_restrictions(), **(access_restrictions or {})},
        resolution=resolution,
        drm_configuration_id=drm_configuration_id,
    )
    await notify(tx, CHANGED, playback_id.id)
    return playback_id


async def list_ids(tx: Tx, target_id: str) -> list[PlaybackId]:
    return await store.ids_of_targets(tx, [target_id])


async def list_ids_of(tx: Tx, target_ids: Iterable[str]) -> dict[str, list[PlaybackId]]:
    """Living ids, oldest first, of many targets in one query; every asked target has an entry."""
    found: dict[str, list[PlaybackId]] = {target_id: [] for target_id in target_ids}
    for playback_id in await store.ids_of_targets(tx, found):
        found[playback_id.target_id].append(playback_id)
    return found


async def find_id(tx: Tx, target_id: str, playback_id: str) -> PlaybackId | None:
    """The living id of that name if it belongs to this target."""
    found = await store.find_id(tx, playback_id)
    if found is None or found.is_deleted or found.target_id != target_id:
        return None
    return found


async def find_shown(tx: Tx, playback_id: str) -> Shown | None:
    """What an id shows, for who counts its views; also when it was deleted since."""
    return await store.find_shown(tx, playback_id)


async def delete_id(tx: Tx, target_id: str, playback_id: str) -> bool:
    """False when there was no such living id. Viewers are refused as soon as the transaction commits."""
    if not await store.bury_id(tx, target_id, playback_id):
        return False
    await notify(tx, CHANGED, playback_id)
    return True


async def restrict_id(
    tx: Tx, target_id: str, playback_id: str, kind: Literal["domains", "userAgents"], rules: Mapping[str, object]
) -> bool:
    """Replaces one of the two rules; False when there is no such living id. Holds for viewers at the commit."""
    if not await store.restrict_id(tx, target_id, playback_id, kind, rules):
        return False
    await notify(tx, CHANGED, playback_id)
    return True


async def publish(
    tx: Tx,
    *,
    target_id: str,
    workspace_id: str,
    source_key: str,
    place: str,
    plan: Plan,
    other_source_keys: Sequence[str] = (),
) -> None:
    """Makes the target playable from this commit on, and starts the background fill. Publishing again replaces."""
    await store.upsert_target(
        tx,
        target_id=target_id,
        workspace_id=workspace_id,
        source_key=source_key,
        other_source_keys=other_source_keys,
        place=place,
        plan=plan,
    )
    await schedule_fill(tx, target_id, priority=FIRST_FILL_PRIORITY)
    await notify(tx, CHANGED, target_id)


async def publish_live(tx: Tx, *, target_id: str, workspace_id: str, session: LiveSession | None) -> None:
    """Shows this session under the stream's ids from this commit on; None: there was none yet. Again replaces."""
    await store.upsert_live(tx, target_id=target_id, workspace_id=workspace_id, session=session)
    await notify(tx, CHANGED, target_id)


async def publish_recording(
    tx: Tx, *, target_id: str, workspace_id: str, place: str, revision: str, recording: Recording
) -> None:
    """Makes stored segments playable from this commit on. Nothing has to be made: there is no fill."""
    await store.upsert_recording(
        tx, target_id=target_id, workspace_id=workspace_id, place=place, revision=revision, recorded=recording
    )
    await notify(tx, CHANGED, target_id)


async def find_any(tx: Tx, target_id: str) -> AnyTarget | None:
    """What is shown under the ids of a media or a live stream, of whatever kind."""
    return await store.find_any(tx, target_id)


async def find_target(tx: Tx, target_id: str) -> Target | RecordedTarget | None:
    """What plays under that id, if it is no live stream."""
    found = await store.find_any(tx, target_id)
    return found if isinstance(found, Target | RecordedTarget) else None


async def find_recording(tx: Tx, target_id: str) -> Recording | None:
    """The segments of a recorded target; None when there is none of that id, or it is of another kind."""
    found = await store.find_any(tx, target_id)
    return found.recording if isinstance(found, RecordedTarget) else None


async def schedule_fill(tx: Tx, target_id: str, *, priority: int = LATER_FILL_PRIORITY) -> None:
    """Another slice of the background fill, in each lane; of each lane at most one runs and one waits."""
    for lane in range(FILL_LANES):
        name = f"{FILL_JOB}:{target_id}:{lane}"
        await enqueue(
            tx, FILL_JOB, {"target_id": target_id}, queue="fill", priority=priority, lock=name, queueing_lock=name
        )


async def unpublish(tx: Tx, target_id: str) -> None:
    """Takes the target, its parts and all its ids out of the public; the stored bytes are the caller's to delete."""
    buried = await store.bury_ids_of(tx, target_id)
    for part_id in await store.parts_of(tx, target_id):
        await store.delete_target(tx, part_id)
        await notify(tx, CHANGED, part_id)
    await store.delete_target(tx, target_id)
    for playback_id in buried:
        await notify(tx, CHANGED, playback_id)
    await notify(tx, CHANGED, target_id)


def public_playback_id(playback_id: PlaybackId) -> dict[str, object]:
    """The `PB` of the contract (2.0, 2.2); `resolution` only where it is set."""
    public: dict[str, object] = {
        "id": playback_id.id,
        "accessPolicy": playback_id.access_policy,
        "accessRestrictions": dict(playback_id.access_restrictions),
    }
    if playback_id.resolution is not None:
        public["resolution"] = playback_id.resolution
    return public
