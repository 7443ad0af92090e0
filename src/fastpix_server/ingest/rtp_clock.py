"""From RTP's two random 32-bit clocks to one common 90 kHz timeline (RFC 3550, 5.1 and 6.4.1).

At first the moments of arrival say how sound and picture lie to each other, to some tens of milliseconds. Sender
reports say it exactly, but come seconds later: then the picture, whose frames have no fixed length anyway, is moved
towards the truth in steps too small to see. Sound is never moved: its frames must follow without a gap.
"""

import dataclasses

from fastpix_server.ingest.model import CLOCK_HZ, Kind

RATES_HZ: dict[Kind, int] = {"video": 90_000, "audio": 48_000}
# Per picture: 30 ms/s at 30 fps, and an eighth of the distance of two pictures at 120 fps, so time never stands still.
STEP_TICKS = CLOCK_HZ // 1000
# Clocks of one computer that differ by more are no clocks; we then keep to the arrival.
MAX_CORRECTION_S = 2.0

_WRAP = 1 << 32


class Unwrapped:
    """A 32-bit clock without its wraps; small steps backwards stay steps backwards."""

    def __init__(self, first: int) -> None:
        self._last = first

    def near(self, stamp: int) -> int:
        """What `stamp` means beside the last one, without moving on."""
        ahead = (stamp - self._last) % _WRAP
        return self._last + (ahead if ahead < _WRAP // 2 else ahead - _WRAP)

    def advance(self, stamp: int) -> int:
        self._last = self.near(stamp)
        return self._last


@dataclasses.dataclass(slots=True)
class _Line:
    clock: Unwrapped
    first: int
    offset: float  # ticks of the common clock at `first`
    report: tuple[int, float] | None = None  # (unwrapped stamp, wall clock in s), of the newest sender report


class CommonClock:
    """Begins at 0 with the first stamp of either kind."""

    def __init__(self) -> None:
        self._lines: dict[Kind, _Line] = {}
        self._first_arrival_s = 0.0
        self._target: float | None = None
        self.refused_reports = 0

    def begin(self, kind: Kind, stamp: int, arrival_s: float) -> None:
        """The first packet of `kind` came at `arrival_s` (any clock that only goes forward)."""
        if kind in self._lines:
            return
        if not self._lines:
            self._first_arrival_s = arrival_s
        self._lines[kind] = _Line(Unwrapped(stamp), stamp, (arrival_s - self._first_arrival_s) * CLOCK_HZ)

    def report(self, kind: Kind, stamp: int, wall_s: float) -> None:
        """A sender report: `stamp` is what the sender's RTP clock showed at its wall clock `wall_s`."""
        line = self._lines.get(kind)
        if line is None:
            return
        line.report = (line.clock.near(stamp), wall_s)
        self._aim()

    def time(self, kind: Kind, stamp: int) -> int:
        """The moment of `stamp` on the common clock. `begin` comes first."""
        line = self._lines[kind]
        if kind == "video" and self._target is not None:
            line.offset += max(-STEP_TICKS, min(STEP_TICKS, self._target - line.offset))
        return round(_ticks(kind, line.clock.advance(stamp) - line.first) + line.offset)

    def _aim(self) -> None:
        video, audio = self._lines.get("video"), self._lines.get("audio")
        if video is None or audio is None or video.report is None or audio.report is None:
            return
        since_audio_report = (video.report[1] - audio.report[1]) * CLOCK_HZ
        at_report = audio.offset + _ticks("audio", audio.report[0] - audio.first) + since_audio_report
        target = at_report - (video.report[0] - video.first)
        if abs(target - video.offset) > MAX_CORRECTION_S * CLOCK_HZ:
            self.refused_reports += 1
            return
        self._target = target


def _ticks(kind: Kind, stamps: int) -> float:
    return stamps * CLOCK_HZ / RATES_HZ[kind]
