"""What callers may ask of media: the request bodies (contract sections 2.0 to 2.2).

- Requests are strict: no coercion, every bad field is reported, unknown fields are ignored, `null` means "not given".
- An option whose effect does not exist yet is refused by name instead of accepted and forgotten
  (docs/decisions/0008-refuse-what-has-no-effect.md).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, ValidationInfo, field_validator

from fastpix_server.base.fields import between, refused
from fastpix_server.media.edits import Order
from fastpix_server.media.inputs import (
    CreateInput,
    PushInput,
    Second,
    VideoInput,
    later_than,
    no_more_than_one_video,
    one_video,
    order_of,
)
from fastpix_server.media.shapes import (
    LanguageCode,
    LanguageName,
    Metadata,
    NotYetBool,
    Request,
    Text,
    Uuid,
    WebUrl,
    not_yet,
)

__all__ = [
    "AccessRestrictions",
    "AddTrack",
    "CreateMedia",
    "MediaOptions",
    "Metadata",
    "NewPlaybackId",
    "Policy",
    "PushMediaSettings",
    "Request",
    "Rules",
    "Text",
    "UpdateMedia",
    "UpdateMp4Support",
    "UpdateSourceAccess",
    "UpdateTrack",
]

INPUTS_MAX = 50  # the schema names no bound; a request beyond this is a mistake
RULES_MAX = 100  # domains or user agents in one list; the gate reads them on every playback request

AccessPolicy = Literal["public", "private", "drm"]
Resolution = Literal["2160p", "1440p", "1080p", "720p", "480p"]
Quality = Literal["standard", "pro", "premium"]
Mp4Support = Literal["capped_4k", "audioOnly", "audioOnly,capped_4k"]


class Rules(Request):
    default_policy: Literal["allow", "deny"] = "allow"
    allow: list[Text] = Field(default_factory=list, max_length=RULES_MAX)
    deny: list[Text] = Field(default_factory=list, max_length=RULES_MAX)


class AccessRestrictions(Request):
    domains: Rules = Rules()
    user_agents: Rules = Rules()


class AutoSubtitles(Request):
    language_name: Text
    language_code: Literal["en", "it", "pl", "es", "fr", "ru", "nl"]
    metadata: Metadata = Field(default_factory=dict)


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
    metadata: Metadata = Field(default_factory=dict)
    max_resolution: Resolution = "1080p"
    media_quality: Quality = "standard"
    source_access: StrictBool = False
    optimize_audio: StrictBool = False
    chapters: NotYetBool = False
    named_entities: NotYetBool = False
    summary: Summary | None = None
    mp4_support: Mp4Support | None = None
    subtitles: Annotated[AutoSubtitles | None, AfterValidator(not_yet)] = None
    moderation: Annotated[Moderation | None, AfterValidator(not_yet)] = None


class CreateMedia(MediaOptions):
    """Body of create-media."""

    inputs: Annotated[list[CreateInput], Field(max_length=INPUTS_MAX), AfterValidator(one_video)]

    @property
    def video(self) -> VideoInput:
        return next(item for item in self.inputs if isinstance(item, VideoInput))

    @property
    def order(self) -> Order:
        return order_of(self.inputs)


class PushMediaSettings(MediaOptions):
    """`pushMediaSettings` of a direct upload: the shared options, and edits of the file to come."""

    inputs: Annotated[list[PushInput], AfterValidator(no_more_than_one_video)] = Field(
        default_factory=list, max_length=INPUTS_MAX
    )
    start_time: Second = 0
    end_time: Annotated[Second | None, AfterValidator(later_than("start_time"))] = None

    @property
    def order(self) -> Order:
        """Times beside the inputs hold where the input itself has none."""
        return order_of(self.inputs, start_s=self.start_time, end_s=self.end_time)


class UpdateMedia(Request):
    """`metadata` replaces the whole object; an empty title or creatorId removes it (contract 2.1 op 5)."""

    title: Text | None = None
    creator_id: Text | None = None
    metadata: Metadata | None = None


class NewTrack(Request):
    url: WebUrl
    type: Literal["audio", "subtitle"]
    language_code: LanguageCode
    language_name: LanguageName
    title: Text | None = None


class AddTrack(Request):
    """Body of Add-media-track; `tracks` is one object, whatever its name says (contract 2.1 op 7)."""

    tracks: NewTrack


class UpdateTrack(Request):
    """What is absent stays. Another `url` replaces the file (older clients send it each time)."""

    url: WebUrl | None = None
    language_code: LanguageCode | None = None
    language_name: LanguageName | None = None
    title: Text | None = None


class UpdateSourceAccess(Request):
    source_access: StrictBool


class UpdateMp4Support(Request):
    mp4_support: Mp4Support | Literal["none"]


class NewPlaybackId(Policy):
    resolution: Resolution | None = None
