"""How a download of a URL reads the server's answers: pure decisions, no I/O.

Invariants: a final refusal has a stable code and a sentence that the owner of the media understands; no sentence holds
a URL, because URLs carry credentials; stored bytes are continued only when the server vouches that they are of the
same version of the file.
"""

import dataclasses
import email.utils
import re
from collections.abc import Mapping
from datetime import datetime

from yarl import URL

REDIRECTS_MAX = 5
SNIFF_BYTES = 1024  # the byte-order marks, comments and blank lines before <html> fit; every container shows itself
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})  # besides 5xx: come back later
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})")


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """Final: the source's fault."""

    code: str
    sentence: str


@dataclasses.dataclass(frozen=True, slots=True)
class Passing:
    """Try again, not before `wait_s` when the server named a time. The words are for the case that no try is left."""

    code: str
    sentence: str
    wait_s: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Redirected:
    url: URL


@dataclasses.dataclass(frozen=True, slots=True)
class Take:
    """Store the body from `offset` on; 0 means that bytes stored before are of no use any more."""

    offset: int
    total_bytes: int | None
    validator: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Whole:
    """Everything is stored already."""


@dataclasses.dataclass(frozen=True, slots=True)
class Restart:
    """The stored bytes do not fit what the server has now: begin at 0."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """What an earlier try left behind. Without a validator it cannot be continued."""

    size_bytes: int
    total_bytes: int | None = None
    validator: str | None = None

    @property
    def can_continue(self) -> bool:
        return self.size_bytes > 0 and self.validator is not None


Verdict = Refused | Passing | Redirected | Take | Whole | Restart


def check_url(text: str) -> URL | Refused:
    """A URL that we will dial: http or https, with a host, without a fragment."""
    try:
        url = URL(text).with_fragment(None)
        is_good = url.scheme in ("http", "https") and bool(url.host) and url.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        return Refused("source_bad_url", "The URL is not a valid http or https address.")
    return url


def request_headers(stored: Stored) -> dict[str, str]:
    """`identity`, because the length of a compressed body says nothing about the file."""
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    if stored.can_continue and stored.validator is not None:
        headers |= {"Range": f"bytes={stored.size_bytes}-", "If-Range": stored.validator}
    return headers


def judge(
    url: URL, status: int, headers: Mapping[str, str], stored: Stored, *, max_size_bytes: int, now: datetime
) -> Verdict:
    """What an answer means. `headers` is case-insensitive; `stored` is what the request was made with."""
    if status in _REDIRECTS:
        return _redirect(url, headers.get("Location"))
    if status in _PASSING or status >= 500:
        words = f"The server kept answering with HTTP {status}, an error of its own."
        return Passing("source_http_error", words, retry_after_s(headers.get("Retry-After"), now))
    if status == 416 and stored.can_continue:
        found = _UNSATISFIED.fullmatch(headers.get("Content-Range", ""))
        return Whole() if found and int(found[1]) == stored.size_bytes else Restart()
    if status >= 400:
        return _refused_status(status)
    if status not in (200, 206) or (status == 206 and not stored.can_continue):
        return Refused("source_http_error", f"The server answered with HTTP {status} instead of the file.")
    if headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        return Refused("source_encoded", "The server sends the file compressed although it was asked not to.")
    return _judge_body(status, headers, stored, max_size_bytes)


def _judge_body(status: int, headers: Mapping[str, str], stored: Stored, max_size_bytes: int) -> Verdict:
    offset, total = 0, _length(headers.get("Content-Length"))
    if status == 206:
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        etag = headers.get("ETag")
        is_other = (
            stored.validator is not None
            and stored.validator.startswith('"')
            and etag
            not in (
                None,
                stored.validator,
            )
        )
        if not found or int(found[1]) != stored.size_bytes or is_other:
            return Restart()
        offset = stored.size_bytes
        total = None if found[3] == "*" else int(found[3])
        if stored.total_bytes is not None and total not in (None, stored.total_bytes):
            return Restart()
    if total is not None and total > max_size_bytes:
        return too_large(max_size_bytes)
    return Take(offset, total, validator_of(headers))


def _redirect(url: URL, location: str | None) -> Verdict:
    try:
        target = url.join(URL(location)) if location else None
    except ValueError:
        target = None
    checked = check_url(str(target)) if target is not None else None
    if not isinstance(checked, URL):
        return Refused("source_bad_redirect", "The server redirected to something that is no http or https address.")
    return Redirected(checked)


def _refused_status(status: int) -> Refused:
    if status in (401, 403, 407):
        words = (
            f"The server refused access (HTTP {status}). Make the file public, or use a signed URL that is still valid."
        )
        return Refused("source_forbidden", words)
    if status in (404, 410):
        return Refused("source_not_found", f"The server has no file at this URL (HTTP {status}).")
    return Refused("source_http_error", f"The server refused the request (HTTP {status}).")


def validator_of(headers: Mapping[str, str]) -> str | None:
    """What If-Range may carry: a strong ETag, else the modification time (RFC 9110, section 13.1.5)."""
    etag = headers.get("ETag", "").strip()
    if etag.startswith('"') and etag.endswith('"') and 2 < len(etag) <= 200:
        return etag
    modified = headers.get("Last-Modified", "").strip()
    return modified if 0 < len(modified) <= 60 else None


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header, which holds a number or a date."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, TypeError):
        return None


def sniff(first: bytes, content_type: str) -> Refused | None:
    """Refuses what is text: no container or codec that we read begins so. The first bytes decide, not the label."""
    decoded = _as_text(first[:SNIFF_BYTES])
    if not decoded:
        return None
    text = decoded.lstrip("\ufeff \t\r\n").lower()
    if "#extm3u" in text[:64] or text.startswith(("ffconcat", "[playlist]")):
        return Refused("source_is_playlist", "The URL leads to a playlist, not to a media file; name the file itself.")
    if text.startswith(("<!doctype html", "<html", "<head", "<body", "<script")) or "html" in content_type.lower():
        words = "The URL leads to a web page, not to a media file. A share page has another link for the download."
        return Refused("source_is_web_page", words)
    return Refused("source_is_text", "The URL leads to a text file, not to a media file.")


def _as_text(head: bytes) -> str | None:
    """Printable UTF-8 or UTF-16, else None; a character cut at the end does not count."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) & ~1].decode("utf-16", "replace")
    elif b"\0" in head:
        return None
    else:
        try:
            text = head.decode("utf-8")
        except UnicodeDecodeError as fault:
            if len(head) < SNIFF_BYTES or fault.start < len(head) - 3:
                return None
            text = head[: fault.start].decode("utf-8")
    is_plain = "\ufffd" not in text and all(c.isprintable() or c in "\t\r\n\f" for c in text.lstrip("\ufeff"))
    return text if is_plain else None


def too_large(max_size_bytes: int) -> Refused:
    return Refused("source_too_large", f"The file is larger than the limit of {max_size_bytes / 1e9:.4g} GB.")


def empty() -> Refused:
    return Refused("source_empty", "The URL leads to an empty file.")


def _length(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None


class Pace:
    """Tells a slow drip from a slow line: too few bytes in a window of time spent waiting for the network."""

    def __init__(self, *, window_s: float, min_bytes: int) -> None:
        self._window_s = window_s
        self._min_bytes = min_bytes
        self._waited_s = 0.0
        self._bytes = 0

    def is_too_slow(self, waited_s: float, received_bytes: int) -> bool:
        """Notes one read. Our own disk's time is not the source's fault, so only `waited_s` counts."""
        self._waited_s += waited_s
        self._bytes += received_bytes
        if self._waited_s < self._window_s:
            return False
        is_slow = self._bytes < self._min_bytes
        self._waited_s, self._bytes = 0.0, 0
        return is_slow
