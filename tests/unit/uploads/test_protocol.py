"""The upload protocol as a table, one line per case of the contract."""

import pytest

from fastpix_server.media.upload_protocol import (
    Ask,
    Begin,
    Cancel,
    Decision,
    Finish,
    Reply,
    Session,
    Status,
    Store,
    after,
    decide,
)

MAX = 10_000


def at(durable: int, total: int | None = None, status: Status = "waiting") -> Session:
    return Session(status, durable, total, MAX)


def put(content_range: str | None, length: int | None = None) -> Ask:
    return Ask("PUT", content_range, length)


def whole(length: int | None, total: int | None) -> Store:
    return Store(0, length, total, is_whole=True)


def chunk(offset: int, length: int, total: int | None) -> Store:
    return Store(offset, length, total, is_whole=False)


@pytest.mark.parametrize(
    ("ask", "session", "expected"),
    [
        # The first, a middle and the last chunk; a client that does not know its total yet.
        (put("bytes 0-99/300", 100), at(0), chunk(0, 100, 300)),
        (put("bytes 100-199/300", 100), at(100, 300), chunk(100, 100, 300)),
        (put("bytes 200-299/300", 100), at(200, 300), chunk(200, 100, 300)),
        (put("bytes 0-99/*", 100), at(0), chunk(0, 100, None)),
        (put("bytes 100-199/*", 100), at(100, 300), chunk(100, 100, 300)),
        (put("BYTES  0-99/300 ", 100), at(0), chunk(0, 100, 300)),
        (put("bytes 0-99/300"), at(0), chunk(0, 100, 300)),
        # Overlap is stored from where it is new; nothing new, and a gap, tell the truth.
        (put("bytes 50-149/300", 100), at(100, 300), chunk(50, 100, 300)),
        (put("bytes 0-99/300", 100), at(100, 300), Reply(308, 100)),
        (put("bytes 0-98/300", 99), at(100, 300), Reply(308, 100)),
        (put("bytes 200-299/300", 100), at(100, 300), Reply(308, 100)),
        (put("bytes 200-299/300", 100), at(0), Reply(308, 0)),
        (put("bytes 200-299/300", 100), at(300, 300), Finish(300)),
        # Asking where to go on.
        (put("bytes */300", 0), at(0), Reply(308, 0)),
        (put("bytes */300"), at(120, 300), Reply(308, 120)),
        (put("bytes */*", 0), at(120, 300), Reply(308, 120)),
        (put("bytes */300", 0), at(300, 300), Finish(300)),
        (put("bytes */300", 0), at(300), Finish(300)),
        (Ask("PUT", "bytes */300", 0, "start"), at(120, 300), Reply(308, 120)),
        # The whole file in one request, also after a broken one, also of unknown length.
        (put(None, 300), at(0), whole(300, 300)),
        (put(None, 300), at(120, 300), whole(300, 300)),
        (put(None), at(0), whole(None, None)),
        (put(None), at(120, 300), whole(None, 300)),
        # Beginning and giving up.
        (Ask("POST", resumable="start", content_length=0), at(0), Begin()),
        (Ask("POST", resumable=" Start "), at(120, 300), Begin()),
        (Ask("DELETE"), at(120, 300), Cancel()),
        # After completion every PUT is welcome.
        (put("bytes 200-299/300", 100), at(300, 300, "completed"), Reply(200)),
        (put("bytes */300", 0), at(300, 300, "completed"), Reply(200)),
        (put(None, 300), at(300, 300, "completed"), Reply(200)),
        # The exact limit fits.
        (put(None, MAX), at(0), whole(MAX, MAX)),
        (put(f"bytes 0-99/{MAX}", 100), at(0), chunk(0, 100, MAX)),
    ],
)
def test_a_good_request_is_understood(ask: Ask, session: Session, expected: Decision) -> None:
    assert decide(ask, session) == expected


@pytest.mark.parametrize(
    ("ask", "session", "status", "words"),
    [
        (put("bytes 0-99", 100), at(0), 400, "Content-Range must read"),
        (put("bytes=0-99/300", 100), at(0), 400, "Content-Range must read"),
        (put("items 0-99/300", 100), at(0), 400, "Content-Range must read"),
        (put("bytes 0-99/-300", 100), at(0), 400, "Content-Range must read"),
        (put("bytes ٠-٩/300", 10), at(0), 400, "Content-Range must read"),
        (put("", 100), at(0), 400, "Content-Range must read"),
        (put("bytes 0-99/" + "9" * 30, 100), at(0), 400, "Content-Range must read"),
        (put("bytes 99-0/300", 100), at(0), 416, "does not fit"),
        (put("bytes 250-300/300", 51), at(250, 300), 416, "does not fit"),
        (put("bytes 250-300/*", 51), at(250, 300), 416, "does not fit"),
        (put("bytes 0-99/300", 99), at(0), 400, "announces 100 bytes, but the body has 99"),
        (put("bytes 0-99/300", 101), at(0), 400, "announces 100 bytes, but the body has 101"),
        (put("bytes 100-199/400", 100), at(100, 300), 400, "began as a file of 300 bytes"),
        (put("bytes */400", 0), at(100, 300), 400, "began as a file of 300 bytes"),
        (put(None, 400), at(100, 300), 400, "began as a file of 300 bytes"),
        (put("bytes 0-9/50", 10), at(100), 416, "100 bytes are stored already"),
        (put("bytes */300", 5), at(100, 300), 400, "has no body"),
        (put("bytes */0", 0), at(0), 400, "The file is empty"),
        (put(None, 0), at(0), 400, "The file is empty"),
        (put(None, MAX + 1), at(0), 413, "10000 bytes at most"),
        (put(f"bytes 0-99/{MAX + 1}", 100), at(0), 413, "10000 bytes at most"),
        (put(f"bytes {MAX - 9}-{MAX}/*", 10), at(MAX - 9), 413, "10000 bytes at most"),
        (Ask("POST"), at(0), 400, "x-goog-resumable: start"),
        (Ask("POST", resumable="start"), at(300, 300, "completed"), 400, "complete already"),
        (Ask("DELETE"), at(300, 300, "completed"), 400, "complete already"),
        (put("bytes 0-99/300", 100), at(0, None, "cancelled"), 410, "cancelled"),
        (put("bytes */300", 0), at(0, None, "expired"), 410, "expired"),
        (Ask("POST", resumable="start"), at(0, None, "expired"), 410, "expired"),
        (Ask("DELETE"), at(0, None, "cancelled"), 410, "cancelled"),
    ],
)
def test_a_bad_request_is_refused_with_words(ask: Ask, session: Session, status: int, words: str) -> None:
    decision = decide(ask, session)
    assert isinstance(decision, Reply)
    assert decision.status == status
    assert words in decision.description
    assert decision.range_header is None


@pytest.mark.parametrize(
    ("store", "received", "durable", "expected"),
    [
        (chunk(0, 100, 300), 100, 100, Reply(308, 100)),
        (chunk(200, 100, 300), 100, 300, Finish(300)),
        (chunk(0, 100, None), 100, 100, Reply(308, 100)),
        (chunk(0, 100, 300), 60, 60, Reply(308, 60)),  # a body of unknown length that came short
        (whole(300, 300), 300, 300, Finish(300)),
        (whole(None, None), 300, 300, Finish(300)),
        (whole(None, 300), 300, 300, Finish(300)),
    ],
)
def test_after_storing_the_truth_is_told(store: Store, received: int, durable: int, expected: Decision) -> None:
    assert after(store, received_bytes=received, has_extra=False, durable_bytes=durable) == expected


@pytest.mark.parametrize(
    ("store", "received", "durable", "extra", "words"),
    [
        (chunk(0, 100, 300), 100, 100, True, "longer than the 100 bytes"),
        (whole(None, None), 0, 0, False, "The file is empty"),
        (whole(None, 300), 200, 200, False, "began with another size"),
        (whole(None, None), 100, 120, False, "began with another size"),
    ],
)
def test_a_body_unlike_its_announcement_is_refused(
    store: Store, received: int, durable: int, extra: bool, words: str
) -> None:
    decision = after(store, received_bytes=received, has_extra=extra, durable_bytes=durable)
    assert isinstance(decision, Reply)
    assert decision.status == 400
    assert words in decision.description


def test_range_is_absent_while_nothing_is_stored() -> None:
    assert Reply(308, 0).range_header is None
    assert Reply(308, 1).range_header == "bytes=0-0"
    assert Reply(308, 100).range_header == "bytes=0-99"
    assert Reply(200, 100).range_header is None
