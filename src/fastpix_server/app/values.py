"""What the text of each kind of setting must look like, and what it becomes.

Invariant: a bad text is a ValueError with the end of a sentence that begins with the variable's name and says the
remedy; where a value may hold a secret it is not repeated.
"""

import ipaddress
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_USERNAME = re.compile(r"[!-9;-~]{1,255}")  # printable, no space, no colon: Basic auth splits at the first colon


def host(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", text) is None:
        raise ValueError(f"is {text!r}: give an address to listen on, such as 127.0.0.1 or 0.0.0.0, without a port.")
    return text


def base_url(text: str) -> str:
    remedy = f"is {text!r}: give a URL such as https://video.example.com, without query or fragment."
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError(remedy) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise ValueError(remedy)
    if parts.query or parts.fragment or "@" in parts.netloc or any(c.isspace() for c in text):
        raise ValueError(remedy)
    return text.rstrip("/")


def licence_url(text: str) -> str:
    # The value is not repeated: it may hold a password or a token.
    remedy = "must be a URL such as https://licences.example.com/widevine, without a fragment."
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError(remedy) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine or parts.fragment:
        raise ValueError(remedy)
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(remedy)
    return text


def header(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9-]{1,64}: ?[!-~]([ -~]{0,1022}[!-~])?", text) is None:
        raise ValueError("must be one header in one line, such as X-Licence-Secret: 8dd4...")
    return text


def database_url(text: str) -> str:
    # The value is not repeated: it may hold a password.
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql:// (PostgreSQL 15 or newer).")
    return text


def clickhouse_url(text: str) -> str:
    # The value is not repeated: it may hold a password.
    remedy = "must be a URL such as http://user:password@host:8123/database."
    try:
        parts = urlsplit(text)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(remedy) from None
    if not is_fine or parts.query or parts.fragment or re.fullmatch(r"/?|/[A-Za-z0-9_]{1,64}", parts.path) is None:
        raise ValueError(remedy)
    return text


def cluster(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) is None:
        raise ValueError(f"is {text!r}: give a cluster's name as the server's configuration has it.")
    return text


def readable_files(text: str) -> str:
    """One or more paths, separated by commas."""
    paths = [str(Path(part.strip()).expanduser().absolute()) for part in text.split(",") if part.strip()]
    for path in paths:
        if not os.access(path, os.R_OK) or not Path(path).is_file():
            raise ValueError(f"has {path!r}: give the path of an MMDB file that can be read.")
    return ",".join(paths)


def storage_url(text: str) -> str:
    if not text.startswith(("file:///", "s3://")):
        raise ValueError(f"is {text!r}: give file:///absolute/folder or s3://bucket/prefix.")
    return text


def networks(text: str) -> tuple[Network, ...]:
    networks = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(part))
        except ValueError:
            raise ValueError(f"has {part!r}: give networks such as 10.0.0.0/8, separated by commas.") from None
    return tuple(networks)


def addresses(text: str) -> tuple[str, ...]:
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(str(ipaddress.ip_address(part)))
        except ValueError:
            raise ValueError(f"has {part!r}: give IP addresses such as 203.0.113.7, separated by commas.") from None
    return tuple(found)


def file(text: str) -> str:
    path = Path(text).expanduser().absolute()
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise ValueError(f"is {text!r}: give the path of a PEM file that can be read.")
    return str(path)


def folder(text: str) -> str:
    path = Path(text).expanduser().absolute()
    if not (path.is_dir() and os.access(path, os.R_OK | os.W_OK)):
        raise ValueError(f"is {text!r}: give the path of a folder that can be read and written, or leave it unset.")
    return str(path)


def username(text: str) -> str:
    if _USERNAME.fullmatch(text) is None:
        raise ValueError("must be 1 to 255 printable characters without spaces or colons.")
    return text


def program(text: str) -> str:
    path = Path(text).expanduser().absolute()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise ValueError(f"is {text!r}: give the path of a program that can be run, or leave it unset.")
    return str(path)
