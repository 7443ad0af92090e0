"""RTMP and RTMPS on a port: sockets, deadlines and limits around the dialogue of rtmp.py.

Invariants: whatever a peer sends, or does not send, ends at most its own connection: it is dropped when it is slow,
silent, speaks nonsense or does not read, and it is held back when it sends faster than time passes. Connections are
counted from `accept` on, unfinished TLS handshakes included, in total and by address. Stream keys are never logged.
"""

import asyncio
import collections
import dataclasses
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from fastpix_server.base import log
from fastpix_server.ingest import flv, rtmp
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import Door, ProtocolName, PublishRequest, Refused, Sink, Track
from fastpix_server.ingest.pace import Pace

_log = log.get(__name__)

APP = "live"  # rtmp://host/live
_BACKLOG = 128
_MAX_UNREAD_BYTES = 256 << 10  # of our answers: a peer that does not read so many is of no use
_ACCEPT_PAUSE_S = 0.2  # after the system has run out of descriptors


@dataclasses.dataclass(frozen=True, slots=True)
class RtmpLimits:
    """What one server allows its peers."""

    connections: int = 512
    connections_per_address: int = 64  # a studio behind one address; more is an attack
    handshake_s: float = 5.0  # of TLS, and again of RTMP
    publish_s: float = 10.0  # from the handshake until we said yes
    idle_s: float = 20.0  # without sound or picture while publishing
    goodbye_s: float = 2.0  # for reading our last words
    lead_s: float = 5.0  # see pace.py


class RtmpServer:
    """Listens on one port for RTMP, or on another for RTMPS: `start` may be called for each."""

    def __init__(self, door: Door, limits: RtmpLimits | None = None) -> None:
        self._door = door
        self._limits = limits or RtmpLimits()
        self._listening: list[tuple[socket.socket, asyncio.Task[None]]] = []
        self._by_address: collections.Counter[str] = collections.Counter()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.refused_connections = 0  # by the caps

    @property
    def connections(self) -> int:
        return self._by_address.total()

    async def start(self, host: str, port: int, ssl_context: ssl.SSLContext | None = None) -> int:
        """Listens and gives the port back (of interest when it was 0). OSError when it is taken."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        listener.setblocking(False)
        task = asyncio.create_task(self._accept(listener, ssl_context))
        self._listening.append((listener, task))
        return int(listener.getsockname()[1])

    async def close(self) -> None:
        """Stops listening and ends every connection; sinks have heard `on_end` when it returns."""
        for listener, task in self._listening:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            listener.close()
        self._listening.clear()
        for connection in list(self._connections):
            connection.drop("shutdown")
        if self._tasks:  # TLS handshakes under way, and questions to the door
            await asyncio.wait(list(self._tasks), timeout=self._limits.handshake_s)
        for task in list(self._tasks):
            task.cancel()

    async def _accept(self, listener: socket.socket, ssl_context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, address = await loop.sock_accept(listener)
            except OSError as e:  # too many open files, or the peer is gone already
                _log.warning("rtmp_accept_failed", reason=str(e))
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            host = str(address[0])
            is_full = self.connections >= self._limits.connections
            if is_full or self._by_address[host] >= self._limits.connections_per_address:
                self.refused_connections += 1
                peer.close()
                continue
            self._by_address[host] += 1
            self.spawn(self._serve(peer, host, ssl_context))

    async def _serve(self, peer: socket.socket, host: str, ssl_context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        protocol: ProtocolName = "rtmps" if ssl_context else "rtmp"
        connection = _Connection(self, self._door, self._limits, protocol, host)
        self._connections.add(connection)
        try:
            timeout_s = self._limits.handshake_s if ssl_context else None
            await loop.connect_accepted_socket(
                lambda: connection, peer, ssl=ssl_context, ssl_handshake_timeout=timeout_s
            )
            await connection.over.wait()
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as e:
            _log.info("rtmp_tls_failed", peer=host, reason=type(e).__name__)
        finally:
            self._connections.discard(connection)
            self._by_address[host] -= 1
            if not self._by_address[host]:
                del self._by_address[host]

    def spawn(self, coroutine: collections.abc.Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Connection(asyncio.Protocol):
    """One peer. Also the `Publisher` of what it publishes."""

    has_keys_on_demand = False

    def __init__(
        self, server: RtmpServer, door: Door, limits: RtmpLimits, protocol: ProtocolName, address: str
    ) -> None:
        self.over = asyncio.Event()
        self._server = server
        self._door = door
        self._limits = limits
        self._protocol = protocol
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._session = rtmp.Session()
        self._demuxer = flv.Demuxer()
        self._pace = Pace(limits.lead_s)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._resume_timer: asyncio.TimerHandle | None = None
        self._sink: Sink | None = None
        self._reason = ""
        self._received = 0
        self._last_media_s = 0.0

    # -- Publisher

    def ask_for_key_frame(self) -> None:
        pass

    def kick(self, reason: str) -> None:
        self.drop(reason)

    def stats(self) -> Mapping[str, float]:
        return {"received_bytes": float(self._received)}

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked: the transports of uvloop are no subclasses of asyncio's.
        stream = self._transport = cast(asyncio.Transport, transport)
        if self._reason:  # dropped before it was there
            stream.abort()
        self._timer = self._loop.call_later(self._limits.handshake_s, self._check_handshake)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        try:
            self._advance(data)
        except Exception:  # of a sink, or a mistake of ours: it costs this connection only
            _log.exception("rtmp_connection_failed", peer=self._address)
            self.drop("failed")

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._resume_timer):
            if timer:
                timer.cancel()
        self._end(self._reason or ("lost" if exc else "eof"))
        self.over.set()

    # -- the dialogue

    def drop(self, reason: str) -> None:
        """Ends the connection now, without last words."""
        self._reason = self._reason or reason
        if self._transport and not self._transport.is_closing():
            self._transport.abort()

    def _advance(self, data: bytes) -> None:
        if self._reason:
            return
        was = self._session.stage
        try:
            self._handle(self._session.receive(data))
            self._flush()
        except Malformed as e:
            self._spoilt(e)
        if was == "handshake" and self._session.stage != "handshake" and self._timer and not self._reason:
            self._timer.cancel()
            self._timer = self._loop.call_later(self._limits.publish_s, self._check_publish)

    def _spoilt(self, error: Malformed) -> None:
        _log.info("rtmp_peer_dropped", peer=self._address, reason=str(error), publishing=self._sink is not None)
        self.drop("malformed")

    def _handle(self, events: list[rtmp.Event]) -> None:
        for event in events:
            if isinstance(event, rtmp.Media):
                self._deliver(event)
            elif isinstance(event, rtmp.PublishWanted):
                self._hold()
                self._server.spawn(self._ask(event))
            else:
                self._finish(event.reason)
            if self._reason:
                return

    def _deliver(self, media: rtmp.Media) -> None:
        if self._sink is None:
            return
        self._last_media_s = now_s = self._loop.time()
        for found in self._demuxer.feed(media.kind, media.timestamp_ms, media.body):
            if isinstance(found, Track):
                self._sink.on_track(found)
                continue
            self._sink.on_sample(found)
            wait_s = self._pace.wait_s(found.dts, len(found.data), now_s)
            if wait_s > 0:
                self._hold(wait_s)

    async def _ask(self, wanted: rtmp.PublishWanted) -> None:
        """Asks the door. The connection may be gone before the answer is there: then a sink hears of its end."""
        if wanted.app != APP or not wanted.stream_key:
            answer: Sink | Refused = Refused("unknown_key")
        else:
            request = PublishRequest(self._protocol, wanted.stream_key, self._address)
            try:
                answer = await self._door(request, self)
            except Exception:
                _log.exception("rtmp_door_failed", peer=self._address)
                answer = Refused("unavailable")
        is_gone = self._reason or self._transport is None or self._transport.is_closing()
        if isinstance(answer, Refused):
            if not is_gone:
                _log.info("publish_refused", protocol=self._protocol, peer=self._address, reason=answer.reason)
                self._session.refuse(answer)
                self._finish(answer.reason)
            return
        if is_gone:
            answer.on_end(self._reason or "gone")
            return
        self._begin(answer)

    def _begin(self, sink: Sink) -> None:
        self._sink = sink
        self._last_media_s = self._loop.time()
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.idle_s, self._check_idle)
        _log.info("publish_began", protocol=self._protocol, peer=self._address)
        try:
            self._handle(self._session.accept())
            self._flush()
        except Malformed as e:
            self._spoilt(e)
        if self._resume_timer is None:
            self._resume()

    def _finish(self, reason: str) -> None:
        """Last words, then the end; cut short when the peer does not read them. Who has unpublished hangs up itself:
        some report an error when we do it first."""
        self._flush()
        self._reason = self._reason or reason
        self._end(reason)
        assert self._transport is not None
        if reason != rtmp.UNPUBLISHED:
            self._transport.close()
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.goodbye_s, self._transport.abort)

    def _end(self, reason: str) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            _log.info("publish_ended", protocol=self._protocol, peer=self._address, reason=reason)
            sink.on_end(reason)

    def _flush(self) -> None:
        assert self._transport is not None
        data = self._session.to_send()
        if not data or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            self.drop("not reading")

    # -- holding back

    def _hold(self, wait_s: float | None = None) -> None:
        """Read nothing more: until the door has answered, or for a while."""
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.pause_reading()
        if self._resume_timer:
            self._resume_timer.cancel()
        self._resume_timer = None if wait_s is None else self._loop.call_later(wait_s, self._resume)

    def _resume(self) -> None:
        self._resume_timer = None
        self._last_media_s = self._loop.time()
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    # -- deadlines

    def _check_handshake(self) -> None:
        self.drop("handshake timeout")

    def _check_publish(self) -> None:
        self.drop("publish timeout")

    def _check_idle(self) -> None:
        idle_s = self._loop.time() - self._last_media_s
        if idle_s >= self._limits.idle_s and self._resume_timer is None:
            self.drop("idle")
            return
        self._timer = self._loop.call_later(max(0.1, self._limits.idle_s - idle_s), self._check_idle)
