"""What all shapes of the API have in common.

Invariants: shapes are immutable; their names are the API's in snake_case; what may be absent has a default; a word of
a closed list in a request is a Literal, in an answer a plain str, since a server may know more words than a client.
`msgspec.to_builtins(value)` is its JSON form.
"""

from __future__ import annotations

from typing import Literal

import msgspec

AccessPolicy = Literal["public", "private", "drm"]
Resolution = Literal["2160p", "1440p", "1080p", "720p", "480p"]
MediaQuality = Literal["standard", "pro", "premium"]
Mp4Support = Literal["none", "capped_4k", "audioOnly", "audioOnly,capped_4k"]
SortOrder = Literal["asc", "desc"]
RulePolicy = Literal["allow", "deny"]


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Read from answers, and sent whole where a request has the same shape."""


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of a request: what keeps its default is not sent."""


class Rules(Shape, frozen=True, kw_only=True):
    """Who may play: with `deny` as the default only `allow` counts, with `allow` only `deny`."""

    default_policy: RulePolicy = "allow"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class AccessRestrictions(Shape, frozen=True, kw_only=True):
    """`domains` are host names of pages, `user_agents` parts of the User-Agent."""

    domains: Rules = Rules()
    user_agents: Rules = Rules()


class PlaybackId(Shape, frozen=True, kw_only=True):
    """An id to play by. `resolution` is the highest that it shows."""

    id: str
    access_policy: str = "public"
    access_restrictions: AccessRestrictions = AccessRestrictions()
    resolution: str | None = None
