"""`/on-demand/{mediaId}/playback-ids`: the public names of a media (contract 2.2)."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import AfterValidator
from starlette.responses import Response

from fastpix_server.api.answers import done, success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import Done, PlaybackIdAnswer, PlaybackIdList
from fastpix_server.api.described_live import RulesAnswer
from fastpix_server.api.resource import MediaId, PlaybackIdInPath, answers, path_id, router
from fastpix_server.api.unit import context_of, tx_of
from fastpix_server.media import service
from fastpix_server.media.schemas import NewPlaybackId, Rules
from fastpix_server.playback.service import public_playback_id

routes = router("Playback IDs")

PlaybackIdInQuery = Annotated[
    str, Query(alias="playbackId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)
]


@routes.post(
    "/on-demand/{mediaId}/playback-ids",
    operation_id="create-media-playback-id",
    **answers(PlaybackIdAnswer, 400, 401, 403, 404, 413, 422, status=201),
)
async def create_playback_id(request: Request, media_id: MediaId, body: NewPlaybackId) -> Response:
    """Another public name, with its own policy; `resolution` caps what it shows."""
    made = await service.add_playback_id(tx_of(request), principal(request).workspace_id, media_id, body)
    return success(public_playback_id(made), status=201)


@routes.get(
    "/on-demand/{mediaId}/playback-ids",
    operation_id="list-playback-ids",
    **answers(PlaybackIdList, 401, 403, 404, 422),
)
async def list_playback_ids(request: Request, media_id: MediaId) -> Response:
    async with context_of(request).db.unit() as tx:
        found = await service.list_playback_ids(tx, principal(request).workspace_id, media_id)
    return success([public_playback_id(p) for p in found])


@routes.delete(
    "/on-demand/{mediaId}/playback-ids",
    operation_id="delete-media-playback-id",
    **answers(Done, 401, 403, 404, 422),
)
async def delete_playback_id(request: Request, media_id: MediaId, playback_id: PlaybackIdInQuery) -> Response:
    """Revokes at once: viewers are refused from now on."""
    await service.delete_playback_id(tx_of(request), principal(request).workspace_id, media_id, playback_id)
    return done()


@routes.get(
    "/on-demand/{mediaId}/playback-ids/{playbackId}",
    operation_id="get-playback-id",
    **answers(PlaybackIdAnswer, 401, 403, 404, 422),
)
async def get_playback_id(request: Request, media_id: MediaId, playback_id: PlaybackIdInPath) -> Response:
    async with context_of(request).db.unit() as tx:
        found = await service.get_playback_id(tx, principal(request).workspace_id, media_id, playback_id)
    return success(public_playback_id(found))


@routes.patch(
    "/on-demand/{mediaId}/playback-ids/{playbackId}/domains",
    operation_id="update-domain-restrictions",
    **answers(RulesAnswer, 400, 401, 403, 404, 413, 422),
)
async def restrict_domains(request: Request, media_id: MediaId, playback_id: PlaybackIdInPath, body: Rules) -> Response:
    """Which websites may show the media; replaces all three fields. Holds at once, and tokens stay good."""
    tx, workspace_id = tx_of(request), principal(request).workspace_id
    return success(await service.restrict_playback_id(tx, workspace_id, media_id, playback_id, "domains", body))


@routes.patch(
    "/on-demand/{mediaId}/playback-ids/{playbackId}/user-agents",
    operation_id="update-user-agent-restrictions",
    **answers(RulesAnswer, 400, 401, 403, 404, 413, 422),
)
async def restrict_user_agents(
    request: Request, media_id: MediaId, playback_id: PlaybackIdInPath, body: Rules
) -> Response:
    """Which programs may load the media: parts of their User-Agent, upper and lower case told apart."""
    tx, workspace_id = tx_of(request), principal(request).workspace_id
    return success(await service.restrict_playback_id(tx, workspace_id, media_id, playback_id, "userAgents", body))
