"""MPEG transport streams without a socket: packets in, tracks and samples out.

Invariants: `feed` raises only `Malformed`, and only for what is no transport stream or has nothing that we take; a
broken packet costs the pictures up to the next key frame. Held at any time: one packet, one section of a table and
one unfinished PES packet per chosen stream. One video and one audio stream of the first program are chosen.
Source: ISO/IEC 13818-1 (2.4.3 packets and PES, 2.4.4 tables).
"""

from typing import NamedTuple

from fastpix_server.ingest import ts_streams
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import Sample, Track

PACKET_BYTES = 188
SYNC = 0x47

MAX_PES_BYTES = 8 << 20  # a key frame of 2160p at 200 Mb/s has 5 MB
MAX_SKIPPED_BYTES = 256 << 10  # without one packet that is usable
MAX_SILENT_BYTES = 16 << 20  # without one sample: some 10 s of the richest stream
_MAX_SECTION_BYTES = 1024
_MAX_STREAMS = 64  # in a program map; broadcasts have a dozen
_PAT_PID, _NULL_PID = 0, 0x1FFF
_WRAP = 1 << 33


class _Header(NamedTuple):
    pid: int
    is_start: bool
    counter: int
    is_discontinuity: bool  # announced by the sender
    payload: int  # where it begins; equal to the end of the packet when there is none


class Demuxer:
    """One transport stream."""

    def __init__(self) -> None:
        self.lost_packets = 0  # gaps in the counters of chosen streams
        self.ignored_types: set[int] = set()  # stream types in the program map that are not taken
        self._rest = b""
        self._skipped = 0
        self._silent = 0
        self._map_pid: int | None = None
        self._sections: dict[int, _Section] = {_PAT_PID: _Section()}
        self._streams: dict[int, _Stream] = {}
        self._map = b""
        self._clock: int | None = None

    @property
    def skipped_bytes(self) -> int:
        """What was no packet."""
        return self._skipped

    def feed(self, data: bytes) -> list[Track | Sample]:
        found: list[Track | Sample] = []
        data = self._rest + data if self._rest else data
        at, end = 0, len(data)
        while end - at >= PACKET_BYTES:
            if data[at] != SYNC:
                at = self._resync(data, at)
                continue
            self._take_packet(data, at, found)
            at += PACKET_BYTES
        self._rest = data[at:]
        self._silent = 0 if found else self._silent + at
        if self._silent > MAX_SILENT_BYTES:
            raise Malformed("a transport stream without sound or picture")
        return found

    def flush(self) -> list[Track | Sample]:
        """What waited for its end to be seen: the stream is over."""
        found: list[Track | Sample] = []
        for stream in self._streams.values():
            self._finish(stream, found)
        return found

    def _resync(self, data: bytes, at: int) -> int:
        """The next place where two packets seem to begin, as far as the data tells."""
        start = at
        while True:
            at = data.find(SYNC, at + 1)
            if at < 0:
                at = len(data)
            elif at + PACKET_BYTES < len(data) and data[at + PACKET_BYTES] != SYNC:
                continue
            self._skipped += at - start
            if self._skipped > MAX_SKIPPED_BYTES:
                raise Malformed("not a transport stream")
            return at

    def _take_packet(self, data: bytes, at: int, found: list[Track | Sample]) -> None:
        header = _read_header(data, at)
        if header is None:
            return
        stream = self._streams.get(header.pid)
        end = at + PACKET_BYTES
        if stream is None:
            section = self._sections.get(header.pid)
            if section is not None and header.payload < end:
                table = section.take(data[header.payload : end], header.is_start)
                if table is not None:
                    self._take_table(header.pid, table, found)
            return
        if header.payload >= end or not self._is_next(stream, header):
            return
        if header.is_start:
            self._finish(stream, found)
            stream.is_open = True
        if stream.is_open:
            stream.parts.append(data[header.payload : end])
            stream.size += end - header.payload
            if stream.size >= stream.expected():
                self._finish(stream, found)
            elif stream.size > MAX_PES_BYTES:
                stream.lose()

    def _is_next(self, stream: "_Stream", header: _Header) -> bool:
        """Whether the packet is to be taken; a gap before it has been dealt with then."""
        last, stream.counter = stream.counter, header.counter
        if last is None or header.is_discontinuity or header.counter == (last + 1) & 15:
            return True
        if header.counter == last:  # sent twice, which is allowed
            return False
        self.lost_packets += (header.counter - last - 1) & 15
        stream.lose()
        return True

    def _finish(self, stream: "_Stream", found: list[Track | Sample]) -> None:
        """The PES packet under way is whole."""
        if not stream.parts:
            stream.is_open = False
            return
        packet = b"".join(stream.parts)
        stream.reset()
        times = _read_pes(packet)
        if times is None:
            return
        pts, dts, at = times
        clock = self._unwrap(dts) if dts is not None else None
        cts = (pts - dts + _WRAP // 2) % _WRAP - _WRAP // 2 if pts is not None and dts is not None else 0
        self._skipped = 0
        try:
            found += stream.target.take(clock, cts, packet[at:])
        except Malformed:
            stream.target.lose()

    def _unwrap(self, time: int) -> int:
        """33 bits to 64: the value nearest to the last one, of whichever stream."""
        if self._clock is None:
            self._clock = time
        else:
            self._clock += (time - self._clock + _WRAP // 2) % _WRAP - _WRAP // 2
        return self._clock

    def _take_table(self, pid: int, table: bytes, found: list[Track | Sample]) -> None:
        if pid == _PAT_PID:
            if table[0] != 0x00:
                return
            map_pid = _first_program(table)
            if map_pid is not None and map_pid != self._map_pid:
                self._map_pid = map_pid
                self._sections = {_PAT_PID: self._sections[_PAT_PID], map_pid: _Section()}
        elif table[0] == 0x02 and table != self._map:
            self._map = table
            self._choose(_program_streams(table), found)

    def _choose(self, entries: "list[_Entry]", found: list[Track | Sample]) -> None:
        """One video and one audio stream. Streams that stay keep what they had."""
        chosen: dict[int, _Stream] = {}
        kinds: set[str] = set()
        for entry in entries:
            target = ts_streams.open_stream(entry.type, entry.descriptors)
            if target is None:
                self.ignored_types.add(entry.type)
                continue
            if target.kind in kinds:
                continue
            kinds.add(target.kind)
            kept = self._streams.get(entry.pid)
            is_same = kept is not None and type(kept.target) is type(target)
            chosen[entry.pid] = kept if kept is not None and is_same else _Stream(target)
        if not chosen:
            raise Malformed("a program without a codec that is taken")
        for pid, stream in self._streams.items():
            if chosen.get(pid) is not stream:
                self._finish(stream, found)
        self._streams = chosen


class _Stream:
    """A chosen stream: its counter, the PES packet under way, and who understands it."""

    def __init__(self, target: ts_streams.Target) -> None:
        self.target = target
        self.counter: int | None = None
        self.is_open = False  # a PES packet has begun
        self.parts: list[bytes] = []
        self.size = 0

    def expected(self) -> int:
        """How long the packet is to be; more than any when it does not say, as is usual for video."""
        head = self.parts[0]
        if len(head) < 6:
            return MAX_PES_BYTES + 1
        size = head[4] << 8 | head[5]
        return size + 6 if size else MAX_PES_BYTES + 1

    def reset(self) -> None:
        self.parts = []
        self.size = 0
        self.is_open = False

    def lose(self) -> None:
        self.reset()
        self.target.lose()


class _Section:
    """Puts a table together out of packets."""

    def __init__(self) -> None:
        self._data = b""
        self._is_open = False
        self._last = b""  # tables repeat several times a second: only a new one has its sum checked

    def take(self, payload: bytes, is_start: bool) -> bytes | None:
        if is_start:
            pointer = payload[0]
            self._data, self._is_open = payload[1 + pointer :], True
        elif self._is_open:
            self._data += payload
        if not self._is_open or len(self._data) < 3:
            return None
        size = 3 + ((self._data[1] & 0x0F) << 8 | self._data[2])
        if size > _MAX_SECTION_BYTES:
            self._is_open = False
            return None
        if len(self._data) < size:
            return None
        table, self._data, self._is_open = self._data[:size], b"", False
        if table != self._last:
            if len(table) < 12 or crc32(table):
                return None
            self._last = table
        return table


class _Entry(NamedTuple):
    type: int
    pid: int
    descriptors: bytes


def _read_header(data: bytes, at: int) -> _Header | None:
    """None for packets that are broken, scrambled or empty on purpose."""
    second, fourth = data[at + 1], data[at + 3]
    pid = (second & 0x1F) << 8 | data[at + 2]
    if second & 0x80 or fourth & 0xC0 or pid == _NULL_PID:
        return None
    payload, is_discontinuity = at + 4, False
    if fourth & 0x20:
        size = data[at + 4]
        if size > PACKET_BYTES - 5:
            return None
        is_discontinuity = size > 0 and bool(data[at + 5] & 0x80)
        payload += 1 + size
    if not fourth & 0x10:
        payload = at + PACKET_BYTES
    return _Header(pid, bool(second & 0x40), fourth & 15, is_discontinuity, payload)


def _read_pes(packet: bytes) -> tuple[int | None, int | None, int] | None:
    """Presentation time, decoding time, and where the payload begins; None when it is no PES packet with a header."""
    if len(packet) < 9 or packet[:3] != b"\x00\x00\x01" or packet[6] & 0xC0 != 0x80:
        return None
    flags, at = packet[7], 9 + packet[8]
    pts = _read_time(packet, 9) if flags & 0x80 and packet[8] >= 5 else None
    dts = _read_time(packet, 14) if flags & 0x40 and packet[8] >= 10 else pts
    return pts, dts, at


def _read_time(packet: bytes, at: int) -> int | None:
    if len(packet) < at + 5:
        return None
    high, middle, low = packet[at] >> 1 & 7, packet[at + 1] << 7 | packet[at + 2] >> 1, packet[at + 3] << 7
    return high << 30 | middle << 15 | low | packet[at + 4] >> 1


def _first_program(table: bytes) -> int | None:
    for at in range(8, len(table) - 4 - 3, 4):
        if table[at] or table[at + 1]:  # number 0 is the network's own table
            return (table[at + 2] & 0x1F) << 8 | table[at + 3]
    return None


def _program_streams(table: bytes) -> list[_Entry]:
    entries: list[_Entry] = []
    at, end = 12 + ((table[10] & 0x0F) << 8 | table[11]), len(table) - 4
    while at + 5 <= end and len(entries) < _MAX_STREAMS:
        size = (table[at + 3] & 0x0F) << 8 | table[at + 4]
        pid = (table[at + 1] & 0x1F) << 8 | table[at + 2]
        entries.append(_Entry(table[at], pid, table[at + 5 : min(at + 5 + size, end)]))
        at += 5 + size
    return entries


def _crc_table() -> tuple[int, ...]:
    values = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        values.append(value & 0xFFFFFFFF)
    return tuple(values)


_CRC = _crc_table()


def crc32(data: bytes) -> int:
    """The sum of tables (annex A); 0 over a table that includes its own."""
    value = 0xFFFFFFFF
    for byte in data:
        value = (value << 8 & 0xFFFFFFFF) ^ _CRC[value >> 24 ^ byte]
    return value
