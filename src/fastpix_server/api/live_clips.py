"""`/on-demand/{livestreamId}/live-clips` (contract 2.1). Words only: what happens is in live/clips.py."""

import re
from typing import Annotated

from fastapi import Path, Request
from pydantic import AfterValidator
from starlette.responses import Response

from fastpix_server.api import pages
from fastpix_server.api.answers import success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import LiveClipPage
from fastpix_server.api.resource import answers, router
from fastpix_server.api.unit import context_of
from fastpix_server.base.fields import refused
from fastpix_server.media import recordings

routes = router("Media")

# A stream's id is a UUID without dashes; with them it is the same id.
_STREAM_ID = re.compile(r"[0-9a-f]{32}")


def _stream_id(value: str) -> str:
    plain = value.lower().replace("-", "")
    if _STREAM_ID.fullmatch(plain) is None:
        raise refused("is invalid")
    return plain


LivestreamId = Annotated[str, Path(alias="livestreamId"), AfterValidator(_stream_id)]


@routes.get(
    "/on-demand/{livestreamId}/live-clips", operation_id="list-live-clips", **answers(LiveClipPage, 401, 403, 422)
)
async def list_live_clips(
    request: Request,
    livestream_id: LivestreamId,
    limit: pages.Limit = pages.DEFAULT_LIMIT,
    offset: pages.Offset = pages.DEFAULT_OFFSET,
    order: pages.Order = pages.DEFAULT_ORDER,
) -> Response:
    """The clips that viewers cut out of a live stream, newest first. A stream that does not exist has none."""
    async with context_of(request).db.unit() as tx:
        found, total = await recordings.clips_page(
            tx, principal(request).workspace_id, livestream_id, limit=limit, offset=offset, order=order
        )
    return success(found, pagination=pages.pagination(total, limit=limit, offset=offset))
