"""A push by RTMP or RTMPS.

Invariant: what a target gets begins with sequence headers and a key frame. Why without ffmpeg:
docs/decisions/0023-simulcast.md.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress

from fastpix_server.base.guard import AddressPolicy
from fastpix_server.ingest import flv, rtmp_client
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import Sample, Track
from fastpix_server.live.push_line import CONNECT_S, Forward, PushFailed, RtmpTarget, addresses

_DIALOGUE_S = 10.0  # from the connection until the platform lets us publish
_STALL_S = 10.0  # without room for one more write
_WRITE_BUFFER_BYTES = 256 << 10
_READ_BYTES = 16 << 10


class RtmpLine:
    def __init__(self, target: RtmpTarget, policy: AddressPolicy, ssl_context: ssl.SSLContext | None = None) -> None:
        self._target, self._policy, self._ssl_context = target, policy, ssl_context
        self._client = rtmp_client.Client(app=target.app, tc_url=target.url, stream_key=target.stream_key)
        self._stream = _Outgoing(self._client)
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        reader, writer = await self._connect()
        self._writer = writer
        listening = self._listening = asyncio.create_task(_listen(self._client, reader, writer))
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        writer.write(self._client.to_send())
        loop = asyncio.get_running_loop()
        end_s = loop.time() + _DIALOGUE_S
        while self._client.stage not in ("publishing", "failed") and not listening.done():
            if loop.time() > end_s:
                raise PushFailed("the target does not answer")
            await asyncio.wait([listening], timeout=0.05)
        if self._client.stage != "publishing":
            raise PushFailed(self._client.reason or "the target ended the dialogue")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the first address that is allowed and answers. The socket goes to the address that was judged."""
        target, loop = self._target, asyncio.get_running_loop()
        failure: Exception = PushFailed("the target does not answer")
        for family, address in await addresses(target.host, target.port, socket.SOCK_STREAM, self._policy):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                async with asyncio.timeout(CONNECT_S):
                    await loop.sock_connect(sock, (address, target.port))
                    return await self._open(sock)
            except (OSError, TimeoutError) as e:
                sock.close()
                failure = PushFailed("the target does not answer") if isinstance(e, TimeoutError) else e
            except BaseException:
                sock.close()
                raise
        raise failure

    async def _open(self, sock: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        is_secure = self._target.scheme == "rtmps"
        return await asyncio.open_connection(
            sock=sock,
            limit=_READ_BYTES,
            ssl=(self._ssl_context or ssl.create_default_context()) if is_secure else None,
            server_hostname=self._target.host if is_secure else None,
        )

    def check(self) -> None:
        if self._listening is None or self._listening.done():
            raise PushFailed(self._client.reason or "the target closed the connection")

    async def send(self, items: Sequence[Track | Sample], tracks: Mapping[str, Track]) -> int:
        assert self._writer is not None
        data = b"".join([self._stream.written(item, tracks) for item in items])
        if data:
            self._writer.write(data)
            try:
                async with asyncio.timeout(_STALL_S):
                    await self._writer.drain()
            except TimeoutError:
                raise PushFailed("the target does not read") from None
        return len(data)

    async def close(self, *, is_over: bool) -> None:
        listening, writer = self._listening, self._writer
        if listening is not None:
            listening.cancel()
        if writer is not None:
            if is_over and self._client.stage == "publishing" and not writer.is_closing():
                writer.write(self._client.farewell())
            await _hang_up(writer)
        if listening is not None:
            with suppress(asyncio.CancelledError, Exception):
                await listening


class _Outgoing:
    """Samples as messages."""

    def __init__(self, client: rtmp_client.Client) -> None:
        self._client = client
        self._packer = flv.Packer()
        self._has_begun = False
        self._clock = Forward()

    def written(self, item: Track | Sample, tracks: Mapping[str, Track]) -> bytes:
        if isinstance(item, Track):
            return self._client.message(self._packer.track(item, self._clock.now)) if self._has_begun else b""
        before = b"" if self._has_begun else self._begin(tracks)
        return before + self._client.message(self._packer.sample(self._clock.place(item)))

    def _begin(self, tracks: Mapping[str, Track]) -> bytes:
        self._has_begun = True
        known = list(tracks.values())
        headers = (self._client.message(self._packer.track(track)) for track in known)
        return b"".join((self._client.begin(known), *headers))


async def _listen(client: rtmp_client.Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hears the target until it ends, errs or says nonsense; the task being done is the news."""
    with suppress(OSError, Malformed):
        while client.stage != "failed" and (data := await reader.read(_READ_BYTES)):
            client.receive(data)
            answer = client.to_send()
            if answer and not writer.is_closing():
                writer.write(answer)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Closes, waiting a little for what is still to be sent."""
    writer.close()
    try:
        async with asyncio.timeout(1.0):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
