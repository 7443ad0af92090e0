"""Names of the things that are made on demand, as they travel between edges and workers and lie in storage.

Invariant: a name that does not parse is nobody's wish; every name maps to one storage key below the target's place.
"""

import dataclasses
import re
from typing import Literal, Protocol

Fit = Literal["preserve", "stretch", "crop", "pad"]
PictureFormat = Literal["jpg", "png", "webp"]
SheetFormat = Literal["jpg", "png"]
MovingFormat = Literal["gif", "webp"]

PICTURES = "pictures"
PROTECTED = "drm"
# The digits hold 12 hours (the longest source) in segments and in milliseconds, with room.
_SEGMENT = re.compile(r"([A-Za-z0-9_-]{1,32})/([0-9]{1,6})")
_INIT = re.compile(r"([A-Za-z0-9_-]{1,32})/init")
_SHEET = re.compile(r"pictures/sheet-i([0-9]|10)\.(jpg|png)")
_PICTURE = re.compile(r"pictures/t([0-9]{1,9})-w([0-9]{1,4})-h([0-9]{1,4})-([a-z]{3,8})\.(jpg|png|webp)")
_MOVING = re.compile(r"pictures/clip-s([0-9]{1,9})-l([0-9]{1,5})-w([0-9]{1,3})-h([0-9]{1,3})-r([0-9]{1,2})\.(gif|webp)")


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


@dataclasses.dataclass(frozen=True, slots=True)
class Protected:
    """`clear` as an id of the policy drm shows it: encrypted with the target's content key."""

    clear: SegmentOf | InitOf

    @property
    def made_from(self) -> tuple[SegmentOf | InitOf, ...]:
        """Clear things that have to be stored first: a segment is read with its header."""
        header = InitOf(self.clear.rendition)
        return (header,) if isinstance(self.clear, InitOf) else (header, self.clear)

    def __str__(self) -> str:
        return f"{PROTECTED}/{self.clear}"

    def keys(self, target: Placed) -> tuple[str, ...]:
        """One for each key of the clear thing, in the same order: a quick segment makes a quick encrypted one."""
        return tuple(self.key_of(target, key) for key in self.clear.keys(target))

    @staticmethod
    def key_of(target: Placed, clear_key: str) -> str:
        return f"{target.place}/{PROTECTED}/{clear_key.removeprefix(target.place + '/')}"


@dataclasses.dataclass(frozen=True, slots=True)
class Sheet:
    """Small pictures of the whole media in one. `interval_s` 1 ... 10; 0: a fixed number of them."""

    interval_s: int
    format: SheetFormat

    def __str__(self) -> str:
        return f"{PICTURES}/sheet-i{self.interval_s}.{self.format}"

    def keys(self, target: Placed) -> tuple[str, ...]:
        return (f"{target.place}/{self}",)


@dataclasses.dataclass(frozen=True, slots=True)
class MovingPicture:
    """A few seconds of the video. A side of 0 keeps the shape."""

    start_ms: int
    length_ms: int
    width: int
    height: int
    rate: int
    format: MovingFormat

    def __str__(self) -> str:
        size = f"w{self.width}-h{self.height}-r{self.rate}"
        return f"{PICTURES}/clip-s{self.start_ms}-l{self.length_ms}-{size}.{self.format}"

    def keys(self, target: Placed) -> tuple[str, ...]:
        return (f"{target.place}/{self}",)


Artifact = SegmentOf | InitOf | Picture | Sheet | MovingPicture | Protected


def parse(name: str) -> Artifact | None:
    if name.startswith(f"{PROTECTED}/"):
        clear = parse(name.removeprefix(f"{PROTECTED}/"))
        return Protected(clear) if isinstance(clear, SegmentOf | InitOf) else None
    if match := _PICTURE.fullmatch(name):
        fit, form = match[4], match[5]
        if fit not in ("preserve", "stretch", "crop", "pad"):
            return None
        return Picture(int(match[1]), int(match[2]), int(match[3]), fit, form)  # type: ignore[arg-type]
    if match := _SHEET.fullmatch(name):
        return Sheet(int(match[1]), "png" if match[2] == "png" else "jpg")
    if match := _MOVING.fullmatch(name):
        start, length, width, height, rate = (int(part) for part in match.groups()[:5])
        return MovingPicture(start, length, width, height, rate, "gif" if match[6] == "gif" else "webp")
    if match := _SEGMENT.fullmatch(name):
        return SegmentOf(match[1], int(match[2]))
    if match := _INIT.fullmatch(name):
        return InitOf(match[1])
    return None
