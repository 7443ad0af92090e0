"""The memory in front of the table of tokens: revocation bites, guesses are slow, whoever is at work stays at work."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from fastpix_server.access import door, service
from fastpix_server.access.attempts import ADDRESS_BURST
from fastpix_server.access.door import Authenticator
from fastpix_server.access.model import NewToken, Principal
from fastpix_server.base import errors
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database

PEPPER = b"pepper"
HOME, ATTACKER = "192.0.2.1", "198.51.100.1"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, size=4)
    yield opened
    await opened.close()


@pytest.fixture
async def token(db: Database) -> NewToken:
    async with db.unit() as tx:
        workspace = await service.create_workspace(tx, name="w")
        return await service.create_token(tx, pepper=PEPPER, workspace_id=workspace.id, name="t")


async def hammer(gate: Authenticator, name: str, address: str) -> None:
    """Until it is refused without a look."""
    with pytest.raises(errors.TooMany):
        for n in range(20 * ADDRESS_BURST):
            assert await gate.authenticate(name, f"wrong {n}", address) is None


class Counting(Authenticator):
    """Knows how often the table was asked."""

    looks = 0

    async def _read(self, username: str, secret_hash: bytes) -> Principal | None:
        self.looks += 1
        return await super()._read(username, secret_hash)


async def test_a_revocation_bites_in_every_process_within_a_second(db, token, database_url):
    listeners = [Listener(database_url) for _ in range(3)]
    gates = [Authenticator(db, PEPPER, listener=listener, cache_s=3600) for listener in listeners]
    for listener in listeners:
        await listener.start()
    try:
        for gate in gates:
            assert await gate.authenticate(token.id, token.secret) is not None
        async with db.unit() as tx:
            await service.revoke_token(tx, token.id)
        begun_s = time.monotonic()
        for gate in gates:
            while await gate.authenticate(token.id, token.secret) is not None:
                assert time.monotonic() < begun_s + 30  # a busy machine; measured in milliseconds on an idle one
                await asyncio.sleep(0.01)
    finally:
        for listener in listeners:
            await listener.close()


async def test_a_new_secret_of_the_first_token_ends_the_old_one_by_the_same_notification(db, database_url):
    async with db.unit() as tx:
        await service.ensure_first(tx, pepper=PEPPER, username="root", password="old")
    listener = Listener(database_url)
    gate = Authenticator(db, PEPPER, listener=listener, cache_s=3600)
    await listener.start()
    try:
        assert await gate.authenticate("root", "old") is not None
        async with db.unit() as tx:
            await service.ensure_first(tx, pepper=PEPPER, username="root", password="new")
        deadline_s = time.monotonic() + 30
        while await gate.authenticate("root", "old") is not None:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.01)
        assert await gate.authenticate("root", "new") is not None
    finally:
        await listener.close()


async def test_a_look_that_began_before_a_revocation_is_not_remembered(db, token):
    gate = Authenticator(db, PEPPER, cache_s=3600)
    looking = asyncio.create_task(gate.authenticate(token.id, token.secret))
    for _ in range(5):  # now it has begun, or it is over already: both must forget
        await asyncio.sleep(0)
    gate._on_changed(token.id)  # as the listener calls it
    await looking
    assert token.id not in gate._known


async def test_after_a_lost_connection_everything_is_asked_again(db, token):
    gate = Authenticator(db, PEPPER, cache_s=3600)
    assert await gate.authenticate(token.id, token.secret) is not None
    async with db.unit() as tx:
        await service.revoke_token(tx, token.id)
    assert await gate.authenticate(token.id, token.secret) is not None
    gate._on_reconnect()
    assert await gate.authenticate(token.id, token.secret) is None


async def test_who_hammers_a_token_does_not_lock_out_its_owner_anywhere_else(db, token):
    gate = Authenticator(db, PEPPER, cache_s=0)
    for n in range(8):
        await hammer(gate, token.id, f"198.51.100.{n}")
    assert await gate.authenticate(token.id, token.secret, HOME) is not None
    with pytest.raises(errors.TooMany):
        await gate.authenticate(token.id, token.secret, "198.51.100.0")


async def test_a_pair_at_work_goes_on_working_though_its_neighbour_guesses(db, token):
    gate = Authenticator(db, PEPPER, cache_s=0)
    assert await gate.authenticate(token.id, token.secret, HOME) is not None
    await hammer(gate, token.id, HOME)
    for _ in range(3):
        assert await gate.authenticate(token.id, token.secret, HOME) is not None


async def test_the_memory_is_no_way_around_the_limit_for_an_address_that_guesses(db, token):
    gate = Authenticator(db, PEPPER, cache_s=3600)
    assert await gate.authenticate(token.id, token.secret, HOME) is not None
    await hammer(gate, token.id, ATTACKER)
    with pytest.raises(errors.TooMany):
        await gate.authenticate(token.id, token.secret, ATTACKER)


async def test_a_refused_guess_costs_the_database_nothing(db, token):
    gate = Counting(db, PEPPER)
    await hammer(gate, token.id, ATTACKER)
    looks, refused = gate.looks, 0
    for n in range(100):
        try:
            await gate.authenticate(token.id, f"still wrong {n}", ATTACKER)
        except errors.TooMany:
            refused += 1
    assert refused
    assert gate.looks == looks + 100 - refused


async def test_a_fleet_that_starts_at_once_is_one_look_and_nobody_is_refused(db, token):
    gate = Counting(db, PEPPER)
    found = await asyncio.gather(*(gate.authenticate(token.id, token.secret, HOME) for _ in range(10 * ADDRESS_BURST)))
    assert all(found)
    assert gate.looks == 1


async def test_right_pairs_are_free_however_often_they_are_looked_up(db, token):
    gate = Authenticator(db, PEPPER, cache_s=0)
    for _ in range(2 * ADDRESS_BURST):
        assert await gate.authenticate(token.id, token.secret, HOME) is not None


async def test_a_database_that_is_away_is_no_failure_of_the_caller(database_url, token):
    away = await Database.open("postgresql://nobody@127.0.0.1:1/none", size=1)
    gate = Authenticator(away, PEPPER)
    for _ in range(2 * ADDRESS_BURST):
        with pytest.raises(errors.Unavailable):
            await gate.authenticate(token.id, token.secret, HOME)
    await away.close()


async def test_the_addresses_remembered_of_a_token_are_bounded(db, token, monkeypatch):
    monkeypatch.setattr(door, "ADDRESSES_MAX", 2)
    gate = Authenticator(db, PEPPER)
    for n in range(5):
        assert await gate.authenticate(token.id, token.secret, f"192.0.2.{n}") is not None
    assert list(gate._known[token.id].addresses) == ["192.0.2.3", "192.0.2.4"]
