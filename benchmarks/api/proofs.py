"""Tokens that the door proves per second, in one process: the same one again and again, and 10,000 different ones."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import RSAKey

from benchmarks.table import Row
from fastpix_server.access import service as access
from fastpix_server.app.postgres import EmbeddedPostgres
from fastpix_server.base import ids
from fastpix_server.db import migrate
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.keys import service as keys
from fastpix_server.keys.door import TokenDoor
from fastpix_server.keys.tokens import Claims

DISTINCT = 10_000
ROUNDS = 3


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="fastpix-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        try:
            server.ensure_database("bench")
            migrate.upgrade_now(server.url("bench"))
            return asyncio.run(_rows(server.url("bench")))
        finally:
            server.stop()


async def _rows(url: str) -> list[Row]:
    db = await Database.open(url, size=2)
    listener = Listener(url)
    try:
        async with db.unit() as tx:
            workspace_id = (await access.create_workspace(tx, name="Bench")).id
            made = await keys.create(tx, workspace_id)
        playback_id = ids.new_uuid()
        texts = _signed(made.key.id, made.private_pem, playback_id, DISTINCT)
        one, first, again = [], [], []
        for _ in range(ROUNDS):
            door = TokenDoor(db, listener)
            one.append(await _rate_per_s(door, texts[:1] * DISTINCT, playback_id, workspace_id))
            door = TokenDoor(db, listener)
            first.append(await _rate_per_s(door, texts, playback_id, workspace_id))
            again.append(await _rate_per_s(door, texts, playback_id, workspace_id))
    finally:
        await listener.close()
        await db.close()
    known = statistics.median(one)
    return [
        Row("one token again and again", f"{known:,.0f}/s"),
        _against("10,000 distinct tokens, each for the first time", first, one),
        _against("10,000 distinct tokens, each known", again, one),
    ]


def _against(what: str, rates: Sequence[float], one: Sequence[float]) -> Row:
    ratio = statistics.median(a / b for a, b in zip(rates, one, strict=True))
    return Row(what, f"{statistics.median(rates):,.0f}/s", f"one token {statistics.median(one):,.0f}/s", ratio)


def _signed(kid: str, private_pem: str, playback_id: str, count: int) -> list[str]:
    key = RSAKey.import_key(private_pem)
    now_s = int(time.time())
    header = {"alg": "RS256", "typ": "JWT", "kid": kid}
    payload = {"kid": kid, "aud": f"media:{playback_id}", "iat": now_s, "exp": now_s + 3600}
    return [jwt.encode(header, {**payload, "sub": f"viewer {i}"}, key, algorithms=["RS256"]) for i in range(count)]


async def _rate_per_s(door: TokenDoor, texts: Sequence[str], playback_id: str, workspace_id: str) -> float:
    begin_s = time.perf_counter()
    for text in texts:
        found = await door.admit(text, playback_id, workspace_id)
        assert isinstance(found, Claims), found
    return len(texts) / (time.perf_counter() - begin_s)
