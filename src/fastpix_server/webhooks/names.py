"""Name resolution in threads of our own: a receiver whose name server is silent holds up nobody else.

The threads of the event loop are few and shared with every file and lookup of the process, and a lookup cannot be
taken back: one that hangs keeps its thread for as long as the C library waits. So each lookup has a thread, and their
number is bounded here. They are daemons: a hanging one does not hold up the end of the process either.
"""

import asyncio
import contextlib
import socket
import threading

from aiohttp.abc import AbstractResolver, ResolveResult

# The couriers' places are fewer; the rest are lookups whose delivery has stopped waiting.
LOOKUPS_MAX = 512


class ThreadPerName(AbstractResolver):
    """One per process, for any number of clients."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(LOOKUPS_MAX)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError for a name without an address, and when LOOKUPS_MAX are under way."""
        if not self._free.acquire(blocking=False):
            raise OSError("too many names are being looked up")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def settle(found: list[ResolveResult] | OSError) -> None:
            if answer.done():  # nobody waits any more
                return
            if isinstance(found, OSError):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def look() -> None:
            found: list[ResolveResult] | OSError
            try:
                found = _addresses(host, port, family)
            except OSError as fault:
                found = fault
            except UnicodeError:
                found = OSError("the name is no host name")
            finally:
                self._free.release()
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, found)

        threading.Thread(target=look, name="webhook-name", daemon=True).start()
        return await answer

    async def close(self) -> None:
        """Clients close what they were given; this is shared."""


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host,
            host=str(address[0]),
            port=int(address[1]),
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, address in found
        if kind in (socket.AF_INET, socket.AF_INET6)
        and not (kind == socket.AF_INET6 and len(address) > 3 and address[3])
    ]
