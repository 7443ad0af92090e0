"""Media, their inputs, tracks and files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from fastpix.types.base import AccessPolicy, AccessRestrictions, MediaQuality, Part, PlaybackId, Resolution, Shape


class InsertAt(Part, frozen=True, kw_only=True):
    """A clip that is put into the video at `insert_at` seconds, or at its end."""

    url: str
    insert_at: int | None = None
    insert_at_end: bool | None = None


class VideoInput(Part, frozen=True, kw_only=True, tag_field="type", tag="video"):
    """Where the video comes from, and what is cut. `fp_mediaId://{media id}` is one of your own media."""

    url: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    intro_url: str | None = None
    outro_url: str | None = None
    expunge_segments: Sequence[str] | None = None
    segments: Sequence[InsertAt] | None = None


class Placement(Part, frozen=True, kw_only=True):
    """Margins are pixels (`12px`) or a part of the picture (`10%`)."""

    x_align: Literal["left", "center", "right"] | None = None
    x_margin: str | None = None
    y_align: Literal["top", "middle", "bottom"] | None = None
    y_margin: str | None = None


class WatermarkInput(Part, frozen=True, kw_only=True, tag_field="type", tag="watermark"):
    """A picture that is burnt in."""

    url: str
    placement: Placement | None = None
    width: str | None = None
    height: str | None = None
    opacity: str | None = None


class ImposedTrack(Part, frozen=True, kw_only=True):
    """A sound that is mixed in."""

    url: str
    start_time: float | None = None
    end_time: float | None = None
    fade_in_level: int | None = None
    fade_out_level: int | None = None


class AudioInput(Part, frozen=True, kw_only=True, tag_field="type", tag="audio"):
    """Another sound instead of the video's own, or on top of it."""

    swap_track_url: str | None = None
    impose_tracks: Sequence[ImposedTrack] | None = None


class SubtitleInput(Part, frozen=True, kw_only=True, tag_field="type", tag="subtitle"):
    """An SRT or WebVTT file."""

    url: str
    language_name: str
    language_code: str


Input = VideoInput | WatermarkInput | AudioInput | SubtitleInput


class Subtitles(Part, frozen=True, kw_only=True):
    """Subtitles that are made from the speech."""

    language_name: str | None = None
    language_code: str | None = None
    metadata: dict[str, str] | None = None


class Summary(Part, frozen=True, kw_only=True):
    """A text about the media; `summary_length` in words, 30 to 250."""

    generate: bool
    summary_length: int | None = None


class Moderation(Part, frozen=True, kw_only=True):
    """What is looked at."""

    type: Literal["video", "audio", "av"] | None = None


class Settings(Part, frozen=True, kw_only=True):
    """What an upload becomes, the same options as media.create() has."""

    access_policy: AccessPolicy | None = None
    access_restrictions: AccessRestrictions | None = None
    drm_configuration_id: str | None = None
    title: str | None = None
    creator_id: str | None = None
    metadata: dict[str, str] | None = None
    max_resolution: Resolution | None = None
    media_quality: MediaQuality | None = None
    mp4_support: Literal["capped_4k", "audioOnly", "audioOnly,capped_4k"] | None = None
    source_access: bool | None = None
    optimize_audio: bool | None = None
    subtitles: Subtitles | None = None
    summary: Summary | None = None
    chapters: bool | None = None
    named_entities: bool | None = None
    moderation: Moderation | None = None
    start_time: float | None = None
    end_time: float | None = None
    inputs: Sequence[Input] | None = None


class InputEcho(Shape, frozen=True, kw_only=True):
    """An input as the server took it."""

    type: str
    url: str | None = None


class Track(Shape, frozen=True, kw_only=True):
    """`type` is video, audio or subtitle. `frame_rate` is a text: `25.000`."""

    id: str
    type: str
    status: str | None = None
    width: int | None = None
    height: int | None = None
    frame_rate: str | None = None
    language_code: str | None = None
    language_name: str | None = None
    title: str | None = None
    url: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class Mp4File(Shape, frozen=True, kw_only=True):
    """A file to download: `type` is capped_4k or audioOnly, `status` preparing, ready or failed."""

    type: str
    status: str | None = None
    ext: str | None = None
    width: int | None = None
    height: int | None = None


class GeneratedSubtitle(Shape, frozen=True, kw_only=True):
    status: str
    url: str | None = None


class Generated(Shape, frozen=True, kw_only=True):
    """An output that is made from the content; `data` differs by kind."""

    status: str
    data: Any = None


class FailureReason(Shape, frozen=True, kw_only=True):
    """A stable word and a sentence. Not every server tells."""

    code: str
    description: str = ""


class Media(Shape, frozen=True, kw_only=True):
    """A video or sound, and where it stands. Some operations answer only a part of the keys.

    `status` goes Created, Downloading, Downloaded, Validating, In Queue, Processing, Ready; or ends in Failed.
    `duration` is in seconds.
    """

    id: str
    status: str
    created_at: datetime
    updated_at: datetime | None = None
    workspace_id: str | None = None
    title: str | None = None
    creator_id: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    playback_ids: tuple[PlaybackId, ...] = ()
    tracks: tuple[Track, ...] = ()
    thumbnail: str | None = None
    duration: float | None = None
    aspect_ratio: str | None = None
    frame_rate: str | None = None
    max_resolution: str | None = None
    source_resolution: str | None = None
    media_quality: str | None = None
    is_audio_only: bool = False
    optimize_audio: bool = False
    source_access: bool = False
    mp4_support: tuple[Mp4File, ...] = ()
    subtitle_available: bool = False
    generated_subtitles: tuple[GeneratedSubtitle, ...] = ()
    summary: Generated | None = None
    chapters: Generated | None = None
    named_entities: Generated | None = None
    moderation: Generated | None = None
    source_media_id: str | None = None
    stream_id: str | None = None
    failure_reason: FailureReason | None = None
    inputs: tuple[InputEcho, ...] = ()
    trial: bool = False


class InputConfiguration(Shape, frozen=True, kw_only=True):
    url: str | None = None


class InputFile(Shape, frozen=True, kw_only=True):
    container_format: str | None = None
    tracks: tuple[Track, ...] = ()


class InputInfo(Shape, frozen=True, kw_only=True):
    """The file that a media was made from."""

    configuration: InputConfiguration = InputConfiguration()
    file: InputFile = InputFile()


class Switched(Shape, frozen=True, kw_only=True):
    """Which output is wanted now."""

    media_id: str
    is_summary_enabled: bool | None = None
    is_chapters_enabled: bool | None = None
    is_named_entities_enabled: bool | None = None
    is_moderation_enabled: bool | None = None


class PushSettings(Shape, frozen=True, kw_only=True):
    """What was asked of an upload."""

    playback_ids: tuple[PromisedPlaybackId, ...] = ()
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    media_quality: str | None = None
    source_access: bool = False
    optimize_audio: bool = False


class PromisedPlaybackId(Shape, frozen=True, kw_only=True):
    """A playback id that is made when the bytes have come; it has no `id` before that."""

    id: str | None = None
    access_policy: str = "public"
    access_restrictions: AccessRestrictions = AccessRestrictions()


class Upload(Shape, frozen=True, kw_only=True):
    """Where bytes may be sent. `upload_id` becomes the id of the media; `timeout` is in seconds."""

    upload_id: str
    status: str
    url: str | None = None
    timeout: int | None = None
    cors_origin: str | None = None
    push_media_settings: PushSettings = PushSettings()
    max_resolution: str | None = None
    access_policy: str | None = None
    title: str | None = None
    creator_id: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    trial: bool = False


class DrmConfiguration(Shape, frozen=True, kw_only=True):
    id: str


class DateRange(Part, frozen=True, kw_only=True):
    """Dates as `YYYY-MM-DD`."""

    start_date: str
    end_date: str


class SmartRules(Part, frozen=True, kw_only=True):
    """Which media a smart playlist is filled with when it is made."""

    created_date: DateRange
    updated_date: DateRange | None = None


class PlaylistItem(Shape, frozen=True, kw_only=True):
    id: str
    status: str | None = None
    title: str | None = None
    creator_id: str | None = None
    duration: float | None = None
    source_resolution: str | None = None
    thumbnail: str | None = None
    created_at: datetime | None = None


class Playlist(Shape, frozen=True, kw_only=True):
    """`type` is manual or smart. Lists of playlists leave `media_list` out."""

    id: str
    name: str
    type: str
    reference_id: str | None = None
    description: str | None = None
    play_order: str | None = None
    metadata: SmartRules | None = None
    media_list: tuple[PlaylistItem, ...] = ()
    media_count: int = 0
    workspace_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
