"""The SQL of shelves (what is made on demand, by folder): nobody else reads or writes these tables.

Every function takes the caller's transaction. Times are the database's, so that several machines agree.
"""

import dataclasses
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import text

from fastpix_server.db.pool import Tx


@dataclasses.dataclass(frozen=True, slots=True)
class Shelf:
    """One folder of one target: a rendition, its encrypted copies, the pictures."""

    target_id: str
    shelf: str
    size_bytes: int
    used_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where the things of a target that is made on demand are."""

    id: str
    place: str


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """A target that has to be counted, when it was last written, and how long ago that was when this was read.
    `place` is None when it is gone."""

    target_id: str
    place: str | None
    written_at: datetime
    age_s: float


async def note_uses(tx: Tx, uses: Collection[tuple[str, str]]) -> None:
    """Pairs of target and shelf are in use now. Of targets that are gone, or not made on demand, nothing is noted."""
    in_order = sorted(uses)  # whoever else writes these rows goes the same way: no deadlock
    await tx.execute(
        text(
            "insert into playback_shelves (target_id, shelf, used_at)"
            " select u.target_id, u.shelf, now()"
            " from unnest(cast(:ids as uuid[]), cast(:shelves as text[])) with ordinality as u (target_id, shelf, n)"
            " join playback_targets t on t.id = u.target_id and t.kind = 'planned' order by u.n"
            " on conflict (target_id, shelf) do update set used_at = excluded.used_at"
        ),
        {"ids": [target_id for target_id, _ in in_order], "shelves": [shelf for _, shelf in in_order]},
    )


async def note_write(tx: Tx, target_id: str) -> None:
    await tx.execute(
        text(
            "insert into playback_writes (target_id) values (:id)"
            " on conflict (target_id) do update set written_at = now()"
        ),
        {"id": target_id},
    )


async def written(tx: Tx, limit: int) -> list[Written]:
    """The longest waiting first."""
    result = await tx.execute(
        text(
            "select w.target_id, t.place, w.written_at, extract(epoch from now() - w.written_at) as age_s"
            " from playback_writes w left join playback_targets t on t.id = w.target_id"
            " order by w.written_at, w.target_id limit :limit"
        ),
        {"limit": limit},
    )
    return [Written(str(row.target_id), row.place, row.written_at, float(row.age_s)) for row in result]


async def settle(tx: Tx, seen: Written) -> None:
    """Counted: unless somebody has written since it was read, it has not to be counted again."""
    await tx.execute(
        text("delete from playback_writes where target_id = :id and written_at = :written_at"),
        {"id": seen.target_id, "written_at": seen.written_at},
    )


async def place_of(tx: Tx, target_id: str) -> str | None:
    """Of a target that is made on demand; None of others, and of one that is gone."""
    result = await tx.execute(
        text("select place from playback_targets where id = :id and kind = 'planned'"), {"id": target_id}
    )
    found = result.scalar_one_or_none()
    return None if found is None else str(found)


async def places_below(tx: Tx, folder: str) -> list[Place]:
    """Of all targets that are made on demand below a folder: a media has one of its own, and one per added sound."""
    result = await tx.execute(
        text(
            "select id, place from playback_targets where kind = 'planned' and place collate \"C\" > :low"
            ' and place collate "C" < :high order by id'
        ),
        {"low": f"{folder}/", "high": f"{folder}0"},  # 0 comes after the slash
    )
    return [Place(str(row.id), row.place) for row in result]


async def set_sizes(tx: Tx, target_id: str, sizes: Mapping[str, int]) -> None:
    """What was counted, by shelf; all others of the target are empty. A shelf that is new counts as used now."""
    in_order = sorted(sizes.items())
    values = {"id": target_id, "shelves": [shelf for shelf, _ in in_order], "sizes": [size for _, size in in_order]}
    await tx.execute(
        text(
            "update playback_shelves set size_bytes = 0 where target_id = :id and size_bytes > 0"
            " and shelf <> all(cast(:shelves as text[]))"
        ),
        {"id": target_id, "shelves": values["shelves"]},
    )
    await tx.execute(
        text(
            "insert into playback_shelves (target_id, shelf, size_bytes)"
            " select t.id, s.shelf, s.size from playback_targets t,"
            " unnest(cast(:shelves as text[]), cast(:sizes as bigint[])) with ordinality as s (shelf, size, n)"
            " where t.id = :id order by s.n"
            " on conflict (target_id, shelf) do update set size_bytes = excluded.size_bytes"
        ),
        values,
    )


async def total_bytes(tx: Tx) -> int:
    result = await tx.execute(text("select coalesce(sum(size_bytes), 0) from playback_shelves where size_bytes > 0"))
    return int(result.scalar_one())


async def oldest(tx: Tx, *, unused_s: float, limit: int) -> list[Shelf]:
    """The least recently used first; none that was used or whose target was written in the last `unused_s`."""
    result = await tx.execute(
        text(
            "select target_id, shelf, size_bytes, used_at from playback_shelves s where size_bytes > 0"
            " and used_at < now() - make_interval(secs => :unused)"
            " and not exists (select from playback_writes w where w.target_id = s.target_id"
            " and w.written_at > now() - make_interval(secs => :unused))"
            " order by used_at, target_id, shelf limit :limit"
        ),
        {"unused": unused_s, "limit": limit},
    )
    return [Shelf(str(row.target_id), row.shelf, row.size_bytes, row.used_at) for row in result]


async def claim(tx: Tx, shelf: Shelf, *, unused_s: float) -> bool:
    """True when it is to be dropped: nobody used it since it was read. Its target is counted again afterwards,
    whether or not whoever drops it lives to do it."""
    result = await tx.execute(
        text(
            "update playback_shelves set size_bytes = 0 where target_id = :id and shelf = :shelf"
            " and used_at = :used_at and size_bytes > 0 returning target_id"
        ),
        {"id": shelf.target_id, "shelf": shelf.shelf, "used_at": shelf.used_at},
    )
    if result.one_or_none() is None:
        return False
    # As if it had been written long ago: its other shelves may go as well.
    await tx.execute(
        text(
            "insert into playback_writes (target_id, written_at) values (:id, now() - make_interval(secs => :unused))"
            " on conflict (target_id) do nothing"
        ),
        {"id": shelf.target_id, "unused": unused_s},
    )
    return True


async def forget_empty(tx: Tx, *, unused_s: float) -> None:
    await tx.execute(
        text("delete from playback_shelves where size_bytes = 0 and used_at < now() - make_interval(secs => :unused)"),
        {"unused": unused_s},
    )
