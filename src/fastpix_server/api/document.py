"""The OpenAPI document at /v1/openapi.json: what we really answer (tests hold real answers against it)."""

import functools
import threading
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fastpix_server.api.answers import JSON, encode

API_VERSION = "1.0.0"
_ABOUT = (
    "Video on demand, live streams, video data and webhooks over the FastPix API. "
    "Basic auth: the access token's ID and its secret key. "
    "Unsafe operations honour `Idempotency-Key`: a repeated key gets the first answer for 24 hours. "
    "Answers are of the current API generation; `X-Fastpix-Api-Generation: 1` or `2` asks for an older one."
)


class Document:
    """Made when it is first asked for: it is a second of work, which no start and no other request waits for."""

    def __init__(self, api: FastAPI, *, server_url: str) -> None:
        self._api = api
        self._server_url = server_url
        self._one_makes_it = threading.Lock()

    def made(self) -> dict[str, Any]:
        """From the routes included until the first call; for a thread."""
        with self._one_makes_it:
            return self._made

    @functools.cached_property
    def _made(self) -> dict[str, Any]:
        made = get_openapi(
            title="fastpix API",
            version=API_VERSION,
            description=_ABOUT,
            routes=self._api.routes,
            servers=[{"url": self._server_url}],
        )
        made["components"]["securitySchemes"] = {"BasicAuth": {"type": "http", "scheme": "basic"}}
        made["security"] = [{"BasicAuth": []}]
        return made


def describe(api: FastAPI, *, server_url: str) -> Document:
    """Serves the document of all included routes without authentication."""
    document = Document(api, server_url=server_url)

    def serve(_request: Request) -> Response:
        return Response(encode(document.made()), media_type=JSON)

    api.router.routes.append(Route("/openapi.json", serve, methods=["GET"], include_in_schema=False))
    return document
