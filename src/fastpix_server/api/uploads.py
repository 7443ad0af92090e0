"""`/on-demand/upload`: direct uploads (contract 2.1, ops 8, 23, 24). The bytes themselves go to edge/uploads.py."""

from typing import Annotated, Literal

from fastapi import Path, Request
from pydantic import AfterValidator, Field
from starlette.responses import Response

from fastpix_server.api import pages
from fastpix_server.api.answers import success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import (
    AccessRestrictions,
    Described,
    Pagination,
    Policy,
    Quality,
    Resolution,
    UuidText,
    maybe,
)
from fastpix_server.api.resource import answers, path_id, router
from fastpix_server.api.unit import context_of, tx_of
from fastpix_server.media import uploads
from fastpix_server.media.uploads import NewUpload

routes = router("Uploads")

UploadId = Annotated[str, Path(alias="uploadId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)]


class PolicyToBe(Described):
    """The playback id that the media will get: it has no id yet."""

    access_policy: Policy
    access_restrictions: AccessRestrictions


class PushedSettings(Described):
    playback_ids: list[PolicyToBe]
    metadata: dict[str, str]
    media_quality: Quality
    source_access: bool
    optimize_audio: bool


class Upload(Described):
    upload_id: str = UuidText
    trial: Literal[False]
    status: Literal["waiting"]
    url: str = Field(description="Signed. PUT the file to it; with upload_id in it no POST is needed first.")
    timeout: int = Field(description="Seconds within which the upload must begin.")
    cors_origin: str
    push_media_settings: PushedSettings


class CancelledUpload(Described):
    upload_id: str = UuidText
    trial: Literal[False]
    status: Literal["cancelled"]
    url: str
    cors_origin: str
    max_resolution: Resolution
    access_policy: Policy
    metadata: dict[str, str]
    title: str = maybe()
    creator_id: str = maybe()


class UploadAnswer(Described):
    success: Literal[True]
    data: Upload


class UploadPage(Described):
    success: Literal[True]
    data: list[Upload]
    pagination: Pagination


class CancelledUploadAnswer(Described):
    success: Literal[True]
    data: CancelledUpload


@routes.post(
    "/on-demand/upload",
    operation_id="direct-upload-video-media",
    **answers(UploadAnswer, 400, 401, 403, 413, 422, status=201),
)
async def create_upload(request: Request, body: NewUpload) -> Response:
    """A URL that takes a file in resumable chunks. With `X-Client-Type: web-browser` it has to be POSTed to first."""
    public_url = context_of(request).public_url
    upload = await uploads.create(
        tx_of(request),
        principal(request).workspace_id,
        body,
        is_browser=request.headers.get("x-client-type", "").strip().lower() == "web-browser",
        public_url=public_url,
    )
    return success(uploads.public_upload(upload, public_url), status=201)


@routes.get("/on-demand/uploads", operation_id="list-uploads", **answers(UploadPage, 401, 403, 422))
async def list_uploads(
    request: Request,
    limit: pages.Limit = pages.DEFAULT_LIMIT,
    offset: pages.Offset = pages.DEFAULT_OFFSET,
    order: pages.Order = pages.DEFAULT_ORDER,
) -> Response:
    """Uploads that still wait for bytes: neither complete nor cancelled nor expired."""
    context = context_of(request)
    async with context.db.unit() as tx:
        found, total = await uploads.list_page(
            tx, principal(request).workspace_id, limit=limit, offset=offset, order=order
        )
    data = [uploads.public_upload(upload, context.public_url) for upload in found]
    return success(data, pagination=pages.pagination(total, limit=limit, offset=offset))


@routes.put(
    "/on-demand/upload/{uploadId}/cancel",
    operation_id="cancel-upload",
    **answers(CancelledUploadAnswer, 400, 401, 403, 404, 422),
)
async def cancel_upload(request: Request, upload_id: UploadId) -> Response:
    """Ends a waiting upload: its URL answers 410 from now on, and its bytes are dropped."""
    public_url = context_of(request).public_url
    cancelled = await uploads.cancel(tx_of(request), principal(request).workspace_id, upload_id, public_url=public_url)
    return success(uploads.public_cancelled(cancelled, public_url))
