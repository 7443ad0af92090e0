"""Content keys: one per target that has, or had, a playback id of the policy `drm`.

Invariants: a key is made in the transaction that creates the first such id and never changes, so what was encrypted
once stays right; it lies in the database only under the master key, bound to its row; it is logged nowhere and leaves
by the licence endpoints alone.
"""

import secrets

from fastpix_server.base import errors, ids
from fastpix_server.base.seals import Seals
from fastpix_server.db.pool import Tx
from fastpix_server.engine.protect import IV_BYTES, KEY_BYTES, ContentKey
from fastpix_server.playback import store

_seals: Seals | None = None


def configure(seals: Seals) -> None:
    """Once per process, by the app: API, edge and workers all make or open keys."""
    global _seals
    _seals = seals


async def ensure(tx: Tx, target_id: str) -> None:
    """The target has a key after this."""
    if await store.find_content_key(tx, target_id) is not None:
        return
    sealed = _sealing().seal(secrets.token_bytes(KEY_BYTES), _place(target_id))
    # Two who come at once: the second waits here for the first, and keeps its key.
    await store.insert_content_key(
        tx, target_id=target_id, key_id=ids.new_uuid(), sealed_key=sealed, iv=secrets.token_bytes(IV_BYTES)
    )


async def get(tx: Tx, target_id: str) -> ContentKey:
    """Raises errors.NotFound when no id of the target was ever encrypted, or the target is gone."""
    found = await store.find_content_key(tx, target_id)
    if found is None:
        raise errors.NotFound("This video has no content key.")
    return ContentKey(found.key_id, _sealing().open(found.sealed_key, _place(target_id)), found.iv)


def _sealing() -> Seals:
    assert _seals is not None, "the app configures content keys before it serves"
    return _seals


def _place(target_id: str) -> str:
    return f"playback_content_keys:sealed_key:{target_id}"
