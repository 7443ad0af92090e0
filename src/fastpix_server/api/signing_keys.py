"""`/iam/signing-keys`: keys with which the owner of a video signs tokens for its viewers (contract 2.6)."""

import base64
from typing import Annotated

from fastapi import Path, Request
from pydantic import AfterValidator
from starlette.responses import Response

from fastpix_server.api import pages
from fastpix_server.api.answers import success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import (
    DeletedSigningKeyAnswer,
    NewSigningKeyAnswer,
    SigningKeyAnswer,
    SigningKeyPage,
)
from fastpix_server.api.resource import answers, path_id, router
from fastpix_server.api.unit import context_of, tx_of
from fastpix_server.base import clock
from fastpix_server.keys import service

routes = router("Signing keys")

SigningKeyId = Annotated[str, Path(alias="signingKeyId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)]
DELETED = "signing key deleted successfully"


@routes.post(
    "/iam/signing-keys",
    operation_id="create_signing_key",
    **answers(NewSigningKeyAnswer, 400, 401, 403, 422, status=201),
)
async def create_signing_key(request: Request) -> Response:
    """A new RSA-2048 key. Its private half is in this answer and nowhere else: keep it."""
    made = await service.create(tx_of(request), principal(request).workspace_id)
    return success(
        {
            "id": made.key.id,
            # Base64 of the whole PEM text, not of its DER (contract section 6).
            "privateKey": base64.b64encode(made.private_pem.encode("ascii")).decode("ascii"),
            "createdAt": clock.iso(made.key.created_at),
        },
        status=201,
    )


@routes.get("/iam/signing-keys", operation_id="list_signing_keys", **answers(SigningKeyPage, 401, 403, 422))
async def list_signing_keys(
    request: Request, limit: pages.Limit = pages.DEFAULT_LIMIT, offset: pages.Offset = pages.DEFAULT_OFFSET
) -> Response:
    """The keys of the workspace, newest first."""
    async with context_of(request).db.unit() as tx:
        found, total = await service.list_page(tx, principal(request).workspace_id, limit=limit, offset=offset)
    data = [{"id": key.id, "createdAt": clock.iso(key.created_at)} for key in found]
    return success(data, pagination=pages.pagination(total, limit=limit, offset=offset))


@routes.get(
    "/iam/signing-keys/{signingKeyId}",
    operation_id="get-signing_key_by_id",
    **answers(SigningKeyAnswer, 401, 403, 404, 422),
)
async def get_signing_key(request: Request, signing_key_id: SigningKeyId) -> Response:
    """The public half, as SubjectPublicKeyInfo in PEM."""
    async with context_of(request).db.unit() as tx:
        key = await service.get(tx, principal(request).workspace_id, signing_key_id)
    return success({"workspaceId": key.workspace_id, "signingKeyId": key.id, "publicKey": key.public_pem})


@routes.delete(
    "/iam/signing-keys/{signingKeyId}",
    operation_id="delete_signing_key",
    **answers(DeletedSigningKeyAnswer, 401, 403, 404, 422),
)
async def delete_signing_key(request: Request, signing_key_id: SigningKeyId) -> Response:
    """Revokes every token that the key has signed."""
    await service.delete(tx_of(request), principal(request).workspace_id, signing_key_id)
    return success({"message": DELETED})
