"""What the numbers of video data are, and how they are written."""

from __future__ import annotations

from fastpix.commands import text

MILLISECONDS = frozenset(
    {
        "playing_time",
        "video_startup_time",
        "player_startup_time",
        "page_load_time",
        "total_startup_time",
        "live_stream_latency",
        "jump_latency",
        "buffer_fill",
    }
)
FRACTIONS = frozenset(
    {
        "playback_failure_percentage",
        "exit_before_video_start",
        "video_startup_failure_percentage",
        "buffer_ratio",
        "avg_upscaling",
        "avg_downscaling",
        "max_upscaling",
        "max_downscaling",
    }
)


def written(metric: str, value: object, measurement: str | None = None) -> str:
    """A value of a metric with its unit; a count is a count of views, whatever the metric."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return text.UNKNOWN
    if measurement == "count":
        return text.number(value)
    if metric in MILLISECONDS:
        return milliseconds(value)
    if metric in FRACTIONS:
        return share(value)
    if metric == "average_bitrate":
        return bitrate(value)
    if metric == "buffer_frequency":
        return f"{value * 60_000:.2f}/min"
    if metric.endswith("_score"):
        return f"{value:.3f}"
    return text.number(value)


def of_type(kind: object, value: object) -> str:
    """As comparisons have it, which name the type beside the value."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return text.UNKNOWN
    writers = {"milliseconds": milliseconds, "percentage": share, "mbps": bitrate, "score": "{:.3f}".format}
    return writers.get(str(kind), text.number)(value)


def milliseconds(value: float) -> str:
    if value < 1000:
        return f"{value:.0f} ms"
    return f"{value / 1000:.2f} s" if value < 60_000 else text.clock(value / 1000)


def share(value: float) -> str:
    return f"{value * 100:.1f} %"


def bitrate(value: float) -> str:
    return f"{value / 1e6:.2f} Mb/s"
