"""What was done to the files of a media before it is shown, as data: part of a plan.

A timeline is a list of pieces, each a stretch of one file; over it lie watermarks and sounds, and at the end of the
sound a gain. Files are counted: 0 is the base, the others are in the order of the target's further files. Nothing
here is rendered in advance: the commands of a segment read what they need from here.
"""

import dataclasses
from fractions import Fraction

from fastpix_server.engine.source import VideoFacts

SILENT = -1  # as a stream index: this file has nothing to be heard


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A run of segments that comes from one file, in the file's own order; it ends where the next piece begins."""

    first: int  # its first segment
    file: int
    in_s: Fraction  # the file's time of its first frame
    video: VideoFacts | None  # without key frames: the plan's seeks replace them
    streams: tuple[int, ...]  # for each sound of the plan the stream of this file, or SILENT


@dataclasses.dataclass(frozen=True, slots=True)
class Watermark:
    """A picture over all frames. The box is in parts of the frame (0 to 1), so it fits every rendition."""

    file: int
    left: float
    top: float
    width: float
    height: float
    opacity: float  # 0 to 1


@dataclasses.dataclass(frozen=True, slots=True)
class SoundSource:
    """A file whose sound replaces that of all pieces, from time 0 on; silence after its end."""

    file: int
    stream: int


@dataclasses.dataclass(frozen=True, slots=True)
class Overlay:
    """A sound that is mixed in from `start_s` to `end_s` of the timeline; fades lie inside that time."""

    file: int
    stream: int
    start_s: Fraction
    end_s: Fraction
    fade_in_s: Fraction
    fade_out_s: Fraction


@dataclasses.dataclass(frozen=True, slots=True)
class Lender:
    """Where file 0 was encoded before, as it is, with the same settings: segment j of the renditions named here, the
    frames [cuts[j], cuts[j+1]) of the file, is lent to whoever shows just these frames. It may be gone at any time."""

    place: str
    cuts: tuple[int, ...]
    renditions: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Edit:
    """`pieces` empty: the whole of file 0, as it is. `gains_db` has one gain for each sound of the plan, or none."""

    pieces: tuple[Piece, ...] = ()
    watermarks: tuple[Watermark, ...] = ()
    swap: SoundSource | None = None
    overlays: tuple[Overlay, ...] = ()
    gains_db: tuple[float, ...] = ()
    lender: Lender | None = None

    @property
    def is_whole_file(self) -> bool:
        """Whether what is shown is file 0, at most at another loudness."""
        return not (self.pieces or self.watermarks or self.swap or self.overlays)

    @property
    def changes_sound(self) -> bool:
        """Whether the sound is more than a stretch of one file after the other."""
        return self.swap is not None or bool(self.overlays) or any(self.gains_db)
