"""Everything about one view."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastpix.types.base import Shape


class ViewEvent(Shape, frozen=True, kw_only=True):
    """`pt` is the playhead in milliseconds, `e` the name, `vt` when (epoch milliseconds), `d` what belongs to it."""

    e: str
    vt: int | None = None
    pt: int | None = None
    d: Any = None


class ViewDetail(Shape, frozen=True, kw_only=True):
    """One view as its player told it. None is what is unknown; durations are milliseconds."""

    view_id: str
    workspace_id: str | None = None
    events: tuple[ViewEvent, ...] = ()
    custom: Any = None
    fp_embed: bool | str | None = None
    sign: str | int | None = None
    asn_id: float | None = None
    asn_name: str | None = None
    average_bitrate: float | None = None
    avg_downscaling: float | None = None
    avg_request_latency: float | None = None
    avg_request_throughput: float | None = None
    avg_upscaling: float | None = None
    beacon_domain: str | None = None
    browser_engine: str | None = None
    browser_name: str | None = None
    browser_version: str | None = None
    buffer_count: float | None = None
    buffer_fill: float | None = None
    buffer_frequency: float | None = None
    buffer_ratio: float | None = None
    cdn: str | None = None
    city: str | None = None
    connection_type: str | None = None
    continent: str | None = None
    country: str | None = None
    country_code: str | None = None
    custom_1: str | None = None
    custom_10: str | None = None
    custom_2: str | None = None
    custom_3: str | None = None
    custom_4: str | None = None
    custom_5: str | None = None
    custom_6: str | None = None
    custom_7: str | None = None
    custom_8: str | None = None
    custom_9: str | None = None
    device_manufacturer: str | None = None
    device_model: str | None = None
    device_name: str | None = None
    device_type: str | None = None
    drm_type: str | None = None
    dropped_frame_count: float | None = None
    error_code: str | int | None = None
    error_context: str | None = None
    error_id: str | int | None = None
    error_message: str | None = None
    exit_before_video_start: bool | None = None
    experiment_name: str | None = None
    fp_api_version: str | float | None = None
    fp_embed_version: str | None = None
    fp_live_stream_id: str | None = None
    fp_playback_id: str | None = None
    fp_sdk: str | None = None
    fp_sdk_version: str | None = None
    fp_viewer_id: str | None = None
    insert_timestamp: datetime | None = None
    ip_address: str | None = None
    jump_latency: float | None = None
    latitude: str | float | None = None
    live_stream_latency: float | None = None
    longitude: str | float | None = None
    max_downscaling: float | None = None
    max_request_latency: float | None = None
    max_upscaling: float | None = None
    media_id: str | None = None
    os_name: str | None = None
    os_version: str | None = None
    page_context: str | None = None
    page_load_time: float | None = None
    playback_score: float | None = None
    player_autoplay_on: bool | None = None
    player_height: float | None = None
    player_initialization_time: float | None = None
    player_instance_id: str | None = None
    player_language: str | None = None
    player_name: str | None = None
    player_poster: str | None = None
    player_preload_on: bool | None = None
    player_remote_played: bool | None = None
    player_resolution: str | None = None
    player_software_name: str | None = None
    player_software_version: str | None = None
    player_source_domain: str | None = None
    player_source_height: float | None = None
    player_source_width: float | None = None
    player_version: str | None = None
    player_view_count: float | None = None
    player_width: float | None = None
    property_id: str | None = None
    quality_of_experience_score: float | None = None
    region: str | None = None
    render_quality_score: float | None = None
    session_id: str | None = None
    stability_score: float | None = None
    startup_score: float | None = None
    sub_property_id: str | None = None
    total_startup_time: float | None = None
    updated_timestamp: datetime | None = None
    used_full_screen: bool | None = None
    user_agent: str | None = None
    video_content_type: str | None = None
    video_duration: float | None = None
    video_encoding_variant: str | None = None
    video_id: str | None = None
    video_language: str | None = None
    video_producer: str | None = None
    video_resolution: str | None = None
    video_series: str | None = None
    video_source_domain: str | None = None
    video_source_duration: float | None = None
    video_source_hostname: str | None = None
    video_source_stream_type: str | None = None
    video_source_type: str | None = None
    video_source_url: str | None = None
    video_startup_failed: bool | None = None
    video_startup_time: float | None = None
    video_title: str | None = None
    video_variant_id: str | None = None
    video_variant_name: str | None = None
    view_end: datetime | None = None
    view_has_ad: bool | None = None
    view_has_error: bool | None = None
    view_max_playhead_position: float | None = None
    view_page_url: str | None = None
    view_playing_time: float | None = None
    view_seeked_count: float | None = None
    view_seeked_duration: float | None = None
    view_session_id: str | None = None
    view_start: datetime | None = None
    view_total_content_playback_time: float | None = None
    viewer_id: str | None = None
    watch_time: float | None = None
