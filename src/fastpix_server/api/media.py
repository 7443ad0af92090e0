"""`/on-demand`: media (contract 2.1). Words only: what happens is in media/service.py."""

from fastapi import Request
from starlette.responses import Response

from fastpix_server.api import pages
from fastpix_server.api.answers import done, success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import (
    CreatedMediaAnswer,
    Done,
    InputInfoAnswer,
    MediaAnswer,
    MediaPage,
)
from fastpix_server.api.resource import MediaId, answers, router
from fastpix_server.api.unit import context_of, tx_of
from fastpix_server.media import service, wire
from fastpix_server.media.schemas import CreateMedia, UpdateMedia

routes = router("Media")


@routes.post(
    "/on-demand", operation_id="create-media", **answers(CreatedMediaAnswer, 400, 401, 403, 404, 413, 422, status=201)
)
async def create_media(request: Request, body: CreateMedia) -> Response:
    """Takes a video from a URL. Answers at once; the file is fetched and made playable in the background."""
    tx = tx_of(request)
    media = await service.create_from_url(tx, principal(request).workspace_id, body)
    named = await service.list_playback_ids(tx, media.workspace_id, media.id)
    return success(wire.media_created(media, named), status=201)


@routes.get("/on-demand", operation_id="list-media", **answers(MediaPage, 401, 403, 422))
async def list_media(
    request: Request,
    limit: pages.Limit = pages.DEFAULT_LIMIT,
    offset: pages.Offset = pages.DEFAULT_OFFSET,
    order: pages.Order = pages.DEFAULT_ORDER,
) -> Response:
    """All media of the workspace, newest first unless asked otherwise."""
    async with context_of(request).db.unit() as tx:
        found, total = await service.list_page(
            tx, principal(request).workspace_id, limit=limit, offset=offset, order=order
        )
    return success(found, pagination=pages.pagination(total, limit=limit, offset=offset))


@routes.get("/on-demand/{mediaId}", operation_id="get-media", **answers(MediaAnswer, 401, 403, 404, 422))
async def get_media(request: Request, media_id: MediaId) -> Response:
    """One media. A direct upload is a media of the same id once its last byte arrived."""
    async with context_of(request).db.unit() as tx:
        media = await service.get(tx, principal(request).workspace_id, media_id)
        return success(await service.describe(tx, media))


@routes.patch("/on-demand/{mediaId}", operation_id="updated-media", **answers(MediaAnswer, 401, 403, 404, 413, 422))
async def update_media(request: Request, media_id: MediaId, body: UpdateMedia) -> Response:
    """Replaces title, creatorId or the whole metadata. What is absent stays; an empty text removes."""
    tx = tx_of(request)
    media = await service.update(tx, principal(request).workspace_id, media_id, body)
    return success(await service.describe(tx, media))


@routes.delete("/on-demand/{mediaId}", operation_id="delete-media", **answers(Done, 401, 403, 404, 422))
async def delete_media(request: Request, media_id: MediaId) -> Response:
    """The media and its playback IDs are gone at once; its bytes are erased in the background."""
    await service.delete(tx_of(request), principal(request).workspace_id, media_id)
    return done()


@routes.get(
    "/on-demand/{mediaId}/input-info",
    operation_id="retrieveMediaInputInfo",
    **answers(InputInfoAnswer, 401, 403, 404, 422),
)
async def media_input_info(request: Request, media_id: MediaId) -> Response:
    """Where the source came from and what it holds."""
    async with context_of(request).db.unit() as tx:
        return success(await service.input_info(tx, principal(request).workspace_id, media_id))


@routes.get(
    "/on-demand/{mediaId}/media-clips", operation_id="get-media-clips", **answers(MediaPage, 401, 403, 404, 422)
)
async def list_media_clips(
    request: Request,
    media_id: MediaId,
    limit: pages.Limit = pages.DEFAULT_LIMIT,
    offset: pages.Offset = pages.DEFAULT_OFFSET,
    order: pages.Order = pages.DEFAULT_ORDER,
) -> Response:
    """The media that were made from this one, newest first unless asked otherwise."""
    async with context_of(request).db.unit() as tx:
        found, total = await service.clips_page(
            tx, principal(request).workspace_id, media_id, limit=limit, offset=offset, order=order
        )
    return success(found, pagination=pages.pagination(total, limit=limit, offset=offset))
