"""Reads SubRip and WebVTT files of strangers into cues. Nothing of a file is passed through: cues are written anew.

Invariants: every size is bounded before it is worked on, and every pattern is linear in its input; a cue whose times
make no sense is left out, a file without one good cue is refused; the text of a cue holds the whitelisted tags of
WebVTT, balanced, and everything else escaped.
"""

import codecs
import html
import re
from collections.abc import Iterator

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine.webvtt import Cue

MAX_BYTES = 4 * 1024 * 1024  # three hours of dense dialogue are 200 kB
MAX_CUES = 20_000  # a twelve-hour film has about 12,000
MAX_CUE_CHARS = 2_000  # some 30 full lines: what no screen shows anyway
MAX_LINE_CHARS = 4_000  # longer lines are no subtitles, but something else in disguise
MAX_TAGS = 64  # in one cue
LAST_MS = 24 * 3600 * 1000  # twice the longest media

_STAMP = r"(?:([0-9]{1,3}):)?([0-9]{1,2}):([0-9]{1,2})[.,]([0-9]{1,3})"
_TIMING = re.compile(rf"[ \t]*{_STAMP}[ \t]*-->[ \t]*{_STAMP}(?:[ \t]+(.*))?")
_TAG = re.compile(r"<(/?)([A-Za-z]{1,8})((?:\.[\w-]{1,32}){0,4})(?:[ \t]+([^<>]{0,200}))?>|<([0-9:.]{9,12})>|</>")
# SubRip files carry SubStation overrides ({\an8}); only the place on the screen is kept.
_OVERRIDE = re.compile(r"\{\\[^{}]{0,100}\}")
_TOP = re.compile(r"\{\\an?[789]\}")
_SETTINGS = re.compile(
    r"vertical:(?:rl|lr)"
    r"|line:(?:-?[0-9]{1,3}|[0-9]{1,3}(?:\.[0-9]{1,3})?%)(?:,(?:start|center|end))?"
    r"|position:[0-9]{1,3}(?:\.[0-9]{1,3})?%(?:,(?:line-left|center|line-right))?"
    r"|size:[0-9]{1,3}(?:\.[0-9]{1,3})?%"
    r"|align:(?:start|center|end|left|right)"
)
_KEPT = frozenset(("b", "i", "u", "ruby", "rt", "v", "lang", "c"))
_NAMED = frozenset(("v", "lang"))  # tags with an annotation: a speaker, a language


def parse(data: bytes) -> tuple[Cue, ...]:
    """Cues sorted by their start. Raises SourceFault, with a sentence for the owner of the file."""
    if len(data) > MAX_BYTES:
        raise SourceFault("subtitles_too_large", f"A subtitle file has at most {MAX_BYTES >> 20} MiB.")
    lines = re.split(r"\r\n|\r|\n", _decoded(data))
    if max(map(len, lines)) > MAX_LINE_CHARS:
        raise SourceFault("subtitles_unreadable", "The file is not a subtitle file: its lines are far too long.")
    is_vtt = lines[0] == "WEBVTT" or lines[0].startswith(("WEBVTT ", "WEBVTT\t"))
    cues: list[Cue] = []
    for timing, body in _blocks(lines):
        cue = _cue(timing, body, is_vtt)
        if cue is not None:
            cues.append(cue)
        if len(cues) > MAX_CUES:
            raise SourceFault("subtitles_too_many", f"A subtitle file has at most {MAX_CUES} cues.")
    if not cues:
        raise SourceFault("subtitles_unreadable", "The file holds no subtitles in the form of SubRip or WebVTT.")
    return tuple(sorted(cues, key=lambda cue: (cue.start_ms, cue.end_ms)))


def _decoded(data: bytes) -> str:
    """UTF-8, UTF-16 with a byte-order mark, or the Windows code page that old SubRip files are in."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if b"\0" in data:
        raise SourceFault("subtitles_unreadable", "The file is not text, so it holds no subtitles.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _blocks(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each line with an arrow, and the lines below it. A number above the next arrow is no text of this cue."""
    k = 0
    while k < len(lines):
        timing = lines[k]
        k += 1
        if "-->" not in timing:
            continue
        body: list[str] = []
        while k < len(lines) and lines[k].strip() and "-->" not in lines[k]:
            body.append(lines[k])
            k += 1
        if k < len(lines) and "-->" in lines[k] and body and body[-1].strip().isdecimal():
            body.pop()
        yield timing, body


def _cue(timing: str, body: list[str], is_vtt: bool) -> Cue | None:
    """None for what cannot be shown: bad times, nothing to read."""
    match = _TIMING.fullmatch(timing)
    if match is None:
        return None
    start_ms, end_ms = _ms(*match.groups()[:4]), _ms(*match.groups()[4:8])
    if start_ms is None or end_ms is None or not start_ms < end_ms <= LAST_MS:
        return None
    raw = "\n".join(body)
    if len(raw) > MAX_CUE_CHARS:
        raise SourceFault("subtitles_too_long", f"One of the subtitles has more than {MAX_CUE_CHARS} characters.")
    settings = " ".join(_settings(match[9] or ""))
    if not is_vtt:
        settings = "line:0" if _TOP.search(raw) else ""
        raw = _OVERRIDE.sub("", raw)
    text = _clean(raw, start_ms, end_ms, is_vtt)
    return Cue(start_ms, end_ms, text, settings) if text else None


def _ms(hours: str | None, minutes: str, seconds: str, fraction: str) -> int | None:
    if int(minutes) > 59 or int(seconds) > 59:
        return None
    return (int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)) * 1000 + int(fraction.ljust(3, "0"))


def _settings(text: str) -> Iterator[str]:
    """Known settings with sane values, each name once."""
    seen: set[str] = set()
    for word in text.split()[:16]:
        name = word.partition(":")[0]
        if name not in seen and _SETTINGS.fullmatch(word):
            seen.add(name)
            yield word


def _clean(raw: str, start_ms: int, end_ms: int, is_vtt: bool) -> str:
    """Whitelisted tags, opened and closed in order; all other text escaped; no blank lines."""
    pieces: list[str] = []
    opened: list[str] = []
    end = 0
    for count, match in enumerate(_TAG.finditer(raw)):
        pieces.append(_plain(raw[end : match.start()], is_vtt))
        end = match.end()
        if count < MAX_TAGS:
            pieces.append(_tag(match, opened, start_ms, end_ms))
    pieces.append(_plain(raw[end:], is_vtt))
    pieces += [f"</{name}>" for name in reversed(opened)]
    lines = (line.strip() for line in "".join(pieces).split("\n"))
    text = "\n".join(line for line in lines if line)
    return text if re.sub(r"<[^<>]*>", "", text).strip() else ""


def _plain(text: str, is_vtt: bool) -> str:
    """References are WebVTT's; in SubRip an ampersand is one."""
    known = html.unescape(text) if is_vtt else text
    visible = "".join(c if c.isprintable() or c in "\n\u200e\u200f" else " " for c in known)
    return visible.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _tag(match: re.Match[str], opened: list[str], start_ms: int, end_ms: int) -> str:
    closing, name, classes, annotation, stamp = match.groups()
    if stamp is not None:
        return _stamp(stamp, start_ms, end_ms)
    if name is None or (name := name.lower()) not in _KEPT:  # </>, <font ...>, <script>
        return ""
    if closing:
        if name not in opened:
            return ""
        inner = opened[len(opened) - 1 - opened[::-1].index(name) :]
        del opened[len(opened) - len(inner) :]
        return "".join(f"</{one}>" for one in reversed(inner))
    opened.append(name)
    words = f" {_plain(' '.join(annotation.split()), True)}" if annotation and name in _NAMED else ""
    return f"<{name}{classes or ''}{words}>"


def _stamp(text: str, start_ms: int, end_ms: int) -> str:
    """A time inside of the cue (karaoke)."""
    match = re.fullmatch(_STAMP, text)
    at_ms = None if match is None else _ms(*match.groups())
    if at_ms is None or not start_ms < at_ms < end_ms:
        return ""
    return f"<{at_ms // 3_600_000:02}:{at_ms // 60_000 % 60:02}:{at_ms // 1000 % 60:02}.{at_ms % 1000:03}>"
