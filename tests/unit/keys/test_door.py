"""The door over a real database: what it remembers, what it forgets, and how soon."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from tests.unit.keys import signing
from tests.unit.keys.signing import PLAYBACK_ID, claims, pair, token

from fastpix_server.access import service as access
from fastpix_server.base import ids
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.keys import door as door_module
from fastpix_server.keys import service, store
from fastpix_server.keys.door import TokenDoor
from fastpix_server.keys.model import KeyPair
from fastpix_server.keys.tokens import Claims, Refused

UNKNOWN = Refused("token_key_unknown")


class House:
    """A database, two workspaces, and doors that listen or do not."""

    def __init__(self, db: Database, mine: str, theirs: str) -> None:
        self.db, self.mine, self.theirs = db, mine, theirs
        self.listeners: list[Listener] = []

    async def door(self, *, listens: bool = True, **options) -> TokenDoor:
        listener = Listener(self.db.url)
        made = TokenDoor(self.db, listener, **options)
        if listens:
            await listener.start()
            self.listeners.append(listener)
        return made

    async def key(self, workspace_id: str | None = None, key: KeyPair | None = None) -> str:
        kid = ids.new_uuid()
        async with self.db.unit() as tx:
            public_pem = (key or pair()).public_pem
            await store.insert(tx, key_id=kid, workspace_id=workspace_id or self.mine, public_pem=public_pem)
            await service.notify(tx, service.CHANGED, workspace_id or self.mine)
        return kid

    async def delete(self, kid: str) -> None:
        async with self.db.unit() as tx:
            await service.delete(tx, self.mine, kid)


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    db = await Database.open(database_url, size=6)
    async with db.unit() as tx:
        made = [(await access.create_workspace(tx, name=name)).id for name in ("Mine", "Theirs")]
    opened = House(db, *made)
    yield opened
    for listener in opened.listeners:
        await listener.close()
    await db.close()


def signed(kid: str, key: KeyPair | None = None, **changes) -> str:
    return token(claims(kid=kid, **changes), kid=kid, key=key)


@pytest.fixture
def looks(monkeypatch) -> list[str]:
    """Every look at the table of keys."""
    seen: list[str] = []
    whole = service.list_all

    async def counted(tx, workspace_id):
        seen.append(workspace_id)
        return await whole(tx, workspace_id)

    monkeypatch.setattr(service, "list_all", counted)
    return seen


async def test_every_attack_is_refused_at_the_door_and_every_twin_let_in(house):
    kid, other_kid = await house.key(), await house.key(key=pair("other"))
    door, now_s = await house.door(), int(time.time())
    for name, (text, reason) in signing.attacks(PLAYBACK_ID, kid, pair(), other_kid=other_kid, now_s=now_s).items():
        assert await door.admit(text, PLAYBACK_ID, house.mine) == Refused(reason), name
    for name, text in signing.good_twins(PLAYBACK_ID, kid, pair(), workspace_id=house.mine, now_s=now_s).items():
        assert isinstance(await door.admit(text, PLAYBACK_ID, house.mine), Claims), name


async def test_a_key_of_another_workspace_opens_nothing_here(house):
    kid, door = await house.key(house.theirs), await house.door()
    assert await door.admit(signed(kid), PLAYBACK_ID, house.mine) == UNKNOWN
    assert isinstance(await door.admit(signed(kid), PLAYBACK_ID, house.theirs), Claims)


async def test_a_deleted_key_is_refused_at_once_where_notifications_arrive(house, monkeypatch):
    monkeypatch.setattr(door_module, "KEYS_TTL_S", 3600)
    kid, door = await house.key(), await house.door()
    text = signed(kid)
    assert isinstance(await door.admit(text, PLAYBACK_ID, house.mine), Claims)
    await house.delete(kid)
    end_s = time.monotonic() + 60
    while isinstance(await door.admit(text, PLAYBACK_ID, house.mine), Claims):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.01)
    assert await door.admit(text, PLAYBACK_ID, house.mine) == UNKNOWN
    assert not await door.is_living(kid, house.mine)


async def test_a_deleted_key_is_refused_after_the_memory_ends_where_the_notification_was_lost(house, monkeypatch):
    monkeypatch.setattr(door_module, "KEYS_TTL_S", 3600)
    kid, door = await house.key(), await house.door(listens=False)
    text = signed(kid)
    assert isinstance(await door.admit(text, PLAYBACK_ID, house.mine), Claims)
    await house.delete(kid)
    assert isinstance(await door.admit(text, PLAYBACK_ID, house.mine), Claims)
    monkeypatch.setattr(door_module, "KEYS_TTL_S", 0)
    assert await door.admit(text, PLAYBACK_ID, house.mine) == UNKNOWN


async def test_a_new_key_opens_at_once_also_where_its_notification_was_lost(house):
    door = await house.door(listens=False)
    assert isinstance(await door.admit(signed(await house.key()), PLAYBACK_ID, house.mine), Claims)
    for _ in range(3):
        kid = await house.key()
        assert isinstance(await door.admit(signed(kid), PLAYBACK_ID, house.mine), Claims)


async def test_unknown_names_cost_few_looks_however_many_are_tried(house, looks):
    kid, door = await house.key(), await house.door()
    assert isinstance(await door.admit(signed(kid), PLAYBACK_ID, house.mine), Claims)
    begun_s = time.monotonic()
    tried = [door.admit(signed(ids.new_uuid()), PLAYBACK_ID, house.mine) for _ in range(100)]
    assert set(await asyncio.gather(*tried)) == {UNKNOWN}
    took_s = time.monotonic() - begun_s
    assert len(looks) <= 3 + took_s / door_module.RELOOK_S


async def test_a_thousand_viewers_with_one_key_ask_the_table_once(house, looks):
    kid, door = await house.key(), await house.door()
    text = signed(kid)
    found = await asyncio.gather(*(door.admit(text, PLAYBACK_ID, house.mine) for _ in range(1000)))
    assert all(isinstance(f, Claims) for f in found)
    assert looks == [house.mine]


async def test_a_signature_is_proven_once_and_its_claims_are_judged_every_time(house, monkeypatch):
    kid, clock_s = await house.key(), [time.time()]
    door = await house.door(now_s=lambda: clock_s[0])
    text = signed(kid, exp=int(clock_s[0]) + 10)
    proofs: list[str] = []
    whole = door_module.tokens.verify
    monkeypatch.setattr(door_module.tokens, "verify", lambda t, key: proofs.append(t) or whole(t, key))
    for _ in range(3):
        assert isinstance(await door.admit(text, PLAYBACK_ID, house.mine), Claims)
    assert await door.admit(text, ids.new_uuid(), house.mine) == Refused("token_audience")
    clock_s[0] += 71
    assert await door.admit(text, PLAYBACK_ID, house.mine) == Refused("token_expired")
    assert proofs == [text]


async def test_the_memory_of_proofs_is_bounded_and_holds_no_refused_token(house, monkeypatch):
    monkeypatch.setattr(door_module, "PROVEN_MAX", 3)
    kid, door = await house.key(), await house.door()
    for n in range(5):
        assert isinstance(await door.admit(signed(kid, n=n), PLAYBACK_ID, house.mine), Claims)
        await door.admit(signed(kid, pair("foreign"), n=n), PLAYBACK_ID, house.mine)
    assert len(door._proven) == 3
    assert all(genuine.payload["n"] >= 2 for genuine in door._proven.values())


async def test_the_memory_of_workspaces_is_bounded(house, monkeypatch):
    monkeypatch.setattr(door_module, "WORKSPACES_MAX", 1)
    mine, theirs, door = await house.key(), await house.key(house.theirs), await house.door()
    for _ in range(2):
        assert isinstance(await door.admit(signed(mine), PLAYBACK_ID, house.mine), Claims)
        assert isinstance(await door.admit(signed(theirs), PLAYBACK_ID, house.theirs), Claims)
    assert len(door._keys) == 1


async def test_keys_rotate_under_load_without_one_refused_good_request(house):
    doors = [await house.door(), await house.door(listens=False)]
    living, refused = [await house.key()], []
    rounds = [0] * 8
    stop = asyncio.Event()

    async def viewer(who: int) -> None:
        while not stop.is_set():
            found = await doors[who % 2].admit(signed(living[-1]), PLAYBACK_ID, house.mine)
            if isinstance(found, Refused):
                refused.append(found)
            rounds[who] += 1
            await asyncio.sleep(0)

    async def everyone_uses_the_newest_key() -> None:
        """Two rounds: the first may have begun before it was there."""
        before = list(rounds)
        while any(now < then + 2 for now, then in zip(rounds, before, strict=True)):  # noqa: ASYNC110 they only count
            await asyncio.sleep(0.01)

    viewers = [asyncio.create_task(viewer(who)) for who in range(len(rounds))]
    for _ in range(4):
        living.append(await house.key())
        await everyone_uses_the_newest_key()
        await house.delete(living[-2])
        await everyone_uses_the_newest_key()
    stop.set()
    await asyncio.gather(*viewers)
    assert refused == []
