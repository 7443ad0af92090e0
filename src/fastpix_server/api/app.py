"""The REST API as one ASGI app, mounted at /v1."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from fastpix_server.access.door import Authenticator
from fastpix_server.api import (
    access_tokens,
    data,
    data_alerts,
    data_live,
    data_metrics,
    document,
    drm,
    errors,
    iam,
    live_clips,
    live_playback_ids,
    live_streams,
    media,
    media_files,
    playback_ids,
    playlists,
    reference,
    signing_keys,
    simulcasts,
    tracks,
    uploads,
    webhooks,
)
from fastpix_server.api.context import ApiContext
from fastpix_server.api.requests import Requests
from fastpix_server.base.buckets import Buckets
from fastpix_server.base.errors import FastpixError


def create_api(context: ApiContext) -> FastAPI:
    """Expects `context.db` to be open; call it before `context.listener.start()`. Starts nothing, needs no lifespan."""
    api = FastAPI(
        title="fastpix",
        version=document.API_VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            FastpixError: errors.on_fastpix_error,
            RequestValidationError: errors.on_bad_request,
            HTTPException: errors.on_http_exception,
        },
    )
    equip(api, context)
    # Literal paths first: /on-demand/uploads is not a media of that name.
    for routes in (
        iam.routes,
        access_tokens.routes,
        signing_keys.routes,
        uploads.routes,
        drm.routes,
        data.routes,
        data_metrics.routes,
        data_live.routes,
        data_alerts.routes,
        playlists.routes,
        media.routes,
        tracks.routes,
        media_files.routes,
        playback_ids.routes,
        live_clips.routes,
        live_streams.routes,
        live_playback_ids.routes,
        simulcasts.routes,
        webhooks.routes,
    ):
        api.include_router(routes)
    reference.attach(api, document.describe(api, server_url=f"{context.public_url}/v1"))
    api.add_middleware(Requests)
    return api


def equip(api: FastAPI, context: ApiContext) -> None:
    """Everything of one platform that the routes use: who asks, how often, and of which database."""
    api.state.context = context
    api.state.authenticator = Authenticator(context.db, context.pepper, listener=context.listener)
    api.state.buckets = Buckets(context.rate_per_s, context.rate_burst)
