"""The SQL of the journal: which segments of a session are stored. Nobody else reads or writes these tables.

Invariants: a row is written after its object; once a session is finished its journal takes nothing more; rows of one
call come together or not at all.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text

from fastpix_server.db.pool import Json, Tx
from fastpix_server.live.model import JournalRow, RenditionInfo

_ROW = "rendition, number, epoch, start_ticks, duration_ticks, timescale, pdt_ms, size_bytes, is_discontinuity"


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """All stored segments of one rendition in one epoch, in order, as parallel lists."""

    info: RenditionInfo
    epoch: int
    numbers: list[int]
    starts: list[int]
    durations: list[int]
    sizes: list[int]
    pdts_ms: list[int]


async def open_for_writing(tx: Tx, session_id: str) -> bool:
    """Holds the session's journal open until the commit; False when the session is finished."""
    await tx.execute(
        text("insert into live_recordings (session_id) values (:id) on conflict do nothing"), {"id": session_id}
    )
    result = await tx.execute(
        text("select finished_at is null from live_recordings where session_id = :id for share"), {"id": session_id}
    )
    return bool(result.scalar_one())


async def insert(
    tx: Tx, session_id: str, infos: Mapping[int, Sequence[RenditionInfo]], rows: Sequence[JournalRow]
) -> None:
    """`infos` by epoch. A row that is there already stays: it was written by an earlier try."""
    for epoch, renditions in infos.items():
        for info in renditions:
            await tx.execute(
                text(
                    "insert into live_renditions (session_id, rendition, epoch, info)"
                    " values (:id, :rendition, :epoch, :info) on conflict do nothing"
                ),
                {"id": session_id, "rendition": info.name, "epoch": epoch, "info": Json(dataclasses.asdict(info))},
            )
    await tx.execute(
        text(
            f"insert into live_segments (session_id, {_ROW}) values (:id, :rendition, :number, :epoch, :start_ticks,"  # noqa: S608
            " :duration_ticks, :timescale, :pdt_ms, :size_bytes, :is_discontinuity) on conflict do nothing"
        ),
        [{"id": session_id, **dataclasses.asdict(row)} for row in rows],
    )


async def has_rows(tx: Tx, session_id: str) -> bool:
    result = await tx.execute(
        text("select exists (select from live_segments where session_id = :id)"), {"id": session_id}
    )
    return bool(result.scalar_one())


async def rows(tx: Tx, session_id: str) -> list[JournalRow]:
    """In order of numbers."""
    result = await tx.execute(
        text(f"select {_ROW} from live_segments where session_id = :id order by number, rendition"),  # noqa: S608
        {"id": session_id},
    )
    return [JournalRow(**row) for row in result.mappings()]


async def runs(tx: Tx, session_id: str) -> list[Run]:
    """The same, gathered by the database: eight hours in four renditions are 57,600 rows."""
    result = await tx.execute(
        text(
            "select r.info, s.epoch, array_agg(number order by number) as numbers,"
            " array_agg(start_ticks order by number) as starts, array_agg(duration_ticks order by number) as durations,"
            " array_agg(size_bytes order by number) as sizes, array_agg(pdt_ms order by number) as pdts_ms"
            " from live_segments s join live_renditions r using (session_id, rendition, epoch)"
            " where s.session_id = :id group by r.info, s.epoch, s.rendition order by s.epoch, s.rendition"
        ),
        {"id": session_id},
    )
    return [Run(**{**row, "info": _info(row["info"])}) for row in result.mappings()]


def _info(data: Mapping[str, Any]) -> RenditionInfo:
    return RenditionInfo(**data)


async def finish(tx: Tx, session_id: str) -> bool:
    """From the commit on the journal takes nothing more. False when it was finished before."""
    result = await tx.execute(
        text(
            "insert into live_recordings (session_id, finished_at) values (:id, now()) on conflict (session_id)"
            " do update set finished_at = now() where live_recordings.finished_at is null returning session_id"
        ),
        {"id": session_id},
    )
    return result.one_or_none() is not None


async def is_finished(tx: Tx, session_id: str) -> bool:
    result = await tx.execute(
        text("select finished_at is not null from live_recordings where session_id = :id"), {"id": session_id}
    )
    return bool(result.scalar_one_or_none())


async def forget(tx: Tx, session_id: str) -> None:
    """The rows of a finished session; that it is finished stays known."""
    for table in ("live_segments", "live_renditions"):
        await tx.execute(text(f"delete from {table} where session_id = :id"), {"id": session_id})  # noqa: S608
