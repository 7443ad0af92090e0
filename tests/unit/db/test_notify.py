"""Notifications against a real server."""

import asyncio

import pytest
from sqlalchemy import text

from fastpix_server.db import notify
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database


@pytest.fixture
async def db(database_url: str):
    db = await Database.open(database_url, size=2)
    yield db
    await db.close()


@pytest.fixture
async def listener(database_url: str):
    listener = Listener(database_url)
    yield listener
    await listener.close()


async def test_a_message_arrives_when_its_transaction_commits(db: Database, listener: Listener):
    got: asyncio.Queue[str] = asyncio.Queue()
    listener.on("news", got.put_nowait)
    await listener.start()
    async with db.unit() as tx:
        await notify.notify(tx, "news", "hello")
        await asyncio.sleep(0.1)
        assert got.empty()
    assert await asyncio.wait_for(got.get(), 60) == "hello"


async def test_a_channel_added_after_the_start_is_heard(db: Database, listener: Listener):
    got: asyncio.Queue[str] = asyncio.Queue()
    reconnected = asyncio.Event()
    listener.on("old", lambda payload: None)
    listener.on_reconnect(reconnected.set)
    await listener.start()
    listener.on("new", got.put_nowait)
    await asyncio.wait_for(reconnected.wait(), 60)
    async with db.unit() as tx:
        await notify.notify(tx, "new", "x")
    assert await asyncio.wait_for(got.get(), 60) == "x"


async def test_a_lost_connection_comes_back_and_says_so(db: Database, listener: Listener):
    got: asyncio.Queue[str] = asyncio.Queue()
    reconnected = asyncio.Event()
    listener.on("news", got.put_nowait)
    listener.on_reconnect(reconnected.set)
    await listener.start()
    async with db.unit() as tx:
        await tx.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where pid <> pg_backend_pid() and datname = current_database()"
            )
        )
    await asyncio.wait_for(reconnected.wait(), 60)
    async with db.unit() as tx:
        await notify.notify(tx, "news", "again")
    assert await asyncio.wait_for(got.get(), 60) == "again"


async def test_a_callback_that_raises_does_not_end_the_listening(db: Database, listener: Listener):
    got: asyncio.Queue[str] = asyncio.Queue()

    def bad(payload: str) -> None:
        raise KeyError(payload)

    listener.on("news", bad)
    listener.on("news", got.put_nowait)
    await listener.start()
    for word in ("one", "two"):
        async with db.unit() as tx:
            await notify.notify(tx, "news", word)
    assert [await asyncio.wait_for(got.get(), 60) for _ in range(2)] == ["one", "two"]


async def test_a_payload_at_the_limit_passes_and_one_byte_more_is_refused(db: Database):
    async with db.unit() as tx:
        await notify.notify(tx, "news", "x" * notify.MAX_PAYLOAD_BYTES)
        with pytest.raises(ValueError, match="7999"):
            await notify.notify(tx, "news", "x" * (notify.MAX_PAYLOAD_BYTES + 1))
