"""What of a source may be served as it is, as values: copyrung.py finds it out, the plan decides with it.

Apart from copyrung.py, because every role plans or reads plans, and only the worker reads sample tables (with numpy).
"""

import dataclasses
import itertools
from collections.abc import Sequence

AUDIO_SHORTFALL_FRAMES = 3  # players bridge 64 ms of missing sound at the very end


@dataclasses.dataclass(frozen=True, slots=True)
class CopyVideo:
    """Where the source's picture may be cut: grid frames of clean IDR pictures, and the bytes stored before each."""

    width: int
    height: int
    codec: str
    cut_frames: tuple[int, ...]
    cut_bytes: tuple[int, ...]
    total_bytes: int
    frames: int

    def segment_bytes(self, cuts: Sequence[int]) -> list[int] | None:
        """Sizes of the segments between `cuts` (the last is the end), or None when one of them is no clean cut."""
        known = dict(zip(self.cut_frames, self.cut_bytes, strict=True))
        if cuts[-1] != self.frames or any(cut not in known for cut in cuts[:-1]):
            return None
        ends = [*(known[cut] for cut in cuts[:-1]), self.total_bytes]
        return [b - a for a, b in itertools.pairwise(ends)]


@dataclasses.dataclass(frozen=True, slots=True)
class CopyAudio:
    stream_index: int
    sample_rate_hz: int
    channels: int
    bitrate_bps: int
    frames: int  # AAC frames from time 0 on


@dataclasses.dataclass(frozen=True, slots=True)
class CopyVerdict:
    """What of a source could be served as it is. The plan decides whether it is."""

    video: CopyVideo | None
    audios: tuple[CopyAudio, ...]

    def audio(self, stream_index: int) -> CopyAudio | None:
        return next((a for a in self.audios if a.stream_index == stream_index), None)
