"""What callers may ask of access tokens: the request body. Strict, every bad field is reported, others are ignored."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fastpix_server.access.model import ALL, PERMISSIONS
from fastpix_server.base.fields import Name, refused

# Each permission once and `*`; repetitions are harmless, so there is some room.
PERMISSIONS_MAX = 32


def _permission(value: str) -> str:
    if value not in (ALL, *PERMISSIONS):
        raise refused("is invalid")
    return value


def _at_least_one(value: list[str]) -> list[str]:
    if not value:
        raise refused("must not be empty")
    return value


class NewAccessToken(BaseModel):
    model_config = ConfigDict(strict=True)

    name: Name = Field(description="For people: what uses it.")
    permissions: Annotated[
        list[Annotated[str, AfterValidator(_permission), Field(json_schema_extra={"enum": [ALL, *PERMISSIONS]})],],
        Field(max_length=PERMISSIONS_MAX),
        AfterValidator(_at_least_one),
    ] = Field(description="What it may do. Only what the asking token may do itself.")
