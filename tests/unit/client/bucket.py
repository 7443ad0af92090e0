"""An upload session as Google Cloud Storage keeps it, with troubles on demand. Written from the protocol's description,
not from our server's code."""

import re
from collections.abc import Callable

from tests.unit.client.scripted import Answer, Asked

Trouble = Callable[["Bucket", Asked], Answer | None]


class Bucket:
    """`troubles` are used up from the front, one per request to the session; None in it means that nothing happens."""

    def __init__(self, url: str, *, has_session: bool = True) -> None:
        self.url = url
        self.has_session = has_session
        self.stored = bytearray()
        self.total: int | None = None
        self.troubles: list[Trouble | None] = []
        self.ranges: list[str] = []
        self.created = 0
        self.is_gone = False

    def __call__(self, asked: Asked) -> Answer:
        if asked.path == "/v1/on-demand/upload":
            self.created += 1
            self.stored.clear()
            self.is_gone = False
            url = f"{self.url}/session?sig=s" + ("&upload_id=x" if self.has_session else "")
            return Answer(
                201, {"success": True, "data": {"uploadId": f"u{self.created}", "status": "waiting", "url": url}}
            )
        assert "authorization" not in asked.headers
        trouble = self.troubles.pop(0) if self.troubles else None
        answer = trouble(self, asked) if trouble else None
        return answer or self.session(asked)

    def session(self, asked: Asked) -> Answer:
        if self.is_gone:
            return Answer(410, {"error": {"message": "gone"}})
        if asked.method == "POST":
            assert asked.headers["x-goog-resumable"] == "start"
            return Answer(201, b"", {"Location": f"{self.url}/session?sig=s&upload_id=y"})
        assert ("upload_id", "x") in asked.query or ("upload_id", "y") in asked.query
        value = asked.headers["content-range"]
        self.ranges.append(value)
        if found := re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", value):
            first, last, self.total = map(int, found.groups())
            assert len(asked.body) <= last - first + 1  # shorter when the sender gave up
            if first <= len(self.stored):
                self.stored[first:] = asked.body
        return self.state()

    def state(self) -> Answer:
        if self.total is not None and len(self.stored) == self.total:
            return Answer(200, b"")
        return Answer(308, b"", {"Range": f"bytes=0-{len(self.stored) - 1}"} if self.stored else {})


def refuses(status: int, **headers: str) -> Trouble:
    return lambda bucket, asked: Answer(status, {"error": {"message": "trouble"}}, headers)


def breaks(*, stored: int) -> Trouble:
    """The connection ends; of the chunk's bytes, the first `stored` were kept."""

    def happen(bucket: Bucket, asked: Asked) -> Answer:
        bucket.stored += asked.body[:stored]
        return Answer(308, b"x" * 10, break_after=1)

    return happen


def says_nothing_new(bucket: Bucket, asked: Asked) -> Answer:
    return bucket.state()


def goes_away(bucket: Bucket, asked: Asked) -> Answer:
    bucket.is_gone = True
    return bucket.session(asked)
