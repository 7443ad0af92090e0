"""RTMP from the publisher's side, as a dialogue without a socket: for pushing a stream to other platforms.

    handshake -> connecting -> creating -> publishing, or failed

Invariants: `receive` raises only `Malformed`; what the server may make us hold is bounded (rtmp_chunks.py); the stream
key appears in the publish commands and nowhere else. Source: Adobe RTMP 1.0, section 7.
"""

import os
import struct
from collections.abc import Sequence
from typing import Literal

from fastpix_server.ingest import amf, flv
from fastpix_server.ingest import rtmp_chunks as chunks
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import Track

Stage = Literal["handshake", "connecting", "creating", "publishing", "failed"]

_VERSION = 3
_HANDSHAKE_BYTES = 1536
_CHUNK_BYTES = 4096  # what OBS uses: no server refuses it
_COMMANDS, _AUDIO, _VIDEO = 3, 4, 6  # chunk streams
_CONNECT, _RELEASE, _ANNOUNCE, _CREATE, _PUBLISH = 1, 2, 3, 4, 5  # transaction numbers
_PING_REQUEST, _PING_RESPONSE = 6, 7
_MAX_MESSAGES = 10_000  # of a server in one connection: pings and acknowledgements of some hours
_MAX_REASON_CHARS = 200
_SOFTWARE = "FMLE/3.0 (compatible; fastpix)"  # the first word makes some servers speak to us at all
_VIDEO_IDS: dict[str, float | str] = {"h264": 7, "hevc": "hvc1", "av1": "av01"}
_AUDIO_IDS: dict[str, float | str] = {"aac": 10, "opus": "Opus"}


class Client:
    """One connection. `tc_url` is the address without the stream key."""

    def __init__(self, *, app: str, tc_url: str, stream_key: str) -> None:
        self.stage: Stage = "handshake"
        self.reason = ""  # of the failure, in the server's words; free of the stream key
        self._app = app
        self._tc_url = tc_url
        self._key = stream_key
        self._chunks = chunks.ChunkReader()
        self._greeting = bytearray()
        self._has_answered = False
        self._stream = 0
        self._messages = 0
        self._received = 0
        self._acknowledged = 0
        self._window = 0
        self._out = [bytes((_VERSION,)) + bytes(8) + os.urandom(_HANDSHAKE_BYTES - 8)]

    def to_send(self) -> bytes:
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> None:
        self._received += len(data)
        if self.stage == "handshake":
            self._greeting += data
            rest = self._greet()
            if rest is None:
                return
            data = rest
        self._chunks.feed(data)
        while self.stage != "failed" and (message := self._chunks.read()) is not None:
            self._take(message)
        if self._window and self._received - self._acknowledged >= self._window:
            self._acknowledged = self._received
            self._control(chunks.ACKNOWLEDGE, struct.pack(">I", self._received & 0xFFFFFFFF))

    def begin(self, tracks: Sequence[Track]) -> bytes:
        """What goes before the first message: what the stream is made of, for servers that look only there."""
        about: dict[str, object] = {"encoder": "fastpix"}
        for track in tracks:
            if track.kind == "video":
                about |= {"width": track.width, "height": track.height, "videocodecid": _VIDEO_IDS[track.codec]}
            else:
                about |= {"audiosamplerate": track.sample_rate_hz, "audiochannels": track.channels}
                about |= {"stereo": track.channels == 2, "audiocodecid": _AUDIO_IDS[track.codec]}
        body = amf.encode("@setDataFrame", "onMetaData", about)
        return self._written(chunks.DATA, body, _AUDIO)

    def message(self, message: flv.Message) -> bytes:
        chunk_stream = _VIDEO if message.kind == flv.VIDEO else _AUDIO
        return self._written(message.kind, message.body, chunk_stream, message.timestamp_ms)

    def farewell(self) -> bytes:
        """Ends the publication, so that the platform does not wait for us."""
        ends = amf.encode("FCUnpublish", 6, None, self._key), amf.encode("deleteStream", 7, None, self._stream)
        return b"".join(self._written(chunks.COMMAND, body, _COMMANDS, stream=0) for body in ends)

    def _greet(self) -> bytes | None:
        data = self._greeting
        if data and data[0] != _VERSION:
            raise Malformed("not RTMP")
        if not self._has_answered and len(data) > _HANDSHAKE_BYTES:
            self._has_answered = True
            self._out.append(bytes(data[1 : 1 + _HANDSHAKE_BYTES]))
        if len(data) < 1 + 2 * _HANDSHAKE_BYTES:
            return None
        rest = bytes(data[1 + 2 * _HANDSHAKE_BYTES :])
        self._greeting = bytearray()
        self.stage = "connecting"
        self._control(chunks.SET_CHUNK_SIZE, struct.pack(">I", _CHUNK_BYTES))
        options = {
            "app": self._app,
            "type": "nonprivate",
            "flashVer": _SOFTWARE,
            "tcUrl": self._tc_url,
            "fourCcList": ["hvc1", "av01", "Opus"],
        }
        self._command("connect", _CONNECT, options)
        return rest

    def _take(self, message: chunks.Message) -> None:
        self._messages += 1
        if self._messages > _MAX_MESSAGES:
            raise Malformed("the server says too much")
        kind, body = message.kind, message.body
        if kind == chunks.WINDOW_SIZE:
            self._window = int.from_bytes(body[:4], "big")
        elif kind == chunks.USER_CONTROL and int.from_bytes(body[:2], "big") == _PING_REQUEST:
            self._control(chunks.USER_CONTROL, struct.pack(">H", _PING_RESPONSE) + body[2:6])
        elif kind in (chunks.COMMAND, chunks.COMMAND_AMF3):
            values = amf.decode(body[1:] if kind == chunks.COMMAND_AMF3 else body)
            if len(values) >= 2 and isinstance(values[0], str):
                self._answered(values[0], values[1], values[2:])

    def _answered(self, name: str, number: amf.Value, values: list[amf.Value]) -> None:
        if name == "_error" and number in (_CONNECT, _CREATE):
            self._fail(values)
        elif name == "_result" and number == _CONNECT and self.stage == "connecting":
            self.stage = "creating"
            self._command("releaseStream", _RELEASE, None, self._key)
            self._command("FCPublish", _ANNOUNCE, None, self._key)
            self._command("createStream", _CREATE, None)
        elif name == "_result" and number == _CREATE and self.stage == "creating":
            made = values[1] if len(values) > 1 else None
            self._stream = int(made) if isinstance(made, float) and 0 <= made <= 0xFFFFFFFF else 1
            self._command("publish", _PUBLISH, None, self._key, "live", stream=self._stream)
        elif name == "onStatus":
            about = next((value for value in values if isinstance(value, dict)), {})
            if about.get("code") == "NetStream.Publish.Start" and self.stage == "creating":
                self.stage = "publishing"
            elif about.get("level") == "error" or about.get("code") == "NetStream.Unpublish.Success":
                self._fail(values)
        elif name == "close":
            self._fail(values)

    def _fail(self, values: list[amf.Value]) -> None:
        about = next((value for value in values if isinstance(value, dict)), {})
        text = str(about.get("description") or about.get("code") or "refused")
        self.reason = (text.replace(self._key, "***") if self._key else text)[:_MAX_REASON_CHARS]
        self.stage = "failed"

    def _command(self, name: str, number: int, *values: object, stream: int = 0) -> None:
        body = amf.encode(name, number, *values)
        self._out.append(self._written(chunks.COMMAND, body, _COMMANDS, stream=stream))

    def _control(self, kind: int, body: bytes) -> None:
        self._out.append(chunks.written(kind, body, chunk_stream=2))

    def _written(
        self, kind: int, body: bytes, chunk_stream: int, timestamp_ms: int = 0, *, stream: int | None = None
    ) -> bytes:
        return chunks.written(
            kind,
            body,
            chunk_stream=chunk_stream,
            stream=self._stream if stream is None else stream,
            chunk_size=_CHUNK_BYTES,
            timestamp_ms=timestamp_ms,
        )
