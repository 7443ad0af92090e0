"""`/live/streams/{streamId}/simulcast`: where else a stream is pushed to (contract 2.5, ops 51 to 54)."""

from fastapi import Request
from starlette.responses import Response

from fastpix_server.api.answers import done, success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import Done
from fastpix_server.api.described_live import SimulcastAnswer
from fastpix_server.api.resource import SimulcastId, StreamId, answers, router
from fastpix_server.api.unit import context_of, tx_of
from fastpix_server.live import simulcast, wire
from fastpix_server.live.schemas import NewTarget, UpdateTarget

routes = router("Simulcast")


@routes.post(
    "/live/streams/{streamId}/simulcast",
    operation_id="create-simulcast-of-stream",
    **answers(SimulcastAnswer, 400, 401, 403, 404, 413, 422, status=201),
)
async def create_target(request: Request, stream_id: StreamId, body: NewTarget) -> Response:
    """Another place to push the encoder's own picture to. Only while the stream is idle."""
    made = await simulcast.create(tx_of(request), principal(request).workspace_id, stream_id, body)
    return success(wire.target_full(made), status=201)


@routes.get(
    "/live/streams/{streamId}/simulcast/{simulcastId}",
    operation_id="get-specific-simulcast-of-stream",
    **answers(SimulcastAnswer, 401, 403, 404, 422),
)
async def get_target(request: Request, stream_id: StreamId, simulcast_id: SimulcastId) -> Response:
    """One target, with its key."""
    async with context_of(request).db.unit() as tx:
        found = await simulcast.get(tx, principal(request).workspace_id, stream_id, simulcast_id)
    return success(wire.target_full(found))


@routes.put(
    "/live/streams/{streamId}/simulcast/{simulcastId}",
    operation_id="update-specific-simulcast-of-stream",
    **answers(SimulcastAnswer, 400, 401, 403, 404, 413, 422),
)
async def update_target(
    request: Request, stream_id: StreamId, simulcast_id: SimulcastId, body: UpdateTarget
) -> Response:
    """Turns the push on or off, also in the middle of a broadcast, or replaces its metadata."""
    changed = await simulcast.update(tx_of(request), principal(request).workspace_id, stream_id, simulcast_id, body)
    return success(wire.target_full(changed))


# The service's own text calls the operation a PATCH (contract 11, row 10).
routes.patch(
    "/live/streams/{streamId}/simulcast/{simulcastId}",
    operation_id="patch-specific-simulcast-of-stream",
    include_in_schema=False,
    **answers(SimulcastAnswer, 400, 401, 403, 404, 413, 422),
)(update_target)


@routes.delete(
    "/live/streams/{streamId}/simulcast/{simulcastId}",
    operation_id="delete-simulcast-of-stream",
    **answers(Done, 401, 403, 404, 422),
)
async def delete_target(request: Request, stream_id: StreamId, simulcast_id: SimulcastId) -> Response:
    """Stops a push that runs, and forgets the target."""
    await simulcast.delete(tx_of(request), principal(request).workspace_id, stream_id, simulcast_id)
    return done()
