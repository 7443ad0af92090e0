"""`/iam`: the workspace that a token belongs to, and what it has in storage."""

from fastapi import Request
from starlette.responses import Response

from fastpix_server.access import service
from fastpix_server.api import pages
from fastpix_server.api.answers import success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import WorkspaceAnswer
from fastpix_server.api.described_playlists import StorageAnswer
from fastpix_server.api.resource import answers, router
from fastpix_server.api.unit import context_of
from fastpix_server.base import clock
from fastpix_server.media import storage

routes = router("Workspace")


@routes.get("/iam/workspace", operation_id="get-workspace", **answers(WorkspaceAnswer, 401))
async def get_workspace(request: Request) -> Response:
    """The workspace of the access token, whatever its permissions, and the public key that beacons carry."""
    async with context_of(request).db.unit() as tx:
        found = await service.get_workspace(tx, principal(request).workspace_id)
    return success(
        {
            "workspaceId": found.id,
            "workspaceKey": found.key,
            "name": found.name,
            "createdAt": clock.iso(found.created_at),
        }
    )


@routes.get("/iam/storage", operation_id="get-storage", **answers(StorageAnswer, 401, 403, 422))
async def get_storage(
    request: Request, limit: pages.Limit = pages.DEFAULT_LIMIT, offset: pages.Offset = pages.DEFAULT_OFFSET
) -> Response:
    """Stored bytes of the workspace and of each of its media, the largest first, as counted within about a minute of
    a change. `cacheBytes` can be made again from the sources, and may be dropped for the quota."""
    async with context_of(request).db.unit() as tx:
        found, total = await storage.report(tx, principal(request).workspace_id, limit=limit, offset=offset)
    return success(found, pagination=pages.pagination(total, limit=limit, offset=offset))
