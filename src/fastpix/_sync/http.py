# Made from _async/http.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""The one place that sends: attempts, time limits, bounded answers.

Invariants: an answer is either a success that the caller gets whole, or an exception of `fastpix.errors`; the body of
an answer is bounded; the library behind it is loaded by the first client, not by `import fastpix`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from fastpix import answers, asking, errors
from fastpix.answers import Arrived
from fastpix.asking import Credentials, Request
from fastpix.options import Options
from fastpix.waiting import sleep

if TYPE_CHECKING:
    import httpx

# The longest answer of the API: a view with 20,000 events is about 3 MB.
ANSWER_MAX_BYTES = 32 << 20
CONNECT_S = 10.0  # a server that does not take a connection by then is away
_log = logging.getLogger("fastpix")


class Http:
    """A pool of connections to one server, as one user. It closes the httpx client if it made it."""

    def __init__(self, credentials: Credentials, http_client: httpx.Client | None = None) -> None:
        import httpx

        self.credentials = credentials
        self._is_mine = http_client is None
        self._client = http_client or httpx.Client(follow_redirects=False)

    def close(self) -> None:
        if self._is_mine:
            self._client.close()

    def ask(self, asked: Request, options: Options) -> Arrived:
        """Attempts until a success, or until there is no use in trying again."""
        headers = asking.headers_of(asked, options, self.credentials.authorization)
        content = None if asked.body is None else msgspec.json.encode(asked.body)
        attempt = 0
        while True:
            attempt += 1
            try:
                arrived = self._attempt(asked, headers, content, options.timeout_s, attempt)
                answers.check(arrived)
            except errors.NoAnswer as fault:
                fault.attempts = attempt
                fault.idempotency_key = headers.get("Idempotency-Key")
                wait_s = options.retries.wait_s(attempt)
                if wait_s is None:
                    raise
            except errors.Refused as fault:
                fault.attempts = attempt
                wait_s = None
                if options.is_repeated(fault.status):
                    wait_s = options.retries.wait_s(attempt, fault.headers.get("retry-after"))
                if wait_s is None:
                    raise
            else:
                answers.keep(arrived)
                return arrived
            _log.debug("%s %s again in %.1f s (attempt %d)", asked.method, asked.path, wait_s, attempt)
            sleep(wait_s)

    def _attempt(
        self, asked: Request, headers: Mapping[str, str], content: bytes | None, timeout_s: float, attempt: int
    ) -> Arrived:
        url = self.credentials.base_url + asked.path
        ends_at = time.monotonic() + timeout_s
        with self.exchange(
            asked.method, url, headers=headers, content=content, params=asked.query, timeout_s=timeout_s
        ) as response:
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > ANSWER_MAX_BYTES:
                    raise answers.bad(_arrived(response, bytes(body)), f"More than {ANSWER_MAX_BYTES} bytes of answer")
                if time.monotonic() > ends_at:
                    raise errors.TimedOut(f"{asked.method} {asked.path}: no complete answer within {timeout_s:g} s")
            return _arrived(response, bytes(body), attempt)

    @contextmanager
    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: Any = None,
        params: tuple[tuple[str, str], ...] = (),
        timeout_s: float,
    ) -> Generator[httpx.Response, None, None]:
        """One request and its answer, whose body is not read yet. Failures of the way become NoAnswer."""
        import httpx

        limits = httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S))
        try:
            request = self._client.build_request(
                method, url, headers=dict(headers), content=content, params=params or None, timeout=limits
            )
            response = self._client.send(request, stream=True, follow_redirects=False)
            try:
                yield response
            finally:
                response.close()
        except httpx.TimeoutException as fault:
            raise errors.TimedOut(f"{method} {_bare(url)}: no answer within {timeout_s:g} s") from fault
        except httpx.DecodingError as fault:
            raise errors.BadAnswer(str(fault), status=0, headers={}, body=b"") from fault
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as fault:
            raise errors.NotConfigured(str(fault)) from fault
        except httpx.TransportError as fault:
            raise errors.ConnectionFailed(f"{method} {_bare(url)}: {fault or type(fault).__name__}") from fault


def _arrived(response: httpx.Response, body: bytes, attempt: int = 1) -> Arrived:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Arrived(response.status_code, headers, body, attempt)


def _bare(url: str) -> str:
    """Without the query: it may hold a signature."""
    return url.split("?", 1)[0]
