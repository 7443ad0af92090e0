"""How fast a publisher may send: about as fast as time passes, with room to catch up after a stall.

Why: a file pushed as fast as the line carries it would flood packager, encoder and every reader, whose queues are
bounded in media time and would drop most of it. Waiting costs the publisher nothing: its transport fills and it waits.
"""

import dataclasses

from fastpix_server.ingest.model import CLOCK_HZ

_JUMP_S = 10.0  # a larger step between two samples is a new clock, not haste
_CREDIT_S = 60.0  # how much of a stall may be caught up at full speed: the shortest reconnect window
_BURST_BYTES = 32 << 20
_MAX_WAIT_S = 10.0  # one wait; the next sample asks again. A read brings at most 256 KiB: seconds of a small picture


@dataclasses.dataclass(slots=True)
class Pace:
    """`lead_s` is how far media may be ahead of the wall clock; `rate_bytes_s` bounds those whose times stand still."""

    lead_s: float = 5.0  # encoders fill the line at their start with up to about a group of pictures
    rate_bytes_s: float = 25e6  # 200 Mb/s; ten times what a 2160p contribution feed has
    _origin_s: float | None = None  # the wall clock at time 0 of the media, if it were live
    _last_s: float = 0.0
    _bytes: float = 0.0
    _bytes_at_s: float = 0.0

    def wait_s(self, dts: int, size_bytes: int, now_s: float) -> float:
        """How long to read nothing more, after a sample; 0 for a live source."""
        time_s = dts / CLOCK_HZ
        if self._origin_s is None or abs(time_s - self._last_s) > _JUMP_S:
            self._origin_s = now_s - time_s
        self._last_s = time_s
        lead_s = time_s + self._origin_s - now_s
        if lead_s < -_CREDIT_S:
            self._origin_s -= lead_s + _CREDIT_S
        leaked = (now_s - self._bytes_at_s) * self.rate_bytes_s
        self._bytes = max(0.0, self._bytes - leaked) + size_bytes
        self._bytes_at_s = now_s
        excess_s = (self._bytes - _BURST_BYTES) / self.rate_bytes_s
        return min(max(0.0, lead_s - self.lead_s, excess_s), _MAX_WAIT_S)
