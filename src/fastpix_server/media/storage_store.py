"""The SQL of what each media has in storage: nobody else reads or writes the table `media_storage`."""

import dataclasses
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, text

from fastpix_server.db.pool import Tx

_SIZES = "source_bytes, cache_bytes, made_bytes, recording_bytes"
_TOTAL = "source_bytes + cache_bytes + made_bytes + recording_bytes"
_SUMS = (
    ", ".join(f"coalesce(sum({name}), 0) as {name}" for name in _SIZES.split(", "))
    + ", coalesce(sum(object_count), 0) as object_count, count(*) as media_count"
)
_TOTALS = f"select {_SUMS} from media_storage"  # noqa: S608 fixed names
_TOTALS_OF = f"{_TOTALS} s join media m on m.id = s.media_id where m.workspace_id = :workspace_id"


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes by what they are: `cache` can be made again, `made` and `recording` only kept or deleted."""

    source_bytes: int = 0
    cache_bytes: int = 0
    made_bytes: int = 0
    recording_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.source_bytes + self.cache_bytes + self.made_bytes + self.recording_bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    media_id: str
    title: str | None
    sizes: Sizes
    object_count: int
    counted_at: datetime


def _sizes(row: RowMapping) -> Sizes:
    return Sizes(**{name: int(row[name]) for name in _SIZES.split(", ")})


async def due(tx: Tx, *, after_s: float, limit: int) -> list[str]:
    """Media that were never counted, that changed since, or that were counted longer than `after_s` ago."""
    result = await tx.execute(
        text(
            "select m.id from media m left join media_storage s on s.media_id = m.id"
            " where s.media_id is null or m.updated_at > s.counted_at"
            " or s.counted_at < now() - make_interval(secs => :after)"
            " order by s.counted_at nulls first, m.id limit :limit"
        ),
        {"after": after_s, "limit": limit},
    )
    return [str(media_id) for media_id in result.scalars()]


async def save(tx: Tx, media_id: str, sizes: Sizes, object_count: int, began_at: datetime) -> None:
    """Of a media that is there still; `began_at`: when the count began, what came later may not be in it."""
    values: dict[str, Any] = {**dataclasses.asdict(sizes), "id": media_id, "count": object_count, "at": began_at}
    await tx.execute(
        text(
            f"insert into media_storage (media_id, {_SIZES}, object_count, counted_at)"  # noqa: S608 fixed names
            " select id, :source_bytes, :cache_bytes, :made_bytes, :recording_bytes, :count, :at from media"
            " where id = :id on conflict (media_id) do update set source_bytes = excluded.source_bytes,"
            " cache_bytes = excluded.cache_bytes, made_bytes = excluded.made_bytes,"
            " recording_bytes = excluded.recording_bytes, object_count = excluded.object_count,"
            " counted_at = excluded.counted_at"
        ),
        values,
    )


async def page(tx: Tx, workspace_id: str, *, limit: int, skip: int) -> list[Counted]:
    """Of one workspace, the largest first."""
    result = await tx.execute(
        text(
            f"select m.id, m.title, {_SIZES}, object_count, counted_at from media m"  # noqa: S608 fixed names
            " join media_storage s on s.media_id = m.id where m.workspace_id = :workspace_id"
            f" order by {_TOTAL} desc, m.id limit :limit offset :skip"
        ),
        {"workspace_id": workspace_id, "limit": limit, "skip": skip},
    )
    return [
        Counted(str(row["id"]), row["title"], _sizes(row), row["object_count"], row["counted_at"])
        for row in result.mappings()
    ]


async def totals(tx: Tx, workspace_id: str | None = None) -> tuple[Sizes, int, int]:
    """Bytes, objects and media of a workspace, or of all of them."""
    result = await tx.execute(text(_TOTALS if workspace_id is None else _TOTALS_OF), {"workspace_id": workspace_id})
    row = result.mappings().one()
    return _sizes(row), int(row["object_count"]), int(row["media_count"])


async def largest(tx: Tx, limit: int) -> list[tuple[str, Sizes]]:
    """Of all workspaces."""
    result = await tx.execute(
        text(f"select media_id, {_SIZES} from media_storage order by ({_TOTAL}) desc, media_id limit :limit"),  # noqa: S608
        {"limit": limit},
    )
    return [(str(row["media_id"]), _sizes(row)) for row in result.mappings()]
