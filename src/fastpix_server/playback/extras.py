"""The verbs for what hangs on a target beside its own renditions: added sounds, subtitles, files, other names.

Invariants: the target's own plan and revision stay, so nothing that a running player holds becomes invalid; what is
new shows in the manifests that are loaded from the commit on. The stored bytes are the caller's, before and after.
"""

import dataclasses

from fastpix_server.db.notify import notify
from fastpix_server.db.pool import Tx
from fastpix_server.engine.plan import Plan
from fastpix_server.playback import extras_store, service, store
from fastpix_server.playback.model import File, Label, Text

__all__ = ["File", "Label", "Text", "add_file", "add_sound", "add_text", "drop", "drop_file", "relabel", "relabel_own"]


async def add_sound(
    tx: Tx,
    target_id: str,
    *,
    track_id: str,
    workspace_id: str,
    source_key: str,
    place: str,
    plan: Plan,
    label: Label,
) -> None:
    """The sound of `plan` joins the menu of the target, and is filled like any other. `track_id` again replaces."""
    await extras_store.delete_part(tx, target_id, track_id)
    await store.upsert_target(
        tx,
        target_id=track_id,
        workspace_id=workspace_id,
        source_key=source_key,
        other_source_keys=(),
        place=place,
        plan=plan,
        part_of=target_id,
    )
    await extras_store.put(tx, target_id, plan.audios[0].name, "sound", dataclasses.asdict(label), part_id=track_id)
    await service.schedule_fill(tx, track_id, priority=service.FIRST_FILL_PRIORITY)
    await notify(tx, service.CHANGED, track_id)
    await notify(tx, service.CHANGED, target_id)


async def add_text(tx: Tx, target_id: str, text: Text) -> None:
    """A subtitle track whose cues are stored. The track's id again replaces."""
    await extras_store.delete_part(tx, target_id, text.track_id)
    payload = {**dataclasses.asdict(text.label), "place": text.place}
    await extras_store.put(tx, target_id, text.name, "text", payload, part_id=text.track_id)
    await notify(tx, service.CHANGED, target_id)


async def add_file(tx: Tx, target_id: str, file: File) -> None:
    payload = dataclasses.asdict(file)
    del payload["name"]
    await extras_store.put(tx, target_id, file.name, "file", payload)
    await notify(tx, service.CHANGED, target_id)


async def drop_file(tx: Tx, target_id: str, name: str) -> None:
    await extras_store.delete(tx, target_id, name)
    await notify(tx, service.CHANGED, target_id)


async def relabel(tx: Tx, target_id: str, track_id: str, label: Label) -> None:
    """Other words for an added track."""
    await extras_store.relabel_part(tx, target_id, track_id, label)
    await notify(tx, service.CHANGED, target_id)


async def relabel_own(tx: Tx, target_id: str, rendition: str, label: Label) -> None:
    """Other words for a sound of the target itself."""
    await extras_store.put(tx, target_id, rendition, "label", dataclasses.asdict(label))
    await notify(tx, service.CHANGED, target_id)


async def drop(tx: Tx, target_id: str, track_id: str) -> None:
    """An added track leaves the menu; players that are in it hear 404 for the next segment and change over."""
    await extras_store.delete_part(tx, target_id, track_id)
    await store.delete_target(tx, track_id)
    await notify(tx, service.CHANGED, track_id)
    await notify(tx, service.CHANGED, target_id)
