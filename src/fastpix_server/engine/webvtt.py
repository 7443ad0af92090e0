"""Cues as plain data, and the WebVTT that we write from them (W3C WebVTT, and RFC 8216 3.5 for segments).

Invariants: what is written parses as WebVTT whatever the cues came from: `Cue.text` is escaped already (subtitles.py),
holds no blank line and no arrow; times are integers of milliseconds, so no rounding shifts a cue.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

# Our segments begin at 0 on the media's own timeline, so the map only says so (RFC 8216, 3.5 makes it a must).
_MAP = "X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000"


@dataclasses.dataclass(frozen=True, slots=True)
class Cue:
    """`text` is cue text as WebVTT spells it; `settings` are cue settings, "" for none."""

    start_ms: int
    end_ms: int
    text: str
    settings: str = ""


def document(cues: Iterable[Cue]) -> bytes:
    """The whole file."""
    return _written("WEBVTT\n\n", cues)


def segment(cues: Iterable[Cue], start_ms: int, end_ms: int) -> bytes:
    """The cues that are on the screen in [start, end), with their full times: players show a repeated cue once."""
    return _written(f"WEBVTT\n{_MAP}\n\n", (c for c in cues if c.start_ms < end_ms and c.end_ms > start_ms))


def to_json(cues: Sequence[Cue]) -> list[list[Any]]:
    return [[cue.start_ms, cue.end_ms, cue.text, cue.settings] for cue in cues]


def from_json(rows: Iterable[Sequence[Any]]) -> tuple[Cue, ...]:
    """The inverse of to_json. Raises TypeError for what it did not write."""
    return tuple(Cue(*row) for row in rows)


def _written(head: str, cues: Iterable[Cue]) -> bytes:
    return (head + "".join(map(_block, cues))).encode()


def _block(cue: Cue) -> str:
    settings = f" {cue.settings}" if cue.settings else ""
    return f"{_clock(cue.start_ms)} --> {_clock(cue.end_ms)}{settings}\n{cue.text}\n\n"


def _clock(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"
