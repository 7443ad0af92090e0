"""Guessing is slow: how many wrong pairs one address, and all addresses together, may try.

Invariants (why: docs/decisions/0016-slow-guesses.md):
- An address pays for a try before the pair is looked up, and gets it back when the pair was right: many guesses at
  once are no way around the limit, and right pairs are free.
- Hammering a token id locks nobody out: it only shortens the patience with addresses that have failed lately. An
  address without a recent failure may always try.
- Both tables are bounded. That of tokens has a fixed number of places, chosen by a keyed hash, so that no flood of
  made-up names pushes a real one out; two names in one place share their heat, which is harmless by the line above.
"""

import dataclasses
import time
from typing import Literal

from prometheus_client import Counter

from fastpix_server.base import errors, log
from fastpix_server.base.buckets import Buckets
from fastpix_server.base.client_address import customer_of

# A person mistypes three times and a fleet with an old secret a few times more; then ten guesses a minute.
ADDRESS_BURST = 20
ADDRESS_PER_S = 1 / 6
# Against owners of many addresses: a token with 100 failures at once, or one a second for long, is under attack, and
# an address gets one guess a minute at it instead of ten.
TOKEN_BURST = 100
TOKEN_PER_S = 1.0
ATTACKED_PAUSE_S = 60
TOKEN_PLACES = 8192
# An attack makes thousands of refusals a second and one line of log in this time.
LOG_EVERY_S = 10.0

Reason = Literal["no_pair", "wrong_pair", "slowed_address", "slowed_name"]
_BY_ADDRESS: Reason = "slowed_address"
_BY_NAME: Reason = "slowed_name"

_log = log.get(__name__)
_failures = Counter("fastpix_log_in_failures", "Requests without a right pair, by what was wrong.", ["reason"])


def count_failure(reason: Reason) -> None:
    _failures.labels(reason).inc()


@dataclasses.dataclass(frozen=True, slots=True)
class Try:
    """One look-up of a pair that an address has paid for."""

    name: str = dataclasses.field(repr=False)
    customer: str
    is_at_attacked: bool


class Attempts:
    """One per process: several processes allow several times as much, which changes no order of magnitude."""

    def __init__(self) -> None:
        self._addresses = Buckets(ADDRESS_PER_S, ADDRESS_BURST)
        self._failed_lately = Buckets(1 / ATTACKED_PAUSE_S, 1)
        self._tokens = Buckets(TOKEN_PER_S, TOKEN_BURST, buckets_max=TOKEN_PLACES)
        self._log_after_s = 0.0
        self._unlogged = 0

    def check(self, name: str, address: str, *, now_s: float | None = None) -> None:
        """Raises errors.TooMany when this address may not try this name now; a refusal is counted and logged."""
        now_s = time.monotonic() if now_s is None else now_s
        customer, reason = customer_of(address), _BY_ADDRESS
        wait_s = self._addresses.wait_s(customer, now_s=now_s)
        if not wait_s and self._is_attacked(name, now_s):
            wait_s, reason = self._failed_lately.wait_s(customer, now_s=now_s), _BY_NAME
        if wait_s:
            self._refused(reason, customer, now_s)
            raise errors.TooMany(wait_s, f"Too many failed log-ins; try again in {wait_s} s.")

    def begin(self, name: str, address: str, *, now_s: float | None = None) -> Try:
        """Pays for one try. Raises errors.TooMany as check() does; otherwise was_right() or was_wrong() must follow."""
        now_s = time.monotonic() if now_s is None else now_s
        self.check(name, address, now_s=now_s)
        begun = Try(name, customer_of(address), self._is_attacked(name, now_s))
        self._addresses.take(begun.customer, now_s=now_s)
        if begun.is_at_attacked:
            self._failed_lately.take(begun.customer, now_s=now_s)
        return begun

    def was_right(self, begun: Try, *, now_s: float | None = None) -> None:
        self._addresses.give_back(begun.customer, now_s=now_s)
        if begun.is_at_attacked:
            self._failed_lately.give_back(begun.customer, now_s=now_s)

    def was_wrong(self, begun: Try, *, now_s: float | None = None) -> None:
        count_failure("wrong_pair")
        self._tokens.take(_place(begun.name), now_s=now_s)
        if not begun.is_at_attacked:
            self._failed_lately.take(begun.customer, now_s=now_s)

    def _is_attacked(self, name: str, now_s: float) -> bool:
        return self._tokens.wait_s(_place(name), now_s=now_s) > 0

    def _refused(self, reason: Reason, customer: str, now_s: float) -> None:
        """Names are not logged: people type secrets into the wrong field."""
        count_failure(reason)
        self._unlogged += 1
        if now_s >= self._log_after_s:
            _log.warning("log_ins_slowed", reason=reason, address=customer, count=self._unlogged)
            self._log_after_s, self._unlogged = now_s + LOG_EVERY_S, 0


def _place(name: str) -> str:
    """Python keys the hash of a text with a secret of the process."""
    return str(hash(name) % TOKEN_PLACES)
