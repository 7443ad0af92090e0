# Made from _async/access.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""`client.signing_keys`, `client.access_tokens` and `client.workspace`: who may do what."""

from __future__ import annotations

from collections.abc import Sequence

from fastpix import operations as op
from fastpix._sync.api import Api
from fastpix._sync.pages import Pages
from fastpix.answers import Done, sent
from fastpix.types import (
    AccessToken,
    ListedSigningKey,
    NewAccessToken,
    NewSigningKey,
    Permission,
    SigningKey,
    Storage,
    Workspace,
)


class SigningKeysOperations:
    """Operations on the keys that sign playback tokens; `fastpix.sign_playback_token` signs, without a request."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(self) -> NewSigningKey:
        """Makes a key. Its private half is in this answer and nowhere else: keep it."""
        return self._api.call(op.CREATE_SIGNING_KEY, NewSigningKey)

    def list(self, *, limit: int | None = None, page: int = 1) -> Pages[ListedSigningKey]:
        """Every key, the newest first."""
        return self._api.list(op.LIST_SIGNING_KEYS, ListedSigningKey, limit=limit, page=page)

    def get(self, *, signing_key_id: str) -> SigningKey:
        """The public half of a key."""
        return self._api.call(op.GET_SIGNING_KEY, SigningKey, path={"signingKeyId": signing_key_id})

    def delete(self, *, signing_key_id: str) -> Done:
        """Deletes the key; tokens that it signed stop working at once."""
        return self._api.do(op.DELETE_SIGNING_KEY, path={"signingKeyId": signing_key_id})


class AccessTokensOperations:
    """Operations on access tokens. Ours: the official service makes them in its dashboard."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(self, *, name: str, permissions: Sequence[Permission]) -> NewAccessToken:
        """Another pair of username and password. The secret is in this answer and nowhere else: keep it."""
        body = sent(name=name, permissions=permissions)
        return self._api.call(op.CREATE_ACCESS_TOKEN, NewAccessToken, body=body)

    def list(self, *, limit: int | None = None, page: int = 1) -> Pages[AccessToken]:
        """Every token, without secrets."""
        return self._api.list(op.LIST_ACCESS_TOKENS, AccessToken, limit=limit, page=page)

    def get(self, *, access_token_id: str) -> AccessToken:
        """One token, and when it was last used."""
        return self._api.call(op.GET_ACCESS_TOKEN, AccessToken, path={"accessTokenId": access_token_id})

    def delete(self, *, access_token_id: str) -> Done:
        """Revokes it, everywhere and within a second."""
        return self._api.do(op.DELETE_ACCESS_TOKEN, path={"accessTokenId": access_token_id})


class WorkspaceOperations:
    """The workspace that the credentials belong to. Ours."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def get(self) -> Workspace:
        """Its id, its name, and the key that beacons carry."""
        return self._api.call(op.GET_WORKSPACE, Workspace)

    def storage(self, *, limit: int | None = None, page: int = 1) -> Storage:
        """Stored bytes, in sum and of each media, the largest first; `limit` and `page` are about those."""
        return self._api.call(op.GET_STORAGE, Storage, query={"limit": limit, "offset": page})
