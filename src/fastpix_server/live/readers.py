"""Who else reads a publisher's samples as they come: simulcast, SRT players. Each behind a bound of its own.

Invariants: a reader gets tracks before samples and its first sample is a key frame (when there are pictures); it stays
over reconnects until the session ends; one that raises is taken out and hurts nobody else.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import TypeVar

from fastpix_server.base import log
from fastpix_server.ingest.model import Sample, Sink, Track

_log = log.get(__name__)
_T = TypeVar("_T")

MAX_READERS = 64  # 50 simulcast targets and some SRT players


@dataclasses.dataclass(slots=True, eq=False)
class _Reader:
    sink: Sink
    is_waiting: bool = True  # for a key frame


class Readers:
    def __init__(self, session: str) -> None:
        self._session = session
        self._entries: dict[int, _Reader] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, sink: Sink, tracks: Iterable[Track]) -> Callable[[], None]:
        """Tells the known tracks at once; returns what takes the reader out again. OverflowError when there are too
        many."""
        if len(self._entries) >= MAX_READERS:
            raise OverflowError(f"more than {MAX_READERS} readers of one stream")
        number = self._next
        self._next += 1
        self._entries[number] = _Reader(sink)
        for track in tracks:
            self._tell(number, sink.on_track, track)

        def undo() -> None:
            self._entries.pop(number, None)

        return undo

    def track(self, track: Track) -> None:
        for number, entry in [*self._entries.items()]:
            self._tell(number, entry.sink.on_track, track)

    def sample(self, sample: Sample, *, has_video: bool) -> None:
        may_begin = not has_video or (sample.kind == "video" and sample.is_key)
        for number, entry in [*self._entries.items()]:
            if entry.is_waiting and not may_begin:
                continue
            entry.is_waiting = False
            self._tell(number, entry.sink.on_sample, sample)

    def pause(self) -> None:
        """The publisher is gone; the next one's samples begin with a key frame again."""
        for entry in self._entries.values():
            entry.is_waiting = True

    def end(self, reason: str) -> None:
        for number, entry in [*self._entries.items()]:
            self._tell(number, entry.sink.on_end, reason)
        self._entries.clear()

    def _tell(self, number: int, hear: Callable[[_T], None], what: _T) -> None:
        try:
            hear(what)
        except Exception:
            entry = self._entries.pop(number, None)
            _log.exception("reader_failed", session=self._session, reader=type(entry.sink).__name__ if entry else "")
