"""`/iam`: the workspace that a token belongs to."""

from fastapi import Request
from starlette.responses import Response

from fastpix_server.access import service
from fastpix_server.api.answers import success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import WorkspaceAnswer
from fastpix_server.api.resource import answers, router
from fastpix_server.api.unit import context_of
from fastpix_server.base import clock

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
