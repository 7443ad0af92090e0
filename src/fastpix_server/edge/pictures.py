"""What the URLs of still pictures have in common: size, fit, format."""

import dataclasses
from collections.abc import Mapping
from typing import get_args

from fastpix_server.base import errors
from fastpix_server.base.errors import FieldError
from fastpix_server.edge.delivery import number
from fastpix_server.playback.artifacts import Fit

MAX_SIDE_PX = 4096
TYPES: dict[str, str] = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}

_FITS = get_args(Fit)


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """Sides in pixels; 0: the source's own, or what keeps its shape."""

    width: int
    height: int
    fit: Fit


def read_number(
    params: Mapping[str, str], field: str, low: float, high: float, default: float, bad: list[FieldError]
) -> float:
    """The parameter, or `default` when it is absent; what is wrong with it goes to `bad`."""
    value = params.get(field, "")
    if not value:
        return default
    try:
        return number(value, field, low, high)
    except errors.Invalid as invalid:
        bad.extend(invalid.fields)
        return default


def parse_shape(params: Mapping[str, str], bad: list[FieldError] | None = None) -> Shape:
    """Raises Invalid with every bad field, those in `bad` included."""
    bad = [] if bad is None else bad
    width = read_number(params, "width", 1, MAX_SIDE_PX, 0, bad)
    height = read_number(params, "height", 1, MAX_SIDE_PX, 0, bad)
    for field, value in (("width", width), ("height", height)):
        if value != int(value):
            bad.append(FieldError(field, "must be a whole number of pixels"))
    fit = params.get("fit_mode") or "preserve"
    if fit not in _FITS:
        bad.append(FieldError("fit_mode", "must be one of " + ", ".join(_FITS)))
    if bad:
        raise errors.Invalid(*bad)
    return Shape(int(width), int(height), fit)  # type: ignore[arg-type]
