"""Values as people read them: safe for a terminal, of a known width, with units.

Invariants: a text that leaves `clean` has no control, bidirectional or line character, so that no title can move the
cursor, colour the screen or look like another line; widths are columns of a terminal, not characters.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime, timezone

ELLIPSIS = "…"
UNKNOWN = "-"
TEXT_MAX_CHARS = 10_000  # of one value: a description of any length is not read in a terminal


def clean(value: object) -> str:
    """One line without anything that a terminal acts upon."""
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(clean(item) for item in value) or UNKNOWN
    text = str(value)[:TEXT_MAX_CHARS]
    return text if text.isprintable() else "".join(map(_safe, text))


def _safe(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() else "?"


def width(text: str) -> int:
    """Columns of a clean text: wide letters take two, marks on letters none."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, columns: int, ellipsis: str = ELLIPSIS) -> str:
    """Not wider than `columns`; what is cut ends with an ellipsis."""
    if width(text) <= columns:
        return text
    room, kept = columns - len(ellipsis), []
    for char in text:
        room -= _columns(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + ellipsis[: max(columns, 0)]


def pad(text: str, columns: int, *, is_right: bool = False) -> str:
    """Filled with spaces to `columns`."""
    room = " " * max(0, columns - width(text))
    return room + text if is_right else text + room


def size(value: object) -> str:
    """Bytes in decimal units, as disks and networks count them."""
    if not isinstance(value, (int, float)):
        return clean(value)
    number = float(value)
    if abs(number) < 1000:
        return f"{number:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        number /= 1000
        if abs(number) < 999.95 or unit == "TB":
            break
    return f"{number:.1f} {unit}"


def clock(value: object) -> str:
    """Seconds as 1:02:03 or 0:42."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return clean(value)
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def number(value: object) -> str:
    """With thousands apart, and at most two places."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return clean(value)
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}"


def parsed(value: object) -> datetime | None:
    """A time as the API writes it; one without a zone is UTC. None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        when = datetime.fromisoformat(_six_places(value))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)


def _six_places(value: str) -> str:
    """Python 3.10 reads neither `Z` nor other than three or six places of a second."""
    head, dot, tail = value.replace("Z", "+00:00").partition(".")
    if not dot:
        return head
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[:digits][:6]:0<6}{tail[digits:]}"


def moment(value: object) -> str:
    """A time in UTC, to the second."""
    when = parsed(value)
    return clean(value) if when is None else when.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(value: object, now: datetime | None = None) -> str:
    """How long ago: `12s ago`, `3h ago`, `5d ago`; a date when it is more than 60 days."""
    when = parsed(value)
    if when is None:
        return clean(value)
    passed_s = ((now or datetime.now(timezone.utc)) - when).total_seconds()
    if passed_s > 60 * 86_400 or passed_s < -60:
        return when.astimezone(timezone.utc).strftime("%Y-%m-%d")
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if passed_s >= unit_s:
            return f"{int(passed_s // unit_s)}{unit} ago"
    return f"{max(0, int(passed_s))}s ago"


def label(key: str) -> str:
    """`playbackIds` as `Playback IDs`."""
    words = "".join(f" {char.lower()}" if char.isupper() else char for char in key).replace("_", " ").split()
    if len(words) > 1 and words[-1] in _UNITS:  # which stands at the value
        words.pop()
    named = [_NAMES.get(word, word) for word in words]
    return " ".join([named[0][:1].upper() + named[0][1:], *named[1:]]) if named else ""


_UNITS = frozenset(("bps", "bytes", "ms"))
_NAMES = {
    "fps": "FPS",
    "id": "ID",
    "ids": "IDs",
    "url": "URL",
    "mp4": "MP4",
    "srt": "SRT",
    "rtt": "RTT",
    "dvr": "DVR",
    "drm": "DRM",
}
