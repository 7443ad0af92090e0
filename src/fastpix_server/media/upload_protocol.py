"""The resumable upload protocol as a pure decision: request facts and session facts in, what to do out.

It is Google Cloud Storage's resumable protocol (contract section 7). Invariants: nothing here reads, writes or waits; a
308 always tells the durable size; 200 is said only when every byte of the file is durable; an overlap is stored from
the first new byte on; a refused request stores nothing.
"""

import dataclasses
import re
from typing import Literal

Status = Literal["waiting", "cancelled", "completed", "expired"]

_CHUNK = re.compile(r"\s*bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\s*", re.IGNORECASE | re.ASCII)
_QUERY = re.compile(r"\s*bytes\s+\*/(\d{1,18}|\*)\s*", re.IGNORECASE | re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """What a request says before its body. `content_length` is None for a body of unknown length."""

    method: str
    content_range: str | None = None
    content_length: int | None = None
    resumable: str | None = None  # the header x-goog-resumable


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """Where the upload stands. `total_bytes` is None until a client said it."""

    status: Status
    durable_bytes: int
    total_bytes: int | None
    max_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """Answer now. `durable_bytes` is for the Range header of a 308; the texts fill the error envelope of a 4xx."""

    status: int
    durable_bytes: int = 0
    message: str = ""
    description: str = ""

    @property
    def range_header(self) -> str | None:
        """`bytes=0-<last>`; absent while nothing is stored, because mobile clients read absence as 0 bytes."""
        return f"bytes=0-{self.durable_bytes - 1}" if self.status == 308 and self.durable_bytes else None


@dataclasses.dataclass(frozen=True, slots=True)
class Begin:
    """A new session: forget stored bytes, answer 201 with its URL in Location."""


@dataclasses.dataclass(frozen=True, slots=True)
class Store:
    """Store the body as the file's bytes from `offset` on, then ask `after`."""

    offset: int
    length: int | None  # bytes that the body must have; None: to its end, whatever it is
    total_bytes: int | None  # of the file; None: not known yet
    is_whole: bool  # the body's end is the file's end


@dataclasses.dataclass(frozen=True, slots=True)
class Finish:
    """Every byte is durable: make the media, answer 200."""

    total_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Cancel:
    """Give the session up, answer 204."""


Decision = Reply | Begin | Store | Finish | Cancel


def decide(ask: Ask, session: Session) -> Decision:
    """What the request asks for, at this point of the session."""
    if session.status in ("cancelled", "expired"):
        return Reply(410, message="gone", description=f"The upload was {session.status}; ask for a new upload URL.")
    if ask.method == "PUT":
        return Reply(200) if session.status == "completed" else _put(ask, session)
    if session.status == "completed":
        return _bad("The upload is complete already.")
    if ask.method == "DELETE":
        return Cancel()
    if (ask.resumable or "").strip().lower() != "start":
        return _bad("A POST starts the upload and carries the header x-goog-resumable: start.")
    return Begin()


def _put(ask: Ask, session: Session) -> Decision:
    if ask.content_range is None:
        return _put_whole(ask, session)
    if query := _QUERY.fullmatch(ask.content_range):
        return _query(ask, session, _number(query[1]))
    if chunk := _CHUNK.fullmatch(ask.content_range):
        return _put_chunk(ask, session, int(chunk[1]), int(chunk[2]), _number(chunk[3]))
    return _bad("Content-Range must read `bytes <first>-<last>/<total>`, or `bytes */<total>` to ask where to go on.")


def _put_whole(ask: Ask, session: Session) -> Decision:
    """A body without Content-Range is the whole file: what is stored of it already is skipped."""
    total = ask.content_length
    if total == 0:
        return _empty()
    if total is not None and (refusal := _check_total(total, session)):
        return refusal
    return Store(offset=0, length=total, total_bytes=total or session.total_bytes, is_whole=True)


def _query(ask: Ask, session: Session, total: int | None) -> Decision:
    if ask.content_length:
        return _bad("A request with Content-Range `bytes */<total>` asks for the state and has no body.")
    if total == 0:
        return _empty()
    if total is not None and (refusal := _check_total(total, session)):
        return refusal
    return _state(session, total or session.total_bytes)


def _put_chunk(ask: Ask, session: Session, first: int, last: int, total: int | None) -> Decision:
    if last < first or (total is not None and last >= total):
        return _unsatisfiable(f"The range {first}-{last} does not fit a file of {total or 'unknown'} bytes.")
    if total is not None and (refusal := _check_total(total, session)):
        return refusal
    total = total or session.total_bytes
    if total is not None and last >= total:
        return _unsatisfiable(f"The range {first}-{last} does not fit a file of {total} bytes.")
    if last >= session.max_bytes:
        return _too_large(session)
    length = last - first + 1
    if ask.content_length is not None and ask.content_length != length:
        return _bad(f"Content-Range announces {length} bytes, but the body has {ask.content_length}.")
    if first > session.durable_bytes or last < session.durable_bytes:
        return _state(session, total)  # a gap, or nothing new: say where to go on
    return Store(offset=first, length=length, total_bytes=total, is_whole=False)


def after(store: Store, *, received_bytes: int, has_extra: bool, durable_bytes: int) -> Reply | Finish:
    """What to say when the body of `store` has ended in good order and its bytes are durable."""
    if has_extra:
        return _bad(f"The body is longer than the {store.length} bytes of its range.")
    total = store.total_bytes
    if store.is_whole and store.length is None:
        if received_bytes == 0:
            return _empty()
        if total not in (None, received_bytes) or received_bytes < durable_bytes:
            return _bad(f"The file has {received_bytes} bytes now; the upload began with another size.")
        total = received_bytes
    if total is not None and durable_bytes == total:
        return Finish(total)
    return Reply(308, durable_bytes)


def _state(session: Session, total: int | None) -> Reply | Finish:
    if total is not None and session.durable_bytes == total:
        return Finish(total)
    return Reply(308, session.durable_bytes)


def _check_total(total: int, session: Session) -> Reply | None:
    if total > session.max_bytes:
        return _too_large(session)
    if session.total_bytes not in (None, total):
        return _bad(f"The upload began as a file of {session.total_bytes} bytes; it cannot become one of {total}.")
    if total < session.durable_bytes:
        return _unsatisfiable(f"{session.durable_bytes} bytes are stored already, more than a file of {total} has.")
    return None


def _number(text: str) -> int | None:
    return None if text == "*" else int(text)


def _bad(description: str) -> Reply:
    return Reply(400, message="Bad Request", description=description)


def _unsatisfiable(description: str) -> Reply:
    return Reply(416, message="range not satisfiable", description=description)


def _too_large(session: Session) -> Reply:
    text = f"An upload may have {session.max_bytes} bytes at most."
    return Reply(413, message="payload too large", description=text)


def _empty() -> Reply:
    return _bad("The file is empty. The upload is still open: send the file's bytes.")
