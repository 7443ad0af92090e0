"""One POST to a receiver: what came of it, as a value.

Invariants: only public addresses are dialled (base/guard.py), and redirects are not followed; the whole exchange ends
within TIMEOUT_S, however slowly the other side speaks; no byte of the answer's body is read; each POST has a
connection of its own, because a kept one that the receiver has just closed would look like a failure of the receiver.
"""

import ssl

import aiohttp

from fastpix_server.base import clock
from fastpix_server.base.guard import AddressPolicy, open_client, refused_address
from fastpix_server.webhooks.model import Attempt
from fastpix_server.webhooks.names import ThreadPerName

TIMEOUT_S = 10.0  # contract section 4
NOT_PUBLIC = "address is not public"
_AGENT = "fastpix-webhooks"


class Post:
    """The way out, one per process."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._names = ThreadPerName()

    async def send(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> Attempt:
        """Never raises for what the other side does."""
        begun = clock.now()
        sent = {"Content-Type": "application/json", "User-Agent": _AGENT, **(headers or {})}
        try:
            async with (
                open_client(self._policy, total_timeout_s=TIMEOUT_S, resolver=self._names) as client,
                client.post(url, data=body, headers=sent, allow_redirects=False) as answer,
            ):
                return Attempt(begun, status=answer.status)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as fault:
            return Attempt(begun, error=_word_for(fault))


def _word_for(fault: BaseException) -> str:
    """Stable, for people and programs; no word holds an address, which may be one of our inside."""
    if refused_address(fault) is not None:
        return NOT_PUBLIC
    if isinstance(fault, TimeoutError):
        return "timeout"
    if isinstance(fault, aiohttp.ClientConnectorDNSError):
        return "name has no address"
    if isinstance(fault, aiohttp.ClientSSLError | ssl.SSLError):
        return "tls failed"
    if isinstance(fault, aiohttp.ClientConnectorError | ConnectionRefusedError):
        return "connection failed"
    if isinstance(fault, aiohttp.InvalidURL | ValueError):
        return "url is not valid"
    return "no valid answer"
