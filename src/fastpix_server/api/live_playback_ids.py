"""`/live/streams/{streamId}/playback-ids`: the public names of a stream (contract 2.5, ops 48 to 50 and section 0)."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import AfterValidator
from starlette.responses import Response

from fastpix_server.api.answers import done, success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import Done, PlaybackIdAnswer
from fastpix_server.api.described_live import RulesAnswer
from fastpix_server.api.resource import PlaybackIdInPath, StreamId, answers, path_id, router
from fastpix_server.api.unit import context_of, tx_of
from fastpix_server.live import service
from fastpix_server.live.schemas import NewLivePlaybackId, Rules
from fastpix_server.playback.service import public_playback_id

routes = router("Live playback IDs")

PlaybackIdInQuery = Annotated[
    str, Query(alias="playbackId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)
]


@routes.post(
    "/live/streams/{streamId}/playback-ids",
    operation_id="create-playbackId-of-stream",
    **answers(PlaybackIdAnswer, 401, 403, 404, 413, 422, status=201),
)
async def create_playback_id(request: Request, stream_id: StreamId, body: NewLivePlaybackId) -> Response:
    """Another public name with its own policy; it is listed first."""
    made = await service.add_playback_id(tx_of(request), principal(request).workspace_id, stream_id, body)
    return success(public_playback_id(made), status=201)


@routes.delete(
    "/live/streams/{streamId}/playback-ids",
    operation_id="delete-playbackId-of-stream",
    **answers(Done, 401, 403, 404, 422),
)
async def delete_playback_id(request: Request, stream_id: StreamId, playback_id: PlaybackIdInQuery) -> Response:
    """Revokes at once; viewers may finish what their players have loaded."""
    await service.delete_playback_id(tx_of(request), principal(request).workspace_id, stream_id, playback_id)
    return done()


@routes.get(
    "/live/streams/{streamId}/playback-ids/{playbackId}",
    operation_id="get-live-stream-playback-id",
    **answers(PlaybackIdAnswer, 401, 403, 404, 422),
)
async def get_playback_id(request: Request, stream_id: StreamId, playback_id: PlaybackIdInPath) -> Response:
    async with context_of(request).db.unit() as tx:
        found = await service.get_playback_id(tx, principal(request).workspace_id, stream_id, playback_id)
    return success(public_playback_id(found))


@routes.patch(
    "/live/streams/{streamId}/playback-ids/{playbackId}/domains",
    operation_id="update-live-stream-domain-restrictions",
    **answers(RulesAnswer, 401, 403, 404, 413, 422),
)
async def restrict_domains(
    request: Request, stream_id: StreamId, playback_id: PlaybackIdInPath, body: Rules
) -> Response:
    """Which websites may show the stream; replaces all three fields. Tokens stay good."""
    tx, workspace_id = tx_of(request), principal(request).workspace_id
    return success(await service.restrict(tx, workspace_id, stream_id, playback_id, "domains", body))


@routes.patch(
    "/live/streams/{streamId}/playback-ids/{playbackId}/user-agents",
    operation_id="update-live-stream-user-agent-restrictions",
    **answers(RulesAnswer, 401, 403, 404, 413, 422),
)
async def restrict_user_agents(
    request: Request, stream_id: StreamId, playback_id: PlaybackIdInPath, body: Rules
) -> Response:
    """Which programs may load the stream: parts of their User-Agent, upper and lower case told apart."""
    tx, workspace_id = tx_of(request), principal(request).workspace_id
    return success(await service.restrict(tx, workspace_id, stream_id, playback_id, "userAgents", body))
