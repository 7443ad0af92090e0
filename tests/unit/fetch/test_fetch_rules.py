"""What an answer means, as a table."""

from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict
from yarl import URL

from fastpix_server.media.fetch_rules import (
    Pace,
    Passing,
    Redirected,
    Refused,
    Restart,
    Stored,
    Take,
    Verdict,
    Whole,
    check_url,
    judge,
    request_headers,
    retry_after_s,
    sniff,
    validator_of,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HERE = URL("http://user:pass@a.example/folder/clip.mp4")
FRESH = Stored(0)
HALF = Stored(500, 1000, '"v1"')
DATED = Stored(500, 1000, "Mon, 23 Nov 2026 11:00:00 GMT")


def verdict(status: int, stored: Stored = FRESH, **headers: str) -> Verdict:
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return judge(HERE, status, named, stored, max_size_bytes=10_000, now=NOW)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (verdict(200, Content_Length="1000", ETag='"v1"'), Take(0, 1000, '"v1"')),
        (verdict(200), Take(0, None, None)),
        (verdict(200, HALF, Content_Length="900", ETag='"v2"'), Take(0, 900, '"v2"')),
        (verdict(200, Content_Length="10000"), Take(0, 10000, None)),
        (verdict(206, HALF, Content_Range="bytes 500-999/1000", ETag='"v1"'), Take(500, 1000, '"v1"')),
        (verdict(206, HALF, Content_Range="bytes 500-999/*", ETag='"v1"'), Take(500, None, '"v1"')),
        (verdict(206, HALF, Content_Range="bytes 400-999/1000", ETag='"v1"'), Restart()),
        (verdict(206, HALF, Content_Range="bytes 500-1099/1100", ETag='"v1"'), Restart()),
        (verdict(206, HALF, Content_Range="bytes 500-999/1000", ETag='"v2"'), Restart()),
        (verdict(206, HALF, Content_Range="nonsense"), Restart()),
        (verdict(206, DATED, Content_Range="bytes 500-999/1000", ETag='"v9"'), Take(500, 1000, '"v9"')),
        (verdict(416, HALF, Content_Range="bytes */500"), Whole()),
        (verdict(416, HALF, Content_Range="bytes */400"), Restart()),
        (verdict(416, HALF), Restart()),
        (verdict(302, Location="/other"), Redirected(URL("http://user:pass@a.example/other"))),
        (verdict(307, Location="https://b.example/x#part"), Redirected(URL("https://b.example/x"))),
        (verdict(308, Location="//b.example/x"), Redirected(URL("http://b.example/x"))),
    ],
)
def test_an_answer_is_read_as_it_is_meant(found: Verdict, expected: Verdict) -> None:
    assert found == expected


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_passing_error_may_be_tried_again(status: int) -> None:
    found = verdict(status, Retry_After="7")
    assert isinstance(found, Passing)
    assert found.wait_s == 7


@pytest.mark.parametrize("status", [400, 401, 404, 405, 410, 416, 451, 204, 206, 304, 100])
def test_a_final_answer_is_not_tried_again(status: int) -> None:
    assert isinstance(verdict(status), Refused)


def test_one_byte_over_the_limit_is_too_large() -> None:
    found = verdict(200, Content_Length="10001")
    assert isinstance(found, Refused)
    assert found.code == "source_too_large"


def test_a_range_is_asked_for_only_when_it_can_be_checked() -> None:
    assert request_headers(HALF)["Range"] == "bytes=500-"
    assert request_headers(HALF)["If-Range"] == '"v1"'
    assert "Range" not in request_headers(Stored(500))
    assert "Range" not in request_headers(Stored(0, None, '"v1"'))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ETag": '"v1"', "Last-Modified": "x"}, '"v1"'),
        ({"ETag": 'W/"v1"', "Last-Modified": "Mon, 23 Nov 2026 11:00:00 GMT"}, "Mon, 23 Nov 2026 11:00:00 GMT"),
        ({"ETag": 'W/"v1"'}, None),
        ({"ETag": '""'}, None),
        ({"ETag": '"' + "x" * 300 + '"'}, None),
        ({}, None),
    ],
)
def test_only_a_strong_validator_or_a_date_continues_a_download(headers: dict[str, str], expected: str | None) -> None:
    assert validator_of(CIMultiDict(headers)) == expected


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


@pytest.mark.parametrize(
    "first",
    [
        b"\0\0\0\x20ftypisom\0\0\2\0isomiso2",
        b"\x1aE\xdf\xa3\x01\0\0\0",
        b"G@\x11\x10\0B\xf0%",
        b"RIFF\x24\x08\0\0AVI LIST",
        b"RIFF\x24\x08\0\0WAVEfmt ",
        b"ID3\x04\0\0\0\0\0",
        b"\xff\xfb\x90\x64" * 300,
        b"fLaC\0\0\0\x22",
        b"OggS\0\x02",
        b"FLV\x01\x05\0\0\0\x09",
        b"\x89PNG\r\n\x1a\n\0\0",
        b"",
    ],
)
def test_media_and_pictures_pass_whatever_their_label(first: bytes) -> None:
    assert sniff(first, "text/html") is None


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b"\xef\xbb\xbf\n <!doctype HTML><p>", "source_is_web_page"),
        ("<html>Grüße".encode("utf-16"), "source_is_web_page"),
        (b"Not found", "source_is_text"),
        (b"Not found" + b" " * 1014 + "ü".encode()[:1], "source_is_text"),
        (b"\n#EXTM3U\n", "source_is_playlist"),
    ],
)
def test_text_is_refused_whatever_its_encoding(first: bytes, code: str) -> None:
    found = sniff(first, "video/mp4")
    assert found is not None
    assert found.code == code


@pytest.mark.parametrize(
    "text", ["ftp://a/x", "file:///etc/passwd", "http:///x", "//a/x", "a/x", "http://a:99999/", ""]
)
def test_a_url_that_is_not_http_is_refused(text: str) -> None:
    assert isinstance(check_url(text), Refused)


def test_pace_counts_only_time_spent_waiting() -> None:
    pace = Pace(window_s=10, min_bytes=1000)
    assert not pace.is_too_slow(9.0, 10)
    assert pace.is_too_slow(1.0, 10)
    assert not pace.is_too_slow(5.0, 990)
    assert not pace.is_too_slow(5.0, 10)
    assert not any(pace.is_too_slow(0.0, 1) for _ in range(1000))
