"""What a push needs of a protocol: where it goes, one connection there, and a clock that only goes forward.

Invariants: a socket is opened only to an address that the policy allows, the very one that was judged: names are
resolved for each attempt, once. Stream keys and passphrases appear in no representation and in no error.
"""

import asyncio
import dataclasses
import socket
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from fastpix_server.base.guard import AddressPolicy
from fastpix_server.ingest.model import CLOCK_HZ, Sample, Track

CONNECT_S = 5.0  # for one address
MAX_ADDRESSES = 4  # of one name that are tried in one attempt
_JUMP = 10 * CLOCK_HZ  # a larger step is another clock: the publisher has reconnected
_PORTS = {"rtmp": 1935, "rtmps": 443}
_SRT_SETTINGS = frozenset({"streamid", "passphrase", "mode", "latency"})
PASSPHRASE_CHARS = (10, 79)  # libsrt
LATENCY_MS = (20, 8000)
MAX_STREAM_ID_CHARS = 512  # SRT access control guidelines
_SRT_LATENCY_MS = 250  # of lines across a continent; the larger of ours and the target's counts


class PushFailed(Exception):
    """This attempt is over. The text is for the operator."""


@dataclasses.dataclass(frozen=True, slots=True)
class RtmpTarget:
    """`rtmp(s)://host[:port]/app` and the stream key of that platform."""

    scheme: str
    host: str
    port: int
    app: str
    url: str
    stream_key: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class SrtTarget:
    """`srt://host:port`: we are the caller."""

    host: str
    port: int
    stream_id: str = dataclasses.field(repr=False)
    passphrase: str = dataclasses.field(repr=False)
    latency_ms: int


Target = RtmpTarget | SrtTarget


def parse(url: str, stream_key: str) -> Target:
    """Raises ValueError with the reason when nothing can be pushed there."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in ("rtmp", "rtmps", "srt"):
        raise ValueError("a target is an rtmp://, rtmps:// or srt:// address")
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError("a target names a host, and no user")
    if parts.port == 0 or parts.fragment:
        raise ValueError("a target has a port, and no fragment")
    if scheme == "srt":
        return _srt(parts.hostname, parts.port, parts.path, parts.query, stream_key)
    app = parts.path.strip("/") + (f"?{parts.query}" if parts.query else "")
    return RtmpTarget(scheme, parts.hostname, parts.port or _PORTS[scheme], app, url.rstrip("/"), stream_key)


def _srt(host: str, port: int | None, path: str, query: str, stream_key: str) -> SrtTarget:
    """The stream key is the stream id; a URL that names one, as encoders are given it, names the same."""
    if port is None:
        raise ValueError("an srt target names a port")
    if path not in ("", "/"):
        raise ValueError("an srt target has no path")
    pairs = parse_qsl(query, keep_blank_values=True)
    settings = dict(pairs)
    if len(settings) < len(pairs) or set(settings) - _SRT_SETTINGS:
        raise ValueError(f"an srt target has only {', '.join(sorted(_SRT_SETTINGS))}, each once")
    if settings.get("mode", "caller") != "caller":
        raise ValueError("an srt target listens: its mode is caller")
    passphrase = settings.get("passphrase", "")
    if passphrase and not PASSPHRASE_CHARS[0] <= len(passphrase.encode()) <= PASSPHRASE_CHARS[1]:
        raise ValueError("the passphrase of an srt target has 10 to 79 characters")
    latency = settings.get("latency", str(_SRT_LATENCY_MS))
    if not latency.isascii() or not latency.isdigit() or not LATENCY_MS[0] <= int(latency[:9]) <= LATENCY_MS[1]:
        raise ValueError(f"the latency of an srt target is {LATENCY_MS[0]} to {LATENCY_MS[1]} milliseconds")
    if settings.get("streamid", stream_key) != stream_key:
        raise ValueError("the streamid of an srt target is the stream key")
    if len(stream_key.encode()) > MAX_STREAM_ID_CHARS:
        raise ValueError(f"the stream id of an srt target has at most {MAX_STREAM_ID_CHARS} characters")
    return SrtTarget(host, port, stream_key, passphrase, int(latency))


class Line(Protocol):
    """One connection to a target. Everything but `close` raises PushFailed (or OSError) when it is over."""

    async def open(self) -> None:
        """Returns when the target takes what is sent."""

    def check(self) -> None:
        """Whether the target is still there."""

    async def send(self, items: Sequence[Track | Sample], tracks: Mapping[str, Track]) -> int:
        """Writes them, and waits until there is room for more; the bytes that it were. `tracks` are the newest."""

    async def close(self, *, is_over: bool) -> None:
        """`is_over`: the stream has ended, and the target is to know it."""


class Forward:
    """Samples of one or more clocks on one that only goes forward."""

    def __init__(self) -> None:
        self._shift = 0
        self._last: int | None = None  # of the publisher's clock

    @property
    def now(self) -> int | None:
        """Of the sample before."""
        return None if self._last is None else self._last + self._shift

    def place(self, sample: Sample) -> Sample:
        if self._last is not None and abs(sample.dts - self._last) > _JUMP:
            self._shift += self._last - sample.dts + CLOCK_HZ // 25  # one picture later
        self._last = sample.dts
        return dataclasses.replace(sample, dts=sample.dts + self._shift) if self._shift else sample


async def addresses(host: str, port: int, kind: socket.SocketKind, policy: AddressPolicy) -> list[tuple[int, str]]:
    """(family, address) of everything that may be dialled. Raises PushFailed when it is nothing."""
    try:
        async with asyncio.timeout(CONNECT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)
    except TimeoutError:
        raise PushFailed("the name of the target is not resolved in time") from None
    allowed = [(int(info[0]), str(info[4][0])) for info in found if policy.is_allowed(str(info[4][0]))]
    if not allowed:
        raise PushFailed("the address of the target is not a public one")
    return allowed[:MAX_ADDRESSES]
