"""The SQL of downloads under way: nobody else reads or writes the table `media_fetches`."""

import dataclasses
from datetime import datetime

from sqlalchemy import text

from fastpix_server.db.pool import Tx


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """When the download first began, and which version of the file the staged bytes are of."""

    started_at: datetime
    validator: str | None
    total_bytes: int | None


async def begin(tx: Tx, media_id: str, position: int = 0) -> Progress:
    """Notes the begin, or reads what an earlier run noted. `position` counts the files of an edited media."""
    values = {"id": media_id, "position": position}
    await tx.execute(
        text("insert into media_fetches (media_id, position) values (:id, :position) on conflict do nothing"), values
    )
    result = await tx.execute(
        text(
            "select started_at, validator, total_bytes from media_fetches where media_id = :id and position = :position"
        ),
        values,
    )
    return Progress(**result.mappings().one())


async def note(tx: Tx, media_id: str, position: int, *, validator: str | None, total_bytes: int | None) -> None:
    await tx.execute(
        text(
            "update media_fetches set validator = :validator, total_bytes = :total"
            " where media_id = :id and position = :position"
        ),
        {"id": media_id, "position": position, "validator": validator, "total": total_bytes},
    )


async def end(tx: Tx, media_id: str) -> None:
    await tx.execute(text("delete from media_fetches where media_id = :id"), {"id": media_id})
