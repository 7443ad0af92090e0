"""`inputs[]` of create-media and of direct uploads: the video with its cuts and joins, watermarks, sounds.

The shapes say what a caller may write; `order_of` turns them into the edit that is stored (edits.py).
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, StrictBool, Tag, ValidationInfo, model_validator
from pydantic import Discriminator as By

from fastpix_server.base.fields import refused
from fastpix_server.media import edits
from fastpix_server.media.edits import FileKind, Length, Mark, Order
from fastpix_server.media.shapes import LanguageCode, LanguageName, Request, SourceUrl, WebUrl

# Twelve hours, the longest media there is: a later time names nothing.
LAST_S = 12 * 3600
SEGMENTS_MAX = 20
MARGIN_MAX_PIXELS = 20_000  # no picture of ours has a longer side

_RANGE = re.compile(r"\s*(\d{1,5}(?:\.\d{1,3})?)\s*-\s*(\d{1,5}(?:\.\d{1,3})?)\s*")
_LENGTH = re.compile(r"(-?\d{1,5}(?:\.\d{1,3})?)\s*(%|px)?")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)\s*%?")


def _range(text: str) -> str:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise refused("must be a range of seconds, like 4-6")
    if float(match[2]) <= float(match[1]):
        raise refused("must end after it begins")
    return text


def _range_s(text: str) -> tuple[float, float]:
    match = _RANGE.fullmatch(text)
    assert match is not None, "the schema has seen it"
    return float(match[1]), float(match[2])


def _length(text: str) -> str:
    match = _LENGTH.fullmatch(text)
    if match is None or abs(float(match[1])) > (100 if match[2] == "%" else MARGIN_MAX_PIXELS):
        raise refused("must be a share of the picture, like 10%, or pixels, like 40px")
    return text


def _side(text: str) -> str:
    if _length(text).startswith("-") or not float(_LENGTH.fullmatch(text)[1]):  # type: ignore[index]
        raise refused("must be more than nothing")
    return text


def _percent(text: str) -> str:
    match = _PERCENT.fullmatch(text)
    if match is None or not 0 < float(match[1]) <= 100:
        raise refused("must be a share, like 80%")
    return text


def _length_of(text: str) -> Length:
    match = _LENGTH.fullmatch(text)
    assert match is not None, "the schema has seen it"
    return Length(float(match[1]) / 100, "part") if match[2] == "%" else Length(float(match[1]), "pixels")


def later_than(field: str) -> Callable[[float | None, ValidationInfo], float | None]:
    """Times of a range: the second must be after the first."""

    def check(value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and value <= info.data.get(field, 0):
            raise refused("must be after startTime")
        return value

    return check


Ranges = Annotated[list[Annotated[str, AfterValidator(_range)]], Field(max_length=edits.REMOVED_MAX)]
Second = Annotated[float, Field(ge=0, le=LAST_S, allow_inf_nan=False)]


class Segment(Request):
    """A video to insert: at a second of the base, or at its end."""

    url: SourceUrl
    insert_at: Second | None = None
    insert_at_end: StrictBool = False

    @model_validator(mode="after")
    def _one_place(self) -> "Segment":
        if (self.insert_at is None) == (not self.insert_at_end):
            raise refused("needs either insertAt or insertAtEnd")
        return self


class Edits(Request):
    """Cuts and joins of a video input."""

    start_time: Second = 0
    end_time: Annotated[Second | None, AfterValidator(later_than("start_time"))] = None
    intro_url: SourceUrl | None = None
    outro_url: SourceUrl | None = None
    expunge_segments: Ranges = Field(default_factory=list)
    segments: list[Segment] = Field(default_factory=list, max_length=SEGMENTS_MAX)


class UploadInput(Edits):
    """An input of a direct upload: its bytes come later, so it has no url."""

    type: Literal["video"] = "video"


class VideoInput(Edits):
    type: Literal["video"]  # required here: the contract marks it so
    url: SourceUrl


class Placement(Request):
    """Where a watermark stands. In the centre a margin moves it to the right, or down."""

    x_align: Literal["left", "center", "right"] = "left"
    x_margin: Annotated[str, AfterValidator(_length)] = "0"
    y_align: Literal["top", "middle", "bottom"] = "top"
    y_margin: Annotated[str, AfterValidator(_length)] = "0"


class WatermarkInput(Request):
    type: Literal["watermark"]
    url: WebUrl
    placement: Placement = Placement()
    width: Annotated[str, AfterValidator(_side)] | None = None
    height: Annotated[str, AfterValidator(_side)] | None = None
    opacity: Annotated[str, AfterValidator(_percent)] = "100%"


class ImposedTrack(Request):
    """A sound to mix in. The fades are seconds at its two ends."""

    url: SourceUrl
    start_time: Second = 0
    end_time: Annotated[Second | None, AfterValidator(later_than("start_time"))] = None
    fade_in_level: Second = 0
    fade_out_level: Second = 0


class AudioInput(Request):
    type: Literal["audio"]
    swap_track_url: SourceUrl | None = None
    impose_tracks: list[ImposedTrack] = Field(default_factory=list, max_length=edits.OVERLAYS_MAX)

    @model_validator(mode="after")
    def _says_something(self) -> "AudioInput":
        if self.swap_track_url is None and not self.impose_tracks:
            raise refused("must not be null", below="swapTrackUrl")
        return self


class SubtitleInput(Request):
    """A subtitle file beside the video; it becomes a track."""

    type: Literal["subtitle"]
    url: WebUrl
    language_name: LanguageName
    language_code: LanguageCode


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if kind in ("watermark", "audio", "subtitle") else "video"


_Others = (
    Annotated[WatermarkInput, Tag("watermark")]
    | Annotated[AudioInput, Tag("audio")]
    | Annotated[SubtitleInput, Tag("subtitle")]
)
CreateInput = Annotated[Annotated[VideoInput, Tag("video")] | _Others, By(_kind)]
PushInput = Annotated[Annotated[UploadInput, Tag("video")] | _Others, By(_kind)]
AnyInput = VideoInput | UploadInput | WatermarkInput | AudioInput | SubtitleInput
Item = TypeVar("Item", bound=AnyInput)


def no_more_than_one_video(inputs: list[Item]) -> list[Item]:
    """And of the others no more than one media can use."""
    if sum(isinstance(item, Edits) for item in inputs) > 1:
        raise refused("must hold no more than one video")
    if sum(isinstance(item, AudioInput) for item in inputs) > 1:
        raise refused("must hold no more than one audio")
    if sum(isinstance(item, WatermarkInput) for item in inputs) > edits.WATERMARKS_MAX:
        raise refused(f"must hold no more than {edits.WATERMARKS_MAX} watermarks")
    names = [item.language_name.casefold() for item in inputs if isinstance(item, SubtitleInput)]
    if len(set(names)) != len(names):
        raise refused("must not name a language twice")
    if len(order_of(inputs).files) > edits.FILES_MAX:
        raise refused(f"must name no more than {edits.FILES_MAX} files")
    return inputs


def one_video(inputs: list[Item]) -> list[Item]:
    if sum(isinstance(item, Edits) for item in inputs) != 1:
        raise refused("must hold exactly one video")
    return no_more_than_one_video(inputs)


class _Files:
    """Counts each kind of use of a URL once."""

    def __init__(self) -> None:
        self.found: list[edits.File] = []

    def number(self, kind: FileKind, url: str) -> int:
        file = edits.File(kind, url)
        if file not in self.found:
            self.found.append(file)
        return self.found.index(file) + 1


def order_of(inputs: Sequence[AnyInput], *, start_s: float = 0, end_s: float | None = None) -> Order:
    """The edit that the inputs ask for; the times are those beside the inputs, used where an input has none."""
    files = _Files()
    video: Edits = next((item for item in inputs if isinstance(item, Edits)), Edits())
    audio = next((item for item in inputs if isinstance(item, AudioInput)), None)
    intro = None if video.intro_url is None else files.number("video", video.intro_url)
    outro = None if video.outro_url is None else files.number("video", video.outro_url)
    inserts = tuple(edits.Insert(files.number("video", s.url), s.insert_at) for s in video.segments)
    marks = tuple(_mark(item, files) for item in inputs if isinstance(item, WatermarkInput))
    swap: int | None = None
    overlays: tuple[edits.Overlay, ...] = ()
    if audio is not None:
        swap = None if audio.swap_track_url is None else files.number("audio", audio.swap_track_url)
        overlays = tuple(_overlay(track, files) for track in audio.impose_tracks)
    return Order(
        start_s=float(video.start_time or start_s),
        end_s=end_s if video.end_time is None else float(video.end_time),
        removed_s=tuple(_range_s(text) for text in video.expunge_segments),
        inserts=inserts,
        intro=intro,
        outro=outro,
        marks=marks,
        swap=swap,
        overlays=overlays,
        files=tuple(files.found),
    )


def _mark(item: WatermarkInput, files: _Files) -> Mark:
    place = item.placement
    return Mark(
        file=files.number("image", item.url),
        x_align=place.x_align,
        x_margin=_length_of(place.x_margin),
        y_align=place.y_align,
        y_margin=_length_of(place.y_margin),
        width=None if item.width is None else _length_of(item.width),
        height=None if item.height is None else _length_of(item.height),
        opacity=float(_PERCENT.fullmatch(item.opacity)[1]) / 100,  # type: ignore[index]
        asked=item.model_dump(by_alias=True, exclude_none=True),
    )


def _overlay(track: ImposedTrack, files: _Files) -> edits.Overlay:
    return edits.Overlay(
        file=files.number("audio", track.url),
        start_s=float(track.start_time),
        end_s=None if track.end_time is None else float(track.end_time),
        fade_in_s=float(track.fade_in_level),
        fade_out_s=float(track.fade_out_level),
    )
