"""What a loss on the way costs: packets are asked for again, pictures come out whole, key frames are asked for.

Invariants: a hole is waited for at most `HOLE_S`, however few packets come behind it; then the picture is given up, the
next whole one follows at once, and whoever listens hears of the gap first. Memory is bounded by `MAX_PACKETS`. While a
key frame is needed it is asked for again and again, less and less often, until one comes. Pure: times come from
outside.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

# Longer than five rounds of asking over a line of 100 ms; shorter than a viewer's buffer.
HOLE_S = 0.5
MAX_PACKETS = 2048  # 2.5 MB: the largest key frames, and half a second of 40 Mb/s
ASK_AGAIN_S = 0.1  # for one packet: about a round trip to the other end of the world
MAX_ASKS = 5
MAX_MISSING = 256  # more at once is an outage: a key frame is cheaper
# Farther apart, sequence numbers do not belong to one stream (RFC 3550, A.1: MAX_DROPOUT).
MAX_JUMP = 3000

KEY_EVERY_S = 2.0  # one per segment
FIRST_KEY_S = 1.0  # and the first segment is shorter: viewers wait for it
KEY_AGAIN_S, KEY_AGAIN_MAX_S = 0.5, 4.0

_WRAP = 1 << 16


class Packet(NamedTuple):
    """What of an RTP packet matters here. `data` is the payload without its packaging."""

    number: int
    stamp: int
    is_last: bool  # of a picture: the mark of RFC 6184
    payload_type: int
    data: bytes


class Numbers:
    """Sequence numbers without their wraps."""

    def __init__(self) -> None:
        self._newest: int | None = None

    def unwrapped(self, number: int) -> int:
        if self._newest is None:
            self._newest = number
        ahead = (number - self._newest) % _WRAP
        value = self._newest + (ahead if ahead < _WRAP // 2 else ahead - _WRAP)
        self._newest = max(self._newest, value)
        return value


class Missing:
    """Which packets are to be asked for now (NACK, RFC 4585): at once, and again while they do not come."""

    def __init__(self) -> None:
        self.due: list[int] = []  # sequence numbers as they stand in packets
        self._numbers = Numbers()
        self._newest: int | None = None
        self._asked: dict[int, tuple[int, float]] = {}  # number -> how often, when last

    def add(self, number: int, now_s: float) -> bool:
        """A packet came. True when `due` has something."""
        value = self._numbers.unwrapped(number)
        if self._newest is None or abs(value - self._newest) > MAX_JUMP:
            self._asked.clear()
            self._newest = value
        if value <= self._newest:
            self._asked.pop(value, None)
        else:
            for lost in range(max(self._newest + 1, value - MAX_MISSING), value):
                self._asked[lost] = (0, now_s)
            self._newest = value
        while len(self._asked) > MAX_MISSING:
            del self._asked[next(iter(self._asked))]
        self.due = list(self._look(now_s))
        return bool(self.due)

    def _look(self, now_s: float) -> Iterator[int]:
        for value, (count, asked_s) in [*self._asked.items()]:
            if count and now_s - asked_s < ASK_AGAIN_S:
                continue
            if count >= MAX_ASKS:
                del self._asked[value]
                continue
            self._asked[value] = (count + 1, now_s)
            yield value % _WRAP


class Assembly:
    """Packets in any order become whole pictures in theirs. `on_frame` gets data, stamp and payload type."""

    def __init__(self, on_frame: Callable[[bytes, int, int], None], on_gap: Callable[[], object]) -> None:
        self._on_frame, self._on_gap = on_frame, on_gap
        self._numbers = Numbers()
        self._packets: dict[int, Packet] = {}
        self._first: int | None = None  # of the picture that is being put together
        self._cursor = 0  # the first packet of it that has not come
        self._is_damaged = False  # its beginning may be lost: it is not handed out
        self._hole_since_s: float | None = None

    def add(self, packet: Packet, now_s: float) -> bool:
        """True when something was given up: what follows needs a key frame."""
        number = self._numbers.unwrapped(packet.number)
        is_lost = False
        if self._first is None:
            self._first = self._cursor = number
        elif abs(number - self._cursor) > MAX_JUMP:
            is_lost = self._begin_again(number)
        if number < self._cursor or number in self._packets:
            return is_lost
        self._packets[number] = packet
        self._advance()
        return self.look(now_s) or is_lost

    def look(self, now_s: float) -> bool:
        """Gives up what has been missing for too long; to be called now and then when no packet comes."""
        if self._first is None or len(self._packets) <= self._cursor - self._first:
            self._hole_since_s = None
            return False
        if self._hole_since_s is None:
            self._hole_since_s = now_s
        if now_s - self._hole_since_s < HOLE_S and len(self._packets) < MAX_PACKETS:
            return False
        self._on_gap()
        self._is_damaged = True
        behind = min(number for number in self._packets if number > self._cursor)
        for number in range(self._first, self._cursor):
            self._packets.pop(number, None)
        self._first = self._cursor = behind
        self._hole_since_s = None
        self._advance()
        self.look(now_s)  # another hole may follow: its time begins now
        return True

    def _begin_again(self, number: int) -> bool:
        self._packets.clear()
        self._first = self._cursor = number
        self._is_damaged = True
        self._hole_since_s = None
        self._on_gap()
        return True

    def _advance(self) -> None:
        assert self._first is not None
        while (packet := self._packets.get(self._cursor)) is not None:
            if self._cursor > self._first and packet.stamp != self._packets[self._first].stamp:
                self._hand_out()  # a sender that sets no marks
                continue
            self._cursor += 1
            self._hole_since_s = None
            if packet.is_last:
                self._hand_out()

    def _hand_out(self) -> None:
        assert self._first is not None
        packets = [self._packets.pop(number) for number in range(self._first, self._cursor)]
        self._first = self._cursor
        is_damaged, self._is_damaged = self._is_damaged, False
        data = b"".join([packet.data for packet in packets])
        if data and not is_damaged:  # padding alone is no picture
            self._on_frame(data, packets[0].stamp, packets[0].payload_type)


class KeyFrames:
    """When a key frame is to be asked for."""

    def __init__(self) -> None:
        self._came_s: float | None = None
        self._every_s = FIRST_KEY_S
        self._is_lost = False
        self._asked_s: float | None = None
        self._pause_s = KEY_AGAIN_S

    def came(self, now_s: float) -> None:
        if self._came_s is not None:
            self._every_s = KEY_EVERY_S
        self._came_s, self._asked_s = now_s, None
        self._is_lost = False
        self._pause_s = KEY_AGAIN_S

    def lost(self) -> None:
        """What follows cannot be decoded: a key frame is needed now."""
        if not self._is_lost:
            self._is_lost = True
            self._asked_s = None
            self._pause_s = KEY_AGAIN_S

    def is_due(self, now_s: float) -> bool:
        """Whether to ask now; whoever is told so asks."""
        is_needed = self._is_lost or self._came_s is None or now_s - self._came_s >= self._every_s
        if not is_needed or (self._asked_s is not None and now_s - self._asked_s < self._pause_s):
            return False
        if self._asked_s is not None:
            self._pause_s = min(2 * self._pause_s, KEY_AGAIN_MAX_S)
        self._asked_s = now_s
        return True
