"""How a resource is routed: every operation is a unit, and knows what it answers."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import AfterValidator

from fastpix_server.api.described import refusals
from fastpix_server.api.unit import UnitRoute
from fastpix_server.base import errors, ids
from fastpix_server.base.fields import refused

Endpoint = Callable[..., Any]

_HEX = re.compile(r"[0-9a-f]{32}")
# Literal members of /on-demand that are no media: where one is not routed (yet), it is unknown, not malformed.
_NOT_IDS = frozenset({"upload", "uploads", "playlists", "drm-configurations"})


def router(tag: str) -> APIRouter:
    return APIRouter(route_class=UnitRoute, tags=[tag], redirect_slashes=False)


def answers(model: Any, *codes: int, status: int = 200) -> dict[str, Any]:
    """Keyword arguments of a route: the success it answers with `status`, and its refusals."""
    return {
        "status_code": status,
        "response_model": None,
        "responses": {status: {"model": model, "description": "Success"}, **refusals(*codes)},
    }


def path_id(value: str) -> str:
    if value in _NOT_IDS:
        raise errors.NotFound("No operation of this API has this path.")
    if not ids.is_uuid(value.lower()):
        raise refused("is invalid")
    return value.lower()


MediaId = Annotated[str, Path(alias="mediaId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)]
PlaylistId = Annotated[str, Path(alias="playlistId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)]
PlaybackIdInPath = Annotated[
    str, Path(alias="playbackId", json_schema_extra={"format": "uuid"}), AfterValidator(path_id)
]


def hex_id(value: str) -> str:
    """Streams and simulcast targets are named by 32 hex digits; the spec writes some of them as UUIDs (contract 1)."""
    plain = value.lower().replace("-", "") if ids.is_uuid(value.lower()) else value.lower()
    if _HEX.fullmatch(plain) is None:
        raise refused("is invalid")
    return plain


StreamId = Annotated[str, Path(alias="streamId"), AfterValidator(hex_id)]
SimulcastId = Annotated[str, Path(alias="simulcastId"), AfterValidator(hex_id)]
