"""Tracks and samples to an MPEG transport stream: what pullers and push targets get over SRT.

Invariants: every answer is whole packets; tables stand before every key frame, so a reader may begin at any; times
begin a little above 0 with the first sample. AV1 has no settled form in transport streams and is left out.
Source: ISO/IEC 13818-1.
"""

import struct

from fastpix_server.ingest import h264, hevc, nal, sound
from fastpix_server.ingest.model import CLOCK_HZ, Kind, Sample, Track
from fastpix_server.ingest.mpegts import PACKET_BYTES, SYNC, crc32

_MAP_PID = 0x1000
_PIDS: dict[Kind, int] = {"video": 0x100, "audio": 0x101}
_TYPES = {"h264": 0x1B, "hevc": 0x24, "aac": 0x0F, "opus": 0x06}
_STREAM_IDS = {"h264": 0xE0, "hevc": 0xE0, "aac": 0xC0, "opus": 0xBD}
_OPUS_DESCRIPTORS = b"\x05\x04Opus\x7f\x02\x80"
_START = CLOCK_HZ  # room for the clock reference before the first time
_LEAD = CLOCK_HZ * 7 // 10  # the clock runs so far before decoding times: what receivers are built for
_TABLE_INTERVAL = CLOCK_HZ // 2  # when there is no key frame so long (sound only)
_WRAP = 1 << 33
_PAYLOAD = PACKET_BYTES - 4


def can_carry(track: Track) -> bool:
    return track.codec in _TYPES and (track.codec != "opus" or track.channels in (1, 2))


class Muxer:
    """`track` before samples of its kind; a track that cannot be carried is left out with its samples."""

    def __init__(self) -> None:
        self._tracks: dict[Kind, Track] = {}
        self._sets: bytes = b""  # parameter sets of the video, as byte stream
        self._counters: dict[int, int] = {}
        self._first_dts: int | None = None
        self._tables_at: int | None = None
        self._version = 0

    def track(self, track: Track) -> None:
        if not can_carry(track):
            self._tracks.pop(track.kind, None)
            return
        self._tracks[track.kind] = track
        self._version = (self._version + 1) % 32
        self._tables_at = None
        if track.codec == "h264":
            record = h264.parse_record(track.config)
            self._sets = _byte_stream((*record.sps, *record.pps))
        elif track.codec == "hevc":
            sets = hevc.parse_record(track.config).sets
            self._sets = _byte_stream([unit for kind in (hevc.VPS, hevc.SPS, hevc.PPS) for unit in sets.get(kind, ())])

    def sample(self, sample: Sample) -> bytes:
        track = self._tracks.get(sample.kind)
        if track is None:
            return b""
        if self._first_dts is None:
            self._first_dts = sample.dts
        dts = sample.dts - self._first_dts + _START
        is_clock = sample.kind == ("video" if "video" in self._tracks else "audio")
        is_due = self._tables_at is None or abs(dts - self._tables_at) >= _TABLE_INTERVAL
        tables = b""
        if is_clock and (is_due or (sample.kind == "video" and sample.is_key)):
            self._tables_at = dts
            tables = self._tables()
        head = _pes_header(_STREAM_IDS[track.codec], dts, sample.cts, has_dts=sample.kind == "video")
        payload = self._payload(track, sample)
        if sample.kind == "audio":  # the length may stay 0 for video only
            head = head[:4] + struct.pack(">H", min(0xFFFF, len(head) - 6 + len(payload))) + head[6:]
        clock = dts - _LEAD if is_clock else None
        is_entry = sample.is_key and sample.kind == "video"
        return tables + self._packets(_PIDS[sample.kind], head + payload, clock, is_entry=is_entry)

    def _payload(self, track: Track, sample: Sample) -> bytes:
        if track.codec == "aac":
            return sound.to_adts(track, sample.data)
        if track.codec == "opus":
            size = len(sample.data)
            return b"\x7f\xe0" + b"\xff" * (size // 255) + bytes((size % 255,)) + sample.data
        delimiter = b"\x00\x00\x00\x01\x09\xf0" if track.codec == "h264" else b"\x00\x00\x00\x01\x46\x01\x50"
        return delimiter + (self._sets if sample.is_key else b"") + nal.to_byte_stream(sample.data)

    def _tables(self) -> bytes:
        programs = struct.pack(">HH", 1, 0xE000 | _MAP_PID)
        clock_pid = _PIDS["video" if "video" in self._tracks else "audio"]
        entries = struct.pack(">HH", 0xE000 | clock_pid, 0xF000)
        for kind, track in self._tracks.items():
            more = _OPUS_DESCRIPTORS + bytes((track.channels,)) if track.codec == "opus" else b""
            entries += struct.pack(">BHH", _TYPES[track.codec], 0xE000 | _PIDS[kind], 0xF000 | len(more)) + more
        return self._table(0, 0x00, programs) + self._table(_MAP_PID, 0x02, entries)

    def _table(self, pid: int, kind: int, body: bytes) -> bytes:
        version = 0xC1 | self._version << 1
        table = struct.pack(">BHHBBB", kind, 0xB000 | len(body) + 9, 1, version, 0, 0) + body
        table += crc32(table).to_bytes(4, "big")
        return self._header(pid, 0x40, 0x10) + (b"\x00" + table).ljust(_PAYLOAD, b"\xff")

    def _packets(self, pid: int, data: bytes, clock: int | None, *, is_entry: bool) -> bytes:
        """A PES packet as packets. The first has the clock; the last is filled up in its adaptation field."""
        packets: list[bytes] = []
        at = 0
        while at < len(data):
            fields = b""
            if at == 0 and (clock is not None or is_entry):
                fields = bytes((0x40 * is_entry | 0x10 * (clock is not None),))
                fields += _clock_field(clock) if clock is not None else b""
            room = _PAYLOAD - (1 + len(fields) if fields else 0)
            piece = data[at : at + room]
            start = 0x40 if at == 0 else 0
            at += len(piece)
            missing = room - len(piece)
            if not fields and not missing:
                packets.append(self._header(pid, start, 0x10) + piece)
                continue
            if not fields:
                fields = b"" if missing == 1 else b"\x00" + b"\xff" * (missing - 2)
            else:
                fields += b"\xff" * missing
            packets.append(self._header(pid, start, 0x30) + bytes((len(fields),)) + fields + piece)
        return b"".join(packets)

    def _header(self, pid: int, start: int, control: int) -> bytes:
        counter = self._counters.get(pid, 0)
        self._counters[pid] = (counter + 1) & 15
        return bytes((SYNC, start | pid >> 8, pid & 0xFF, control | counter))


def _byte_stream(units: "tuple[bytes, ...] | list[bytes]") -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


def _pes_header(stream_id: int, dts: int, cts: int, *, has_dts: bool) -> bytes:
    if not has_dts or not cts:
        return b"\x00\x00\x01" + bytes((stream_id, 0, 0, 0x84, 0x80, 5)) + _time_field(0x2, dts + cts)
    times = _time_field(0x3, dts + cts) + _time_field(0x1, dts)
    return b"\x00\x00\x01" + bytes((stream_id, 0, 0, 0x84, 0xC0, 10)) + times


def _time_field(mark: int, time: int) -> bytes:
    time %= _WRAP
    return struct.pack(
        ">BHH", mark << 4 | (time >> 30) << 1 | 1, (time >> 15 & 0x7FFF) << 1 | 1, (time & 0x7FFF) << 1 | 1
    )


def _clock_field(clock: int) -> bytes:
    return ((clock % _WRAP) << 15 | 0x3F << 9).to_bytes(6, "big")
