"""`/on-demand/playlists`: lists of media in an order (contract 2.3). What happens is in media/playlists.py."""

from fastapi import Request
from starlette.responses import Response

from fastpix_server.api import pages
from fastpix_server.api.answers import done, success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import Done
from fastpix_server.api.described_playlists import PlaylistAnswer, PlaylistPage
from fastpix_server.api.resource import PlaylistId, answers, router
from fastpix_server.api.unit import context_of, tx_of
from fastpix_server.media import playlists
from fastpix_server.media.playlist_schemas import CreatePlaylist, MediaIds, UpdatePlaylist

routes = router("Playlists")

_PATH = "/on-demand/playlists"
_ONE = "/on-demand/playlists/{playlistId}"
_MEDIA = "/on-demand/playlists/{playlistId}/media"


@routes.post(_PATH, operation_id="create-a-playlist", **answers(PlaylistAnswer, 401, 403, 409, 413, 422, status=201))
async def create_playlist(request: Request, body: CreatePlaylist) -> Response:
    """A manual one is empty; a smart one is filled now, once, with the Ready media of its date ranges."""
    return success(await playlists.create(tx_of(request), principal(request).workspace_id, body), status=201)


@routes.get(_PATH, operation_id="get-all-playlists", **answers(PlaylistPage, 401, 403, 422))
async def list_playlists(
    request: Request, limit: pages.Limit = pages.DEFAULT_LIMIT, offset: pages.Offset = pages.DEFAULT_OFFSET
) -> Response:
    """All playlists of the workspace, newest first, without what they hold."""
    async with context_of(request).db.unit() as tx:
        found, total = await playlists.list_page(tx, principal(request).workspace_id, limit=limit, offset=offset)
    return success(found, pagination=pages.pagination(total, limit=limit, offset=offset))


@routes.get(_ONE, operation_id="get-playlist-by-id", **answers(PlaylistAnswer, 401, 403, 404, 422))
async def get_playlist(request: Request, playlist_id: PlaylistId) -> Response:
    """One playlist with its media in their order."""
    async with context_of(request).db.unit() as tx:
        return success(await playlists.get(tx, principal(request).workspace_id, playlist_id))


@routes.put(_ONE, operation_id="update-a-playlist", **answers(PlaylistAnswer, 401, 403, 404, 413, 422))
async def update_playlist(request: Request, playlist_id: PlaylistId, body: UpdatePlaylist) -> Response:
    """Another name and description; an empty description removes it."""
    return success(await playlists.update(tx_of(request), principal(request).workspace_id, playlist_id, body))


@routes.delete(_ONE, operation_id="delete-a-playlist", **answers(Done, 401, 403, 404, 422))
async def delete_playlist(request: Request, playlist_id: PlaylistId) -> Response:
    """The list goes; its media stay."""
    await playlists.delete(tx_of(request), principal(request).workspace_id, playlist_id)
    return done()


@routes.patch(_MEDIA, operation_id="add-media-to-playlist", **answers(PlaylistAnswer, 401, 403, 404, 413, 422))
async def add_media(request: Request, playlist_id: PlaylistId, body: MediaIds) -> Response:
    """Appends Ready media in the given order; what is in the list already stays where it is."""
    workspace_id = principal(request).workspace_id
    return success(await playlists.add_media(tx_of(request), workspace_id, playlist_id, body.media_ids))


@routes.put(_MEDIA, operation_id="change-media-order-in-playlist", **answers(PlaylistAnswer, 401, 403, 404, 413, 422))
async def reorder_media(request: Request, playlist_id: PlaylistId, body: MediaIds) -> Response:
    """The complete list in its new order."""
    workspace_id = principal(request).workspace_id
    return success(await playlists.reorder(tx_of(request), workspace_id, playlist_id, body.media_ids))


@routes.delete(_MEDIA, operation_id="delete-media-from-playlist", **answers(PlaylistAnswer, 401, 403, 404, 413, 422))
async def remove_media(request: Request, playlist_id: PlaylistId, body: MediaIds) -> Response:
    """Takes media out of the list: their ids are in the body of the DELETE. The media stay."""
    workspace_id = principal(request).workspace_id
    return success(await playlists.remove_media(tx_of(request), workspace_id, playlist_id, body.media_ids))
