"""The OpenAPI document at /v1/openapi.json: what we really answer (tests hold real answers against it)."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.api.answers import JSON, encode

API_VERSION = "1.0.0"
_ABOUT = (
    "On-demand media over the FastPix API. Basic auth: the access token's ID and its secret key. "
    "Unsafe operations honour `Idempotency-Key`: a repeated key gets the first answer for 24 hours. "
    "Answers are of the current API generation; `X-Fastpix-Api-Generation: 1` or `2` asks for an older one."
)


def describe(api: FastAPI, *, server_url: str) -> None:
    """Builds the document once, from the routes included so far, and serves it without authentication."""
    made = get_openapi(
        title="fastpix API",
        version=API_VERSION,
        description=_ABOUT,
        routes=api.routes,
        servers=[{"url": server_url}],
    )
    made["components"]["securitySchemes"] = {"BasicAuth": {"type": "http", "scheme": "basic"}}
    made["security"] = [{"BasicAuth": []}]
    body = encode(made)

    async def serve(_request: Request) -> Response:
        return Response(body, media_type=JSON)

    api.state.document = made
    api.router.routes.append(Route("/openapi.json", serve, methods=["GET"], include_in_schema=False))


def document_of(api: FastAPI) -> dict[str, Any]:
    found: dict[str, Any] = api.state.document
    return found
