"""The verbs of workspaces and of the access tokens that open them.

Invariants: the database holds HMAC-SHA256 of a secret under the server's pepper, never the secret; comparison takes
constant time and happens for unknown names too; a secret is in the answer to its maker and nowhere else, also in no
log. A token that stops opening is announced on `access_changed` (payload: the token) in the same transaction. A token
of another workspace does not exist; callers who are no operator pass their `Principal` and give away only what they
hold. (HMAC, not a slow password hash: secrets are random and long, and every request is authenticated.)
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from fastpix_server.access import store
from fastpix_server.access.model import ALL, MANAGE, PERMISSIONS, AccessToken, NewToken, Principal, Workspace
from fastpix_server.base import errors, ids, log
from fastpix_server.base.errors import FieldError
from fastpix_server.db.notify import notify
from fastpix_server.db.pool import Tx

_log = log.get(__name__)

CHANGED = "access_changed"
FIRST_WORKSPACE_NAME = "Development"
# One per program and environment, twice while they rotate, is a few dozen.
TOKENS_MAX = 100
# `lastUsedAt` is exact to this: one write per token and minute, whatever its traffic.
USED_EVERY_S = 60


def hash_secret(pepper: bytes, secret: str) -> bytes:
    return hmac.digest(pepper, secret.encode("utf-8", "surrogatepass"), hashlib.sha256)


async def authenticate(tx: Tx, username: str, password: str, *, pepper: bytes) -> Principal | None:
    """The holder of this pair, None when the pair is wrong. Asks the database every time."""
    return await authenticate_hash(tx, username, hash_secret(pepper, password))


async def authenticate_hash(tx: Tx, username: str, secret_hash: bytes) -> Principal | None:
    """As authenticate(), for who has hashed the secret already. Notes that the token is in use."""
    token = await store.find_token(tx, username)
    expected = token.secret_hash if token is not None else bytes(32)
    is_right = hmac.compare_digest(expected, secret_hash)
    if token is None or not is_right:
        return None
    await store.note_use(tx, token.id, every_s=USED_EVERY_S)
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

    `workspace_id` and `workspace_key` are used only when no workspace exists yet. A changed password takes effect. One
    that was revoked stays so until its password changes: a restart must not open again what somebody has closed.
    """
    await store.lock_first_credentials(tx)
    workspace = await store.find_oldest_workspace(tx)
    if workspace is None:
        workspace = await create_workspace(tx, name=name, id=workspace_id, key=workspace_key)
    existing = await store.find_token(tx, username)
    if existing is not None and existing.workspace_id != workspace.id:
        raise errors.Conflict("The first user name belongs to a token of another workspace.")
    hashed = hash_secret(pepper, password)
    if not await store.put_first_token(tx, id=username, workspace_id=workspace.id, secret_hash=hashed):
        _log.warning("first_access_token_is_revoked", remedy="make another: fastpix token create")
    await notify(tx, CHANGED, username)
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


async def find_workspace_of_key(tx: Tx, key: str) -> str | None:
    """The id of the workspace that a beacon names: by its key, or (contract 9.1) by its id."""
    return await store.find_workspace_of_key(tx, key)


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


async def list_workspaces(tx: Tx) -> list[Workspace]:
    """All of them, oldest first: for the operator, whose workspaces are few."""
    return await store.list_workspaces(tx)


async def create_token(
    tx: Tx,
    *,
    pepper: bytes,
    workspace_id: str,
    name: str,
    permissions: Sequence[str] = (ALL,),
    giver: Principal | None = None,
) -> NewToken:
    """A token with a random secret of 256 bits, readable only in this answer. `giver` None is the operator.

    Raises errors.Forbidden for a permission that the giver lacks, errors.BadState at TOKENS_MAX tokens.
    """
    if not permissions or not set(permissions) <= {ALL, *PERMISSIONS}:
        raise errors.Invalid(FieldError("permissions", "is invalid"))
    granted = tuple(sorted(set(permissions)))
    for permission in granted:
        if giver is not None and not giver.may(permission):
            raise errors.Forbidden(f"The access token lacks the permission {permission}, so it cannot give it away.")
    await get_workspace(tx, workspace_id)
    await store.lock_tokens(tx, workspace_id)
    if await store.count_tokens(tx, workspace_id) >= TOKENS_MAX:
        raise errors.BadState(
            f"A workspace has at most {TOKENS_MAX} access tokens; revoke one that is no longer used.",
            message="access token limit reached",
        )
    secret = secrets.token_urlsafe(32)
    made = await store.insert_token(
        tx,
        id=ids.new_uuid(),
        workspace_id=workspace_id,
        name=name,
        secret_hash=hash_secret(pepper, secret),
        permissions=granted,
    )
    _log.info("access_token_created", workspace_id=workspace_id, token_id=made.id, permissions=granted)
    return NewToken(made.id, secret, workspace_id, granted, made.name, made.created_at)


async def list_tokens(tx: Tx, workspace_id: str, *, limit: int, offset: int) -> tuple[list[AccessToken], int]:
    """Page `offset` (from 1), newest first, and how many there are in all. Revoked ones are gone."""
    found = await store.page_tokens(tx, workspace_id, limit=limit, skip=(offset - 1) * limit)
    return found, await store.count_tokens(tx, workspace_id)


async def list_all_tokens(tx: Tx, workspace_id: str) -> list[AccessToken]:
    """Every token of the workspace; TOKENS_MAX bounds it."""
    return await store.page_tokens(tx, workspace_id, limit=TOKENS_MAX + 1, skip=0)


async def get_token(tx: Tx, workspace_id: str, token_id: str) -> AccessToken:
    found = await store.find_token_of(tx, workspace_id, token_id)
    if found is None:
        raise _no_token()
    return found


async def revoke(tx: Tx, workspace_id: str, token_id: str) -> None:
    """Through the API: the last token that may manage tokens stays, or the workspace would have locked itself out."""
    await store.lock_tokens(tx, workspace_id)
    await get_token(tx, workspace_id, token_id)
    managers = await store.list_token_ids_with(tx, workspace_id, (ALL, MANAGE))
    if managers == [token_id]:
        raise errors.BadState(
            f"This is the last access token with the permission {MANAGE}; make another one first.",
            message="last managing access token",
        )
    await revoke_token(tx, token_id)


async def revoke_token(tx: Tx, token_id: str) -> bool:
    """By the operator, who can always make another one; False when there is no such token."""
    if not await store.revoke_token(tx, token_id):
        return False
    await notify(tx, CHANGED, token_id)
    _log.info("access_token_revoked", token_id=token_id)
    return True


def _no_token() -> errors.NotFound:
    return errors.NotFound("There is no such access token in the workspace.", message="access token not found")
