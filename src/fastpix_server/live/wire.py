"""How streams and simulcast targets look on the wire (contract 2.5): plain dicts, in the key order of the service."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastpix_server.base import clock
from fastpix_server.live.streams import Session, Stream, Target
from fastpix_server.playback.service import PlaybackId, public_playback_id


def stream_full(
    stream: Stream,
    playback_ids: Sequence[PlaybackId],
    targets: Sequence[Target] = (),
    media_ids: Sequence[str] = (),
) -> dict[str, Any]:
    """`LS`. `playback_ids` oldest first, as they are kept; the wire lists the newest first."""
    body: dict[str, Any] = {
        "streamId": stream.id,
        "streamKey": stream.stream_key,
        "srtSecret": stream.srt_secret,
        "trial": False,
        "status": stream.status,
        "maxResolution": stream.max_resolution,
        "maxDuration": stream.max_duration_s,
        "createdAt": clock.iso(stream.created_at),
        "reconnectWindow": stream.reconnect_window_s,
        "enableRecording": stream.enable_recording,
        "enableDvrMode": stream.enable_dvr_mode,
        "mediaPolicy": stream.media_policy,
    }
    if stream.metadata:
        body["metadata"] = stream.metadata
    body["lowLatency"] = False
    body["closedCaptions"] = False
    body["playbackIds"] = [public_playback_id(p) for p in reversed(playback_ids)]
    if targets:
        body["simulcastResponses"] = [target_full(t) for t in targets]
    if media_ids:
        body["mediaIds"] = list(media_ids)
    body["srtPlaybackResponse"] = {
        "srtPlaybackStreamId": f"play{stream.id}",
        "srtPlaybackSecret": stream.srt_playback_secret,
    }
    return body


def target_full(target: Target) -> dict[str, Any]:
    body: dict[str, Any] = {
        "simulcastId": target.id,
        "url": target.url,
        "streamKey": target.stream_key,
        "isEnabled": target.is_enabled,
    }
    if target.metadata:
        body["metadata"] = target.metadata
    return body


def target_event(target: Target) -> dict[str, Any]:
    """`data` of an event: the target, and whose it is."""
    return {"streamId": target.stream_id, **target_full(target)}


def health(stream: Stream, session: Session | None, viewers: int, told: Mapping[str, Any] | None) -> dict[str, Any]:
    """Ours, not in the FastPix API. `told` is what the ingest says of the session, none when it says nothing."""
    body: dict[str, Any] = {"streamId": stream.id, "status": stream.status, "isPublishing": False, "viewers": viewers}
    if session is not None:
        body["isPublishing"] = session.state == "publishing"
        body["sessionId"] = session.id
        body["protocol"] = session.protocol
        body["startedAt"] = clock.iso(session.started_at)
        body["connections"] = session.epoch
        if session.deadline_at is not None:
            body["reconnectUntil"] = clock.iso(session.deadline_at)
        if told is not None:
            body["health"] = dict(told)
    return body
