"""The SQL of clips: nobody else reads or writes this table. Every function takes the caller's transaction."""

import dataclasses
from typing import Literal

from sqlalchemy import text

from fastpix_server.db.pool import Tx


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """A range of a session that is kept as a media of its own; `place` is where the session's segments are."""

    id: str
    session_id: str
    workspace_id: str
    place: str
    playback_id: str
    start_s: int
    end_s: int
    access: Literal["public", "private"]


async def insert(tx: Tx, clip: Clip) -> bool:
    """False when the same range was asked for before, by the same id and with the same access."""
    result = await tx.execute(
        text(
            "insert into live_clips (id, session_id, workspace_id, place, playback_id, start_s, end_s, access) values"
            " (:id, :session_id, :workspace_id, :place, :playback_id, :start_s, :end_s, :access)"
            " on conflict do nothing returning id"
        ),
        dataclasses.asdict(clip),
    )
    return result.one_or_none() is not None


async def count(tx: Tx, session_id: str) -> int:
    result = await tx.execute(text("select count(*) from live_clips where session_id = :id"), {"id": session_id})
    return int(result.scalar_one())


async def find(tx: Tx, clip_id: str) -> Clip | None:
    result = await tx.execute(
        text(
            "select id, session_id, workspace_id, place, playback_id, start_s, end_s, access from live_clips"
            " where id = :id"
        ),
        {"id": clip_id},
    )
    row = result.mappings().one_or_none()
    if row is None:
        return None
    ids = {name: str(row[name]) for name in ("id", "session_id", "workspace_id", "playback_id")}
    return Clip(**{**row, **ids})
