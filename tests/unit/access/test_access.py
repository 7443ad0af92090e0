"""Workspaces and tokens: what is kept, who gets in, and what survives a restart."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from fastpix_server.access import door, service
from fastpix_server.access.door import Authenticator
from fastpix_server.access.service import authenticate, create_token, ensure_first, hash_secret
from fastpix_server.base import errors
from fastpix_server.db.pool import Database

PEPPER = b"pepper"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, size=4)
    yield opened
    await opened.close()


async def first(db: Database, password: str = "secret", **options: str):
    async with db.unit() as tx:
        return await ensure_first(tx, pepper=PEPPER, username="root", password=password, **options)


async def test_the_first_credentials_open_the_default_workspace_with_every_permission(db):
    workspace = await first(db, workspace_id="0c9b4a1e-0000-4000-8000-000000000001", workspace_key="beacon-key")
    assert (workspace.id, workspace.key) == ("0c9b4a1e-0000-4000-8000-000000000001", "beacon-key")
    async with db.unit() as tx:
        principal = await authenticate(tx, "root", "secret", pepper=PEPPER)
    assert principal is not None
    assert principal.workspace_id == workspace.id
    assert principal.may("video:write")
    assert principal.may("anything:later")


async def test_a_second_start_changes_nothing_and_a_new_password_takes_effect(db):
    before = await first(db)
    assert await first(db) == before
    assert await first(db, password="changed", workspace_key="ignored now") == before
    async with db.unit() as tx:
        assert await authenticate(tx, "root", "secret", pepper=PEPPER) is None
        assert await authenticate(tx, "root", "changed", pepper=PEPPER) is not None


async def test_machines_that_start_together_share_one_workspace(db):
    found = await asyncio.gather(*(first(db) for _ in range(4)))
    assert len({w.id for w in found}) == 1


async def test_the_first_user_name_cannot_take_over_a_token_of_another_workspace(db):
    await first(db)
    async with db.unit() as tx:
        other = await service.create_workspace(tx, name="Other")
        token = await create_token(tx, pepper=PEPPER, workspace_id=other.id, name="t")
    with pytest.raises(errors.Conflict):
        async with db.unit() as tx:
            await ensure_first(tx, pepper=PEPPER, username=token.id, password="mine")


async def test_the_database_holds_a_hash_that_is_worth_nothing_without_the_pepper(db):
    await first(db)
    async with db.unit() as tx:
        dump = str((await tx.execute(text("select * from access_tokens"))).all())
        assert await authenticate(tx, "root", "secret", pepper=b"another") is None
    assert "'secret'" not in dump
    assert hash_secret(PEPPER, "secret") != hash_secret(b"another", "secret")


@pytest.mark.parametrize(
    ("username", "password"),
    [("root", "wrong"), ("nobody", "secret"), ("", "secret"), ("root", ""), ("\0", "x"), ("r" * 300, "x")],
)
async def test_a_wrong_pair_opens_nothing(db, username, password):
    await first(db)
    assert await Authenticator(db, PEPPER).authenticate(username, password) is None


async def test_a_right_pair_is_remembered_and_a_wrong_one_never(db):
    await first(db)
    gate = Authenticator(db, PEPPER, cache_s=60)
    assert await gate.authenticate("root", "secret") is not None
    assert await gate.authenticate("root", "other") is None
    async with db.unit() as tx:
        assert await service.revoke_token(tx, "root")
        assert not await service.revoke_token(tx, "root")
    assert await gate.authenticate("root", "secret") is not None
    assert await Authenticator(db, PEPPER).authenticate("root", "secret") is None
    await first(db, password="other")
    assert await gate.authenticate("root", "other") is not None


async def test_a_revoked_token_works_no_longer_than_the_memory_lasts(db):
    await first(db)
    gate = Authenticator(db, PEPPER, cache_s=0.05)
    assert await gate.authenticate("root", "secret") is not None
    async with db.unit() as tx:
        await service.revoke_token(tx, "root")
    await asyncio.sleep(0.06)
    assert await gate.authenticate("root", "secret") is None


async def test_the_memory_of_right_pairs_is_bounded(db, monkeypatch):
    monkeypatch.setattr(door, "CACHE_MAX", 2)
    workspace = await first(db)
    gate = Authenticator(db, PEPPER, cache_s=60)
    async with db.unit() as tx:
        made = [await create_token(tx, pepper=PEPPER, workspace_id=workspace.id, name="t") for _ in range(3)]
    for token in made:
        assert await gate.authenticate(token.id, token.secret) is not None
    assert len(gate._known) == 2


async def test_a_token_has_only_known_permissions_and_its_secret_is_not_printed(db):
    workspace = await first(db)
    async with db.unit() as tx:
        token = await create_token(
            tx, pepper=PEPPER, workspace_id=workspace.id, name="t", permissions=["data:read", "video:write"]
        )
        for wrong in ([], ["video:eat"]):
            with pytest.raises(errors.Invalid):
                await create_token(tx, pepper=PEPPER, workspace_id=workspace.id, name="t", permissions=wrong)
        principal = await authenticate(tx, token.id, token.secret, pepper=PEPPER)
    assert token.secret not in repr(token)
    assert principal is not None
    assert [principal.may(p) for p in ("data:read", "video:write", "video:read")] == [True, True, False]


async def test_a_workspace_that_does_not_exist_is_not_found(db):
    async with db.unit() as tx:
        with pytest.raises(errors.NotFound):
            await service.get_workspace(tx, "0c9b4a1e-0000-4000-8000-000000000009")
