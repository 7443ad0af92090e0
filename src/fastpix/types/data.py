"""Video data: views, metrics, dimensions, errors, what happens right now, and alerts.

Durations are milliseconds, shares are fractions from 0 to 1, as the API has them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from fastpix.types.base import Shape

Measurement = Literal["95th", "median", "avg", "count", "sum"]
Interval = Literal["minute", "ten_minutes", "hour", "day"]
Metric = Literal[
    "views",
    "unique_viewers",
    "playing_time",
    "quality_of_experience_score",
    "playback_score",
    "playback_failure_percentage",
    "exit_before_video_start",
    "video_startup_failure_percentage",
    "startup_score",
    "video_startup_time",
    "player_startup_time",
    "page_load_time",
    "total_startup_time",
    "live_stream_latency",
    "average_bitrate",
    "buffer_count",
    "render_quality_score",
    "avg_upscaling",
    "avg_downscaling",
    "max_upscaling",
    "max_downscaling",
    "jump_latency",
    "stability_score",
    "buffer_ratio",
    "buffer_frequency",
    "buffer_fill",
]


class View(Shape, frozen=True, kw_only=True):
    """A row of the list of views. Times are UTC, as the API spells them: without a zone."""

    view_id: str
    view_start_time: datetime | None = None
    view_end_time: datetime | None = None
    video_title: str | None = None
    operating_system: str | None = None
    application: str | None = None
    country: str | None = None
    view_watch_time: float | None = None
    qoe_score: float | None = msgspec.field(name="QoeScore", default=None)
    error_code: str | int | None = None
    error_message: str | None = None
    error_id: str | int | None = None


class TopContent(Shape, frozen=True, kw_only=True):
    video_title: str
    views: int
    unique_views: int


class DimensionValue(Shape, frozen=True, kw_only=True):
    """`count` views of `unique_count` viewers."""

    value: str
    count: int
    unique_count: int = 0


class BreakdownRow(Shape, frozen=True, kw_only=True):
    """`field` is a value of the dimension; the text `null` is what is unknown."""

    field: str
    views: int
    value: float | None = None
    total_watch_time: int = 0
    total_playing_time: int = 0


class Overall(Shape, frozen=True, kw_only=True):
    """`global_value` is the same metric without the filters."""

    value: float | None = None
    global_value: float | None = None
    total_views: int = 0
    unique_views: int = 0
    total_watch_time: int = 0
    total_play_time: int = 0


class SeriesPoint(Shape, frozen=True, kw_only=True):
    interval_time: datetime
    metric_value: float | None = None
    number_of_views: int = 0


class Series(Shape, frozen=True, kw_only=True):
    """`from_ms` and `to_ms` are epoch milliseconds."""

    points: tuple[SeriesPoint, ...]
    granularity: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None


class ComparedMetric(Shape, frozen=True, kw_only=True):
    """A node of a tree of metrics; `type` says what `value` is: number, milliseconds, percentage, mbps or score."""

    name: str
    metric: str
    type: str
    value: float
    measurement: str | None = None
    items: tuple[ComparedMetric, ...] = ()


class PlayerError(Shape, frozen=True, kw_only=True):
    """`percentage` is the fraction of views that had it."""

    code: str | int | None = None
    message: str | None = None
    count: int = 0
    percentage: float = 0.0
    last_seen: str | None = None
    notes: str = ""
    id: str | int | None = None
    description: str | None = None
    unique_viewers_effected_percentage: float | None = None


class PlayerErrors(Shape, frozen=True, kw_only=True):
    errors: tuple[PlayerError, ...] = ()
    top_errors: tuple[PlayerError, ...] = ()


class CurrentViews(Shape, frozen=True, kw_only=True):
    """Who is watching now, by one dimension."""

    dimension_name: str
    concurrent_viewers: int
    metric_value: int | None = None


class RealtimePoint(Shape, frozen=True, kw_only=True):
    interval_time: datetime
    concurrent_viewers: int = 0
    errors: int = 0


class RealtimeVideo(Shape, frozen=True, kw_only=True):
    video_id: str
    video_title: str | None = None
    concurrent_views: int = 0
    concurrent_viewers: int = 0


class RealtimeError(Shape, frozen=True, kw_only=True):
    code: str
    errors: int = 0


class Realtime(Shape, frozen=True, kw_only=True):
    """The last minutes: `series` minute by minute, the last one still running."""

    concurrent_views: int = 0
    concurrent_viewers: int = 0
    errors: int = 0
    series: tuple[RealtimePoint, ...] = ()
    top_videos: tuple[RealtimeVideo, ...] = ()
    top_errors: tuple[RealtimeError, ...] = ()


class Alert(Shape, frozen=True, kw_only=True):
    """A rule about a metric, and how it was at the last judgement."""

    id: str
    name: str
    metric: str
    threshold: float
    measurement: str = "avg"
    condition: str = "above"
    window_minutes: int = 15
    minimum_views: int = 10
    filterby: tuple[str, ...] = ()
    url: str | None = None
    is_enabled: bool = True
    is_breached: bool = False
    breached_at: datetime | None = None
    evaluated_at: datetime | None = None
    last_value: float | None = None
    last_views: int | None = None
    created_at: datetime | None = None
    signing_secret: str | None = None
