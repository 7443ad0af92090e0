"""The operator's own licence servers, for systems whose keys only a licensee of the vendor may hand out.

Invariants: bytes pass both ways unchanged and bounded; the viewer's token, address, headers and query do not pass; no
redirect is followed. The addresses come from the operator's settings and may be private ones: the address guard, which
keeps users' URLs out of our network, does not apply to them.
"""

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Literal

import aiohttp

from fastpix_server.base import errors, log

System = Literal["widevine", "fairplay"]
What = Literal["license", "cert"]

_log = log.get(__name__)

# A Widevine licence has some 10 kB, a certificate 3 kB.
MAX_ANSWER_BYTES = 1 << 20
# A viewer waits in front of a black picture; a licence server that needs longer is down.
TOTAL_S = 15.0
# Exchanges in flight in one process: a licence server that hangs must not take all of it.
MAX_IN_FLIGHT = 200
NAMES: Mapping[System, str] = {"widevine": "Widevine", "fairplay": "FairPlay"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LicenceServers:
    """What the operator configured; an empty URL is none. `header` is (name, value), a secret between the two servers.

    `sends_keys`: the server is told the content key with every request, for one that keeps no keys of its own.
    `has_clearkey`: we hand out keys ourselves, to whoever has a token.
    """

    widevine_url: str = dataclasses.field(default="", repr=False)
    fairplay_url: str = dataclasses.field(default="", repr=False)
    fairplay_cert_url: str = dataclasses.field(default="", repr=False)
    header: tuple[str, str] | None = dataclasses.field(default=None, repr=False)
    sends_keys: bool = False
    has_clearkey: bool = True

    def url_of(self, system: System, what: What) -> str:
        """Raises BadState when there is none."""
        if what == "cert":
            url, variable = self.fairplay_cert_url, "FASTPIX_FAIRPLAY_CERT_URL"
        elif system == "fairplay":
            url, variable = self.fairplay_url, "FASTPIX_FAIRPLAY_LICENSE_URL"
        else:
            url, variable = self.widevine_url, "FASTPIX_WIDEVINE_LICENSE_URL"
        if not url:
            raise errors.BadState(
                f"No {NAMES[system]} licence server is configured here; whoever runs this server sets {variable}.",
                message="DRM system not configured",
            )
        return url

    @property
    def systems(self) -> list[str]:
        """What a player of ours may try, the strongest first."""
        return [
            *(["widevine"] if self.widevine_url else []),
            *(["fairplay"] if self.fairplay_url else []),
            *(["clearkey"] if self.has_clearkey else []),
        ]


@dataclasses.dataclass(frozen=True, slots=True)
class Licence:
    """What the licence server said: 2xx, or 4xx when it refused."""

    status: int
    body: bytes


class Exchanges:
    """Asks the configured servers, a bounded number of times at once."""

    def __init__(self, servers: LicenceServers) -> None:
        self._servers = servers
        self._in_flight = 0

    async def ask(self, url: str, body: bytes | None, about: Mapping[str, str]) -> Licence:
        """`body` None asks by GET. `about` are headers that say which video it is. Raises Unavailable."""
        if self._in_flight >= MAX_IN_FLIGHT:
            raise errors.Unavailable("Too many licences are asked for at once; try again in a moment.")
        self._in_flight += 1
        try:
            async with asyncio.timeout(TOTAL_S):
                return await self._exchange(url, body, about)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            _log.warning("licence_server_failed", error=type(error).__name__)
            raise errors.Unavailable("The licence server does not answer; try again in a moment.") from error
        finally:
            self._in_flight -= 1

    async def _exchange(self, url: str, body: bytes | None, about: Mapping[str, str]) -> Licence:
        headers = {**about, "Content-Type": "application/octet-stream", "Accept-Encoding": "identity"}
        if self._servers.header is not None:
            name, value = self._servers.header
            headers[name] = value
        # A session of its own for each: a viewer needs one licence, and no connection is left to close.
        async with (
            aiohttp.ClientSession(auto_decompress=False, trust_env=False) as client,
            client.request(
                "GET" if body is None else "POST", url, data=body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            if not 200 <= answer.status < 300 and not 400 <= answer.status < 500:
                raise ValueError(f"status {answer.status}")
            got = bytearray()
            async for piece in answer.content.iter_any():
                got += piece
                if len(got) > MAX_ANSWER_BYTES:
                    raise ValueError("the answer is too large")
            return Licence(answer.status, bytes(got))
