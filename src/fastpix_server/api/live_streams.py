"""`/live/streams`: streams and their life (contract 2.5). Words only: what happens is in live/service.py."""

from fastapi import Request
from starlette.responses import Response

from fastpix_server.api import pages
from fastpix_server.api.answers import done, success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import Done
from fastpix_server.api.described_live import LiveHealthAnswer, LiveStreamAnswer, LiveStreamPage, ViewsAnswer
from fastpix_server.api.resource import StreamId, answers, router
from fastpix_server.api.unit import context_of, tx_of
from fastpix_server.live import service
from fastpix_server.live.schemas import CreateStream, UpdateStream

routes = router("Live streams")


@routes.post(
    "/live/streams",
    operation_id="create-new-stream",
    **answers(LiveStreamAnswer, 401, 403, 413, 422, status=201),
)
async def create_stream(request: Request, body: CreateStream) -> Response:
    """A new stream with its keys and a first playback ID. It is idle until an encoder connects."""
    tx = tx_of(request)
    stream = await service.create(tx, principal(request).workspace_id, body)
    return success(await service.describe(tx, stream), status=201)


@routes.get("/live/streams", operation_id="get-all-streams", **answers(LiveStreamPage, 401, 403, 422))
async def list_streams(
    request: Request,
    limit: pages.Limit = pages.DEFAULT_LIMIT,
    offset: pages.Offset = pages.DEFAULT_OFFSET,
    order: pages.Order = pages.DEFAULT_ORDER,
) -> Response:
    """All streams of the workspace, newest first unless asked otherwise, with their keys."""
    async with context_of(request).db.unit() as tx:
        found, total = await service.list_page(
            tx, principal(request).workspace_id, limit=limit, offset=offset, order=order
        )
    return success(found, pagination=pages.pagination(total, limit=limit, offset=offset))


@routes.get(
    "/live/streams/{streamId}", operation_id="get-live-stream-by-id", **answers(LiveStreamAnswer, 401, 403, 404, 422)
)
async def get_stream(request: Request, stream_id: StreamId) -> Response:
    """One stream, with its keys, simulcast targets and recordings."""
    async with context_of(request).db.unit() as tx:
        stream = await service.get(tx, principal(request).workspace_id, stream_id)
        return success(await service.describe(tx, stream))


@routes.patch(
    "/live/streams/{streamId}",
    operation_id="update-live-stream",
    **answers(LiveStreamAnswer, 400, 401, 403, 404, 413, 422),
)
async def update_stream(request: Request, stream_id: StreamId, body: UpdateStream) -> Response:
    """Replaces the whole metadata, or the reconnect window; a running session follows at once."""
    return success(await service.update(tx_of(request), principal(request).workspace_id, stream_id, body))


@routes.delete("/live/streams/{streamId}", operation_id="delete-live-stream", **answers(Done, 401, 403, 404, 422))
async def delete_stream(request: Request, stream_id: StreamId) -> Response:
    """The encoder is disconnected, the playback IDs are gone; recordings remain media."""
    await service.delete(tx_of(request), principal(request).workspace_id, stream_id)
    return done()


@routes.put(
    "/live/streams/{streamId}/live-enable",
    operation_id="enable-live-stream",
    **answers(Done, 400, 401, 403, 404, 422),
)
async def enable_stream(request: Request, stream_id: StreamId) -> Response:
    """Encoders may connect again."""
    await service.enable(tx_of(request), principal(request).workspace_id, stream_id)
    return done()


@routes.put(
    "/live/streams/{streamId}/live-disable",
    operation_id="disable-live-stream",
    **answers(Done, 400, 401, 403, 404, 422),
)
async def disable_stream(request: Request, stream_id: StreamId) -> Response:
    """Disconnects the encoder and ends the session; none may connect until the stream is enabled."""
    await service.disable(tx_of(request), principal(request).workspace_id, stream_id)
    return done()


@routes.put(
    "/live/streams/{streamId}/finish",
    operation_id="complete-live-stream",
    **answers(Done, 400, 401, 403, 404, 422),
)
async def finish_stream(request: Request, stream_id: StreamId) -> Response:
    """Ends an active session at once and finishes its recording; the next publish begins a new one."""
    await service.finish(tx_of(request), principal(request).workspace_id, stream_id)
    return done()


@routes.get(
    "/live/streams/{streamId}/viewer-count",
    operation_id="get-live-stream-viewer-count-by-id",
    **answers(ViewsAnswer, 401, 403, 404, 422),
)
async def viewer_count(request: Request, stream_id: StreamId) -> Response:
    """How many viewers loaded a playlist or a segment in about the last half minute; 0 while nothing runs."""
    async with context_of(request).db.unit() as tx:
        return success({"views": await service.viewer_count(tx, principal(request).workspace_id, stream_id)})


@routes.get(
    "/live/streams/{streamId}/health",
    operation_id="get-live-stream-health",
    **answers(LiveHealthAnswer, 401, 403, 404, 422),
)
async def stream_health(request: Request, stream_id: StreamId) -> Response:
    """How the running session fares: bit rate, frame rate, drops, and what the transport knows. Ours."""
    async with context_of(request).db.unit() as tx:
        return success(await service.health(tx, principal(request).workspace_id, stream_id))
