"""Pictures for a publisher that sends none any more while its sound goes on: its last key frame, said again.

Without them the sound would wait for pictures, and viewers of pictures would have nothing. Invariants: only a key frame
is repeated, and after it only a key frame is taken, because what lies between was never shown; the repeats advance with
the sound that comes, also when its clock jumps, and stay a little behind it, so that pictures that come back find
their place. Pure: it is told of everything.
"""

import dataclasses

from fastpix_server.ingest.model import CLOCK_HZ, Sample, Track

# So much sound without a picture between: nothing is late any more, the pictures have stopped. (Fewer than two pictures
# a second are refused anyway.)
STILL_AFTER = 3 * CLOCK_HZ // 2
# One part each.
STILL_STEP = CLOCK_HZ // 3
_BEHIND = CLOCK_HZ // 10
# Frames of sound farther apart than this have jumped; nearer ones lost some between them.
_HOLE_MAX = CLOCK_HZ


@dataclasses.dataclass(frozen=True, slots=True)
class Still:
    """A key frame and how it is to be decoded."""

    track: Track
    key: Sample


class Stills:
    """`last`: of an earlier connection, for one that never sends a picture."""

    def __init__(self, last: Still | None = None) -> None:
        self.last = last
        self.is_standing = False  # what viewers see is the repeated one
        self._dts = 0  # of the newest picture that was taken
        self._heard = self._shown = 0  # since then
        self._sound_dts: int | None = None

    def refuses(self, sample: Sample) -> bool:
        """Whether a picture cannot be decoded behind what was repeated."""
        return self.is_standing and not sample.is_key

    def took(self, track: Track | None, sample: Sample) -> None:
        """A picture of the publisher's was taken."""
        if sample.is_key and track is not None:
            self.last = Still(track, sample)
        self._dts, self._heard, self._shown = sample.dts, 0, 0
        self.is_standing = False

    def begin(self, dts: int) -> Sample:
        """The picture to begin with when there is sound only, at its time `dts`. There must be a last one."""
        assert self.last is not None
        self._dts, self._heard, self._shown = dts - self.last.key.cts, 0, 0
        self._sound_dts = None
        self.is_standing = True
        return self._again()

    def on_sound(self, dts: int, usual: int) -> list[Sample]:
        """A frame of sound came, which lasts `usual`; the pictures that are due with it."""
        since = dts - self._sound_dts if self._sound_dts is not None else 0
        self._sound_dts = dts
        self._heard += since if 0 < since <= _HOLE_MAX else usual
        if self.last is None or not (self.is_standing or self._heard >= STILL_AFTER):
            return []
        due = []
        while self._heard - _BEHIND - self._shown >= STILL_STEP:
            self._shown += STILL_STEP
            due.append(self._again())
        self.is_standing = self.is_standing or bool(due)
        return due

    def until(self, dts: int) -> list[Sample]:
        """What still fits before a picture that comes back: none stands for longer than a part."""
        due = []
        while self.is_standing and STILL_STEP < dts - self._dts - self._shown <= _HOLE_MAX:
            self._shown += STILL_STEP
            due.append(self._again())
        return due

    def _again(self) -> Sample:
        assert self.last is not None
        return dataclasses.replace(self.last.key, dts=self._dts + self._shown)
