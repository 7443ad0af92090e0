"""Migrations on an empty database."""

import asyncio
import uuid

import psycopg
import pytest
from psycopg import sql

from fastpix_server.db import migrate
from fastpix_server.db.pool import Database


@pytest.fixture
def empty_url(postgres_server):
    name = f"empty_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        yield postgres_server.url(name)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


async def test_two_machines_that_start_together_take_turns(empty_url: str):
    await asyncio.gather(migrate.upgrade(empty_url), migrate.upgrade(empty_url))
    db = await Database.open(empty_url)
    async with db.unit() as tx:
        assert await migrate.is_at_head(tx)
    await db.close()


async def test_a_database_without_tables_is_not_at_head(empty_url: str):
    db = await Database.open(empty_url)
    async with db.unit() as tx:
        assert not await migrate.is_at_head(tx)
    await db.close()


async def test_upgrading_again_changes_nothing(empty_url: str):
    await migrate.upgrade(empty_url)
    await migrate.upgrade(empty_url)
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [(migrate.head(),)]
