"""Idempotency-Key: a repeated request gets the first answer, and changes nothing (contract section 1).

Invariants: the answer is kept in the transaction of the change, so both exist or neither; a twin that comes while the
first is still at work waits for it; only successes are kept, for a refused request changed nothing. The body of the
repeated request is not compared: the contract replays whatever it says. Kept bodies are sealed by AES-256-GCM under a
key from the server's pepper, because some hold secrets that are shown once (a private key, a secret of a token): the
database alone reveals none of them.
"""

import dataclasses
import functools
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from prometheus_client import Counter
from sqlalchemy import text

from fastpix_server.base import errors
from fastpix_server.base.errors import FieldError
from fastpix_server.db.pool import Database, Tx

HEADER = "idempotency-key"
KEY_MAX_CHARS = 255  # SDKs send UUIDs
KEEP_HOURS = 24  # contract section 1
# A twin holds a database connection while it waits; ten twins of a slow request must not hold the whole pool long.
TWIN_WAIT_MS = 5000
_NONCE_BYTES = 12  # NIST SP 800-38D: 96 random bits

_replays = Counter("fastpix_api_replays", "Answers replayed for a repeated Idempotency-Key.")


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """What a key is a key of. `target` is path and query."""

    workspace_id: str
    method: str
    target: str
    key: str


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    status: int
    body: bytes = dataclasses.field(repr=False)


def read_key(header: str | None) -> str | None:
    """None without a key; raises errors.Invalid for one that cannot be kept."""
    if not header:
        return None
    if len(header) > KEY_MAX_CHARS:
        raise errors.Invalid(FieldError("Idempotency-Key", f"must be at most {KEY_MAX_CHARS} characters"))
    return header


async def claim(tx: Tx, name: Name, pepper: bytes) -> Kept | None:
    """The kept answer, or None and the right to be the first: until `tx` ends, twins wait here.

    A twin that waits longer than TWIN_WAIT_MS fails with SQLSTATE 55P03.
    """
    await tx.execute(text(f"set local lock_timeout = {TWIN_WAIT_MS}"))
    await tx.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"),
        {"name": f"idempotency {name.workspace_id} {name.method} {name.target} {name.key}"},
    )
    await tx.execute(text("set local lock_timeout = 0"))
    result = await tx.execute(
        text(
            "select status, body from idempotent_answers where workspace_id = :workspace_id and method = :method"
            " and target = :target and key = :key and created_at > now() - make_interval(hours => :hours)"
        ),
        {**dataclasses.asdict(name), "hours": KEEP_HOURS},
    )
    row = result.one_or_none()
    body = None if row is None else _opened(bytes(row.body), name, pepper)
    if row is None or body is None:
        return None
    _replays.inc()
    return Kept(row.status, body)


async def keep(tx: Tx, name: Name, kept: Kept, pepper: bytes) -> None:
    """Keeps the answer for twins to come; one that has expired makes room."""
    await tx.execute(
        text(
            "insert into idempotent_answers (workspace_id, method, target, key, status, body)"
            " values (:workspace_id, :method, :target, :key, :status, :body)"
            " on conflict (workspace_id, method, target, key) do update set"
            " status = excluded.status, body = excluded.body, created_at = now()"
        ),
        {**dataclasses.asdict(name), "status": kept.status, "body": _sealed(kept.body, name, pepper)},
    )


async def purge(*, db: Database) -> int:
    """Deletes expired answers; the app calls it every hour."""
    async with db.unit() as tx:
        result = await tx.execute(
            text("delete from idempotent_answers where created_at < now() - make_interval(hours => :hours)"),
            {"hours": KEEP_HOURS},
        )
        return int(result.rowcount)


def _sealed(body: bytes, name: Name, pepper: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher(pepper).encrypt(nonce, body, repr(name).encode())


def _opened(sealed: bytes, name: Name, pepper: bytes) -> bytes | None:
    """None when it was sealed under another master key, or moved: then nothing was kept for this name."""
    try:
        return _cipher(pepper).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], repr(name).encode())
    except (InvalidTag, ValueError):
        return None


@functools.lru_cache(maxsize=4)
def _cipher(pepper: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"fastpix/kept-answers/1").derive(pepper))
