"""A real HTTP server that answers what a test told it to, in order, and remembers what it was asked."""

import dataclasses
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec


@dataclasses.dataclass(frozen=True)
class Answer:
    """`body` is sent as JSON unless it is bytes. With `break_after` the connection ends after so many bytes of it."""

    status: int = 200
    body: Any = dataclasses.field(default_factory=lambda: {"success": True})
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    break_after: int | None = None
    hold: threading.Event | None = None  # nothing is sent before it is set

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)


@dataclasses.dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Scripted:
    """`answers` are used up from the front; with none left, `otherwise` answers."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.otherwise: Callable[[Asked], Answer] = lambda asked: Answer()
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def script(self, *answers: Answer) -> None:
        """Forgets what was asked, and answers these next."""
        self.asked.clear()
        self.answers = list(answers)

    def take(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        return self.answers.pop(0) if self.answers else self.otherwise(asked)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(scripted: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = scripted.take(Asked(self.command, parts.path, parse_qsl(parts.query), headers, body))
            if answer.hold is not None:
                answer.hold.wait(60)
            content = answer.content
            head = [f"HTTP/1.1 {answer.status} Scripted"]
            named = {"Content-Type": "application/json", "Content-Length": str(len(content)), **answer.headers}
            head += [f"{name}: {value}" for name, value in named.items()]
            sent = content if answer.break_after is None else content[: answer.break_after]
            try:
                self.wfile.write("\r\n".join([*head, "", ""]).encode() + sent)
            except OSError:
                self.close_connection = True  # the client did not wait
            if answer.break_after is not None:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
