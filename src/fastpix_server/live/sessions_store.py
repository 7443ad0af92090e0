"""The SQL of sessions and of the ingest processes that hold them: nobody else reads or writes these tables.

Every function takes the caller's transaction. Times are the database's, so that several machines agree. A write of an
ingest names it (`holder`), and does nothing once another one has taken the session over.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, text

from fastpix_server.db.pool import Json, Tx
from fastpix_server.live.streams import Session, as_hex, as_uuid

_COLUMNS = (
    "id, stream_id, workspace_id, state, revision, place, max_lines, is_dvr, is_recorded, media_policy, holder,"
    " protocol, epoch, playable_epoch, started_at, deadline_at, ends_at, ended_at, end_reason, finalised_at,"
    " released_at"
)
_ALIVE = (
    "exists (select from live_ingests i where i.id = live_sessions.holder"
    " and i.heartbeat_at > now() - make_interval(secs => :lease_s))"
)


def _session(row: RowMapping) -> Session:
    values = dict(row)
    for name in ("id", "workspace_id", "holder"):
        values[name] = str(row[name])
    values["stream_id"] = as_hex(row["stream_id"])
    return Session(**values)


async def _returned(tx: Tx, statement: str, values: Mapping[str, Any]) -> Session | None:
    row = (await tx.execute(text(f"{statement} returning {_COLUMNS}"), values)).mappings().one_or_none()
    return None if row is None else _session(row)


async def insert(tx: Tx, session: Session, *, max_duration_s: int) -> Session:
    made = await _returned(
        tx,
        "insert into live_sessions (id, stream_id, workspace_id, state, revision, place, max_lines, is_dvr,"
        " is_recorded, media_policy, holder, protocol, ends_at) values (:id, :stream_id, :workspace_id, :state,"
        " :revision, :place, :max_lines, :is_dvr, :is_recorded, :media_policy, :holder, :protocol,"
        " now() + make_interval(secs => :max_duration_s))",
        {
            "id": session.id,
            "stream_id": as_uuid(session.stream_id),
            "workspace_id": session.workspace_id,
            "state": session.state,
            "revision": session.revision,
            "place": session.place,
            "max_lines": session.max_lines,
            "is_dvr": session.is_dvr,
            "is_recorded": session.is_recorded,
            "media_policy": session.media_policy,
            "holder": session.holder,
            "protocol": session.protocol,
            "max_duration_s": max_duration_s,
        },
    )
    assert made is not None, "an insert returns its row"
    return made


async def find(tx: Tx, session_id: str, *, lock: bool = False) -> Session | None:
    query = f"select {_COLUMNS} from live_sessions where id = :id" + (" for update" if lock else "")  # noqa: S608
    row = (await tx.execute(text(query), {"id": session_id})).mappings().one_or_none()
    return None if row is None else _session(row)


async def find_open(tx: Tx, stream_id: str, *, lock: bool = False) -> Session | None:
    """The session that has not ended; there is at most one."""
    query = (
        f"select {_COLUMNS} from live_sessions where stream_id = :id and state <> 'ended'"  # noqa: S608 fixed names
        + (" for update" if lock else "")
    )
    row = (await tx.execute(text(query), {"id": as_uuid(stream_id)})).mappings().one_or_none()
    return None if row is None else _session(row)


async def is_overdue(tx: Tx, session_id: str) -> str | None:
    """Why it should have ended by now: `window`, `max_duration`; None when it goes on."""
    result = await tx.execute(
        text(
            "select case when ends_at <= now() then 'max_duration'"
            " when state = 'waiting' and deadline_at <= now() then 'window' end from live_sessions where id = :id"
        ),
        {"id": session_id},
    )
    found: str | None = result.scalar_one_or_none()
    return found


async def is_held(tx: Tx, session: Session, *, lease_s: float) -> bool:
    """Is the ingest that holds it alive?"""
    result = await tx.execute(
        text(
            "select exists (select from live_ingests where id = :id"
            " and heartbeat_at > now() - make_interval(secs => :lease_s))"
        ),
        {"id": session.holder, "lease_s": lease_s},
    )
    return bool(result.scalar_one())


async def resume(tx: Tx, session_id: str, *, holder: str, protocol: str) -> Session | None:
    return await _returned(
        tx,
        "update live_sessions set state = 'publishing', holder = :holder, protocol = :protocol, epoch = epoch + 1,"
        " deadline_at = null where id = :id and state <> 'ended'",
        {"id": session_id, "holder": holder, "protocol": protocol},
    )


async def set_playable(tx: Tx, session_id: str, *, holder: str) -> Session | None:
    """None when it was so already, or somebody else holds the session now."""
    return await _returned(
        tx,
        "update live_sessions set playable_epoch = epoch where id = :id and holder = :holder"
        " and state = 'publishing' and playable_epoch < epoch",
        {"id": session_id, "holder": holder},
    )


async def set_waiting(tx: Tx, session_id: str, *, holder: str, epoch: int, window_s: int) -> Session | None:
    return await _returned(
        tx,
        "update live_sessions set state = 'waiting', deadline_at = now() + make_interval(secs => :window_s)"
        " where id = :id and holder = :holder and epoch = :epoch and state = 'publishing'",
        {"id": session_id, "holder": holder, "epoch": epoch, "window_s": window_s},
    )


async def set_window(tx: Tx, session_id: str, by_s: int) -> None:
    """Moves the deadline of a waiting session: its stream's reconnect window was changed by so much."""
    await tx.execute(
        text(
            "update live_sessions set deadline_at = deadline_at + make_interval(secs => :by_s)"
            " where id = :id and state = 'waiting'"
        ),
        {"id": session_id, "by_s": by_s},
    )


async def set_ended(tx: Tx, session_id: str, reason: str) -> Session | None:
    """None when it had ended before."""
    return await _returned(
        tx,
        "update live_sessions set state = 'ended', ended_at = clock_timestamp(), end_reason = :reason,"
        " deadline_at = null, viewers = 0 where id = :id and state <> 'ended'",
        {"id": session_id, "reason": reason},
    )


async def set_finalised(tx: Tx, session_id: str) -> bool:
    """False when it was so before, or goes on."""
    result = await tx.execute(
        text(
            "update live_sessions set finalised_at = clock_timestamp()"
            " where id = :id and state = 'ended' and finalised_at is null returning id"
        ),
        {"id": session_id},
    )
    return result.one_or_none() is not None


async def set_released(tx: Tx, session_id: str) -> Session | None:
    """None when it was so before, or is not finished."""
    return await _returned(
        tx,
        "update live_sessions set released_at = clock_timestamp()"
        " where id = :id and finalised_at is not null and released_at is null",
        {"id": session_id},
    )


async def newest_of(tx: Tx, stream_id: str) -> str | None:
    result = await tx.execute(
        text("select id from live_sessions where stream_id = :id order by started_at desc, id desc limit 1"),
        {"id": as_uuid(stream_id)},
    )
    found = result.scalar_one_or_none()
    return None if found is None else str(found)


async def origin_of(tx: Tx, ingest_id: str) -> str | None:
    """None when that process is gone."""
    result = await tx.execute(text("select origin_url from live_ingests where id = :id"), {"id": ingest_id})
    found: str | None = result.scalar_one_or_none()
    return found


async def orphans(tx: Tx, *, lease_s: float, limit: int) -> list[Session]:
    """Sessions that somebody must care for and whose holder is dead, the oldest first."""
    result = await tx.execute(
        text(
            f"select {_COLUMNS} from live_sessions where released_at is null and not {_ALIVE}"  # noqa: S608
            " order by started_at limit :limit"
        ),
        {"lease_s": lease_s, "limit": limit},
    )
    return [_session(row) for row in result.mappings()]


async def take(tx: Tx, session_id: str, holder: str, *, lease_s: float) -> Session | None:
    """The session is this ingest's now; None when somebody living holds it, or nobody needs to."""
    return await _returned(
        tx,
        f"update live_sessions set holder = :holder where id = :id and released_at is null and not {_ALIVE}",  # noqa: S608
        {"id": session_id, "holder": holder, "lease_s": lease_s},
    )


async def overdue(tx: Tx, holder: str) -> list[str]:
    """Open sessions of this ingest whose reconnect window or longest duration is over."""
    result = await tx.execute(
        text(
            "select id from live_sessions where holder = :holder and released_at is null and state <> 'ended'"
            " and (ends_at <= now() or (state = 'waiting' and deadline_at <= now()))"
        ),
        {"holder": holder},
    )
    return [str(row.id) for row in result]


async def held_by(tx: Tx, holder: str) -> list[Session]:
    """Everything that this ingest has work with."""
    result = await tx.execute(
        text(f"select {_COLUMNS} from live_sessions where holder = :holder and released_at is null"),  # noqa: S608
        {"holder": holder},
    )
    return [_session(row) for row in result.mappings()]


async def report(tx: Tx, session_id: str, *, holder: str, viewers: int, health: Mapping[str, Any]) -> None:
    await tx.execute(
        text(
            "update live_sessions set viewers = :viewers, viewers_at = now(), health = :health"
            " where id = :id and holder = :holder and state <> 'ended'"
        ),
        {"id": session_id, "holder": holder, "viewers": viewers, "health": Json(dict(health))},
    )


async def reported(tx: Tx, session_id: str, *, fresh_s: float) -> tuple[int, dict[str, Any] | None]:
    """Viewers and health as last told; 0 and None when that is too long ago."""
    result = await tx.execute(
        text(
            "select viewers, health from live_sessions where id = :id"
            " and viewers_at > now() - make_interval(secs => :fresh_s)"
        ),
        {"id": session_id, "fresh_s": fresh_s},
    )
    row = result.one_or_none()
    return (0, None) if row is None else (int(row.viewers), row.health)


async def register_ingest(tx: Tx, ingest_id: str, origin_url: str) -> None:
    """Whoever was registered with this address is dead: its port is ours now."""
    await tx.execute(text("delete from live_ingests where origin_url = :url"), {"url": origin_url})
    await tx.execute(
        text("insert into live_ingests (id, origin_url) values (:id, :url)"), {"id": ingest_id, "url": origin_url}
    )


async def beat(tx: Tx, ingest_id: str) -> bool:
    """False when somebody has declared us dead."""
    result = await tx.execute(
        text("update live_ingests set heartbeat_at = now() where id = :id returning id"), {"id": ingest_id}
    )
    return result.one_or_none() is not None


async def forget_ingest(tx: Tx, ingest_id: str) -> None:
    await tx.execute(text("delete from live_ingests where id = :id"), {"id": ingest_id})


async def forget_dead_ingests(tx: Tx, *, after_s: float) -> None:
    await tx.execute(
        text("delete from live_ingests where heartbeat_at < now() - make_interval(secs => :after_s)"),
        {"after_s": after_s},
    )


async def living_origins(tx: Tx, *, lease_s: float) -> dict[str, str]:
    """Ingest id -> address of its origin server."""
    result = await tx.execute(
        text(
            "select id, origin_url from live_ingests where heartbeat_at > now() - make_interval(secs => :lease_s)"
            " order by started_at desc"
        ),
        {"lease_s": lease_s},
    )
    return {str(row.id): row.origin_url for row in result}


async def forget_sessions(tx: Tx, *, after_days: int) -> int:
    """Rows of sessions that ended long ago; their recordings are media and stay."""
    result = await tx.execute(
        text("delete from live_sessions where released_at < now() - make_interval(days => :days)"),
        {"days": after_days},
    )
    return int(result.rowcount)
