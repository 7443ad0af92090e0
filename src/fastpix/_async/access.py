"""`client.signing_keys`, `client.access_tokens` and `client.workspace`: who may do what."""

from __future__ import annotations

from collections.abc import Sequence

from fastpix import operations as op
from fastpix._async.api import AsyncApi
from fastpix._async.pages import AsyncPages
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


class AsyncSigningKeysOperations:
    """Operations on the keys that sign playback tokens; `fastpix.sign_playback_token` signs, without a request."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    async def create(self) -> NewSigningKey:
        """Makes a key. Its private half is in this answer and nowhere else: keep it."""
        return await self._api.call(op.CREATE_SIGNING_KEY, NewSigningKey)

    def list(self, *, limit: int | None = None, page: int = 1) -> AsyncPages[ListedSigningKey]:
        """Every key, the newest first."""
        return self._api.list(op.LIST_SIGNING_KEYS, ListedSigningKey, limit=limit, page=page)

    async def get(self, *, signing_key_id: str) -> SigningKey:
        """The public half of a key."""
        return await self._api.call(op.GET_SIGNING_KEY, SigningKey, path={"signingKeyId": signing_key_id})

    async def delete(self, *, signing_key_id: str) -> Done:
        """Deletes the key; tokens that it signed stop working at once."""
        return await self._api.do(op.DELETE_SIGNING_KEY, path={"signingKeyId": signing_key_id})


class AsyncAccessTokensOperations:
    """Operations on access tokens. Ours: the official service makes them in its dashboard."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    async def create(self, *, name: str, permissions: Sequence[Permission]) -> NewAccessToken:
        """Another pair of username and password. The secret is in this answer and nowhere else: keep it."""
        body = sent(name=name, permissions=permissions)
        return await self._api.call(op.CREATE_ACCESS_TOKEN, NewAccessToken, body=body)

    def list(self, *, limit: int | None = None, page: int = 1) -> AsyncPages[AccessToken]:
        """Every token, without secrets."""
        return self._api.list(op.LIST_ACCESS_TOKENS, AccessToken, limit=limit, page=page)

    async def get(self, *, access_token_id: str) -> AccessToken:
        """One token, and when it was last used."""
        return await self._api.call(op.GET_ACCESS_TOKEN, AccessToken, path={"accessTokenId": access_token_id})

    async def delete(self, *, access_token_id: str) -> Done:
        """Revokes it, everywhere and within a second."""
        return await self._api.do(op.DELETE_ACCESS_TOKEN, path={"accessTokenId": access_token_id})


class AsyncWorkspaceOperations:
    """The workspace that the credentials belong to. Ours."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    async def get(self) -> Workspace:
        """Its id, its name, and the key that beacons carry."""
        return await self._api.call(op.GET_WORKSPACE, Workspace)

    async def storage(self, *, limit: int | None = None, page: int = 1) -> Storage:
        """Stored bytes, in sum and of each media, the largest first; `limit` and `page` are about those."""
        return await self._api.call(op.GET_STORAGE, Storage, query={"limit": limit, "offset": page})
