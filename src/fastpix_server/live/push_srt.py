"""A push by SRT: a transport stream to a listener.

Invariants: what a target gets begins with tables and a key frame; the library's send buffer is the only one beside the
push's queue, and what is too late in it the library drops itself, as SRT does. Nothing here blocks the event loop: a
socket that connects or is full is looked at again a little later. Why so: docs/decisions/0055-simulcast-by-srt.md.
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence

from fastpix_server.base.guard import AddressPolicy
from fastpix_server.ingest import libsrt, ts_muxer
from fastpix_server.ingest.libsrt import SrtError, SrtUnavailable
from fastpix_server.ingest.model import Sample, Track
from fastpix_server.live.push_line import CONNECT_S, LATENCY_MS, Forward, PushFailed, SrtTarget, addresses

_STALL_S = 10.0  # without room for one more message
_FAREWELL_S = 1.0  # for what is in the send buffer at the end
_LATENCY_SLACK_S = 0.25  # for a receiver that is not quite on time
_LOOK_S = 0.02  # while it connects, or is full: 20 ms of 5 Mb/s are ten of the buffer's 8192 messages
_SYSTEM_CODES = 1000  # reject codes from here on are the target's own words: those of HTTP, moved by 1000


class SrtLine:
    def __init__(self, target: SrtTarget, policy: AddressPolicy) -> None:
        self._target, self._policy = target, policy
        self._muxer = ts_muxer.Muxer()
        self._clock = Forward()
        self._has_begun = False
        self._sock: int | None = None

    async def open(self) -> None:
        try:
            self._library = libsrt.load()
        except SrtUnavailable:
            raise PushFailed("libsrt is not installed here") from None
        target = self._target
        failure = PushFailed("the target does not answer")
        for _, address in await addresses(target.host, target.port, socket.SOCK_DGRAM, self._policy):
            try:
                return await self._connect(address)
            except PushFailed as fault:
                failure = fault
                self._drop()
        raise failure

    async def _connect(self, address: str) -> None:
        library, target = self._library, self._target
        sock = self._sock = library.open_socket()
        library.set_flag(sock, libsrt.CONNTIMEO, int(CONNECT_S * 1000))
        library.set_flag(sock, libsrt.LATENCY, target.latency_ms)
        if target.stream_id:
            library.set_flag(sock, libsrt.STREAMID, target.stream_id.encode())
        if target.passphrase:
            library.set_flag(sock, libsrt.PASSPHRASE, target.passphrase.encode())
        library.connect(sock, address, target.port)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + 2 * CONNECT_S  # the library's own limit comes first
        while (state := library.state(sock)) < libsrt.CONNECTED and loop.time() < end_s:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        if state != libsrt.CONNECTED:
            raise PushFailed(self._why(sock))

    def _why(self, sock: int) -> str:
        code = self._library.reject_code(sock)
        if code == libsrt.REJECT_UNKNOWN or code == libsrt.REJECT_TIMEOUT:
            return "the target does not answer"
        if code >= _SYSTEM_CODES:
            return f"the target refuses: {code % _SYSTEM_CODES}"
        return f"the target refuses: {self._library.why_rejected(sock)}"

    def check(self) -> None:
        if self._sock is None or self._library.state(self._sock) != libsrt.CONNECTED:
            raise PushFailed("the target closed the connection")

    async def send(self, items: Sequence[Track | Sample], tracks: Mapping[str, Track]) -> int:
        data = b"".join([self._written(item, tracks) for item in items])
        loop = asyncio.get_running_loop()
        for at in range(0, len(data), libsrt.MESSAGE_BYTES):
            message = data[at : at + libsrt.MESSAGE_BYTES]
            end_s = loop.time() + _STALL_S
            while not self._sent(message):
                if loop.time() > end_s:
                    raise PushFailed("the target does not read")
                await asyncio.sleep(_LOOK_S)
        return len(data)

    def _sent(self, message: bytes) -> bool:
        assert self._sock is not None
        try:
            return self._library.send(self._sock, message)
        except SrtError:
            raise PushFailed("the target closed the connection") from None

    def _written(self, item: Track | Sample, tracks: Mapping[str, Track]) -> bytes:
        if isinstance(item, Track):
            if self._has_begun:
                self._take(item)
            return b""
        if not self._has_begun:
            self._has_begun = True
            for track in tracks.values():
                self._take(track)
        return self._muxer.sample(self._clock.place(item))

    def _take(self, track: Track) -> None:
        if not ts_muxer.can_carry(track):
            raise PushFailed(f"a transport stream cannot carry {track.codec}")
        self._muxer.track(track)

    async def close(self, *, is_over: bool) -> None:
        try:
            if is_over and self._sock is not None:
                await self._say_farewell(self._sock)
        finally:
            self._drop()

    async def _say_farewell(self, sock: int) -> None:
        """A receiver throws away what it has not shown yet when it hears of the end: it is given its latency."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + _FAREWELL_S
        while loop.time() < end_s and self._library.unsent_bytes(sock):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        if self._library.state(sock) == libsrt.CONNECTED:
            latency_s = self._library.number(sock, libsrt.PEERLATENCY) / 1000
            await asyncio.sleep(min(latency_s, LATENCY_MS[1] / 1000) + _LATENCY_SLACK_S)

    def _drop(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._library.close(sock)
