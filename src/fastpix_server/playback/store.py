"""The SQL of playback: nobody else reads or writes these tables.

Every function takes the caller's transaction. Times are the database's, so that several machines agree.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, text

from fastpix_server.db.pool import Json, Tx
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.plan_json import plan_from_json, plan_to_json
from fastpix_server.playback import extras_store, recording
from fastpix_server.playback.model import NO_EXTRAS, Extras, Measured, PlaybackId, Shown, Target
from fastpix_server.playback.recording import Recording
from fastpix_server.playback.targets import AnyTarget, LiveSession, LiveTarget, RecordedTarget

# The key's id, not the key: manifests name it.
_ID_COLUMNS = (
    "id, workspace_id, target_id, access_policy, access_restrictions, resolution, drm_configuration_id,"
    " created_at, deleted_at, case when access_policy = 'drm' then (select key_id from playback_content_keys k"
    " where k.target_id = playback_ids.target_id) end as content_key_id"
)


@dataclasses.dataclass(frozen=True, slots=True)
class SealedKey:
    key_id: str
    sealed_key: bytes = dataclasses.field(repr=False)
    iv: bytes


def _playback_id(row: RowMapping) -> PlaybackId:
    drm, key_id = row["drm_configuration_id"], row["content_key_id"]
    return PlaybackId(
        id=str(row["id"]),
        workspace_id=str(row["workspace_id"]),
        target_id=str(row["target_id"]),
        access_policy=row["access_policy"],
        access_restrictions=row["access_restrictions"],
        resolution=row["resolution"],
        created_at=row["created_at"],
        drm_configuration_id=None if drm is None else str(drm),
        is_deleted=row["deleted_at"] is not None,
        content_key_id=None if key_id is None else str(key_id),
    )


async def insert_id(
    tx: Tx,
    *,
    playback_id: str,
    workspace_id: str,
    target_id: str,
    access_policy: str,
    access_restrictions: Mapping[str, object],
    resolution: str | None,
    drm_configuration_id: str | None,
) -> PlaybackId:
    result = await tx.execute(
        text(
            "insert into playback_ids (id, workspace_id, target_id, access_policy, access_restrictions, resolution,"  # noqa: S608
            " drm_configuration_id) values (:id, :workspace_id, :target_id, :access_policy, :access_restrictions,"
            f" :resolution, :drm_configuration_id) returning {_ID_COLUMNS}"
        ),
        {
            "id": playback_id,
            "workspace_id": workspace_id,
            "target_id": target_id,
            "access_policy": access_policy,
            "access_restrictions": Json(dict(access_restrictions)),
            "resolution": resolution,
            "drm_configuration_id": drm_configuration_id,
        },
    )
    return _playback_id(result.mappings().one())


async def ids_of_targets(tx: Tx, target_ids: Iterable[str]) -> list[PlaybackId]:
    """Living ids of these targets, oldest first."""
    result = await tx.execute(
        text(
            f"select {_ID_COLUMNS} from playback_ids where target_id = any(cast(:targets as uuid[]))"  # noqa: S608
            " and deleted_at is null order by created_at, id"
        ),
        {"targets": list(target_ids)},
    )
    return [_playback_id(row) for row in result.mappings()]


async def find_id(tx: Tx, playback_id: str) -> PlaybackId | None:
    """Any id that ever existed, tombstones included."""
    query = f"select {_ID_COLUMNS} from playback_ids where id = :id"  # noqa: S608 fixed names
    result = await tx.execute(text(query), {"id": playback_id})
    row = result.mappings().one_or_none()
    return None if row is None else _playback_id(row)


async def restrict_id(tx: Tx, target_id: str, playback_id: str, kind: str, rules: Mapping[str, object]) -> bool:
    result = await tx.execute(
        text(
            "update playback_ids set access_restrictions ="
            " jsonb_set(access_restrictions, array[cast(:kind as text)], :rules)"
            " where id = :id and target_id = :target_id and deleted_at is null returning id"
        ),
        {"id": playback_id, "target_id": target_id, "kind": kind, "rules": Json(dict(rules))},
    )
    return result.one_or_none() is not None


async def find_shown(tx: Tx, playback_id: str) -> Shown | None:
    """What an id, living or not, shows or showed; says of a live target that it is one."""
    result = await tx.execute(
        text(
            # Read through jsonb, so that it holds for targets of every version of the table.
            "select i.workspace_id, i.target_id, (select to_jsonb(t) ->> 'kind' from playback_targets t"
            " where t.id = i.target_id) as kind from playback_ids i where i.id = :id"
        ),
        {"id": playback_id},
    )
    row = result.one_or_none()
    return None if row is None else Shown(str(row.workspace_id), str(row.target_id), row.kind == "live")


async def bury_id(tx: Tx, target_id: str, playback_id: str) -> bool:
    result = await tx.execute(
        text(
            "update playback_ids set deleted_at = now() where id = :id and target_id = :target_id"
            " and deleted_at is null returning id"
        ),
        {"id": playback_id, "target_id": target_id},
    )
    return result.one_or_none() is not None


async def bury_ids_of(tx: Tx, target_id: str) -> list[str]:
    """All living ids of the target become tombstones; which they were."""
    result = await tx.execute(
        text(
            "update playback_ids set deleted_at = now() where target_id = :target_id and deleted_at is null"
            " returning id"
        ),
        {"target_id": target_id},
    )
    return [str(row.id) for row in result]


async def insert_content_key(tx: Tx, *, target_id: str, key_id: str, sealed_key: bytes, iv: bytes) -> None:
    """Does nothing when the target has a key."""
    await tx.execute(
        text(
            "insert into playback_content_keys (target_id, key_id, sealed_key, iv)"
            " values (:target_id, :key_id, :sealed_key, :iv) on conflict (target_id) do nothing"
        ),
        {"target_id": target_id, "key_id": key_id, "sealed_key": sealed_key, "iv": iv},
    )


async def find_content_key(tx: Tx, target_id: str) -> SealedKey | None:
    result = await tx.execute(
        text("select key_id, sealed_key, iv from playback_content_keys where target_id = :id"), {"id": target_id}
    )
    row = result.one_or_none()
    return None if row is None else SealedKey(str(row.key_id), bytes(row.sealed_key), bytes(row.iv))


async def upsert_target(
    tx: Tx,
    *,
    target_id: str,
    workspace_id: str,
    source_key: str,
    other_source_keys: Sequence[str],
    place: str,
    plan: Plan,
    part_of: str | None = None,
) -> None:
    await tx.execute(
        text(
            "insert into playback_targets (id, workspace_id, kind, place, source_key, other_source_keys, plan, part_of)"
            " values (:id, :workspace_id, 'planned', :place, :source_key, :other_keys, :plan, :part_of)"
            " on conflict (id) do update set kind = excluded.kind, place = excluded.place,"
            " source_key = excluded.source_key, other_source_keys = excluded.other_source_keys, plan = excluded.plan,"
            " part_of = excluded.part_of, payload = null, published_at = now()"
        ),
        {
            "id": target_id,
            "workspace_id": workspace_id,
            "place": place,
            "source_key": source_key,
            "other_keys": list(other_source_keys),
            "plan": Json(plan_to_json(plan)),
            "part_of": part_of,
        },
    )


async def upsert_live(tx: Tx, *, target_id: str, workspace_id: str, session: LiveSession | None) -> None:
    payload = None if session is None else session_to_json(session)
    await _upsert_stored(tx, target_id, workspace_id, "live", None, payload)


async def upsert_recording(
    tx: Tx, *, target_id: str, workspace_id: str, place: str, revision: str, recorded: Recording
) -> None:
    payload = {"revision": revision, **recording.to_json(recorded)}
    await _upsert_stored(tx, target_id, workspace_id, "recorded", place, payload)


async def _upsert_stored(
    tx: Tx, target_id: str, workspace_id: str, kind: str, place: str | None, payload: dict[str, Any] | None
) -> None:
    await tx.execute(
        text(
            "insert into playback_targets (id, workspace_id, kind, place, payload)"
            " values (:id, :workspace_id, :kind, :place, :payload) on conflict (id) do update set"
            " kind = excluded.kind, place = excluded.place, payload = excluded.payload, plan = null,"
            " source_key = null, published_at = now()"
        ),
        {
            "id": target_id,
            "workspace_id": workspace_id,
            "kind": kind,
            "place": place,
            "payload": None if payload is None else Json(payload),
        },
    )


def session_to_json(session: LiveSession) -> dict[str, Any]:
    return {**dataclasses.asdict(session), "started_at": session.started_at.isoformat()}


def _session(payload: dict[str, Any] | None) -> LiveSession | None:
    if payload is None:
        return None
    return LiveSession(**{**payload, "started_at": datetime.fromisoformat(payload["started_at"])})


async def find_target(tx: Tx, target_id: str) -> Target | None:
    """The planned target of that id; None when there is none, or one of another kind."""
    found = await find_any(tx, target_id)
    return found if isinstance(found, Target) else None


async def find_any(tx: Tx, target_id: str) -> AnyTarget | None:
    result = await tx.execute(
        text(
            "select workspace_id, kind, place, source_key, other_source_keys, plan, payload, part_of"
            " from playback_targets where id = :id"
        ),
        {"id": target_id},
    )
    row = result.mappings().one_or_none()
    if row is None:
        return None
    workspace_id = str(row["workspace_id"])
    if row["kind"] == "live":
        return LiveTarget(target_id, workspace_id, _session(row["payload"]))
    if row["kind"] == "recorded":
        payload = row["payload"]
        return RecordedTarget(
            target_id,
            workspace_id,
            row["place"],
            payload["revision"],
            recording.from_json(payload),
            await _extras(tx, target_id),
        )
    plan = plan_from_json(row["plan"])
    part_of = None if row["part_of"] is None else str(row["part_of"])
    return Target(
        id=target_id,
        workspace_id=workspace_id,
        place=row["place"],
        source_key=row["source_key"],
        plan=plan,
        measured=await _measured(tx, target_id, plan.revision),
        other_source_keys=tuple(row["other_source_keys"]),
        part_of=part_of,
        extras=NO_EXTRAS if part_of else await _extras(tx, target_id),
    )


async def _extras(tx: Tx, target_id: str) -> Extras:
    listed = await extras_store.find(tx, target_id)
    sounds = [await find_target(tx, sound_id) for sound_id in listed.sound_ids]
    return Extras(tuple(s for s in sounds if s is not None), listed.texts, listed.files, listed.labels)


async def is_current(tx: Tx, target_id: str, revision: str) -> bool:
    """True while this very plan or recording is what viewers are shown.

    Locks the row against unpublishing until the commit.
    """
    result = await tx.execute(
        text(
            "select coalesce(plan ->> 'revision', payload ->> 'revision') from playback_targets"
            " where id = :id for share"
        ),
        {"id": target_id},
    )
    return bool(result.scalar_one_or_none() == revision)


async def _measured(tx: Tx, target_id: str, revision: str) -> dict[str, Measured]:
    result = await tx.execute(
        text(
            "select rendition, peak_bps, average_bps from playback_sizes where target_id = :id and revision = :revision"
        ),
        {"id": target_id, "revision": revision},
    )
    return {row.rendition: Measured(row.peak_bps, row.average_bps) for row in result}


async def save_measured(tx: Tx, target_id: str, revision: str, measured: Mapping[str, Measured]) -> None:
    for rendition, rates in measured.items():
        await tx.execute(
            text(
                "insert into playback_sizes (target_id, rendition, revision, peak_bps, average_bps)"
                " values (:id, :rendition, :revision, :peak, :average) on conflict (target_id, rendition) do update set"
                " revision = excluded.revision, peak_bps = excluded.peak_bps, average_bps = excluded.average_bps"
            ),
            {
                "id": target_id,
                "rendition": rendition,
                "revision": revision,
                "peak": rates.peak_bps,
                "average": rates.average_bps,
            },
        )


async def parts_of(tx: Tx, target_id: str) -> list[str]:
    """Targets of the sounds that were added to this one."""
    result = await tx.execute(text("select id from playback_targets where part_of = :id"), {"id": target_id})
    return [str(row.id) for row in result]


async def delete_target(tx: Tx, target_id: str) -> None:
    """The target and everything that hangs on it except its public ids and its parts."""
    for table, column in (
        ("playback_demands", "target_id"),
        ("playback_leases", "target_id"),
        ("playback_sizes", "target_id"),
        ("playback_shelves", "target_id"),
        ("playback_writes", "target_id"),
        ("playback_content_keys", "target_id"),
        ("playback_extras", "target_id"),
        ("playback_targets", "id"),
    ):
        await tx.execute(text(f"delete from {table} where {column} = :id"), {"id": target_id})  # noqa: S608 fixed names
