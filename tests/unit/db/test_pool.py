"""The pool and its unit of work, against a real server."""

import uuid

import pytest
from sqlalchemy import text

from fastpix_server.base import errors
from fastpix_server.db.pool import Database, Json


@pytest.fixture
async def db(database_url: str):
    db = await Database.open(database_url, size=2)
    async with db.unit() as tx:
        await tx.execute(text("create table thing (id uuid primary key, body jsonb, at timestamptz default now())"))
    yield db
    await db.close()


async def test_a_unit_commits_at_its_end(db: Database):
    id_ = uuid.uuid4()
    async with db.unit() as tx:
        await tx.execute(
            text("insert into thing (id, body) values (:id, :body)"), {"id": id_, "body": Json({"a": [1]})}
        )
    async with db.unit() as tx:
        row = (await tx.execute(text("select id, body, at from thing"))).one()
    assert row.id == id_
    assert row.body == {"a": [1]}
    assert row.at.tzinfo is not None


async def test_a_unit_that_raises_leaves_nothing(db: Database):
    with pytest.raises(KeyError):
        async with db.unit() as tx:
            await tx.execute(text("insert into thing (id) values (:id)"), {"id": str(uuid.uuid4())})
            raise KeyError
    async with db.unit() as tx:
        assert (await tx.execute(text("select count(*) from thing"))).scalar_one() == 0


async def test_a_server_that_is_away_is_unavailable():
    db = await Database.open("postgresql://nobody@/none?host=/nonexistent")
    with pytest.raises(errors.Unavailable):
        async with db.unit() as tx:
            await tx.execute(text("select 1"))
    await db.close()


async def test_a_wrong_statement_is_not_called_unavailable(db: Database):
    with pytest.raises(Exception, match="no_such_table") as caught:
        async with db.unit() as tx:
            await tx.execute(text("select * from no_such_table"))
    assert not isinstance(caught.value, errors.FastpixError)


async def test_connections_killed_by_the_server_are_replaced(db: Database):
    async with db.unit() as tx:
        await tx.execute(text("select 1"))
    other = await Database.open(db.url, size=1)
    async with other.unit() as tx:
        await tx.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                " and datname = current_database()"
            )
        )
    await other.close()
    async with db.unit() as tx:
        assert (await tx.execute(text("select 1"))).scalar_one() == 1


@pytest.mark.parametrize("url", ["postgres://h/d", "postgresql://h/d", "postgresql+psycopg://h/d"])
async def test_each_spelling_of_the_scheme_is_understood(url: str):
    db = await Database.open(url)
    await db.close()


async def test_another_scheme_is_refused_with_a_sentence():
    with pytest.raises(ValueError, match="postgresql://"):
        await Database.open("mysql://h/d")
