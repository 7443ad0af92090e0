"""The SQL of what hangs on a target beside its own renditions: nobody else reads or writes `playback_extras`."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import text

from fastpix_server.db.pool import Json, Tx
from fastpix_server.playback.model import File, Label, Text

Kind = Literal["sound", "text", "file", "label"]


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """As the table has it: added sounds by the ids of their targets, in the order of their adding."""

    sound_ids: tuple[str, ...]
    texts: tuple[Text, ...]
    files: tuple[File, ...]
    labels: tuple[tuple[str, Label], ...]


async def find(tx: Tx, target_id: str) -> Listed:
    result = await tx.execute(
        text("select name, kind, part_id, payload from playback_extras where target_id = :id order by position"),
        {"id": target_id},
    )
    sounds: list[str] = []
    texts: list[Text] = []
    files: list[File] = []
    labels: list[tuple[str, Label]] = []
    for row in result:
        payload: dict[str, Any] = row.payload
        if row.kind == "sound":
            sounds.append(str(row.part_id))
            labels.append((row.name, Label(**payload)))
        elif row.kind == "text":
            label = Label(payload["language"], payload["title"])
            texts.append(Text(str(row.part_id), row.name, label, payload["place"]))
        elif row.kind == "file":
            files.append(File(row.name, **payload))
        else:
            labels.append((row.name, Label(**payload)))
    return Listed(tuple(sounds), tuple(texts), tuple(files), tuple(labels))


async def put(
    tx: Tx, target_id: str, name: str, kind: Kind, payload: Mapping[str, Any], *, part_id: str | None = None
) -> None:
    """Again under the same name replaces, and keeps its place in the order."""
    await tx.execute(
        text(
            "insert into playback_extras (target_id, name, kind, part_id, payload)"
            " values (:target_id, :name, :kind, :part_id, :payload) on conflict (target_id, name) do update set"
            " kind = excluded.kind, part_id = excluded.part_id, payload = excluded.payload"
        ),
        {"target_id": target_id, "name": name, "kind": kind, "part_id": part_id, "payload": Json(dict(payload))},
    )


async def relabel_part(tx: Tx, target_id: str, part_id: str, label: Label) -> None:
    """Other words for an added sound or text; what is not there (yet) keeps none."""
    await tx.execute(
        text(
            "update playback_extras set payload = payload || cast(:label as jsonb)"
            " where target_id = :target_id and part_id = :part_id"
        ),
        {"target_id": target_id, "part_id": part_id, "label": Json(dataclasses.asdict(label))},
    )


async def delete(tx: Tx, target_id: str, name: str) -> None:
    await tx.execute(
        text("delete from playback_extras where target_id = :id and name = :name"), {"id": target_id, "name": name}
    )


async def delete_part(tx: Tx, target_id: str, part_id: str) -> None:
    """An added sound or text, under whatever name."""
    await tx.execute(
        text("delete from playback_extras where target_id = :id and part_id = :part_id"),
        {"id": target_id, "part_id": part_id},
    )
