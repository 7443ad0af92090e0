"""The verbs of signing keys: make one, list, look, delete.

Invariants: the private half leaves this process once, in the answer to its maker, and is never stored or logged by
this room; a change is announced on `keys_changed` (payload: the workspace) in the transaction that makes it; a key of
another workspace does not exist.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fastpix_server.base import errors, ids, log
from fastpix_server.db.notify import notify
from fastpix_server.db.pool import Tx
from fastpix_server.keys import store
from fastpix_server.keys.model import KeyPair, NewSigningKey, SigningKey

_log = log.get(__name__)

CHANGED = "keys_changed"
# One key per backend and environment, twice while they rotate, is a dozen. Edges hold all keys of a workspace.
KEYS_MAX = 100
KEY_BITS = 2048  # contract section 6
_EXPONENT = 65537
# A key costs 30-300 ms of one core: playback on the same machine keeps the others.
MAKERS = 1
# Who waits here holds a database connection; beyond this many, callers are told to come back.
MAKING_MAX = 4
_RETRY_S = 1

_makers = ThreadPoolExecutor(MAKERS, thread_name_prefix="signing-key")
_making = 0


async def create(tx: Tx, workspace_id: str) -> NewSigningKey:
    """Raises errors.BadState at KEYS_MAX keys, errors.TooMany while MAKING_MAX are being made in this process."""
    await _check_room(tx, workspace_id)
    pair = await make_pair()
    # Only now: nobody waits for a lock while numbers are tested for being prime.
    await store.lock_workspace(tx, workspace_id)
    await _check_room(tx, workspace_id)
    key = await store.insert(tx, key_id=ids.new_uuid(), workspace_id=workspace_id, public_pem=pair.public_pem)
    await notify(tx, CHANGED, workspace_id)
    _log.info("signing_key_created", workspace_id=workspace_id, key_id=key.id)
    return NewSigningKey(key, pair.private_pem)


async def get(tx: Tx, workspace_id: str, key_id: str) -> SigningKey:
    found = await store.find(tx, workspace_id, key_id)
    if found is None:
        raise _not_found()
    return found


async def list_page(tx: Tx, workspace_id: str, *, limit: int, offset: int) -> tuple[list[SigningKey], int]:
    """Page `offset` (from 1), newest first, and how many there are in all."""
    found = await store.page(tx, workspace_id, limit=limit, skip=(offset - 1) * limit)
    return found, await store.count(tx, workspace_id)


async def list_all(tx: Tx, workspace_id: str) -> list[SigningKey]:
    """Every key of the workspace; KEYS_MAX bounds it."""
    return await store.page(tx, workspace_id, limit=KEYS_MAX, skip=0)


async def delete(tx: Tx, workspace_id: str, key_id: str) -> None:
    """Tokens of this key are refused everywhere as soon as the notification arrives, or the edges' caches run out."""
    if not await store.delete(tx, workspace_id, key_id):
        raise _not_found()
    await notify(tx, CHANGED, workspace_id)
    _log.info("signing_key_deleted", workspace_id=workspace_id, key_id=key_id)


async def make_pair() -> KeyPair:
    """A fresh key from a thread of its own; the event loop stays free. Raises errors.TooMany beyond MAKING_MAX."""
    global _making
    if _making >= MAKING_MAX:
        raise errors.TooMany(_RETRY_S, "Too many signing keys are being made at once; try again shortly.")
    _making += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_makers, _make_pair)
    finally:
        _making -= 1


def _make_pair() -> KeyPair:
    private = rsa.generate_private_key(public_exponent=_EXPONENT, key_size=KEY_BITS)
    private_pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return KeyPair(private_pem.decode("ascii"), public_pem.decode("ascii"))


async def _check_room(tx: Tx, workspace_id: str) -> None:
    if await store.count(tx, workspace_id) >= KEYS_MAX:
        raise errors.BadState(
            f"A workspace has at most {KEYS_MAX} signing keys; delete one that is no longer used.",
            message="signing key limit reached",
        )


def _not_found() -> errors.NotFound:
    return errors.NotFound("There is no such signing key in the workspace.", message="Signing key Not Found")
