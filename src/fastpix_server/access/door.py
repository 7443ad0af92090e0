"""Basic-auth pairs to principals: a short memory of right pairs in front of the table, and patience with wrong ones.

Invariants:
- A revoked token, or one with a new secret, opens nothing once its notification arrived, and CACHE_S later where that
  was lost. Wrong pairs are never remembered.
- A pair that was right at an address stays free of every limit there, for as long as it is remembered: neither an
  attacker nor a neighbour behind the same proxy can lock out a program that is at work. Elsewhere the memory answers
  only who may try, so that it is no way around the limits.
- A limit refuses before the table is asked; the same pair many times at once is one look and one try.
"""

import asyncio
import dataclasses
import hmac
import time
from collections import OrderedDict

from fastpix_server.access import service
from fastpix_server.access.attempts import Attempts, count_failure
from fastpix_server.access.model import Principal
from fastpix_server.base import errors
from fastpix_server.base.client_address import UNKNOWN
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database

CACHE_S = 5.0  # how long a revoked token may still work where its notification was lost
CACHE_MAX = 4096  # tokens remembered; the least recently used one goes
# Addresses at which a token is known, each 100 bytes: servers that share a token are fewer.
ADDRESSES_MAX = 32
NAME_MAX_CHARS = 255  # user names beyond it belong to nobody: no query is made
SECRET_MAX_CHARS = 1024


@dataclasses.dataclass(slots=True)
class _Known:
    """A pair that was right. Beyond `fresh_until_s` the table is asked again."""

    secret_hash: bytes = dataclasses.field(repr=False)
    principal: Principal
    fresh_until_s: float
    addresses: OrderedDict[str, None] = dataclasses.field(default_factory=OrderedDict)

    def seen_at(self, address: str) -> None:
        self.addresses[address] = None
        self.addresses.move_to_end(address)
        if len(self.addresses) > ADDRESSES_MAX:
            self.addresses.popitem(last=False)


class Authenticator:
    """One per process. With a listener, make it before `listener.start()`."""

    def __init__(
        self, db: Database, pepper: bytes, *, listener: Listener | None = None, cache_s: float = CACHE_S
    ) -> None:
        self._db = db
        self._pepper = pepper
        self._cache_s = cache_s
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._looks: dict[tuple[str, bytes], asyncio.Task[Principal | None]] = {}
        self._attempts = Attempts()
        self._changes = 0
        if listener is not None:
            listener.on(service.CHANGED, self._on_changed)
            listener.on_reconnect(self._on_reconnect)

    async def authenticate(self, username: str, password: str, address: str = UNKNOWN) -> Principal | None:
        """None for a wrong pair. Raises errors.TooMany for an address that has guessed too often."""
        if not 0 < len(username) <= NAME_MAX_CHARS or len(password) > SECRET_MAX_CHARS or "\0" in username:
            count_failure("no_pair")
            return None
        secret_hash = service.hash_secret(self._pepper, password)
        known = self._known.get(username)
        if known is None or not hmac.compare_digest(known.secret_hash, secret_hash):
            return await self._try(username, secret_hash, address)
        if address not in known.addresses:
            self._attempts.check(username, address)
        self._known.move_to_end(username)
        if known.fresh_until_s > time.monotonic():
            known.seen_at(address)
            return known.principal
        if address in known.addresses:
            return await self._look(username, secret_hash, address)
        return await self._try(username, secret_hash, address)

    async def _try(self, username: str, secret_hash: bytes, address: str) -> Principal | None:
        """A look that the address pays for, unless somebody is already looking for the same."""
        if (username, secret_hash) in self._looks:
            self._attempts.check(username, address)
            return await self._look(username, secret_hash, address)
        begun = self._attempts.begin(username, address)
        try:
            principal = await self._look(username, secret_hash, address)
        except errors.Unavailable:
            self._attempts.was_right(begun)  # nobody knows, and it is our fault
            raise
        if principal is None:
            self._attempts.was_wrong(begun)
        else:
            self._attempts.was_right(begun)
        return principal

    async def _look(self, username: str, secret_hash: bytes, address: str) -> Principal | None:
        pair = (username, secret_hash)
        look = self._looks.get(pair)
        if look is None:
            look = asyncio.create_task(self._read(username, secret_hash))
            self._looks[pair] = look
            look.add_done_callback(lambda done: self._forget_look(pair, done))
        principal = await asyncio.shield(look)
        known = self._known.get(username)
        if principal is not None and known is not None and known.secret_hash == secret_hash:
            known.seen_at(address)
        return principal

    async def _read(self, username: str, secret_hash: bytes) -> Principal | None:
        changes = self._changes
        async with self._db.unit() as tx:
            principal = await service.authenticate_hash(tx, username, secret_hash)
        known = self._known.get(username)
        if principal is None:
            if known is not None and known.secret_hash == secret_hash:
                del self._known[username]
        elif changes == self._changes:
            fresh_until_s = time.monotonic() + self._cache_s
            if known is not None and known.secret_hash == secret_hash:
                known.principal, known.fresh_until_s = principal, fresh_until_s
            else:
                self._known[username] = _Known(secret_hash, principal, fresh_until_s)
            self._known.move_to_end(username)
            while len(self._known) > CACHE_MAX:
                self._known.popitem(last=False)
        return principal

    def _forget_look(self, pair: tuple[str, bytes], done: "asyncio.Task[Principal | None]") -> None:
        if self._looks.get(pair) is done:
            del self._looks[pair]
        if not done.cancelled():
            done.exception()  # read, so that a look which everybody has left does not complain

    def _on_changed(self, token_id: str) -> None:
        """A look under way may have begun before the change: who comes now starts another."""
        self._changes += 1
        self._known.pop(token_id, None)
        for pair in [pair for pair in self._looks if pair[0] == token_id]:
            del self._looks[pair]

    def _on_reconnect(self) -> None:
        """What was remembered may have changed; where the pairs were right is still so."""
        self._changes += 1
        self._looks.clear()
        for known in self._known.values():
            known.fresh_until_s = 0.0
