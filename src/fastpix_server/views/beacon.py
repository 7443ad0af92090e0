"""A beacon request as SDKs send it: read from bytes, and its loosely typed values made ours (contract 9.1).

Invariants: pure; no input raises anything but `Unreadable`. SDKs send numbers as texts, seconds for milliseconds and
the same field in two types: what can be understood is, and what cannot is as if it had not been sent.
"""

import dataclasses
import json
import math
import re
from typing import Any

import msgspec

from fastpix_server.base import errors

# SDKs send at most 200 events, of 1 to 3 kB each, at once.
BODY_MAX_BYTES = 2 * 1024 * 1024
EVENTS_MAX = 500
WORD_MAX_CHARS = 255
TEXT_MAX_CHARS = 2048
# Larger integers lose digits in JSON readers.
NUMBER_MAX = 2**53
# Numbers below this are seconds, above it milliseconds: it is 1973 in the one and 5138 in the other.
_SECONDS_BELOW = 10**11
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_TRUE = frozenset({"true", "1", "yes"})
_FALSE = frozenset({"false", "0", "no"})

Event = dict[str, Any]


class Unreadable(errors.FastpixError):
    """The body is no beacon; `reason` is a word for metrics."""

    message = "unreadable beacon"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclasses.dataclass(frozen=True, slots=True)
class Transmission:
    """One request's events, in the order of the body, and the client's clock when it sent them (epoch ms)."""

    events: list[Any]
    sent_at_ms: int | None


def read(body: bytes) -> Transmission:
    """Raises Unreadable. A bare list of events, or one event alone, is taken too."""
    content = _decoded(body)
    metadata: Any = {}
    events: Any = content
    if isinstance(content, dict) and "events" in content:
        events, metadata = content["events"], content.get("metadata")
    elif isinstance(content, dict):
        events = [content]
    if not isinstance(events, list):
        raise Unreadable("no_events")
    if len(events) > EVENTS_MAX:
        raise Unreadable("too_many_events")
    sent = metadata.get("transmission_timestamp") if isinstance(metadata, dict) else None
    return Transmission(events, moment_ms(sent))


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        if b"\\u" not in body:
            raise Unreadable("not_json") from None
    try:
        # Half of a surrogate pair, as JavaScript writes a title that was cut in the middle of an emoji.
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Unreadable("not_json") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def text(value: object, max_chars: int = TEXT_MAX_CHARS) -> str:
    """'' for what is no text. Control characters and lone surrogates are removed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _CONTROLS.sub("", value[: max_chars * 2]).strip()[:max_chars]
    found = number(value)
    if found is None:
        return ""
    return str(int(found)) if found == int(found) else repr(found)


def word(value: object) -> str:
    return text(value, WORD_MAX_CHARS)


def number(value: object) -> float | None:
    """None for what is no finite number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if len(value) > 40:
            return None
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(value) if abs(value) <= NUMBER_MAX else None


def whole(value: object) -> int | None:
    """A count, a time or a position: not negative, rounded."""
    found = number(value)
    return None if found is None or found < 0 else round(found)


def amount(value: object) -> float | None:
    """A measure that is not negative."""
    found = number(value)
    return None if found is None or found < 0 else found


def truth(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    written = text(value, 10).lower()
    return True if written in _TRUE else False if written in _FALSE else None


def moment_ms(value: object) -> int | None:
    """Epoch milliseconds; some SDKs send seconds."""
    found = number(value)
    if found is None or found <= 0:
        return None
    return round(found * 1000) if found < _SECONDS_BELOW else round(found)
