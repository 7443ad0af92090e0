"""What callers may ask of live streams: the request bodies (contract section 2.5). Rules as in media/schemas.py."""

import re
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, StrictBool, model_validator

from fastpix_server.base.fields import between, refused
from fastpix_server.live import push_line
from fastpix_server.media.schemas import AccessRestrictions, Metadata, Request, Rules

RECONNECT_WINDOW_MIN_S = 60  # contract section 2.5
RECONNECT_WINDOW_MAX_S = 1800
URL_MAX_CHARS = 2048  # ingest URLs of the platforms that people push to stay under 300
KEY_MAX_CHARS = 1024  # some platforms put a signed query into the key

__all__ = ["CreateStream", "NewLivePlaybackId", "NewTarget", "Rules", "UpdateStream", "UpdateTarget"]

BasicPolicy = Literal["public", "private"]
ReconnectWindow = Annotated[
    int,
    between(RECONNECT_WINDOW_MIN_S, RECONNECT_WINDOW_MAX_S),
    Field(json_schema_extra={"minimum": RECONNECT_WINDOW_MIN_S, "maximum": RECONNECT_WINDOW_MAX_S}),
]
# Parts of a URL or a path that would end it, or start a line of their own in somebody's log.
_UNSAFE = re.compile(r"[\s\x00-\x1f\x7f\"'<>\\^`{|}]")


def _push_url(url: str) -> str:
    if len(url) > URL_MAX_CHARS:
        raise refused(f"must be at most {URL_MAX_CHARS} characters")
    try:
        named = dict(parse_qsl(urlsplit(url).query)).get("streamid", "k")
        push_line.parse(url, named)
    except ValueError as fault:  # a bracket or a port that is none, too
        raise refused(f"is invalid: {fault}") from None
    if _UNSAFE.search(url):
        raise refused("is invalid")
    return url


def _push_key(key: str) -> str:
    if not key or len(key) > KEY_MAX_CHARS or _UNSAFE.search(key):
        raise refused(f"must be 1 to {KEY_MAX_CHARS} characters of a URL")
    return key


def _standard(quality: str) -> str:
    if quality != "standard":
        raise refused("is not supported yet")
    return quality


class LivePolicy(Request):
    """Who may watch. Live ids are never `drm` (contract 11, row 41)."""

    access_policy: BasicPolicy = "public"
    access_restrictions: AccessRestrictions = AccessRestrictions()


class InputMediaSettings(Request):
    max_resolution: Literal["1080p", "720p", "480p"] = "1080p"
    reconnect_window: ReconnectWindow = RECONNECT_WINDOW_MIN_S
    media_policy: BasicPolicy = "public"
    metadata: Metadata | None = None
    enable_dvr_mode: StrictBool = False
    enable_recording: StrictBool = True
    media_quality: Annotated[Literal["standard", "pro", "premium"], AfterValidator(_standard)] = "standard"


class CreateStream(Request):
    playback_settings: LivePolicy
    input_media_settings: InputMediaSettings


class UpdateStream(Request):
    """`metadata` replaces the whole object; what is absent stays."""

    metadata: Metadata | None = None
    reconnect_window: Annotated[
        int | None,
        between(RECONNECT_WINDOW_MIN_S, RECONNECT_WINDOW_MAX_S),
        Field(json_schema_extra={"minimum": RECONNECT_WINDOW_MIN_S, "maximum": RECONNECT_WINDOW_MAX_S}),
    ] = None


class NewLivePlaybackId(LivePolicy):
    pass


class NewTarget(Request):
    url: Annotated[str, AfterValidator(_push_url)]
    stream_key: Annotated[str, AfterValidator(_push_key)]
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _fit(self) -> "NewTarget":
        """Together they are a target: an SRT address that names a stream id names the stream key."""
        try:
            push_line.parse(self.url, self.stream_key)
        except ValueError as fault:
            raise refused(f"does not fit the url: {fault}", below="streamKey") from None
        return self


class UpdateTarget(Request):
    is_enabled: StrictBool | None = None
    metadata: Metadata | None = None
