# Made from _async/playlists.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""`client.playlists`: lists of media, kept by hand or filled by rules; and `client.drm_configurations`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fastpix import operations as op
from fastpix._sync.api import Api
from fastpix._sync.pages import Pages
from fastpix.answers import Done, sent
from fastpix.types import DrmConfiguration, Playlist, SmartRules


class PlaylistsOperations:
    """Operations on playlists."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(
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
        return self._api.call(op.CREATE_PLAYLIST, Playlist, body=body)

    def list(self, *, limit: int | None = None, page: int = 1) -> Pages[Playlist]:
        """Every playlist, without its media."""
        return self._api.list(op.LIST_PLAYLISTS, Playlist, limit=limit, page=page)

    def get(self, *, playlist_id: str) -> Playlist:
        """One playlist with its media."""
        return self._api.call(op.GET_PLAYLIST, Playlist, path={"playlistId": playlist_id})

    def update(self, *, playlist_id: str, name: str, description: str) -> Playlist:
        """Names it anew."""
        body = sent(name=name, description=description)
        return self._api.call(op.UPDATE_PLAYLIST, Playlist, path={"playlistId": playlist_id}, body=body)

    def delete(self, *, playlist_id: str) -> Done:
        """Deletes the list; its media stay."""
        return self._api.do(op.DELETE_PLAYLIST, path={"playlistId": playlist_id})

    def add_media(self, *, playlist_id: str, media_ids: Sequence[str]) -> Playlist:
        """Puts Ready media at the end, in this order."""
        body = sent(media_ids=media_ids)
        return self._api.call(op.ADD_TO_PLAYLIST, Playlist, path={"playlistId": playlist_id}, body=body)

    def reorder_media(self, *, playlist_id: str, media_ids: Sequence[str]) -> Playlist:
        """Gives all of its media a new order."""
        body = sent(media_ids=media_ids)
        return self._api.call(op.REORDER_PLAYLIST, Playlist, path={"playlistId": playlist_id}, body=body)

    def remove_media(self, *, playlist_id: str, media_ids: Sequence[str]) -> Playlist:
        """Takes media out; they stay in the workspace."""
        body = sent(media_ids=media_ids)
        return self._api.call(op.REMOVE_FROM_PLAYLIST, Playlist, path={"playlistId": playlist_id}, body=body)


class DrmConfigurationsOperations:
    """What `drm_configuration_id` may be."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def list(self, *, limit: int | None = None, page: int = 1) -> Pages[DrmConfiguration]:
        """The configurations of the workspace."""
        return self._api.list(op.LIST_DRM_CONFIGURATIONS, DrmConfiguration, limit=limit, page=page)

    def get(self, *, drm_configuration_id: str) -> DrmConfiguration:
        """One configuration; a BadRequest when there is none of this id."""
        path = {"drmConfigurationId": drm_configuration_id}
        return self._api.call(op.GET_DRM_CONFIGURATION, DrmConfiguration, path=path)
