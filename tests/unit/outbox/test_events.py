"""An event exists if and only if its change was committed, and not for ever."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from fastpix_server.base import ids
from fastpix_server.db.pool import Database
from fastpix_server.outbox import events

WORKSPACE = "0c9b4a1e-0000-4000-8000-000000000001"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, size=2)
    yield opened
    await opened.close()


async def emit(tx, type="video.media.created"):
    return await events.emit(
        tx,
        workspace_id=WORKSPACE,
        type=type,
        object_type="media",
        object_id="m",
        status="media_created",
        data={"id": "m", "title": 'é "quoted" 漢'},
    )


async def rows(db):
    async with db.unit() as tx:
        return (await tx.execute(text("select * from events order by position"))).all()


async def test_an_event_keeps_what_the_envelope_needs_in_the_order_of_telling(db):
    async with db.unit() as tx:
        told = [await emit(tx, f"video.media.{what}") for what in ("created", "updated", "ready")]
    found = await rows(db)
    assert [str(row.id) for row in found] == told
    assert all(ids.is_uuid(event_id) for event_id in told)
    first = found[0]
    assert (str(first.workspace_id), first.type, first.object_type, first.object_id) == (
        WORKSPACE, "video.media.created", "media", "m",
    )  # fmt: skip
    assert (first.status, first.data) == ("media_created", {"id": "m", "title": 'é "quoted" 漢'})
    assert [row.created_at for row in found] == sorted(row.created_at for row in found)


async def test_an_event_of_a_change_that_failed_was_never_told(db):
    with pytest.raises(RuntimeError):
        async with db.unit() as tx:
            await emit(tx)
            raise RuntimeError
    assert await rows(db) == []


async def test_old_events_are_purged_and_younger_ones_stay(db):
    async with db.unit() as tx:
        await emit(tx, "video.media.created")
        await emit(tx, "video.media.ready")
        await tx.execute(
            text("update events set created_at = now() - interval '31 days' where type = 'video.media.created'")
        )
        assert await events.purge(tx) == 1
    assert [row.type for row in await rows(db)] == ["video.media.ready"]


async def test_an_event_of_a_name_that_nobody_knows_is_not_told(db):
    with pytest.raises(ValueError, match="catalogue"):
        async with db.unit() as tx:
            await emit(tx, "video.media.exploded")


async def test_each_event_is_taken_once_however_late_it_commits_unless_it_is_for_somebody_alone(db):
    async with db.unit() as late:
        await emit(late, "video.media.created")
        async with db.unit() as tx:
            soon = await emit(tx, "video.media.ready")
            await events.emit(
                tx, workspace_id=WORKSPACE, type="video.webhook.test", object_type="webhook", object_id="w",
                status="webhook_test", data={}, is_for_all=False,
            )  # fmt: skip
        async with db.unit() as tx:
            assert [one.id for one in await events.take_undispatched(tx, 10)] == [soon]
    async with db.unit() as tx:
        assert [one.type for one in await events.take_undispatched(tx, 10)] == ["video.media.created"]
        assert await events.take_undispatched(tx, 10) == []
