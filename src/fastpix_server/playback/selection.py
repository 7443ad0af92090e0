"""Which rungs a manifest shows, and in which order: parameters of the viewer, cap of the playback id.

Invariants: a bound that matches nothing is capped to the nearest rung, so a manifest never comes out empty;
contradictory bounds are refused with every field that takes part. Parameter names are those of contract section 5,
the underscored ones are the older iOS player's.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeVar

from fastpix_server.base.errors import FieldError, Invalid

LINES = (270, 360, 480, 540, 720, 1080, 1440, 2160)
# Where a player that takes the first variant should start: good enough to watch, made in a fraction of a second.
START_LINES = 480
# A copied rung costs nothing to make, but a player that starts there must be able to load it over a common line.
START_COPY_MAX_BPS = 2_500_000

_NAME = re.compile(r"([0-9]{3,4})p")
_VALUE = re.compile(r"([0-9]{3,4})[pP]?")


class Rung(Protocol):
    """What choosing looks at: a rendition of a plan, or of a recording."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Literal["encode", "copy"]: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def max_bitrate_bps(self) -> int: ...


R = TypeVar("R", bound=Rung)


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """Bounds in lines ("720p" is 720), None where the viewer has no wish."""

    min_lines: int | None = None
    max_lines: int | None = None
    only_lines: int | None = None
    order: Literal["asc", "desc"] | None = None

    @property
    def is_everything(self) -> bool:
        return self.min_lines is None and self.max_lines is None and self.only_lines is None


def parse(params: Mapping[str, str]) -> Selection:
    """Raises Invalid with every bad field. Unknown parameters (`t`, `token`, ...) are none of our business."""
    bad: list[FieldError] = []
    low = _lines(params, "minResolution", "min_resolution", bad)
    high = _lines(params, "maxResolution", "max_resolution", bad)
    only = _lines(params, "resolution", "resolution", bad)
    order = params.get("renditionOrder", "").lower()
    if order not in ("", "asc", "desc"):
        # `order` is the name under which the official player looks for this fault.
        bad.append(FieldError("order", "must be asc or desc"))
    if only is not None and (low is not None or high is not None):
        bad.append(FieldError("resolution", "cannot be combined with minResolution or maxResolution"))
    if low is not None and high is not None and low > high:
        bad.append(FieldError("minResolution", "must not be above maxResolution"))
        bad.append(FieldError("maxResolution", "must not be below minResolution"))
    if bad:
        raise Invalid(*bad)
    return Selection(low, high, only, "asc" if order == "asc" else "desc" if order == "desc" else None)


def _lines(params: Mapping[str, str], name: str, alias: str, bad: list[FieldError]) -> int | None:
    value = params.get(name) or params.get(alias)
    if not value:
        return None
    match = _VALUE.fullmatch(value)
    if match is None or int(match[1]) not in LINES:
        bad.append(FieldError(name, "must be one of " + ", ".join(f"{n}p" for n in LINES)))
        return None
    return int(match[1])


def lines_of(rendition: Rung) -> int:
    """720 for "720p"; for a copied rung the class whose 16:9 box (or its portrait twin) holds the picture."""
    match = _NAME.fullmatch(rendition.name)
    if match is not None:
        return int(match[1])
    return lines_of_size(rendition.width, rendition.height)


def lines_of_size(width: int, height: int) -> int:
    """The class of a picture of that size."""
    short, long = sorted((width, height))
    return next((n for n in LINES if short <= n and long <= -(-n * 16 // 9)), LINES[-1])


def allowed_lines(cap: str | None) -> int:
    """The most lines that an id with that cap may show."""
    match = _NAME.fullmatch(cap or "")
    return int(match[1]) if match is not None else LINES[-1]


def choose(videos: Sequence[R], selection: Selection, cap: str | None) -> list[R]:
    """The rungs to show, in order; empty only when there are none at all. `cap` is the playback id's resolution."""
    shown = list(videos)
    if cap is not None and (match := _NAME.fullmatch(cap)) is not None:
        shown = _within(shown, 0, int(match[1]))
    if selection.only_lines is not None:
        shown = _within(shown, selection.only_lines, selection.only_lines)
    elif not selection.is_everything:
        shown = _within(shown, selection.min_lines or 0, selection.max_lines or LINES[-1])
    return _ordered(shown, selection.order)


def _within(videos: list[R], low: int, high: int) -> list[R]:
    """Rungs inside the bounds, or else those at the least distance from them (the lower one of two equally far)."""

    def distance(rendition: Rung) -> int:
        lines = lines_of(rendition)
        return max(low - lines, lines - high, 0)

    if not videos:
        return videos
    least = min(distance(v) for v in videos)
    nearest = [v for v in videos if distance(v) == least]
    if least == 0:
        return nearest
    lines = min(lines_of(v) for v in nearest)
    return [v for v in nearest if lines_of(v) == lines]


def _ordered(videos: list[R], order: Literal["asc", "desc"] | None) -> list[R]:
    """Without a wish: the best rung to start on first, then downwards from the top."""
    descending = sorted(videos, key=lambda v: (lines_of(v), v.max_bitrate_bps), reverse=True)
    if order is not None or not descending:
        return descending if order != "asc" else descending[::-1]
    first = _start(descending)
    return [first, *(v for v in descending if v is not first)]


def _start(descending: Sequence[R]) -> R:
    copy = next((v for v in descending if v.kind == "copy" and v.max_bitrate_bps <= START_COPY_MAX_BPS), None)
    if copy is not None:
        return copy
    return next((v for v in descending if v.kind == "encode" and lines_of(v) <= START_LINES), descending[-1])
