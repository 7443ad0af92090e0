"""`/iam/access-tokens`: who else may use the API of this workspace, and for what. Ours, not in the FastPix API."""

from typing import Annotated, Any

from fastapi import Path, Request
from pydantic import AfterValidator
from starlette.responses import Response

from fastpix_server.access import service
from fastpix_server.access.door import NAME_MAX_CHARS
from fastpix_server.access.model import AccessToken
from fastpix_server.access.schemas import NewAccessToken
from fastpix_server.api import pages
from fastpix_server.api.answers import done, success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import Done
from fastpix_server.api.described_access import AccessTokenAnswer, AccessTokenPage, NewAccessTokenAnswer
from fastpix_server.api.resource import answers, router
from fastpix_server.api.unit import context_of, tx_of
from fastpix_server.base import clock
from fastpix_server.base.fields import refused

routes = router("Access tokens")


def _token_id(value: str) -> str:
    """A UUID, or what the operator chose as the first user name."""
    if len(value) > NAME_MAX_CHARS or not value.isprintable():
        raise refused("is invalid")
    return value


AccessTokenId = Annotated[str, Path(alias="accessTokenId"), AfterValidator(_token_id)]


@routes.post(
    "/iam/access-tokens",
    operation_id="create-access-token",
    **answers(NewAccessTokenAnswer, 400, 401, 403, 413, 422, status=201),
)
async def create_access_token(request: Request, body: NewAccessToken) -> Response:
    """Another pair for this workspace. Its secret key is in this answer and nowhere else: keep it."""
    asking = principal(request)
    made = await service.create_token(
        tx_of(request),
        pepper=context_of(request).pepper,
        workspace_id=asking.workspace_id,
        name=body.name,
        permissions=body.permissions,
        giver=asking,
    )
    return success(
        {
            "id": made.id,
            "name": made.name,
            "permissions": made.permissions,
            "secretKey": made.secret,
            "createdAt": clock.iso(made.created_at),
        },
        status=201,
    )


@routes.get("/iam/access-tokens", operation_id="list-access-tokens", **answers(AccessTokenPage, 401, 403, 422))
async def list_access_tokens(
    request: Request, limit: pages.Limit = pages.DEFAULT_LIMIT, offset: pages.Offset = pages.DEFAULT_OFFSET
) -> Response:
    """The tokens of the workspace, newest first. Revoked ones are gone."""
    async with context_of(request).db.unit() as tx:
        found, total = await service.list_tokens(tx, principal(request).workspace_id, limit=limit, offset=offset)
    return success([_shown(token) for token in found], pagination=pages.pagination(total, limit=limit, offset=offset))


@routes.get(
    "/iam/access-tokens/{accessTokenId}",
    operation_id="get-access-token",
    **answers(AccessTokenAnswer, 401, 403, 404, 422),
)
async def get_access_token(request: Request, access_token_id: AccessTokenId) -> Response:
    """One token, without its secret."""
    async with context_of(request).db.unit() as tx:
        token = await service.get_token(tx, principal(request).workspace_id, access_token_id)
    return success(_shown(token))


@routes.delete(
    "/iam/access-tokens/{accessTokenId}",
    operation_id="delete-access-token",
    **answers(Done, 400, 401, 403, 404, 422),
)
async def delete_access_token(request: Request, access_token_id: AccessTokenId) -> Response:
    """Revokes it, within a second on every machine. The last one with `system:write` cannot be revoked here."""
    await service.revoke(tx_of(request), principal(request).workspace_id, access_token_id)
    return done()


def _shown(token: AccessToken) -> dict[str, Any]:
    shown = {
        "id": token.id,
        "name": token.name,
        "permissions": token.permissions,
        "createdAt": clock.iso(token.created_at),
    }
    return shown if token.last_used_at is None else {**shown, "lastUsedAt": clock.iso(token.last_used_at)}
