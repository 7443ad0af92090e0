"""RTMP as a dialogue without a socket: what a publisher says goes in, events and what to answer come out.

    handshake -> connecting -> waiting (for accept or refuse) -> publishing -> over

Invariants: `receive` raises only `Malformed`; what is held is bounded (rtmp_chunks.py); while `waiting` nothing after
the publish command is looked at. Enhanced RTMP is announced to those who ask. Source: Adobe RTMP 1.0; Enhanced RTMP v2.
"""

import os
import struct
from typing import Literal, NamedTuple

from fastpix_server.ingest import amf
from fastpix_server.ingest import rtmp_chunks as chunks
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import Refused

Stage = Literal["handshake", "connecting", "waiting", "publishing", "over"]

UNPUBLISHED = "unpublish"
MAX_COMMANDS = 64  # before publishing; encoders send five to eight
MAX_UNSENT_BYTES = 64 << 10  # our answers to a peer that has not been sent anything for so long

_VERSION = 3
_HANDSHAKE_BYTES = 1536
_CHUNK_BYTES = 64 << 10  # ours; several encoders then use it in their direction too
_WINDOW_BYTES = 5_000_000
_PING_REQUEST, _PING_RESPONSE = 6, 7
_STREAM = 1  # the one stream that a connection may create
_FOURCCS = ["avc1", "hvc1", "av01", "Opus", "mp4a"]
_MAX_KEY_CHARS = 256  # ours have 32 to 64

_REFUSALS = {
    "unknown_key": ("NetStream.Publish.BadName", "stream key refused"),
    "disabled": ("NetStream.Publish.Denied", "stream is disabled"),
    "already_publishing": ("NetStream.Publish.BadName", "stream is already being published"),
    "busy": ("NetStream.Publish.Denied", "server has no room for another publisher"),
    "unavailable": ("NetStream.Publish.Denied", "server cannot take a publisher now"),
}


class PublishWanted(NamedTuple):
    """Answer it with `accept` or `refuse`."""

    app: str
    stream_key: str


class Media(NamedTuple):
    """The body of an FLV tag of sound (8) or picture (9). `timestamp_ms` has 32 bits and wraps."""

    kind: int
    timestamp_ms: int
    body: bytes


class Ended(NamedTuple):
    """The dialogue is over. Close once what is to be sent has been sent; after UNPUBLISHED the peer closes."""

    reason: str


Event = PublishWanted | Media | Ended


class Session:
    """The server's side of one connection."""

    def __init__(self) -> None:
        self.stage: Stage = "handshake"
        self._chunks = chunks.ChunkReader()
        self._greeting = bytearray()
        self._has_greeted = False
        self._out: list[bytes] = []
        self._unsent = 0
        self._app = ""
        self._commands = 0
        self._received = 0
        self._acknowledged = 0
        self._window = 0

    def receive(self, data: bytes) -> list[Event]:
        self._received += len(data)
        if self.stage == "over":
            return []
        if self.stage == "handshake":
            self._greeting += data
            rest = self._greet()
            if rest is None:
                return []
            data = rest
        self._chunks.feed(data)
        events = self._read()
        if self._window and self._received - self._acknowledged >= self._window:
            self._acknowledged = self._received
            self._control(chunks.ACKNOWLEDGE, struct.pack(">I", self._received & 0xFFFFFFFF))
        return events

    def to_send(self) -> bytes:
        """What the peer is to be sent now; taken once."""
        data = b"".join(self._out)
        self._out.clear()
        self._unsent = 0
        return data

    def accept(self) -> list[Event]:
        """Let the publisher in. What it had sent meanwhile comes out."""
        self.stage = "publishing"
        self._chunks.is_open = True
        self._status("status", "NetStream.Publish.Start", "publishing")
        return self._read()

    def refuse(self, refused: Refused) -> None:
        """Tell the publisher why not; close once that has been sent."""
        code, description = _REFUSALS[refused.reason]
        self.stage = "over"
        self._status("error", code, description)

    def _greet(self) -> bytes | None:
        """The plain handshake: version and random bytes, each side's echoed. What follows it, when it is over."""
        data = self._greeting
        if data and data[0] != _VERSION:
            raise Malformed("not RTMP")
        if not self._has_greeted and len(data) > _HANDSHAKE_BYTES:
            self._has_greeted = True
            theirs = bytes(data[1 : 1 + _HANDSHAKE_BYTES])
            ours = bytes(8) + os.urandom(_HANDSHAKE_BYTES - 8)
            self._send(bytes((_VERSION,)) + ours + theirs)
        if len(data) < 1 + 2 * _HANDSHAKE_BYTES:
            return None
        self.stage = "connecting"
        rest = bytes(data[1 + 2 * _HANDSHAKE_BYTES :])
        self._greeting = bytearray()
        return rest

    def _read(self) -> list[Event]:
        events: list[Event] = []
        while self.stage in ("connecting", "publishing"):
            message = self._chunks.read()
            if message is None:
                break
            self._take(message, events)
        return events

    def _take(self, message: chunks.Message, events: list[Event]) -> None:
        kind, body = message.kind, message.body
        if kind in (chunks.AUDIO, chunks.VIDEO):
            if self.stage == "publishing" and body:
                events.append(Media(kind, message.timestamp_ms, body))
        elif kind == chunks.COMMAND:
            self._command(amf.decode(body), events)
        elif kind == chunks.COMMAND_AMF3:
            self._command(amf.decode(body[1:]), events)
        elif kind == chunks.AGGREGATE:
            if self.stage == "publishing":
                _take_apart(message, events)
        elif kind == chunks.WINDOW_SIZE:
            self._window = int.from_bytes(body[:4], "big")
        elif kind == chunks.USER_CONTROL and int.from_bytes(body[:2], "big") == _PING_REQUEST:
            self._control(chunks.USER_CONTROL, struct.pack(">H", _PING_RESPONSE) + body[2:6])

    def _command(self, values: list[amf.Value], events: list[Event]) -> None:
        self._commands += 1
        if self._commands > MAX_COMMANDS:
            raise Malformed("too many commands")
        if len(values) < 2 or not isinstance(values[0], str):
            raise Malformed("not a command")
        name, number = values[0], values[1]
        if name == "connect":
            self._connect(number, values[2] if len(values) > 2 else None)
        elif name == "createStream":
            self._answer(number, None, _STREAM)
        elif name in ("releaseStream", "FCPublish"):
            self._answer(number, None, None)
        elif name == "publish":
            self._publish(values, events)
        elif name in ("FCUnpublish", "deleteStream", "closeStream"):
            if self.stage == "publishing":
                self.stage = "over"
                events.append(Ended(UNPUBLISHED))
        elif name == "play":
            self.stage = "over"
            self._status("error", "NetStream.Play.StreamNotFound", "streams are not played by RTMP here")
            events.append(Ended("play"))

    def _connect(self, number: amf.Value, options: amf.Value) -> None:
        asked = options if isinstance(options, dict) else {}
        self._app = str(asked.get("app", "")).partition("?")[0].strip("/")
        self._control(chunks.WINDOW_SIZE, struct.pack(">I", _WINDOW_BYTES))
        self._control(chunks.PEER_BANDWIDTH, struct.pack(">IB", _WINDOW_BYTES, 2))
        self._control(chunks.SET_CHUNK_SIZE, struct.pack(">I", _CHUNK_BYTES))
        properties: dict[str, object] = {"fmsVer": "FMS/3,5,7,7009", "capabilities": 31, "mode": 1}
        if "fourCcList" in asked or "videoFourCcInfoMap" in asked:
            properties["fourCcList"] = _FOURCCS
        status = {
            "level": "status",
            "code": "NetConnection.Connect.Success",
            "description": "connected",
            "objectEncoding": 0,
        }
        self._answer(number, properties, status)

    def _publish(self, values: list[amf.Value], events: list[Event]) -> None:
        if self.stage != "connecting":
            raise Malformed("a second publish on one connection")
        name = values[3] if len(values) > 3 else None
        if not isinstance(name, str) or len(name) > _MAX_KEY_CHARS:
            raise Malformed("a publish without a usable name")
        self.stage = "waiting"
        events.append(PublishWanted(self._app, name.partition("?")[0]))

    def _answer(self, number: amf.Value, *values: object) -> None:
        self._write_command(amf.encode("_result", number if isinstance(number, float) else 0, *values), 0)

    def _status(self, level: str, code: str, description: str) -> None:
        about = {"level": level, "code": code, "description": description}
        self._write_command(amf.encode("onStatus", 0, None, about), _STREAM)

    def _write_command(self, body: bytes, stream: int) -> None:
        self._send(chunks.written(chunks.COMMAND, body, chunk_stream=3, stream=stream, chunk_size=_CHUNK_BYTES))

    def _control(self, kind: int, body: bytes) -> None:
        self._send(chunks.written(kind, body, chunk_stream=2))

    def _send(self, data: bytes) -> None:
        self._unsent += len(data)
        if self._unsent > MAX_UNSENT_BYTES:
            raise Malformed("the peer asks for too many answers")
        self._out.append(data)


def _take_apart(message: chunks.Message, events: list[Event]) -> None:
    """An aggregate: whole FLV tags in one message, their times relative to the first."""
    body, at, first = message.body, 0, None
    while at + 11 <= len(body):
        kind, size = body[at], int.from_bytes(body[at + 1 : at + 4], "big")
        time_ms = int.from_bytes(body[at + 4 : at + 7], "big") | body[at + 7] << 24
        first = time_ms if first is None else first
        end = at + 11 + size
        if end > len(body):
            raise Malformed("an aggregate is cut off")
        if kind in (chunks.AUDIO, chunks.VIDEO) and size:
            events.append(Media(kind, (message.timestamp_ms + time_ms - first) & 0xFFFFFFFF, body[at + 11 : end]))
        at = end + 4
