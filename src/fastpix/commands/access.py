"""Which server is asked, as whom.

Credentials are, in this order: the file of `--credentials`; FASTPIX_USERNAME and FASTPIX_PASSWORD; those of the
platform on this machine, `credentials.json` in its data folder (FASTPIX_DATA_DIR, else ./fastpix-data).

Invariants: credentials that were found in a folder, not named by the user, go to this machine alone: a folder from
elsewhere can neither send a password away nor name the server that files are sent to.
"""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import click

DATA_DIR = "fastpix-data"
HTTP_PORT = 8080
FILE_MAX_BYTES = 64 << 10


class Access(NamedTuple):
    """What the client is made with; None is what the client finds itself."""

    username: str | None
    password: str | None
    base_url: str | None


def find(base_url: str | None, credentials_file: str | None) -> Access:
    """A UsageError when the named file holds no credentials; a client without any says so itself."""
    base_url = base_url or os.environ.get("FASTPIX_BASE_URL")
    if credentials_file:
        username, password, known_url = _read(Path(credentials_file))
        return Access(username, password, base_url or known_url or _local_url())
    if os.environ.get("FASTPIX_USERNAME") or os.environ.get("FASTPIX_PASSWORD"):
        return Access(None, None, base_url)
    path = _local_file()
    if path.is_file() and (base_url is None or _is_here(base_url)):
        username, password, _elsewhere = _read(path)
        return Access(username, password, base_url or _local_url())
    return Access(None, None, base_url)


def base_url(given: str | None, credentials_file: str | None) -> str:
    """Which API would be asked, for commands that ask nothing and need no password."""
    from fastpix.asking import DEFAULT_BASE_URL

    return find(given, credentials_file).base_url or DEFAULT_BASE_URL


def port(kind: str, usual: int, base_url: str) -> int:
    """Where `http`, `rtmp`, `rtmps` or `srt` is listened for: as this environment says; else, on this machine, as
    `fastpix up` noted in its data folder; else as usual."""
    given = os.environ.get(f"FASTPIX_{kind.upper()}_PORT", "")
    if given.isascii() and given.isdigit():
        return int(given)
    if not _is_here(base_url):
        return usual
    try:
        with _local_file().open("rb") as file:
            noted = json.loads(file.read(FILE_MAX_BYTES))["ports"][kind]
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return usual
    return noted if type(noted) is int and 0 < noted < 65536 else usual


def _local_file() -> Path:
    return Path(os.environ.get("FASTPIX_DATA_DIR") or DATA_DIR) / "credentials.json"


def _local_url() -> str:
    """Where the platform of this machine answers."""
    url = os.environ.get("FASTPIX_PUBLIC_URL")
    if url and _is_here(url):
        return url
    host = os.environ.get("FASTPIX_HOST") or "127.0.0.1"
    if host in ("0.0.0.0", "::", "[::]"):  # noqa: S104 (compared, not bound: everywhere is here too)
        host = "127.0.0.1"
    return f"http://{host}:{port('http', HTTP_PORT, f'http://{host}')}/v1"


def _is_here(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(path: Path) -> tuple[str, str, str | None]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(FILE_MAX_BYTES))
    except (OSError, ValueError, RecursionError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is no JSON"
        raise click.UsageError(f"{path} cannot be read: {reason}") from None
    username, password, base_url = (
        (found.get(name) if isinstance(found, dict) else None) for name in ("username", "password", "baseUrl")
    )
    if not (isinstance(username, str) and isinstance(password, str) and username and password):
        raise click.UsageError(f"{path} holds no username and password")
    return username, password, base_url if isinstance(base_url, str) else None
