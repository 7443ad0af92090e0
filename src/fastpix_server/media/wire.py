"""How a media looks on the wire (contract 2.0, 2.1): plain dicts, in the key order of the service, unset keys omitted.

Invariant: these are the bodies of the current API generation; api/dialects.py rewrites them for older clients.
"""

import math
from collections.abc import Sequence
from typing import Any

from fastpix_server.base import clock
from fastpix_server.media import links
from fastpix_server.media.edits import Mark
from fastpix_server.media.model import MadeFile, Media, Track
from fastpix_server.media.states import Status
from fastpix_server.playback.service import PlaybackId, public_playback_id

# The values that the schema allows for sourceResolution, by picture height of a 16:9 frame.
_TIERS = (2160, 1440, 1080, 720, 480, 360)
# Ratios that people know by name; a frame within 1.5 % of one is called by it (1920x1088, 854x480).
_RATIOS = ((16, 9), (9, 16), (4, 3), (3, 4), (1, 1), (21, 9), (9, 21), (3, 2), (2, 3), (5, 4), (4, 5), (2, 1), (1, 2))
_RATIO_TOLERANCE = 0.015


def media_full(media: Media, playback_ids: Sequence[PlaybackId], *, is_list: bool = False) -> dict[str, Any]:
    """`MediaFull`. In lists the service calls an available track `Ready` (contract 11, row 7)."""
    full: dict[str, Any] = {}
    if playback_ids:
        full["thumbnail"] = links.thumbnail(playback_ids[0].id)
    full["id"] = media.id
    if media.source_media_id is not None:
        full["sourceMediaId"] = media.source_media_id
    full["workspaceId"] = media.workspace_id
    if media.stream_id is not None:
        full["streamId"] = media.stream_id
    full["metadata"] = media.metadata
    full["mediaQuality"] = media.media_quality
    if media.creator_id is not None:
        full["creatorId"] = media.creator_id
    if media.title is not None:
        full["title"] = media.title
    full["maxResolution"] = media.max_resolution
    if media.width and media.height:
        full["sourceResolution"] = source_resolution(media.width, media.height)
    full["status"] = media.status
    if media.files:
        full["mp4Support"] = [file_body(f) for f in media.files]
    full["sourceAccess"] = media.source_access
    full["playbackIds"] = [public_playback_id(p) for p in playback_ids]
    full["tracks"] = [track_body(t, is_list=is_list) for t in media.tracks]
    full["generatedSubtitles"] = []
    full["isAudioOnly"] = media.is_audio_only
    full["subtitleAvailable"] = any(t.type == "subtitle" and t.status == "available" for t in media.tracks)
    if media.duration_s is not None:
        full["duration"] = round(media.duration_s, 3)
    if media.width and media.height:
        full["aspectRatio"] = aspect_ratio(media.width, media.height)
    full["createdAt"] = clock.iso(media.created_at)
    full["updatedAt"] = clock.iso(media.updated_at)
    full["optimizeAudio"] = media.optimize_audio
    if media.status == Status.FAILED:
        full["failureReason"] = {"code": media.failure_code, "description": media.failure_description}
    return full


# What `Live-Media-Clips` of the schema lacks.
_NOT_IN_CLIPS = ("metadata", "mediaQuality", "sourceMediaId")


def live_clip(media: Media, playback_ids: Sequence[PlaybackId]) -> dict[str, Any]:
    """A clip of a live stream as list-live-clips shows it."""
    full = media_full(media, playback_ids, is_list=True)
    return {name: value for name, value in full.items() if name not in _NOT_IN_CLIPS}


def watermark(media: Media, mark: Mark, position: int) -> dict[str, Any]:
    """`data` of the event of one watermark: its `id` is its own, not the media's (contract 2.0)."""
    return {"id": mark.id_of(media.id, position), "mediaId": media.id, "status": "ready", **mark.asked}


def media_created(media: Media, playback_ids: Sequence[PlaybackId]) -> dict[str, Any]:
    """The answer to create-media."""
    body: dict[str, Any] = {
        "id": media.id,
        "trial": False,
        "status": media.status,
        "createdAt": clock.iso(media.created_at),
        "updatedAt": clock.iso(media.updated_at),
        "playbackIds": [public_playback_id(p) for p in playback_ids],
        "metadata": media.metadata,
        "mediaQuality": media.media_quality,
        "sourceAccess": media.source_access,
        "maxResolution": media.max_resolution,
        "inputs": [
            {"type": "video", "url": media.source_url},
            *_other_inputs(media),
            *({"type": "subtitle", "url": t.url} for t in media.tracks if t.type == "subtitle"),
        ],
        "optimizeAudio": media.optimize_audio,
    }
    if media.source_media_id is not None:
        body["sourceMediaId"] = media.source_media_id
    if media.title is not None:
        body["title"] = media.title
    if media.creator_id is not None:
        body["creatorId"] = media.creator_id
    if media.files:
        body["mp4Support"] = [file_body(f) for f in media.files]
    return body


def _other_inputs(media: Media) -> list[dict[str, str]]:
    """Further inputs by their type and the URL that stands for them."""
    edit = media.edit
    found = [{"type": "watermark", "url": edit.files[mark.file - 1].url} for mark in edit.marks]
    sound = edit.swap or next((overlay.file for overlay in edit.overlays), None)
    return [*found, *([{"type": "audio", "url": edit.files[sound - 1].url}] if sound else [])]


def input_info(media: Media) -> dict[str, Any]:
    """The answer to retrieveMediaInputInfo; `containerFormat` is there once the file was read."""
    file: dict[str, Any] = {}
    if media.container is not None:
        file["containerFormat"] = media.container
    file["tracks"] = [track_body(t) for t in media.tracks]
    return {"configuration": {"url": media.source_url}, "file": file}


def event_data(media: Media, playback_ids: Sequence[PlaybackId]) -> dict[str, Any]:
    """`data` of an event: the media as REST shows it, but its status in lower snake case (contract section 3)."""
    data = media_full(media, playback_ids)
    data["status"] = media.status.lower().replace(" ", "_")
    return data


def track_body(track: Track, *, is_list: bool = False) -> dict[str, Any]:
    status = "Ready" if is_list and track.status == "available" else track.status
    if track.type == "video":
        return {
            "id": track.id,
            "type": "video",
            "width": track.width,
            "height": track.height,
            "frameRate": track.frame_rate,
            "status": status,
        }
    body = {
        "id": track.id,
        "type": track.type,
        "status": status,
        "languageCode": track.language_code,
        "languageName": track.language_name,
    }
    return body if track.title is None else {**body, "title": track.title}


def added_track(track: Track) -> dict[str, Any]:
    """The answer to adding and changing a track. A sound of the source itself has no url."""
    body = {
        "id": track.id,
        "type": track.type,
        "url": track.url,
        "languageCode": track.language_code,
        "languageName": track.language_name,
        "title": track.title,
    }
    return {key: value for key, value in body.items() if value is not None}


# The extensions of static files, by kind.
FILE_ENDINGS = {"capped_4k": "mp4", "audioOnly": "m4a"}


def file_body(file: MadeFile) -> dict[str, Any]:
    body: dict[str, Any] = {"type": file.kind, "status": file.status, "ext": FILE_ENDINGS[file.kind]}
    if file.width and file.height:
        body |= {"height": file.height, "width": file.width}
    return body


def source_resolution(width: int, height: int) -> str:
    """The tier nearest to the picture, by the 16:9 (or 9:16) frame that would hold it; without a `p`."""
    short, long = sorted((width, height))
    lines = max(short, long * 9 / 16)
    return str(min(_TIERS, key=lambda tier: abs(math.log(lines / tier))))


def aspect_ratio(width: int, height: int) -> str:
    """`16:9` for frames that are nearly so, else the exact ratio in lowest terms."""
    for across, down in _RATIOS:
        if abs(width * down / (height * across) - 1) <= _RATIO_TOLERANCE:
            return f"{across}:{down}"
    common = math.gcd(width, height)
    return f"{width // common}:{height // common}"
