"""AMF0, the notation of RTMP's commands: bytes to Python values and back.

Invariants: a decoded message has at most MAX_VALUES values, nested at most MAX_DEPTH deep; anything else, and anything
cut off, is `Malformed`. Source: "Action Message Format -- AMF 0", Adobe 2007.
"""

import struct
from collections.abc import Mapping, Sequence

from fastpix_server.ingest.bits import Malformed

MAX_DEPTH = 8  # `connect` nests two deep
MAX_VALUES = 512  # the longest `connect` of an encoder that we saw has 30

Value = float | bool | str | None | dict[str, "Value"] | list["Value"]

_NUMBER, _BOOLEAN, _STRING, _OBJECT, _NULL, _UNDEFINED, _REFERENCE, _MAP, _END = 0, 1, 2, 3, 5, 6, 7, 8, 9
_LIST, _DATE, _LONG_STRING, _UNSUPPORTED, _XML, _TYPED_OBJECT = 10, 11, 12, 13, 15, 16


def decode(data: bytes) -> list[Value]:
    """All values of a message, in order."""
    reader = _Reader(data)
    values: list[Value] = []
    while reader.at < len(data):
        values.append(reader.value(0))
    return values


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._values = 0
        self.at = 0

    def value(self, depth: int) -> Value:
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            raise Malformed("an AMF message is too deep or too long")
        kind = self._take(1)[0]
        if kind == _NUMBER:
            return float(struct.unpack(">d", self._take(8))[0])
        if kind == _BOOLEAN:
            return self._take(1) != b"\x00"
        if kind == _STRING:
            return self._text(2)
        if kind in (_LONG_STRING, _XML):
            return self._text(4)
        if kind in (_NULL, _UNDEFINED, _UNSUPPORTED):
            return None
        if kind == _REFERENCE:
            self._take(2)
            return None
        if kind == _DATE:
            return float(struct.unpack(">d", self._take(10)[:8])[0])
        if kind == _LIST:
            return [self.value(depth + 1) for _ in range(min(self._length(4), MAX_VALUES + 1))]
        if kind in (_OBJECT, _MAP, _TYPED_OBJECT):
            return self._object(kind, depth)
        raise Malformed(f"an AMF value of type {kind}")

    def _object(self, kind: int, depth: int) -> dict[str, Value]:
        if kind == _MAP:
            self._take(4)  # how many; encoders get it wrong, the end mark counts
        elif kind == _TYPED_OBJECT:
            self._text(2)
        members: dict[str, Value] = {}
        while True:
            name = self._text(2)
            if not name and self._data[self.at : self.at + 1] == bytes((_END,)):
                self.at += 1
                return members
            members[name] = self.value(depth + 1)

    def _text(self, prefix_size: int) -> str:
        return self._take(self._length(prefix_size)).decode("utf-8", "replace")

    def _length(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise Malformed("an AMF message is cut off")
        taken = self._data[self.at : end]
        self.at = end
        return taken


def encode(*values: object) -> bytes:
    return b"".join(map(_encoded, values))


def _encoded(value: object) -> bytes:
    if value is None:
        return bytes((_NULL,))
    if isinstance(value, bool):
        return bytes((_BOOLEAN, value))
    if isinstance(value, int | float):
        return bytes((_NUMBER,)) + struct.pack(">d", value)
    if isinstance(value, str):
        return bytes((_STRING,)) + _prefixed(value)
    if isinstance(value, Mapping):
        members = b"".join(_prefixed(str(name)) + _encoded(member) for name, member in value.items())
        return bytes((_OBJECT,)) + members + bytes((0, 0, _END))
    if isinstance(value, Sequence):
        return bytes((_LIST,)) + struct.pack(">I", len(value)) + b"".join(map(_encoded, value))
    raise TypeError(f"AMF has no {type(value).__name__}")


def _prefixed(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw
