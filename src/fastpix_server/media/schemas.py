"""What callers may ask of media: the request bodies (contract sections 2.0 to 2.2).

- Requests are strict: no coercion, every bad field is reported, unknown fields are ignored, `null` means "not given".
- An option whose effect does not exist yet is refused by name instead of accepted and forgotten
  (docs/decisions/0008-refuse-what-has-no-effect.md).
"""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from fastpix_server.base.fields import between, refused

TEXT_MAX_CHARS = 255  # contract section 1: title, creatorId, metadata keys and values
METADATA_MAX_ENTRIES = 10  # contract section 1
URL_MAX_CHARS = 8192  # signed storage URLs reach 2 kB; proxies refuse far longer ones anyway
INPUTS_MAX = 50  # the schema names no bound; a request beyond this is a mistake
RULES_MAX = 100  # domains or user agents in one list; the gate reads them on every playback request

AccessPolicy = Literal["public", "private", "drm"]
Resolution = Literal["2160p", "1440p", "1080p", "720p", "480p"]
Quality = Literal["standard", "pro", "premium"]
Mp4Support = Literal["capped_4k", "audioOnly", "audioOnly,capped_4k"]

# BCP 47 by form: en, pt-BR, zh-Hant-TW.
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,6}")
LANGUAGE_MAX_CHARS = 35  # RFC 5646, 4.4.1: the longest that a receiver must take
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise refused("is invalid")
    return text.lower()


def _not_yet(value: Any) -> Any:
    if value is not None:
        raise refused("is not supported yet")
    return value


def _only_false(value: Any) -> Any:
    if value is True:
        raise refused("is not supported yet")
    return value


def _not_claimed(_value: bool) -> bool:
    """Accepted without effect, and the answer says so: the official Python SDK sends `true` on every upload."""
    return False


def _only_zero(value: Any) -> Any:
    if value:
        raise refused("is not supported yet")
    return value


def _text(value: str) -> str:
    if len(value) > TEXT_MAX_CHARS:
        raise refused(f"must be at most {TEXT_MAX_CHARS} characters")
    return value


def _entries(value: dict[str, str]) -> dict[str, str]:
    if len(value) > METADATA_MAX_ENTRIES:
        raise refused(f"must have at most {METADATA_MAX_ENTRIES} entries")
    return value


def _source_url(url: str) -> str:
    if url.startswith("fp_mediaId://"):
        raise refused("is not supported yet")
    if len(url) > URL_MAX_CHARS:
        raise refused(f"must be at most {URL_MAX_CHARS} characters")
    try:
        parts = urlsplit(url)
        is_good = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket or a port that is none
        is_good = False
    if not is_good or any(c.isspace() or ord(c) < 32 for c in url):
        raise refused("is invalid")
    return url


def _language_code(value: str) -> str:
    if len(value) > LANGUAGE_MAX_CHARS or _LANGUAGE.fullmatch(value) is None:
        raise refused("is invalid")
    return value


def _language_name(value: str) -> str:
    """A name for a player's menu: one line that can be read."""
    name = value.strip()
    if not name or not name.isprintable():
        raise refused("is invalid")
    return _text(name)


Text = Annotated[str, AfterValidator(_text)]
SourceUrl = Annotated[str, AfterValidator(_source_url)]
LanguageCode = Annotated[str, AfterValidator(_language_code)]
LanguageName = Annotated[str, AfterValidator(_language_name)]
Metadata = Annotated[dict[Text, Text], AfterValidator(_entries), Field(json_schema_extra={"maxProperties": 10})]
Uuid = Annotated[str, AfterValidator(_uuid), Field(json_schema_extra={"format": "uuid"})]
NotYetBool = Annotated[StrictBool, AfterValidator(_only_false)]


class Request(BaseModel):
    """Base of request bodies: camelCase on the wire, strict types, null is absence."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absence(cls, value: Any) -> Any:
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


class Rules(Request):
    default_policy: Literal["allow", "deny"] = "allow"
    allow: Annotated[list[Text], Field(max_length=RULES_MAX)] = []
    deny: Annotated[list[Text], Field(max_length=RULES_MAX)] = []


class AccessRestrictions(Request):
    domains: Rules = Rules()
    user_agents: Rules = Rules()


class AutoSubtitles(Request):
    language_name: Text
    language_code: Literal["en", "it", "pl", "es", "fr", "ru", "nl"]
    metadata: Metadata = {}


class Summary(Request):
    generate: NotYetBool = False
    summary_length: Annotated[int, between(30, 250), Field(json_schema_extra={"minimum": 30, "maximum": 250})] = 100


class Moderation(Request):
    type: Literal["video", "audio", "av"] = "audio"


class Policy(Request):
    """Who may play: the part that a media's first playback id and later ones share."""

    access_policy: AccessPolicy = "public"
    access_restrictions: AccessRestrictions = AccessRestrictions()
    drm_configuration_id: Uuid | None = Field(default=None, validate_default=True)

    @field_validator("drm_configuration_id")
    @classmethod
    def _drm_names_its_configuration(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("access_policy") == "drm":
            raise refused("must not be null", named="drmConfigurationId")
        return value


class MediaOptions(Policy):
    """The options that create-media (at its root) and direct upload (`pushMediaSettings`) share."""

    title: Text | None = None
    creator_id: Text | None = None
    metadata: Metadata = {}
    max_resolution: Resolution = "1080p"
    media_quality: Quality = "standard"
    source_access: StrictBool = False
    optimize_audio: NotYetBool = False
    chapters: NotYetBool = False
    named_entities: NotYetBool = False
    summary: Summary | None = None
    mp4_support: Mp4Support | None = None
    subtitles: Annotated[AutoSubtitles | None, AfterValidator(_not_yet)] = None
    moderation: Annotated[Moderation | None, AfterValidator(_not_yet)] = None


class Edits(Request):
    """Cuts and joins of a video input: known by name, so that a caller hears that they have no effect yet."""

    start_time: Annotated[float, Field(ge=0), AfterValidator(_only_zero)] = 0
    end_time: Annotated[float | None, AfterValidator(_not_yet)] = None
    intro_url: Annotated[str | None, AfterValidator(_not_yet)] = None
    outro_url: Annotated[str | None, AfterValidator(_not_yet)] = None
    expunge_segments: Annotated[list[str], AfterValidator(_only_zero)] = []
    segments: Annotated[list[dict[str, Any]], AfterValidator(_only_zero)] = []


class UploadInput(Edits):
    """An input of a direct upload: its bytes come later, so it has no url."""

    type: Literal["video"] = "video"


class VideoInput(UploadInput):
    type: Literal["video"]  # required here: the contract marks it so
    url: SourceUrl


class SubtitleInput(Request):
    """A subtitle file beside the video; it becomes a track."""

    type: Literal["subtitle"]
    url: SourceUrl
    language_name: LanguageName
    language_code: LanguageCode


def _known_type(value: Any, *, default: str | None = None) -> Any:
    """Says what is wrong with `type` before the union picks a form by it."""
    if not isinstance(value, dict):
        return value
    kind = value.get("type") or default
    if kind is None:
        raise refused("must not be null", below="type")
    if kind in ("watermark", "audio"):
        raise refused("is not supported yet", below="type")
    if kind not in ("video", "subtitle"):
        raise refused("is invalid", below="type")
    return {**value, "type": kind}


def _known_upload_type(value: Any) -> Any:
    return _known_type(value, default="video")


# Outermost first: what is wrong with the type is said in the contract's words.
AnyInput = Annotated[Annotated[VideoInput | SubtitleInput, Field(discriminator="type")], BeforeValidator(_known_type)]
AnyUploadInput = Annotated[
    Annotated[UploadInput | SubtitleInput, Field(discriminator="type")], BeforeValidator(_known_upload_type)
]


def _one_video(inputs: list[AnyInput]) -> list[AnyInput]:
    if sum(each.type == "video" for each in inputs) != 1:
        raise refused("must hold exactly one video")
    return _distinct_names(inputs)


def _distinct_names(inputs: list[Any]) -> list[Any]:
    names = [each.language_name.casefold() for each in inputs if isinstance(each, SubtitleInput)]
    if len(set(names)) != len(names):
        raise refused("must not name a language twice")
    return inputs


class CreateMedia(MediaOptions):
    """Body of create-media."""

    inputs: Annotated[list[AnyInput], Field(max_length=INPUTS_MAX), AfterValidator(_one_video)]

    @property
    def video(self) -> VideoInput:
        return next(each for each in self.inputs if isinstance(each, VideoInput))


class PushMediaSettings(MediaOptions):
    """`pushMediaSettings` of a direct upload: the shared options and cuts of the file to come."""

    inputs: Annotated[list[AnyUploadInput], Field(max_length=INPUTS_MAX), AfterValidator(_distinct_names)] = []
    optimize_audio: Annotated[StrictBool, AfterValidator(_not_claimed)] = False
    start_time: Annotated[float, Field(ge=0), AfterValidator(_only_zero)] = 0
    end_time: Annotated[float | None, AfterValidator(_not_yet)] = None


class UpdateMedia(Request):
    """`metadata` replaces the whole object; an empty title or creatorId removes it (contract 2.1 op 5)."""

    title: Text | None = None
    creator_id: Text | None = None
    metadata: Metadata | None = None


class NewTrack(Request):
    url: SourceUrl
    type: Literal["audio", "subtitle"]
    language_code: LanguageCode
    language_name: LanguageName
    title: Text | None = None


class AddTrack(Request):
    """Body of Add-media-track; `tracks` is one object, whatever its name says (contract 2.1 op 7)."""

    tracks: NewTrack


class UpdateTrack(Request):
    """What is absent stays. Another `url` replaces the file (older clients send it each time)."""

    url: SourceUrl | None = None
    language_code: LanguageCode | None = None
    language_name: LanguageName | None = None
    title: Text | None = None


class UpdateSourceAccess(Request):
    source_access: StrictBool


class UpdateMp4Support(Request):
    mp4_support: Mp4Support | Literal["none"]


class NewPlaybackId(Policy):
    resolution: Resolution | None = None
