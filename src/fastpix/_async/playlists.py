"""`client.playlists`: lists of media, kept by hand or filled by rules; and `client.drm_configurations`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fastpix import operations as op
from fastpix._async.api import AsyncApi
from fastpix._async.pages import AsyncPages
from fastpix.answers import Done, sent
from fastpix.types import DrmConfiguration, Playlist, SmartRules


class AsyncPlaylistsOperations:
    """Operations on playlists."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    async def create(
        self,
        *,
        name: str,
        reference_id: str,
        type: Literal["manual", "smart"] = "manual",
        description: str | None = None,
        limit: int | None = None,
        play_order: Literal["createdDate ASC", "createdDate DESC"] | None = None,
        metadata: SmartRules | None = None,
    ) -> Playlist:
        """Makes a playlist. A smart one needs `play_order` and `metadata`, and is filled once, now.

        `reference_id` is your own name for it, unique in the workspace (else Conflict).
        """
        body = sent(
            name=name,
            reference_id=reference_id,
            type=type,
            description=description,
            limit=limit,
            play_order=play_order,
            metadata=metadata,
        )
        return await self._api.call(op.CREATE_PLAYLIST, Playlist, body=body)

    def list(self, *, limit: int | None = None, page: int = 1) -> AsyncPages[Playlist]:
        """Every playlist, without its media."""
        return self._api.list(op.LIST_PLAYLISTS, Playlist, limit=limit, page=page)

    async def get(self, *, playlist_id: str) -> Playlist:
        """One playlist with its media."""
        return await self._api.call(op.GET_PLAYLIST, Playlist, path={"playlistId": playlist_id})

    async def update(self, *, playlist_id: str, name: str, description: str) -> Playlist:
        """Names it anew."""
        body = sent(name=name, description=description)
        return await self._api.call(op.UPDATE_PLAYLIST, Playlist, path={"playlistId": playlist_id}, body=body)

    async def delete(self, *, playlist_id: str) -> Done:
        """Deletes the list; its media stay."""
        return await self._api.do(op.DELETE_PLAYLIST, path={"playlistId": playlist_id})

    async def add_media(self, *, playlist_id: str, media_ids: Sequence[str]) -> Playlist:
        """Puts Ready media at the end, in this order."""
        body = sent(media_ids=media_ids)
        return await self._api.call(op.ADD_TO_PLAYLIST, Playlist, path={"playlistId": playlist_id}, body=body)

    async def reorder_media(self, *, playlist_id: str, media_ids: Sequence[str]) -> Playlist:
        """Gives all of its media a new order."""
        body = sent(media_ids=media_ids)
        return await self._api.call(op.REORDER_PLAYLIST, Playlist, path={"playlistId": playlist_id}, body=body)

    async def remove_media(self, *, playlist_id: str, media_ids: Sequence[str]) -> Playlist:
        """Takes media out; they stay in the workspace."""
        body = sent(media_ids=media_ids)
        return await self._api.call(op.REMOVE_FROM_PLAYLIST, Playlist, path={"playlistId": playlist_id}, body=body)


class AsyncDrmConfigurationsOperations:
    """What `drm_configuration_id` may be."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    def list(self, *, limit: int | None = None, page: int = 1) -> AsyncPages[DrmConfiguration]:
        """The configurations of the workspace."""
        return self._api.list(op.LIST_DRM_CONFIGURATIONS, DrmConfiguration, limit=limit, page=page)

    async def get(self, *, drm_configuration_id: str) -> DrmConfiguration:
        """One configuration; a BadRequest when there is none of this id."""
        path = {"drmConfigurationId": drm_configuration_id}
        return await self._api.call(op.GET_DRM_CONFIGURATION, DrmConfiguration, path=path)
