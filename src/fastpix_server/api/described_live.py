"""What the OpenAPI document says that live operations answer. Rules as in described.py."""

from typing import Literal

from pydantic import Field

from fastpix_server.api.described import Described, Pagination, PlaybackId, Rules, TimeText, maybe

StreamStatus = Literal["idle", "preparing", "active", "disabled"]


class SrtPlayback(Described):
    srt_playback_stream_id: str
    srt_playback_secret: str


class SimulcastTarget(Described):
    simulcast_id: str
    url: str
    stream_key: str
    is_enabled: bool
    metadata: dict[str, str] = maybe()


class LiveStream(Described):
    stream_id: str
    stream_key: str = Field(description="What an encoder sends: the RTMP stream key, the SRT streamid.")
    srt_secret: str = Field(description="The SRT passphrase.")
    trial: Literal[False]
    status: StreamStatus
    max_resolution: Literal["1080p", "720p", "480p"]
    max_duration: int = Field(description="Seconds.")
    created_at: str = TimeText
    reconnect_window: int = Field(description="Seconds.")
    enable_recording: bool
    enable_dvr_mode: bool
    media_policy: Literal["public", "private"]
    metadata: dict[str, str] = maybe()
    low_latency: bool
    closed_captions: bool
    playback_ids: list[PlaybackId] = Field(description="Newest first.")
    simulcast_responses: list[SimulcastTarget] = maybe()
    media_ids: list[str] = maybe(description="Recordings, oldest first.")
    srt_playback_response: SrtPlayback


class LiveStreamAnswer(Described):
    success: Literal[True]
    data: LiveStream


class LiveStreamPage(Described):
    success: Literal[True]
    data: list[LiveStream]
    pagination: Pagination


class Views(Described):
    views: int = Field(description="Viewers of about the last half minute.")


class ViewsAnswer(Described):
    success: Literal[True]
    data: Views


class StreamHealth(Described):
    """Figures are those of the last few seconds. What a protocol does not know is absent."""

    bitrate_bps: float = maybe(description="What the encoder sends.")
    fps: float = maybe()
    received_bytes: float = maybe(description="Over this connection.")
    dropped_frames: float = maybe()
    late_samples: float = maybe(description="Came too late to be packaged.")
    gaps: float = maybe(description="Segments that are missing.")
    overlong_segments: float = maybe(description="Key frames came too seldom.")
    rtt_ms: float = maybe(description="SRT.")
    lost_packets: float = maybe(description="SRT, WHIP.")
    dropped_packets: float = maybe(description="SRT.")
    retransmitted_packets: float = maybe(description="SRT.")
    jitter_ms: float = maybe(description="WHIP.")
    renditions: list[str] = maybe()
    simulcast: list[dict[str, str]] = maybe(description="Each running push: simulcastId and state.")


class LiveHealth(Described):
    stream_id: str
    status: StreamStatus
    is_publishing: bool = Field(description="An encoder is connected now.")
    viewers: int
    session_id: str = maybe(description="The running session; the id of its recording.")
    protocol: Literal["rtmp", "rtmps", "srt", "whip"] = maybe()
    started_at: str = maybe()
    connections: int = maybe(description="How often an encoder connected in this session.")
    reconnect_until: str = maybe(description="While no encoder is connected: when the session ends.")
    health: StreamHealth = maybe()


class LiveHealthAnswer(Described):
    success: Literal[True]
    data: LiveHealth


class SimulcastAnswer(Described):
    success: Literal[True]
    data: SimulcastTarget


class RulesAnswer(Described):
    success: Literal[True]
    data: Rules
