# Made from _async/sending.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""Sends a file into an upload session: Google Cloud Storage's resumable protocol, from the client's side.

Invariants: only what the server has said to have counts as sent; after any doubt the server is asked where to go on;
the credentials of the API are never sent to an upload URL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

import msgspec

from fastpix import answers, asking, errors, upload_file
from fastpix._sync.http import Http
from fastpix.answers import Arrived
from fastpix.options import Options
from fastpix.upload_file import Prefix, Progress, Source, State
from fastpix.waiting import apart, sleep

STALLS_MAX = 8  # failures in a row without one new byte: with doubling waits up to 10 s, about a minute of being away
ANSWER_MAX_BYTES = 64 << 10  # sessions answer with headers; an error envelope is short
_RANGE = re.compile(r"bytes=0-(\d{1,18})")
_HAS_SESSION = re.compile(r"[?&]upload_id=")

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Said:
    """What the server has: the first `confirmed_bytes`, or the whole file."""

    confirmed_bytes: int
    is_complete: bool = False


class Sending:
    """One file on its way."""

    def __init__(
        self,
        http: Http,
        options: Options,
        source: Source,
        state: State,
        *,
        chunk_bytes: int,
        state_path: Path | None,
        on_progress: OnProgress | None,
    ) -> None:
        self._http = http
        self._options = options
        self._source = source
        self._state = state
        self._chunk_bytes = chunk_bytes
        self._state_path = state_path
        self._on_progress = on_progress
        self._prefix = Prefix(source)

    def begin(self) -> None:
        """A URL without a session is asked for one."""
        if not _HAS_SESSION.search(self._state.url):
            url = urljoin(self._state.url, self._started())
            self._state = msgspec.structs.replace(self._state, url=url)
        self._remember(0)

    def _started(self) -> str:
        """Where the session is."""
        stalls = 0
        while True:
            try:
                arrived = self._exchange("POST", {"x-goog-resumable": "start"})
                answers.check(arrived)
                return arrived.headers.get("location", "")
            except (errors.NoAnswer, errors.Refused) as fault:
                stalls = self._stalled(fault, stalls, 0)

    def resume(self) -> Said | None:
        """Where a former process came to; None when its session is gone. FileChanged for another file."""
        known = self._state
        if apart(lambda: self._prefix.advance(known.confirmed_bytes)) != known.sha256:
            raise errors.FileChanged(
                f"The first {known.confirmed_bytes} bytes are not those that were sent; remove the state to begin anew"
            )
        try:
            return self._settled(known.confirmed_bytes)
        except (errors.Gone, errors.NotFound):
            return None

    def run(self, said: Said) -> str:
        """From where the server is to the end. The SHA-256 of the file, in hex."""
        stalls = 0
        while not said.is_complete:
            before = said.confirmed_bytes
            trouble: errors.NoAnswer | errors.Refused | None = None
            try:
                said = self._send_chunk(before)
            except (errors.NoAnswer, errors.Refused) as fault:
                trouble = fault
            if said.confirmed_bytes <= before:
                stalls = self._stalled(trouble, stalls, before)
            if trouble is not None:
                said = self._settled(before)
            if said.confirmed_bytes > before:
                stalls = 0
            self._remember(said.confirmed_bytes)
            self._tell(said.confirmed_bytes, said.confirmed_bytes)
        total = self._source.size_bytes
        self._tell(total, total)
        return apart(lambda: self._prefix.advance(total))

    def _settled(self, confirmed: int) -> Said:
        """The server's own word on how far it is, asked for until it comes."""
        stalls = 0
        while True:
            try:
                return self._read(self._exchange("PUT", {"Content-Range": f"bytes */{self._source.size_bytes}"}))
            except (errors.NoAnswer, errors.Refused) as fault:
                stalls = self._stalled(fault, stalls, confirmed)

    def _stalled(self, fault: errors.NoAnswer | errors.Refused | None, stalls: int, confirmed: int) -> int:
        """Waits, if waiting helps. How many times in a row that was. Without a fault the server took no new byte."""
        retry_after = None
        if isinstance(fault, errors.Refused):
            if not self._options.is_repeated(fault.status):
                raise fault
            retry_after = fault.headers.get("retry-after")
        stalls += 1
        patient = replace(self._options.retries, attempts=STALLS_MAX + 1)
        wait_s = patient.wait_s(stalls, retry_after)
        if wait_s is None:
            raise self._interrupted(confirmed, str(fault or "the server takes no bytes")) from fault
        sleep(wait_s)
        return stalls

    def _interrupted(self, confirmed: int, why: str) -> errors.UploadInterrupted:
        text = f"The upload stopped at {confirmed} of {self._source.size_bytes} bytes: {why}"
        return errors.UploadInterrupted(text, confirmed_bytes=confirmed)

    def _send_chunk(self, first: int) -> Said:
        total = self._source.size_bytes
        length = min(self._chunk_bytes, total - first)
        headers = {"Content-Range": f"bytes {first}-{first + length - 1}/{total}", "Content-Length": str(length)}
        return self._read(self._exchange("PUT", headers, self._pieces(first, length)))

    def _pieces(self, first: int, length: int) -> Iterator[bytes]:
        sent = 0
        while sent < length:
            offset, size = first + sent, min(upload_file.READ_BYTES, length - sent)
            yield apart(partial(self._source.read, offset, size))
            sent += size
            self._tell(first + sent, first)

    def _exchange(self, method: str, headers: dict[str, str], content: Iterator[bytes] | None = None) -> Arrived:
        headers = {"User-Agent": asking.user_agent(), "Content-Type": "application/octet-stream", **headers}
        if content is None:
            headers["Content-Length"] = "0"
        with self._http.exchange(
            method, self._state.url, headers=headers, content=content, timeout_s=self._options.timeout_s
        ) as response:
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > ANSWER_MAX_BYTES:
                    break
            names = {name.lower(): value for name, value in response.headers.items()}
            return Arrived(response.status_code, names, bytes(body[:ANSWER_MAX_BYTES]))

    def _read(self, arrived: Arrived) -> Said:
        if arrived.status in (200, 201, 204):
            return Said(self._source.size_bytes, is_complete=True)
        if arrived.status != 308:
            answers.check(arrived)
            raise answers.bad(arrived, "An upload session does not answer like this")
        found = _RANGE.fullmatch(arrived.headers.get("range", "").strip())
        confirmed = int(found[1]) + 1 if found else 0
        if confirmed > self._source.size_bytes:
            raise errors.UploadFailed(f"The server says to have {confirmed} bytes of {self._source.size_bytes}")
        return Said(confirmed)

    def _remember(self, confirmed: int) -> None:
        path = self._state_path
        if path is None:
            return

        def work() -> None:
            # A server that fell back keeps the hash of what it once had: the file is the same.
            known = max(confirmed, self._prefix.length)
            self._state = msgspec.structs.replace(
                self._state, confirmed_bytes=known, sha256=self._prefix.advance(known)
            )
            upload_file.save(path, self._state)

        apart(work)

    def _tell(self, sent: int, confirmed: int) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(sent, confirmed, self._source.size_bytes))
