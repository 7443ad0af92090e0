"""What the OpenAPI document says that we answer. Never used to encode: handlers send bytes (see answers.py).

Invariants: every model is closed (`additionalProperties: false`), so a test that validates real answers against the
document fails on a key that is not described; a key with a default may be absent, none is ever null.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Described(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


def maybe(**extra: Any) -> Any:
    """A key that is absent when it has no value: optional in the schema, but never null."""
    return Field(default=None, json_schema_extra=_without_default, **extra)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


UuidText = Field(json_schema_extra={"format": "uuid"})
TimeText = Field(json_schema_extra={"format": "date-time"})

Policy = Literal["public", "private", "drm"]
Resolution = Literal["2160p", "1440p", "1080p", "720p", "480p"]
Quality = Literal["standard", "pro", "premium"]
MediaStatus = Literal["Created", "Downloading", "Downloaded", "Validating", "In Queue", "Processing", "Ready", "Failed"]


class FieldFault(Described):
    field: str
    message: str


class Fault(Described):
    code: int = Field(description="The HTTP status.")
    message: str
    description: str = maybe()
    fields: list[FieldFault] = maybe(description="Every bad field; only with code 422.")


class Refusal(Described):
    """The error envelope."""

    success: Literal[False]
    error: Fault


class Done(Described):
    success: Literal[True]


class Pagination(Described):
    total_records: int
    current_offset: int = Field(description="Number of this page, from 1.")
    offset_count: int = Field(description="Number of pages.")


class Rules(Described):
    default_policy: Literal["allow", "deny"]
    allow: list[str]
    deny: list[str]


class AccessRestrictions(Described):
    domains: Rules
    user_agents: Rules


class PlaybackId(Described):
    id: str = UuidText
    access_policy: Policy
    access_restrictions: AccessRestrictions
    resolution: Resolution = maybe(description="The highest rendition that this id shows.")


class VideoTrack(Described):
    id: str = UuidText
    type: Literal["video"]
    width: int
    height: int
    frame_rate: str = Field(description="Three decimals; -1 when unknown.")
    status: str


class AudioTrack(Described):
    id: str = UuidText
    type: Literal["audio", "subtitle"]
    status: str
    language_code: str
    language_name: str
    title: str = maybe()


class ChangedTrack(Described):
    """A track that was added or changed."""

    id: str = UuidText
    type: Literal["audio", "subtitle"]
    url: str = maybe(description="Where its file came from. The source's own tracks have none.")
    language_code: str
    language_name: str
    title: str = maybe()


class MadeFile(Described):
    type: Literal["capped_4k", "audioOnly"]
    status: Literal["preparing", "ready", "failed"]
    ext: Literal["mp4", "m4a"]
    height: int = maybe()
    width: int = maybe()


class FailureReason(Described):
    """Why a media failed: `code` is a stable word, `description` a sentence for its owner."""

    code: str
    description: str


class MediaFacts(Described):
    """What every kind of media has."""

    thumbnail: str = maybe()
    id: str = UuidText
    source_media_id: str = maybe(description="The media that this one was made from.")
    workspace_id: str = UuidText
    creator_id: str = maybe()
    title: str = maybe()
    max_resolution: Resolution
    source_resolution: Literal["2160", "1440", "1080", "720", "480", "360"] = maybe()
    status: MediaStatus
    mp4_support: list[MadeFile] = maybe(description="The static files that were asked for.")
    source_access: bool
    playback_ids: list[PlaybackId]
    tracks: list[VideoTrack | AudioTrack]
    generated_subtitles: list[dict[str, str]]
    is_audio_only: bool
    subtitle_available: bool
    duration: float = maybe(description="Seconds. HH:MM:SS for clients of older generations.")
    aspect_ratio: str = maybe()
    created_at: str = TimeText
    updated_at: str = TimeText
    optimize_audio: bool
    failure_reason: FailureReason = maybe(description="Only when status is Failed. Ours, not in the FastPix API.")


class Media(MediaFacts):
    stream_id: str = maybe(description="The live stream that it was recorded from, or cut out of.")
    metadata: dict[str, str]
    media_quality: Quality


class LiveClip(MediaFacts):
    """A part of a live stream, kept as a media of its own."""

    stream_id: str


class InputEcho(Described):
    type: Literal["video", "watermark", "audio", "subtitle"]
    url: str


class CreatedMedia(Described):
    id: str = UuidText
    trial: Literal[False]
    status: Literal["Created"]
    created_at: str = TimeText
    updated_at: str = TimeText
    playback_ids: list[PlaybackId]
    metadata: dict[str, str]
    media_quality: Quality
    source_access: bool
    max_resolution: Resolution
    inputs: list[InputEcho]
    optimize_audio: bool
    title: str = maybe()
    creator_id: str = maybe()
    source_media_id: str = maybe(description="The media that this one is made from.")
    mp4_support: list[MadeFile] = maybe()


class InputConfiguration(Described):
    url: str


class InputFile(Described):
    container_format: str = maybe(description="mp4, mov, mkv ...; known once the file was read.")
    tracks: list[VideoTrack | AudioTrack]


class InputInfo(Described):
    configuration: InputConfiguration
    file: InputFile


class Workspace(Described):
    workspace_id: str = UuidText
    workspace_key: str = Field(description="Names the workspace in beacons. It is public.")
    name: str
    created_at: str = TimeText


class NewSigningKey(Described):
    id: str = UuidText
    private_key: str = Field(description="Base64 of the whole PKCS#8 PEM text. It cannot be read again.")
    created_at: str = TimeText


class ListedSigningKey(Described):
    id: str = UuidText
    created_at: str = TimeText


class SigningKey(Described):
    workspace_id: str = UuidText
    signing_key_id: str = UuidText
    public_key: str = Field(description="SubjectPublicKeyInfo in PEM.")


class DeletedSigningKey(Described):
    message: str


class NewSigningKeyAnswer(Described):
    success: Literal[True]
    data: NewSigningKey


class SigningKeyPage(Described):
    success: Literal[True]
    data: list[ListedSigningKey]
    pagination: Pagination


class SigningKeyAnswer(Described):
    success: Literal[True]
    data: SigningKey


class DeletedSigningKeyAnswer(Described):
    success: Literal[True]
    data: DeletedSigningKey


class MediaAnswer(Described):
    success: Literal[True]
    data: Media


class CreatedMediaAnswer(Described):
    success: Literal[True]
    data: CreatedMedia


class TrackAnswer(Described):
    success: Literal[True]
    data: ChangedTrack


class MediaPage(Described):
    success: Literal[True]
    data: list[Media]
    pagination: Pagination


class LiveClipPage(Described):
    success: Literal[True]
    data: list[LiveClip]
    pagination: Pagination


class InputInfoAnswer(Described):
    success: Literal[True]
    data: InputInfo


class PlaybackIdAnswer(Described):
    success: Literal[True]
    data: PlaybackId


class DrmConfiguration(Described):
    id: str = UuidText


class DrmConfigurationPage(Described):
    success: Literal[True]
    data: list[DrmConfiguration]
    pagination: Pagination


class DrmConfigurationAnswer(Described):
    success: Literal[True]
    data: DrmConfiguration


class PlaybackIdList(Described):
    success: Literal[True]
    data: list[PlaybackId]


class WorkspaceAnswer(Described):
    success: Literal[True]
    data: Workspace


def refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation. Any operation may also answer 413, 429 and 5xx in the same envelope."""
    words = {
        400: "The request is right, but not now",
        401: "Who are you?",
        403: "The access token lacks a permission",
        404: "No such thing in the workspace",
        409: "Something of that name exists already",
        413: "The body is too large",
        422: "The payload or a parameter is malformed; every bad field is named",
        429: "Slow down; Retry-After says for how long",
        503: "Passing trouble of ours; Retry-After says when to come back",
    }
    return {code: {"model": Refusal, "description": words[code]} for code in (*codes, 429, 503)}
