"""Live streams, their playback, health and simulcast targets."""

from __future__ import annotations

from datetime import datetime

import msgspec

from fastpix.types.base import PlaybackId, Shape


class SrtPlayback(Shape, frozen=True, kw_only=True):
    srt_playback_stream_id: str
    srt_playback_secret: str


class SimulcastTarget(Shape, frozen=True, kw_only=True):
    """Where a stream is pushed to as well."""

    simulcast_id: str
    url: str
    stream_key: str
    is_enabled: bool = True
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class LiveStream(Shape, frozen=True, kw_only=True):
    """`status` is idle, preparing, active or disabled. Windows and durations are in seconds.

    `stream_key` is what an encoder sends (the SRT streamid as well), `srt_secret` the SRT passphrase: keep them.
    """

    stream_id: str
    stream_key: str
    status: str
    created_at: datetime
    srt_secret: str | None = None
    playback_ids: tuple[PlaybackId, ...] = ()
    max_resolution: str | None = None
    max_duration: int | None = None
    reconnect_window: int | None = None
    enable_recording: bool = True
    enable_dvr_mode: bool = False
    media_policy: str | None = None
    media_quality: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    low_latency: bool = False
    closed_captions: bool = False
    simulcast_responses: tuple[SimulcastTarget, ...] = ()
    media_ids: tuple[str, ...] = ()
    srt_playback_response: SrtPlayback | None = None
    trial: bool = False


class ViewerCount(Shape, frozen=True, kw_only=True):
    views: int


class PushState(Shape, frozen=True, kw_only=True):
    simulcast_id: str
    state: str


class StreamFigures(Shape, frozen=True, kw_only=True):
    """Of the last few seconds; None is what the protocol does not know."""

    bitrate_bps: float | None = None
    fps: float | None = None
    received_bytes: float | None = None
    dropped_frames: float | None = None
    late_samples: float | None = None
    gaps: float | None = None
    overlong_segments: float | None = None
    rtt_ms: float | None = None
    lost_packets: float | None = None
    dropped_packets: float | None = None
    retransmitted_packets: float | None = None
    jitter_ms: float | None = None
    renditions: tuple[str, ...] = ()
    simulcast: tuple[PushState, ...] = ()


class StreamHealth(Shape, frozen=True, kw_only=True):
    """How a stream does right now."""

    stream_id: str
    status: str
    is_publishing: bool = False
    viewers: int = 0
    session_id: str | None = None
    protocol: str | None = None
    started_at: datetime | None = None
    connections: int | None = None
    reconnect_until: datetime | None = None
    health: StreamFigures = StreamFigures()
