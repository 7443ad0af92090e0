"""RTMP's chunk stream: messages cut into chunks of several interleaved streams, read and written.

Invariants: what is held for a peer is bounded by MAX_UNPARSED_BYTES of bytes not yet understood and
MAX_UNFINISHED_BYTES of messages not yet whole, however many chunk streams it opens. Before `is_open` every message must
be small. Source: "Adobe's Real Time Messaging Protocol" 1.0, section 5.3.
"""

import dataclasses
import struct
from typing import NamedTuple

from fastpix_server.ingest.bits import Malformed

AUDIO, VIDEO, DATA, AGGREGATE, COMMAND, COMMAND_AMF3 = 8, 9, 18, 22, 20, 17
SET_CHUNK_SIZE, ABORT, ACKNOWLEDGE, USER_CONTROL, WINDOW_SIZE, PEER_BANDWIDTH = 1, 2, 3, 4, 5, 6

MAX_MEDIA_BYTES = 16 << 20  # one key frame; the length field ends there too
MAX_COMMAND_BYTES = 64 << 10  # `connect` has under 1 KiB, metadata of the wordiest encoders under 8
MAX_CHUNK_BYTES = 1 << 20  # the protocol allows 2 GiB; encoders use 128 to 64 Ki
MAX_CHUNK_STREAMS = 32  # encoders use 3 to 8
MAX_UNPARSED_BYTES = 4 << 20  # one chunk and what a read brings beyond it
MAX_UNFINISHED_BYTES = MAX_MEDIA_BYTES + (1 << 20)  # one picture under way with sound between its chunks

_EXTENDED = 0xFFFFFF
_HEADER_SIZES = (11, 7, 3, 0)


class Message(NamedTuple):
    """`timestamp_ms` has 32 bits and wraps."""

    kind: int
    timestamp_ms: int
    stream: int
    body: bytes


class _Header(NamedTuple):
    """What a chunk says of its message, with what the header before it said."""

    timestamp_ms: int = 0
    delta_ms: int = 0
    size: int = 0
    kind: int = 0
    stream: int = 0
    extended: int | None = None  # the 32-bit field, when it has one


_NOTHING = _Header()


@dataclasses.dataclass(slots=True)
class _Stream:
    """What a chunk stream remembers between headers."""

    header: _Header = _NOTHING
    body: bytearray | None = None  # of the message under way


class ChunkReader:
    """Bytes in, messages out. Obeys "set chunk size" and "abort" itself."""

    def __init__(self) -> None:
        self.chunk_size = 128
        self.is_open = False  # large messages are taken
        self._buffer = bytearray()
        self._at = 0
        self._streams: dict[int, _Stream] = {}
        self._unfinished = 0

    def feed(self, data: bytes) -> None:
        del self._buffer[: self._at]
        self._at = 0
        if len(self._buffer) + len(data) > MAX_UNPARSED_BYTES:
            raise Malformed("too many bytes wait to be understood")
        self._buffer += data

    def read(self) -> Message | None:
        """The next whole message, or None until more bytes come."""
        while True:
            stream = self._read_chunk()
            if stream is None:
                return None
            body, header = stream.body, stream.header
            assert body is not None
            if len(body) < header.size:
                continue
            stream.body = None
            self._unfinished -= header.size
            message = Message(header.kind, header.timestamp_ms, header.stream, bytes(body))
            if message.kind == SET_CHUNK_SIZE:
                self._set_chunk_size(message.body)
            elif message.kind == ABORT:
                self._abort(message.body)
            else:
                return message

    def _read_chunk(self) -> _Stream | None:
        """One chunk, appended to its stream's message; None, and nothing changed, when it is not all there."""
        buffer, at = self._buffer, self._at
        left = len(buffer) - at
        if left < 1:
            return None
        form, number = buffer[at] >> 6, buffer[at] & 63
        at += 1
        if number < 2:
            size = number + 1
            if left < 1 + size:
                return None
            number = 64 + int.from_bytes(buffer[at : at + size], "little")
            at += size
        stream = self._streams.get(number)
        if stream is None:
            stream = self._new_stream(form)
        head = _read_header(buffer, at, form, stream)
        if head is None:
            return None
        header, at = head
        body = stream.body
        if form < 3 and body is not None:
            raise Malformed("a message is interrupted by another header")
        self._check_size(header)
        take = min(header.size - (0 if body is None else len(body)), self.chunk_size)
        if len(buffer) - at < take:
            return None
        if body is None:
            stream.header, stream.body = header, buffer[at : at + take]
            self._streams[number] = stream
        else:
            body += buffer[at : at + take]
        self._unfinished += take
        self._at = at + take
        if self._unfinished > MAX_UNFINISHED_BYTES:
            raise Malformed("too many unfinished messages")
        return stream

    def _new_stream(self, form: int) -> _Stream:
        """Kept when its first chunk is here."""
        if form > 1:
            raise Malformed("a chunk refers to a header that was never sent")
        if len(self._streams) >= MAX_CHUNK_STREAMS:
            raise Malformed("too many chunk streams")
        return _Stream()

    def _check_size(self, header: _Header) -> None:
        is_media = header.kind in (AUDIO, VIDEO, AGGREGATE)
        if header.size > (MAX_MEDIA_BYTES if is_media and self.is_open else MAX_COMMAND_BYTES):
            raise Malformed(f"a message of {header.size} bytes")

    def _set_chunk_size(self, body: bytes) -> None:
        size = int.from_bytes(body[:4], "big")
        if len(body) < 4 or not 1 <= size <= MAX_CHUNK_BYTES:
            raise Malformed(f"a chunk size of {size}")
        self.chunk_size = size

    def _abort(self, body: bytes) -> None:
        stream = self._streams.get(int.from_bytes(body[:4], "big"))
        if stream and stream.body is not None:
            self._unfinished -= len(stream.body)
            stream.body = None


def _read_header(buffer: bytearray, at: int, form: int, stream: _Stream) -> tuple[_Header, int] | None:
    """The header as it is to be kept, and where the payload begins; None when it is not all there.

    A chunk of form 3 repeats the extended field, but some encoders leave it out: it is there when it is the same.
    After a header with an absolute time, form 3 begins a message of the same time, as encoders mean it.
    """
    before = stream.header
    if form == 3:
        if before.extended is not None:
            if len(buffer) < at + 4:
                return None
            at += 4 if int.from_bytes(buffer[at : at + 4], "big") == before.extended else 0
        if stream.body is not None:
            return before, at
        return before._replace(timestamp_ms=(before.timestamp_ms + before.delta_ms) & 0xFFFFFFFF), at
    end = at + _HEADER_SIZES[form]
    if len(buffer) < end:
        return None
    field, extended = int.from_bytes(buffer[at : at + 3], "big"), None
    size, kind, number = before.size, before.kind, before.stream
    if form < 2:
        size, kind = int.from_bytes(buffer[at + 3 : at + 6], "big"), buffer[at + 6]
    if form == 0:
        number = int.from_bytes(buffer[at + 7 : at + 11], "little")
    if field == _EXTENDED:
        if len(buffer) < end + 4:
            return None
        field = extended = int.from_bytes(buffer[end : end + 4], "big")
        end += 4
    if form == 0:
        return _Header(field, 0, size, kind, number, extended), end
    return _Header((before.timestamp_ms + field) & 0xFFFFFFFF, field, size, kind, number, extended), end


def written(
    kind: int, body: bytes, *, chunk_stream: int, stream: int = 0, chunk_size: int = 128, timestamp_ms: int = 0
) -> bytes:
    """A message as chunks: a whole header, then pieces that refer to it."""
    time_ms = timestamp_ms & 0xFFFFFFFF
    extended = time_ms.to_bytes(4, "big") if time_ms >= _EXTENDED else b""
    field = min(time_ms, _EXTENDED).to_bytes(3, "big")
    header = struct.pack(">B3s3sB", chunk_stream, field, len(body).to_bytes(3, "big"), kind)
    pieces = [header, struct.pack("<I", stream), extended, body[:chunk_size]]
    again = bytes((0xC0 | chunk_stream,)) + extended
    for at in range(chunk_size, len(body), chunk_size):
        pieces += (again, body[at : at + chunk_size])
    return b"".join(pieces)
