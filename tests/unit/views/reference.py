"""What the answers must be, computed the slow way: plain Python over whole views, from the words of the contract."""

import math
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from tests.unit.views.populations import View

Value = float | None


def viewer(view: View) -> str:
    return view.get("given_viewer_id") or view.get("fp_viewer_id") or ""


def failed(view: View) -> bool:
    return bool(view.get("has_error"))


def played(view: View) -> bool:
    return bool(view.get("has_played"))


def left_before_start(view: View) -> bool:
    return not failed(view) and not played(view) and view.is_ended


def ratio(view: View) -> Value:
    watched = view.get("watch_time", 0)
    return view.get("buffer_fill", 0) / watched if watched > 0 else None


def scaling(view: View, name: str) -> Value:
    total, shown = view.get(name), view.get("total_content_playback_time", 0)
    return total / shown if total is not None and shown > 0 else None


def startup_score(view: View) -> Value:
    started = view.get("video_startup_time")
    return 1 / (1 + started / 8000) if played(view) and started is not None else None


def stability_score(view: View) -> Value:
    if not played(view):
        return None
    by_count = 1 / math.sqrt(1 + (view.get("buffer_count", 0) / 2) ** 2)
    return (by_count + math.exp(-10 * (ratio(view) or 0))) / 2


def render_score(view: View) -> Value:
    if not played(view):
        return None
    blur = 0.15 * view.get("max_upscaling", 0) + 0.85 * (scaling(view, "total_upscaling") or 0)
    return math.exp(-0.33 * blur)


def playback_score(view: View) -> Value:
    return 0.0 if failed(view) else 1.0 if played(view) else None


def overall_score(view: View) -> Value:
    if failed(view):
        return 0.0
    if not played(view):
        return None
    parts = [(0.45, stability_score(view)), (0.275, render_score(view)), (0.275, startup_score(view))]
    known = [(weight, score) for weight, score in parts if score is not None]
    return sum(weight * score for weight, score in known) / sum(weight for weight, _ in known)


def playing_time(view: View) -> Value:
    watched = view.get("watch_time")
    if watched is None:
        return None
    lost = sum(view.get(name, 0) for name in ("video_startup_time", "buffer_fill", "seeked_duration"))
    return max(0, watched - lost)


def total_startup(view: View) -> Value:
    started = view.get("video_startup_time")
    if started is None or not played(view):
        return None
    return started + view.get("page_load_time", 0) + view.get("player_init_time", 0)


def jump_latency(view: View) -> Value:
    count, spent = view.get("seeked_count", 0), view.get("seeked_duration")
    return spent / count if count > 0 and spent is not None else None


def average_bitrate(view: View) -> Value:
    points = sorted(view.get("bitrates", []))
    if not points:
        return None
    ends = [at for at, _ in points[1:]] + [view.end_ms]
    spans = [max(0, end - max(at, view.start_ms)) for (at, _), end in zip(points, ends, strict=True)]
    if not sum(spans):
        return float(points[-1][1])
    return sum(span * rate for span, (_, rate) in zip(spans, points, strict=True)) / sum(spans)


def of_played(compute: Callable[[View], Value]) -> Callable[[View], Value]:
    return lambda view: compute(view) if played(view) else None


def said(name: str) -> Callable[[View], Value]:
    return lambda view: view.get(name)


def frequency(view: View) -> Value:
    watched = view.get("watch_time", 0)
    return view.get("buffer_count", 0) / watched if watched > 0 else None


VALUES: dict[str, Callable[[View], Value]] = {
    "playing_time": playing_time,
    "quality_of_experience_score": overall_score,
    "playback_score": playback_score,
    "playback_failure_percentage": lambda view: float(failed(view)),
    "exit_before_video_start": lambda view: float(left_before_start(view)),
    "video_startup_failure_percentage": lambda view: float(failed(view) and not played(view)),
    "startup_score": startup_score,
    "video_startup_time": of_played(said("video_startup_time")),
    "player_startup_time": said("player_init_time"),
    "page_load_time": said("page_load_time"),
    "total_startup_time": total_startup,
    "live_stream_latency": said("live_stream_latency"),
    "average_bitrate": average_bitrate,
    "buffer_count": of_played(lambda view: view.get("buffer_count", 0)),
    "render_quality_score": render_score,
    "avg_upscaling": of_played(lambda view: scaling(view, "total_upscaling")),
    "avg_downscaling": of_played(lambda view: scaling(view, "total_downscaling")),
    "max_upscaling": of_played(said("max_upscaling")),
    "max_downscaling": of_played(said("max_downscaling")),
    "jump_latency": jump_latency,
    "stability_score": stability_score,
    "buffer_ratio": of_played(ratio),
    "buffer_frequency": of_played(frequency),
    "buffer_fill": of_played(lambda view: view.get("buffer_fill", 0)),
    "overall_score": lambda view: None if failed(view) else overall_score(view),
    "playback_success_score": lambda view: None if failed(view) else playback_score(view),
}
VALUES |= {
    "upscale_percentage": VALUES["avg_upscaling"],
    "downscale_percentage": VALUES["avg_downscaling"],
    "max_upscale_percentage": VALUES["max_upscaling"],
    "max_downscale_percentage": VALUES["max_downscaling"],
}


def viewers(population: Iterable[View]) -> int:
    return len({viewer(view) for view in population} - {""})


def percentile(values: list[float], share: float) -> float:
    """Between neighbours in proportion."""
    place = (len(values) - 1) * share
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    ordered = sorted(values)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def sketched(values: list[float], share: float) -> float:
    """The first value that so many are not above, by its first eight binary digits."""
    found = sorted(values)[max(0, math.ceil(len(values) * share) - 1)]
    [digits] = struct.unpack("<I", struct.pack("<f", found))
    [kept] = struct.unpack("<f", struct.pack("<I", digits & 0xFFFF0000))
    return float(kept)


def measure(population: list[View], metric: str, measurement: str) -> Value:
    if metric == "views":
        return len(population)
    if metric == "unique_viewers":
        return viewers(population)
    values = [value for value in map(VALUES[metric], population) if value is not None]
    if measurement == "count":
        return len(values)
    if not values:
        return None
    if measurement == "sum":
        return math.fsum(values)
    if measurement == "avg":
        return math.fsum(values) / len(values)
    return percentile(values, {"median": 0.5, "95th": 0.95}[measurement])


def _yes_or_no(value: bool | None) -> str:
    return "null" if value is None else "true" if value else "false"


def _part_of_place(view: View, position: int) -> str:
    parts = view.get("place", "").split("\t")
    return parts[position] if len(parts) > position else ""


DIMENSIONS: dict[str, Callable[[View], str]] = {
    "browser_name": lambda v: v.get("given_browser_name") or v.get("detected_browser_name") or "",
    "device_type": said("detected_device_type"),
    "os_name": said("detected_os_name"),
    "country": lambda v: _part_of_place(v, 3),
    "continent": lambda v: _part_of_place(v, 2),
    "video_title": said("video_title"),
    "video_id": lambda v: v.get("given_video_id") or v.get("media_id"),
    "viewer_id": viewer,
    "error_code": lambda v: v.get("error_code", ""),
    "custom_1": said("custom_1"),
    "custom_2": lambda _: "",
    "player_autoplay_on": lambda v: _yes_or_no(v.get("player_autoplay_on")),
    "view_has_ad": lambda v: _yes_or_no(v.get("has_ad")),
    "playback_failed": lambda v: _yes_or_no(failed(v)),
    "exit_before_video_start": lambda v: _yes_or_no(left_before_start(v)),
    "video_startup_failed": lambda v: _yes_or_no(failed(v) and not played(v)),
}


def shown(view: View, dimension: str) -> str:
    return DIMENSIONS[dimension](view) or "null"


def passes(view: View, filters: list[tuple[str, str, bool]]) -> bool:
    """`filters` are (dimension, value, is_excluding)."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for dimension, value, is_excluding in filters:
        if is_excluding and shown(view, dimension) == value:
            return False
        if not is_excluding:
            wanted[dimension].append(value)
    return all(shown(view, dimension) in values for dimension, values in wanted.items())


def grouped(population: list[View], by: Callable[[View], Any]) -> dict[Any, list[View]]:
    groups: dict[Any, list[View]] = defaultdict(list)
    for view in population:
        groups[by(view)].append(view)
    return groups


def summed(population: list[View], compute: Callable[[View], Value]) -> int:
    return round(sum(value for value in map(compute, population) if value is not None))
