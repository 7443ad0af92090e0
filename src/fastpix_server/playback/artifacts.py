"""Names of the things that are made on demand, as they travel between edges and workers and lie in storage.

Invariant: a name that does not parse is nobody's wish; every name maps to one storage key below the target's place.
"""

import dataclasses
import re
from typing import Literal, Protocol

Fit = Literal["preserve", "stretch", "crop", "pad"]
PictureFormat = Literal["jpg", "png", "webp"]

PICTURES = "pictures"
# The digits hold 12 hours (the longest source) in segments and in milliseconds, with room.
_SEGMENT = re.compile(r"([A-Za-z0-9_-]{1,32})/([0-9]{1,6})")
_INIT = re.compile(r"([A-Za-z0-9_-]{1,32})/init")
_PICTURE = re.compile(r"pictures/t([0-9]{1,9})-w([0-9]{1,4})-h([0-9]{1,4})-([a-z]{3,8})\.(jpg|png|webp)")


class Placed(Protocol):
    """What naming needs of a target, whatever its kind."""

    @property
    def id(self) -> str: ...
    @property
    def place(self) -> str: ...


@dataclasses.dataclass(frozen=True, slots=True)
class SegmentOf:
    rendition: str
    k: int

    def __str__(self) -> str:
        return f"{self.rendition}/{self.k}"

    def keys(self, target: Placed) -> tuple[str, ...]:
        """Where it may lie, the best first."""
        base = f"{target.place}/{self.rendition}/{self.k}"
        return f"{base}.m4s", f"{base}.fast.m4s"


@dataclasses.dataclass(frozen=True, slots=True)
class InitOf:
    rendition: str

    def __str__(self) -> str:
        return f"{self.rendition}/init"

    def keys(self, target: Placed) -> tuple[str, ...]:
        return (f"{target.place}/{self.rendition}/init.mp4",)


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """`width` and `height` 0: the source's own."""

    at_ms: int
    width: int
    height: int
    fit: Fit
    format: PictureFormat

    def __str__(self) -> str:
        return f"{PICTURES}/t{self.at_ms}-w{self.width}-h{self.height}-{self.fit}.{self.format}"

    def keys(self, target: Placed) -> tuple[str, ...]:
        return (f"{target.place}/{self}",)


Artifact = SegmentOf | InitOf | Picture


def parse(name: str) -> Artifact | None:
    if match := _PICTURE.fullmatch(name):
        fit, form = match[4], match[5]
        if fit not in ("preserve", "stretch", "crop", "pad"):
            return None
        return Picture(int(match[1]), int(match[2]), int(match[3]), fit, form)  # type: ignore[arg-type]
    if match := _SEGMENT.fullmatch(name):
        return SegmentOf(match[1], int(match[2]))
    if match := _INIT.fullmatch(name):
        return InitOf(match[1])
    return None
