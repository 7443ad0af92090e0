"""Who is asking, and what they may do."""

import dataclasses
from datetime import datetime

# What a token may do, as `<area>:<read|write>`. `*` is everything, also what later versions add.
AREAS = ("video", "data", "system")
PERMISSIONS = (*(f"{area}:{verb}" for area in AREAS for verb in ("read", "write")),)
ALL = "*"
MANAGE = "system:write"  # makes and revokes tokens


@dataclasses.dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a valid access token."""

    workspace_id: str
    token_id: str
    permissions: frozenset[str]

    def may(self, permission: str) -> bool:
        return ALL in self.permissions or permission in self.permissions


@dataclasses.dataclass(frozen=True, slots=True)
class Workspace:
    id: str
    name: str
    key: str  # public: names the workspace in beacons
    created_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class AccessToken:
    """A token as everybody may see it: without its secret. `last_used_at` is exact to service.USED_EVERY_S."""

    id: str
    workspace_id: str
    name: str
    permissions: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class NewToken:
    """An access token just made. The only moment at which its secret can be read."""

    id: str
    secret: str = dataclasses.field(repr=False)
    workspace_id: str
    permissions: tuple[str, ...]
    name: str
    created_at: datetime
