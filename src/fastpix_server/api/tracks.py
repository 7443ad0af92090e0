"""`/on-demand/{mediaId}/tracks` (contract 2.1, ops 7, 9, 10). What happens is in media/tracks.py."""

from typing import Annotated

from fastapi import Path, Request
from pydantic import AfterValidator
from starlette.responses import Response

from fastpix_server.api.answers import done, success
from fastpix_server.api.auth import principal
from fastpix_server.api.described import Done, TrackAnswer
from fastpix_server.api.resource import MediaId, answers, path_id, router
from fastpix_server.api.unit import tx_of
from fastpix_server.media import tracks, wire
from fastpix_server.media.schemas import AddTrack, UpdateTrack

routes = router("Media")

TrackId = Annotated[str, Path(alias="trackId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)]


@routes.post(
    "/on-demand/{mediaId}/tracks",
    operation_id="Add-media-track",
    **answers(TrackAnswer, 400, 401, 403, 404, 413, 422, status=201),
)
async def add_track(request: Request, media_id: MediaId, body: AddTrack) -> Response:
    """Adds audio or subtitles from a URL. Answers at once; the track's status tells when it can be chosen."""
    track = await tracks.add(tx_of(request), principal(request).workspace_id, media_id, body)
    return success(wire.added_track(track), status=201)


@routes.patch(
    "/on-demand/{mediaId}/tracks/{trackId}",
    operation_id="update-media-track",
    **answers(TrackAnswer, 400, 401, 403, 404, 413, 422),
)
async def update_track(request: Request, media_id: MediaId, track_id: TrackId, body: UpdateTrack) -> Response:
    """Changes language, names or file of a track; it keeps its id. What is absent stays."""
    track = await tracks.update(tx_of(request), principal(request).workspace_id, media_id, track_id, body)
    return success(wire.added_track(track))


@routes.delete(
    "/on-demand/{mediaId}/tracks/{trackId}",
    operation_id="delete-media-track",
    **answers(Done, 400, 401, 403, 404, 422),
)
async def delete_track(request: Request, media_id: MediaId, track_id: TrackId) -> Response:
    """Takes an added track away at once. The source's own tracks stay."""
    await tracks.delete(tx_of(request), principal(request).workspace_id, media_id, track_id)
    return done()
