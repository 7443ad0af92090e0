"""A receiver of webhooks on this machine, as an app would have one: it checks every signature and remembers events."""

from __future__ import annotations

import base64
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from fastpix import errors
from fastpix.signatures import verify_webhook

if TYPE_CHECKING:
    from fastpix import FastPix
    from fastpix.types import WebhookEvent

HOST = "127.0.0.1"
# An event holds one object; nothing that the platform sends is near to this.
BODY_MAX_BYTES = 4 << 20
# At the limit deliveries are refused with 503, which the platform repeats: nothing is dropped in silence.
EVENTS_MAX = 10_000
ACTIVE_TIMEOUT_S = 60.0
WAIT_TIMEOUT_S = 60.0
_POLL_S = 0.05
# What an error lists: the newest.
_SHOWN = 20


class EventNotSeen(AssertionError):
    """What was waited for did not come; says what did."""


class WebhookCatcher:
    """Listens from `start` to `stop`, and is one of the workspace's webhooks meanwhile.

    `refused` holds a sentence for each request that was neither a probe nor signed with our secret; it stays empty
    unless something is wrong.
    """

    def __init__(self, client: FastPix) -> None:
        self._client = client
        self._secret = base64.b64encode(secrets.token_bytes(32)).decode()
        self._news = threading.Condition()
        self._events: list[WebhookEvent] = []
        self._webhook_id: str | None = None
        self._server = _Server((HOST, 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True)
        self.refused: list[str] = []

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_address[1]}/fastpix"

    @property
    def webhook_id(self) -> str:
        """For `client.webhooks`: its deliveries, a replay."""
        if self._webhook_id is None:
            raise RuntimeError("The catcher was not started, or has ended")
        return self._webhook_id

    @property
    def events(self) -> list[WebhookEvent]:
        """All that came so far, in the order of arrival, repetitions too."""
        with self._news:
            return list(self._events)

    def clear(self) -> None:
        """Forgets what came so far."""
        with self._news:
            self._events.clear()

    def wait_for(
        self, type: str, *, object_id: str | None = None, count: int = 1, timeout_s: float = WAIT_TIMEOUT_S
    ) -> WebhookEvent:
        """The event of that type, about that object: one that came already, or the next. Raises EventNotSeen.

        With `count` the one that came as the so-manieth: 2 waits for a repetition.
        """
        ends_at = time.monotonic() + timeout_s
        with self._news:
            while True:
                found = [e for e in self._events if e.type == type and object_id in (None, e.object.id)]
                if len(found) >= count:
                    return found[count - 1]
                left_s = ends_at - time.monotonic()
                if left_s <= 0:
                    came = [f"{e.type} of {e.object.id}" for e in self._events][-_SHOWN:]
                    about = "" if object_id is None else f" of {object_id}"
                    raise EventNotSeen(
                        f"{type}{about} came {len(found)} times in {timeout_s:g} s, not {count}."
                        f" What came: {came or 'nothing'}. Refused: {self.refused[-_SHOWN:] or 'nothing'}"
                    )
                self._news.wait(left_s)

    def start(self) -> None:
        """Returns when the platform has probed us and sends events."""
        self._thread.start()
        made = self._client.webhooks.create(url=self.url, name="webhook_catcher", signing_secret=self._secret)
        self._webhook_id = made.id
        ends_at = time.monotonic() + ACTIVE_TIMEOUT_S
        while made.status != "active":
            if time.monotonic() > ends_at or made.status != "verifying":
                raise RuntimeError(f"The webhook is {made.status} ({made.status_reason}), not active")
            time.sleep(_POLL_S)
            made = self._client.webhooks.get(webhook_id=made.id)

    def stop(self) -> None:
        """The webhook is deleted first, so that nothing is sent to a port that is somebody else's by then."""
        webhook_id, self._webhook_id = self._webhook_id, None
        try:
            if webhook_id is not None:
                self._client.webhooks.delete(webhook_id=webhook_id)
        except errors.NotFound:
            pass  # the test did it
        finally:
            if self._thread.is_alive():
                self._server.shutdown()
            self._server.server_close()

    def receive(self, body: bytes, headers: dict[str, str]) -> int:
        """One POST; the status to answer."""
        if body == b"{}":
            return 200  # the probe
        try:
            event = verify_webhook(body, headers, secret=self._secret)
        except errors.SignatureInvalid as fault:
            with self._news:
                if len(self.refused) < EVENTS_MAX:
                    self.refused.append(str(fault))
            return 401
        with self._news:
            if len(self._events) >= EVENTS_MAX:
                return 503
            self._events.append(event)
            self._news.notify_all()
        return 200


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], catcher: WebhookCatcher) -> None:
        super().__init__(address, _Handler)
        self.catcher = catcher


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0  # as long as the platform waits for an answer

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_MAX_BYTES:
            status = 413
        else:
            status = self.server.catcher.receive(self.rfile.read(int(length)), dict(self.headers.items()))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: stderr is the tests'."""
