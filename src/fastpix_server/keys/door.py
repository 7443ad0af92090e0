"""Whose token is this? Keys and proven signatures, remembered for a while, in front of the table of keys.

Invariants:
- A deleted key opens nothing once its notification arrived, and KEYS_TTL_S after its deletion where that was lost.
  Only signatures are remembered, and a signature stays what it is; whether the key still lives is asked every time.
- A key opens from the moment its creation was answered: a name that is not among the keys we hold is refused only after
  a look at the table that began after the request came.
- Unknown names cost the table at most one look per workspace and RELOOK_S, however many are tried: all keys of a
  workspace are read at once, so that no name out of a token ever becomes a query.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from joserfc.jwk import RSAKey
from prometheus_client import Counter

from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.keys import service, tokens
from fastpix_server.keys.tokens import Claims, Genuine, Refused

# Spares the database a busy workspace; bounds how long a deleted key works where its notification was lost.
KEYS_TTL_S = 5.0
RELOOK_S = 0.25
# Each holds up to service.KEYS_MAX keys of 3 kB, imported; most have one or two.
WORKSPACES_MAX = 1024
# About 2 kB each: every viewer of an evening keeps one place.
PROVEN_MAX = 20_000

_checks = Counter("fastpix_tokens", "Playback tokens looked at, by what came of it.", ["outcome"])


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of a workspace as the table had them when the look began."""

    by_id: Mapping[str, RSAKey]
    looked_at_s: float


class TokenDoor:
    """One per process. Make it before `listener.start()`. `now_s` is the wall clock, in seconds since 1970."""

    def __init__(self, db: Database, listener: Listener, *, now_s: Callable[[], float] | None = None) -> None:
        self._db = db
        self._now_s = now_s or time.time
        self._keys: OrderedDict[str, _Keys] = OrderedDict()
        self._looks: dict[str, asyncio.Task[_Keys]] = {}
        self._proven: OrderedDict[bytes, Genuine] = OrderedDict()
        self._changes = 0
        listener.on(service.CHANGED, self._on_changed)
        listener.on_reconnect(self._on_reconnect)

    async def admit(self, token: str, playback_id: str, workspace_id: str) -> Claims | Refused:
        """What the token opens of this playback id, which belongs to that workspace."""
        found = await self._admit(token, playback_id, workspace_id)
        _checks.labels(found.reason if isinstance(found, Refused) else "good").inc()
        return found

    async def is_living(self, kid: str, workspace_id: str) -> bool:
        """Does the workspace still have this key? For what was handed out to a token that it had signed."""
        return await self._key(kid, workspace_id) is not None

    async def genuine(self, token: str, workspace_id: str) -> Genuine | Refused:
        """Was it signed by a key of that workspace? What it opens, and whether it does now, is for `admit`."""
        peeked = tokens.peek(token)
        if isinstance(peeked, Refused):
            return peeked
        key = await self._key(peeked.kid, workspace_id)
        return Refused("token_key_unknown") if key is None else self._prove(token, key)

    async def _admit(self, token: str, playback_id: str, workspace_id: str) -> Claims | Refused:
        genuine = await self.genuine(token, workspace_id)
        if isinstance(genuine, Refused):
            return genuine
        return tokens.judge(genuine, playback_id=playback_id, workspace_id=workspace_id, now_s=self._now_s())

    def _prove(self, token: str, key: RSAKey) -> Genuine | Refused:
        """Refusals are not remembered: they would push out the good ones, and cost 60 us each."""
        digest = hashlib.sha256(token.encode("ascii")).digest()
        known = self._proven.get(digest)
        if known is not None:
            self._proven.move_to_end(digest)
            return known
        genuine = tokens.verify(token, key)
        if isinstance(genuine, Genuine):
            self._proven[digest] = genuine
            if len(self._proven) > PROVEN_MAX:
                self._proven.popitem(last=False)
        return genuine

    async def _key(self, kid: str, workspace_id: str) -> RSAKey | None:
        asked_s = time.monotonic()
        held = self._keys.get(workspace_id)
        if held is None or held.looked_at_s + KEYS_TTL_S < asked_s:
            held = await self._look(workspace_id)
        # A look that began before this request may have missed a key that was made in between.
        while kid not in held.by_id and held.looked_at_s < asked_s:
            await asyncio.sleep(held.looked_at_s + RELOOK_S - time.monotonic())
            held = self._newest(workspace_id, asked_s) or await self._look(workspace_id)
        if workspace_id in self._keys:
            self._keys.move_to_end(workspace_id)
        return held.by_id.get(kid)

    def _newest(self, workspace_id: str, not_before_s: float) -> _Keys | None:
        """What another request has looked up while this one slept."""
        held = self._keys.get(workspace_id)
        return held if held is not None and held.looked_at_s >= not_before_s else None

    async def _look(self, workspace_id: str) -> _Keys:
        """A thousand viewers ask the table once."""
        look = self._looks.get(workspace_id)
        if look is None:
            look = asyncio.create_task(self._read(workspace_id))
            self._looks[workspace_id] = look
            look.add_done_callback(lambda done: self._forget_look(workspace_id, done))
        return await asyncio.shield(look)

    async def _read(self, workspace_id: str) -> _Keys:
        changes, begun_s = self._changes, time.monotonic()
        known = self._keys.get(workspace_id)
        async with self._db.unit() as tx:
            found = await service.list_all(tx, workspace_id)
        # A key never changes under its id, so one that was imported before need not be again.
        before = known.by_id if known is not None else {}
        made = _Keys({key.id: before.get(key.id) or tokens.import_key(key.public_pem) for key in found}, begun_s)
        if changes == self._changes:
            self._keys[workspace_id] = made
            if len(self._keys) > WORKSPACES_MAX:
                self._keys.popitem(last=False)
        return made

    def _forget_look(self, workspace_id: str, done: asyncio.Task[_Keys]) -> None:
        if self._looks.get(workspace_id) is done:
            del self._looks[workspace_id]

    def _on_changed(self, workspace_id: str) -> None:
        """A look under way may have begun before the change: who comes now starts another."""
        self._changes += 1
        self._keys.pop(workspace_id, None)
        self._looks.pop(workspace_id, None)

    def _on_reconnect(self) -> None:
        self._changes += 1
        self._keys.clear()
        self._looks.clear()
