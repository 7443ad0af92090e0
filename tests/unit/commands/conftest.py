"""The program against the session's platform, as people run it: with the credentials of its data folder."""

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from tests import footage
from tests.running_platform import RunningPlatform

from fastpix import cli

# Loading certificates is most of making a client, and nothing here speaks TLS.
TLS = ssl.create_default_context()
SUBTITLES = b"WEBVTT\n\n00:00.000 --> 00:02.000\nHello\n"


class Program:
    """`fastpix` in this process. It remembers which commands were run."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.seen: set[str] = set()

    def __call__(self, *args: str, code: int = 0, stdin: str | None = None, **environ: str) -> Result:
        self.seen.add(" ".join(_path(args)))
        result = CliRunner(env={**self.environ, **environ}).invoke(cli.main, args, input=stdin)
        assert result.exit_code == code, (args, result.output, result.exception)
        return result

    def json(self, *args: str, **environ: str) -> Any:
        return json.loads(self(*args, "--json", **environ).stdout)


def _path(args: tuple[str, ...]) -> list[str]:
    """The words that name the command."""
    command: click.Command = cli.main
    named = []
    for word in args:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        if found is None:
            break
        named.append(word)
        command = found
    return named


class Neighbour(http.server.ThreadingHTTPServer):
    """A server of somebody else: it has a film and subtitles, and takes webhooks."""

    def __init__(self) -> None:
        self.arrived: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Neighbour

    def do_GET(self) -> None:
        content = SUBTITLES if self.path.endswith(".vtt") else footage.make("plain").read_bytes()
        self._answer(content)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.arrived.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self._answer(b"{}")

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the terminal of the tests."""


@pytest.fixture(scope="module")
def neighbour() -> Iterator[Neighbour]:
    server = Neighbour()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def program(platform: RunningPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("httpx._transports.default.create_ssl_context", lambda **_given: TLS)
    for name in ("FASTPIX_USERNAME", "FASTPIX_PASSWORD", "FASTPIX_BASE_URL", "FASTPIX_PUBLIC_URL", "FASTPIX_HOST"):
        monkeypatch.delenv(name, raising=False)
    return Program(
        {
            "FASTPIX_DATA_DIR": str(platform.data_dir),
            "FASTPIX_HTTP_PORT": str(platform.port),
            "FASTPIX_RTMP_PORT": str(platform.rtmp_port),
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
    )


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stdout is a terminal of 80 columns."""
    from fastpix.commands import screen

    monkeypatch.setattr(screen, "of", lambda stream=None: screen.Screen(is_terminal=True, columns=80))
