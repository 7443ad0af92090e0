"""Workspaces and the access tokens that open them.

Invariants: the database holds HMAC-SHA256 of a secret under the server's pepper, never the secret; comparison takes
constant time and happens for unknown names too; a revoked token opens nothing after CACHE_S at most.
(HMAC, not a slow password hash: secrets are random and long, and every request is authenticated.)
"""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence

from fastpix_server.access import store
from fastpix_server.access.model import ALL, PERMISSIONS, NewToken, Principal, Workspace
from fastpix_server.base import errors, ids
from fastpix_server.db.pool import Database, Tx

CACHE_S = 5.0  # how long a revoked token may still work in a process that just saw it
CACHE_MAX = 4096  # distinct right pairs remembered; the least recently used one goes
NAME_MAX_CHARS = 255  # user names beyond it belong to nobody: no query is made
SECRET_MAX_CHARS = 1024
FIRST_WORKSPACE_NAME = "Development"


def hash_secret(pepper: bytes, secret: str) -> bytes:
    return hmac.digest(pepper, secret.encode("utf-8", "surrogatepass"), hashlib.sha256)


class Authenticator:
    """Basic-auth pairs to principals, with a short memory of right pairs. Wrong pairs are never remembered."""

    def __init__(self, db: Database, pepper: bytes, *, cache_s: float = CACHE_S) -> None:
        self._db = db
        self._pepper = pepper
        self._cache_s = cache_s
        self._known: OrderedDict[tuple[str, bytes], tuple[float, Principal]] = OrderedDict()

    async def authenticate(self, username: str, password: str) -> Principal | None:
        if not 0 < len(username) <= NAME_MAX_CHARS or len(password) > SECRET_MAX_CHARS or "\0" in username:
            return None
        pair = (username, hash_secret(self._pepper, password))
        known = self._known.get(pair)
        if known is not None and known[0] > time.monotonic():
            self._known.move_to_end(pair)
            return known[1]
        async with self._db.unit() as tx:
            principal = await authenticate(tx, username, password, pepper=self._pepper)
        if principal is None:
            self._known.pop(pair, None)
            return None
        self._known[pair] = (time.monotonic() + self._cache_s, principal)
        while len(self._known) > CACHE_MAX:
            self._known.popitem(last=False)
        return principal


async def authenticate(tx: Tx, username: str, password: str, *, pepper: bytes) -> Principal | None:
    """The holder of this pair, None when the pair is wrong. Asks the database every time."""
    token = await store.find_token(tx, username)
    expected = token.secret_hash if token is not None else bytes(32)
    is_right = hmac.compare_digest(expected, hash_secret(pepper, password))
    if token is None or not is_right:
        return None
    return Principal(token.workspace_id, token.id, token.permissions)


async def ensure_first(
    tx: Tx,
    *,
    pepper: bytes,
    username: str,
    password: str,
    workspace_id: str | None = None,
    workspace_key: str | None = None,
    name: str = FIRST_WORKSPACE_NAME,
) -> Workspace:
    """The default workspace and its first access token, with every permission; made or brought up to date.

    `workspace_id` and `workspace_key` are used only when no workspace exists yet. A changed password takes effect.
    """
    await store.lock_first_credentials(tx)
    workspace = await store.find_oldest_workspace(tx)
    if workspace is None:
        workspace = await create_workspace(tx, name=name, id=workspace_id, key=workspace_key)
    existing = await store.find_token(tx, username)
    if existing is not None and existing.workspace_id != workspace.id:
        raise errors.Conflict("The first user name belongs to a token of another workspace.")
    await store.put_token(
        tx,
        id=username,
        workspace_id=workspace.id,
        name="first",
        secret_hash=hash_secret(pepper, password),
        permissions=(ALL,),
    )
    return workspace


async def create_workspace(tx: Tx, *, name: str, id: str | None = None, key: str | None = None) -> Workspace:
    workspace_id = id or ids.new_uuid()
    if not await store.insert_workspace(tx, id=workspace_id, name=name, key=key or ids.new_hex32()):
        raise errors.Conflict("A workspace with this ID already exists.")
    return await get_workspace(tx, workspace_id)


async def get_workspace(tx: Tx, workspace_id: str) -> Workspace:
    workspace = await store.find_workspace(tx, workspace_id)
    if workspace is None:
        raise errors.NotFound("The workspace does not exist.", message="workspace not found")
    return workspace


async def list_drm_configurations(tx: Tx, workspace_id: str) -> list[str]:
    """The ids that `drmConfigurationId` may name: one, which every workspace has from its first moment."""
    found = await store.find_drm_configuration(tx, workspace_id)
    return [] if found is None else [found]


async def check_drm_configuration(tx: Tx, workspace_id: str, configuration_id: str) -> None:
    """Raises errors.BadState, in the words of the contract (2.4), for an id that is not one of the workspace's."""
    if configuration_id not in await list_drm_configurations(tx, workspace_id):
        raise no_drm_configuration()


def no_drm_configuration() -> errors.BadState:
    return errors.BadState(
        "The DRM configuration ID does not exist for the workspace.", message="DRM ID does not exist"
    )


async def create_token(
    tx: Tx, *, pepper: bytes, workspace_id: str, name: str, permissions: Sequence[str] = (ALL,)
) -> NewToken:
    """A token with a random secret of 256 bits, readable only in this answer."""
    unknown = sorted(set(permissions) - {ALL, *PERMISSIONS})
    if unknown or not permissions:
        raise errors.Invalid(errors.FieldError("permissions", "is invalid"))
    token = NewToken(ids.new_uuid(), secrets.token_urlsafe(32), workspace_id, tuple(permissions))
    await store.put_token(
        tx,
        id=token.id,
        workspace_id=workspace_id,
        name=name,
        secret_hash=hash_secret(pepper, token.secret),
        permissions=permissions,
    )
    return token


async def revoke_token(tx: Tx, token_id: str) -> bool:
    return await store.revoke_token(tx, token_id)
