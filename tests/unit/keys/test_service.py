"""Keys in the table: made, listed, looked at, deleted; limits; nothing private left behind."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives import serialization
from sqlalchemy import text
from tests.unit.keys.signing import pair

from fastpix_server.access import service as access
from fastpix_server.base import errors, ids
from fastpix_server.db.pool import Database
from fastpix_server.keys import service


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, size=6)
    yield opened
    await opened.close()


async def workspace(db: Database, name: str = "W") -> str:
    async with db.unit() as tx:
        return (await access.create_workspace(tx, name=name)).id


async def create(db: Database, workspace_id: str):
    async with db.unit() as tx:
        return await service.create(tx, workspace_id)


async def fill(db: Database, workspace_id: str, count: int) -> None:
    async with db.unit() as tx:
        for _ in range(count):
            await tx.execute(
                text("insert into signing_keys (id, workspace_id, public_pem) values (:id, :w, 'x')"),
                {"id": ids.new_uuid(), "w": workspace_id},
            )


async def test_a_new_key_is_a_pair_of_2048_bits_of_which_we_keep_the_public_half(db):
    made = await create(db, await workspace(db))
    private = serialization.load_pem_private_key(made.private_pem.encode(), None)
    assert made.private_pem.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert private.key_size == 2048
    public = serialization.load_pem_public_key(made.key.public_pem.encode())
    assert private.public_key().public_numbers() == public.public_numbers()
    async with db.unit() as tx:
        rows = str((await tx.execute(text("select * from signing_keys"))).all())
    assert "PUBLIC" in rows
    assert "PRIVATE" not in rows
    assert "PRIVATE" not in repr(made) + repr(pair())


async def test_keys_are_listed_newest_first_in_pages_of_their_own_workspace(db):
    mine, theirs = await workspace(db), await workspace(db, "Other")
    made = [(await create(db, mine)).key.id for _ in range(3)]
    await create(db, theirs)
    async with db.unit() as tx:
        first = await service.list_page(tx, mine, limit=2, offset=1)
        second = await service.list_page(tx, mine, limit=2, offset=2)
        beyond = await service.list_page(tx, mine, limit=2, offset=9)
    assert [k.id for k in first[0]] == [made[2], made[1]]
    assert [k.id for k in second[0]] == [made[0]]
    assert (first[1], beyond) == (3, ([], 3))


async def test_a_key_of_another_workspace_does_not_exist(db):
    mine, theirs = await workspace(db), await workspace(db, "Other")
    key = (await create(db, theirs)).key
    async with db.unit() as tx:
        for call in (service.get, service.delete):
            with pytest.raises(errors.NotFound) as caught:
                await call(tx, mine, key.id)
            assert caught.value.message == "Signing key Not Found"
        assert (await service.get(tx, theirs, key.id)).public_pem == key.public_pem
        await service.delete(tx, theirs, key.id)
        with pytest.raises(errors.NotFound):
            await service.delete(tx, theirs, key.id)


async def test_a_workspace_has_room_for_its_limit_and_not_one_more(db):
    mine = await workspace(db)
    await fill(db, mine, service.KEYS_MAX - 1)
    last = await create(db, mine)
    with pytest.raises(errors.BadState, match="at most 100 signing keys"):
        await create(db, mine)
    async with db.unit() as tx:
        await service.delete(tx, mine, last.key.id)
    await create(db, mine)


async def test_makers_at_the_same_time_do_not_pass_the_limit_together(db):
    mine = await workspace(db)
    await fill(db, mine, service.KEYS_MAX - 1)
    made = await asyncio.gather(*(create(db, mine) for _ in range(3)), return_exceptions=True)
    assert sorted(type(m).__name__ for m in made) == ["BadState", "BadState", "NewSigningKey"]


async def test_too_many_keys_at_once_are_refused_and_the_next_one_is_made(db):
    mine = await workspace(db)
    made = await asyncio.gather(*(service.make_pair() for _ in range(service.MAKING_MAX + 1)), return_exceptions=True)
    assert [isinstance(m, errors.TooMany) for m in made].count(True) == 1
    assert (await create(db, mine)).key.workspace_id == mine


async def test_the_event_loop_stays_free_while_keys_are_made():
    making = asyncio.gather(*(service.make_pair() for _ in range(service.MAKING_MAX)))
    turns = 0
    while not making.done():
        await asyncio.sleep(0.001)
        turns += 1
    pairs = await making
    assert len({p.public_pem for p in pairs}) == service.MAKING_MAX
    assert turns > 10  # hundreds are usual; made on the loop, all keys would be there after one
