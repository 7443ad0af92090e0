"""From the bytes of an answer to a typed value, and from a method's arguments to a body.

Invariants: an answer that this module does not understand is a BadAnswer, never another exception; keys that it does
not know are ignored and keys that are missing take their default, so that a newer server does not break an older
client; the spellings of older API generations become the current ones.
"""

from __future__ import annotations

import contextvars
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import msgspec

from fastpix import errors

T = TypeVar("T")
# What users wrote themselves stays as they wrote it, whatever their keys are called.
OWN_WORDS = "metadata"


class Pagination(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`current_offset` is the number of the page, from 1; `offset_count` the number of pages."""

    total_records: int = 0
    current_offset: int = 1
    offset_count: int = 0


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation answers that has nothing to tell."""

    message: str | None = None


class Envelope(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What every answer is wrapped in. `timespan` and `metadata` belong to video data."""

    data: T
    pagination: Pagination = Pagination()
    timespan: tuple[int, ...] = ()
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Page(Generic[T]):
    """One answer of a list. `timespan` belongs to video data: from and to, in epoch seconds."""

    items: tuple[T, ...]
    pagination: Pagination
    timespan: tuple[int, ...] = ()

    @property
    def has_more(self) -> bool:
        return bool(self.items) and self.pagination.current_offset < self.pagination.offset_count


@dataclass(frozen=True)
class Arrived:
    """An answer as it came. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    attempts: int = 1

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id")


@dataclass(frozen=True)
class RawAnswer(Generic[T]):
    """The value that a method returns, with the answer that it was read from."""

    value: T
    status: int
    headers: Mapping[str, str]
    body: bytes
    attempts: int

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id")


_KEPT: contextvars.ContextVar[list[Arrived] | None] = contextvars.ContextVar("fastpix_kept_answers", default=None)


@contextmanager
def keeping() -> Generator[list[Arrived], None, None]:
    """Answers that arrive meanwhile, in this task or thread."""
    kept: list[Arrived] = []
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)


def keep(arrived: Arrived) -> None:
    kept = _KEPT.get()
    if kept is not None:
        kept.append(arrived)


def raw(value: T, kept: list[Arrived]) -> RawAnswer[T]:
    """The last answer counts: the one that the value came from."""
    if not kept:
        raise errors.NotConfigured("raw() is for methods that ask the API; this one did not")
    last = kept[-1]
    return RawAnswer(value, last.status, last.headers, last.body, last.attempts)


def read(arrived: Arrived, kind: type[T]) -> Envelope[T]:
    """The envelope around a `kind`."""
    try:
        value = modern(msgspec.json.decode(arrived.body))
        envelope: Envelope[T] = msgspec.convert(value, type=Envelope[kind], strict=False)  # type: ignore[valid-type]
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise bad(arrived, f"The answer is not what the API promises ({_reason(fault)})") from fault
    return envelope


def done(arrived: Arrived) -> Done:
    """Whatever it holds beside the success; `data` may be missing."""
    try:
        value = modern(msgspec.json.decode(arrived.body))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise bad(arrived, f"The answer is not what the API promises ({_reason(fault)})") from fault
    message = _object(_object(value).get("data")).get("message")
    return Done(message=message if isinstance(message, str) else None)


def bad(arrived: Arrived, text: str) -> errors.BadAnswer:
    """The text shows none of the body, which may hold a secret; the exception has it."""
    kind = arrived.headers.get("content-type", "no type")
    said = f"{text}: status {arrived.status}, {len(arrived.body)} bytes of {kind}"
    shown = arrived.body[: errors.SHOWN_BODY_BYTES]
    return errors.BadAnswer(said, status=arrived.status, headers=arrived.headers, body=shown)


def check(arrived: Arrived) -> None:
    """Raises for an answer that is no success."""
    if 200 <= arrived.status < 300:
        return
    if arrived.status < 400:
        raise bad(arrived, f"A redirect to {arrived.headers.get('location', 'nowhere')}; is the base URL right?")
    try:
        value = msgspec.json.decode(arrived.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = None
    raise errors.refused(
        status=arrived.status,
        headers=arrived.headers,
        body=arrived.body[: errors.SHOWN_BODY_BYTES],
        error=_object(_object(value).get("error")),
    )


def _object(value: Any) -> dict[str, Any]:
    """Empty for what is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def modern(value: Any) -> Any:
    """Without nulls, which say the same as absence, and with what older generations spell differently spelt anew.

    `duration` was `HH:MM:SS[.fff]`; `mp4Support` was one word.
    """
    if isinstance(value, list):
        return [modern(item) for item in cast("Iterable[Any]", value)]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {
        key: item if key == OWN_WORDS else modern(item) for key, item in _object(value).items() if item is not None
    }
    duration, files = made.get("duration"), made.get("mp4Support")
    if isinstance(duration, str):
        made["duration"] = _seconds(duration)
    if isinstance(files, str):
        made["mp4Support"] = [{"type": word} for word in files.split(",") if word != "none"]
    return made


def _seconds(text: str) -> float | str:
    """What is no duration stays as it is, and is refused by the type."""
    try:
        total_s = 0.0
        for part in text.split(":"):
            total_s = total_s * 60 + float(part)
    except ValueError:
        return text
    return total_s


def _reason(fault: Exception) -> str:
    return str(fault) or type(fault).__name__


def sent(**fields: Any) -> dict[str, Any]:
    """A body of those that are not None, with camelCase names."""
    return {_camel(name): value for name, value in fields.items() if value is not None}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
