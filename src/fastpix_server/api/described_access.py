"""What the OpenAPI document says of access tokens (see described.py)."""

from typing import Literal

from pydantic import Field

from fastpix_server.api.described import Described, Pagination, TimeText, UuidText, maybe

Permission = Literal["*", "video:read", "video:write", "data:read", "data:write", "system:read", "system:write"]


class NewAccessToken(Described):
    id: str = UuidText
    name: str
    permissions: list[Permission]
    secret_key: str = Field(description="It cannot be read again.")
    created_at: str = TimeText


class AccessToken(Described):
    id: str = Field(description="The user name of Basic auth: a UUID, unless the operator chose the first one's.")
    name: str
    permissions: list[Permission]
    created_at: str = TimeText
    last_used_at: str = maybe(description="Exact to a minute.")


class NewAccessTokenAnswer(Described):
    success: Literal[True]
    data: NewAccessToken


class AccessTokenPage(Described):
    success: Literal[True]
    data: list[AccessToken]
    pagination: Pagination


class AccessTokenAnswer(Described):
    success: Literal[True]
    data: AccessToken
