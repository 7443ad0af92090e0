"""`/on-demand/{mediaId}/source-access` and `/update-mp4Support` (contract 2.1, ops 17, 18); see media/files.py."""

from fastapi import Request
from starlette.responses import Response

from fastpix_server.api.answers import success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import MediaAnswer
from fastpix_server.api.resource import MediaId, answers, router
from fastpix_server.api.unit import tx_of
from fastpix_server.media import files, service
from fastpix_server.media.schemas import UpdateMp4Support, UpdateSourceAccess

routes = router("Media")


@routes.patch(
    "/on-demand/{mediaId}/source-access",
    operation_id="updated-source-access",
    **answers(MediaAnswer, 400, 401, 403, 404, 413, 422),
)
async def update_source_access(request: Request, media_id: MediaId, body: UpdateSourceAccess) -> Response:
    """Opens or closes the download of what was uploaded, at `/{playbackId}/source.{ext}` of the stream host."""
    tx = tx_of(request)
    media = await files.set_source_access(tx, principal(request).workspace_id, media_id, body)
    return success(await service.describe(tx, media))


@routes.patch(
    "/on-demand/{mediaId}/update-mp4Support",
    operation_id="updated-mp4Support",
    **answers(MediaAnswer, 400, 401, 403, 404, 413, 422),
)
async def update_mp4_support(request: Request, media_id: MediaId, body: UpdateMp4Support) -> Response:
    """Which static files there are from now on; `none` removes them. They are made in the background."""
    tx = tx_of(request)
    media = await files.set_mp4_support(tx, principal(request).workspace_id, media_id, body)
    return success(await service.describe(tx, media))
