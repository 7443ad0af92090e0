"""An edit as it was asked for: plain data, normalised and checked, stored with the media.

Files are counted from 1 in the order of `files`; 0 is the video itself. A URL that is named twice is one file. Times
are seconds of the video as it came (engine/edit_list.py says what that means when several edits meet).
"""

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

FileKind = Literal["video", "audio", "image"]
# Of one request. Each is a download and a file to keep open; a film with more joins is cut before it comes here.
FILES_MAX = 24
REMOVED_MAX = 50
WATERMARKS_MAX = 4
OVERLAYS_MAX = 8


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    kind: FileKind
    url: str


@dataclasses.dataclass(frozen=True, slots=True)
class Insert:
    file: int
    at_s: float | None  # None: at the end


@dataclasses.dataclass(frozen=True, slots=True)
class Length:
    """A distance on the picture, in parts of its side (0.25) or in pixels of the video as it is displayed."""

    value: float
    unit: Literal["part", "pixels"]

    def of(self, side_pixels: int) -> float:
        """In parts of the side."""
        return self.value if self.unit == "part" else self.value / side_pixels


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A watermark. Sides that are None follow from the picture's own shape, or size."""

    file: int
    x_align: Literal["left", "center", "right"]
    x_margin: Length
    y_align: Literal["top", "middle", "bottom"]
    y_margin: Length
    width: Length | None
    height: Length | None
    opacity: float
    asked: Mapping[str, Any]  # the input as it came, for the event

    def id_of(self, media_id: str, position: int) -> str:
        """A stable name: the job that tells of it may run twice."""
        return str(uuid.uuid5(uuid.UUID(media_id), f"watermark/{position}"))


@dataclasses.dataclass(frozen=True, slots=True)
class Overlay:
    """A sound to mix in. `end_s` None: as long as it lasts."""

    file: int
    start_s: float
    end_s: float | None
    fade_in_s: float
    fade_out_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    files: tuple[File, ...] = ()
    start_s: float = 0.0
    end_s: float | None = None
    removed_s: tuple[tuple[float, float], ...] = ()
    inserts: tuple[Insert, ...] = ()
    intro: int | None = None
    outro: int | None = None
    marks: tuple[Mark, ...] = ()
    swap: int | None = None
    overlays: tuple[Overlay, ...] = ()

    @property
    def events(self) -> Sequence[str]:
        """The types of the events that tell what was asked for (watermarks have one each, told with their own data)."""
        named = {
            "video.media.intro.ready": self.intro is not None,
            "video.media.outro.ready": self.outro is not None,
            "video.media.expungeSegments.ready": bool(self.removed_s),
            "video.media.segments.ready": bool(self.inserts),
            "video.media.swapTrack.ready": self.swap is not None,
            "video.media.imposeTracks.ready": bool(self.overlays),
        }
        return [name for name, is_asked in named.items() if is_asked]


NOTHING = Order()


def to_json(order: Order) -> dict[str, Any] | None:
    """None for an order that asks for nothing."""
    return None if order == NOTHING else dataclasses.asdict(order)


def from_json(data: Mapping[str, Any] | None) -> Order:
    if data is None:
        return NOTHING
    return Order(
        files=tuple(File(**file) for file in data["files"]),
        start_s=data["start_s"],
        end_s=data["end_s"],
        removed_s=tuple((begin, end) for begin, end in data["removed_s"]),
        inserts=tuple(Insert(**insert) for insert in data["inserts"]),
        intro=data["intro"],
        outro=data["outro"],
        marks=tuple(_mark(mark) for mark in data["marks"]),
        swap=data["swap"],
        overlays=tuple(Overlay(**overlay) for overlay in data["overlays"]),
    )


def _mark(data: Mapping[str, Any]) -> Mark:
    lengths = ("x_margin", "y_margin", "width", "height")
    return Mark(**{**data, **{name: None if data[name] is None else Length(**data[name]) for name in lengths}})
