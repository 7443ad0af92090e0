"""SRT on one UDP port for all streams: publishers come in, pullers get a running broadcast as a transport stream.

Invariants: who a caller is, and its passphrase, are decided within the handshake from a table in memory; what is
refused is refused there, with a code. Everything else happens on the event loop: a thread only waits for the library
and hands over which sockets are ready. What is not read stays in the library's bounded buffers. Stream keys are never
logged.
"""

import asyncio
import collections
import dataclasses
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

from fastpix_server.base import log
from fastpix_server.ingest import libsrt, mpegts, ts_muxer
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.libsrt import SrtError, SrtUnavailable
from fastpix_server.ingest.model import Door, PublishRequest, Refused, Sample, Sink, SrtKey, SrtKeys, Track
from fastpix_server.ingest.pace import Pace

__all__ = ["Play", "SrtLimits", "SrtServer", "SrtUnavailable", "parse_stream_id"]

_log = log.get(__name__)

# Attaches a reader to the running broadcast of a stream and gives back what undoes it.
Play = Callable[[str, Sink], Awaitable[Callable[[], None] | Refused]]

_BACKLOG = 64
_WAIT_MS = 100  # how long the thread waits at most: it looks then whether it is to end
_REST_S = 0.005  # between two looks: one wake-up then serves all packets that came meanwhile
_MESSAGES_PER_TURN = 256  # of one socket, before the others have theirs: 340 kB
_HANDSHAKE_VERSION = 5  # the version that knows stream ids
_GOODBYE_S = 1.0  # for what lies in the send buffer of a puller when a broadcast ends

_CLOSE_S = 5.0  # for the door to answer while we close

# Reject codes (srt/access_control.h): those of HTTP, moved by 1000.
_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _BAD_MODE, _CONFLICT, _OVERLOAD = 1400, 1403, 1404, 1405, 1409, 1402
_CODES = {
    "unknown_key": _NOT_FOUND,
    "disabled": _FORBIDDEN,
    "already_publishing": _CONFLICT,
    "busy": _OVERLOAD,
    "unavailable": _OVERLOAD,
}


@dataclasses.dataclass(frozen=True, slots=True)
class SrtLimits:
    """What one server allows its peers."""

    connections: int = 256  # each may hold 12 MB in the library's buffers
    connections_per_address: int = 64
    publish_s: float = 10.0  # from the handshake to the first sample
    idle_s: float = 20.0  # without a sample
    stuck_s: float = 5.0  # a puller whose buffer is full for so long is dropped
    latency_ms: int = 120  # for retransmission; the larger of ours and the caller's counts
    lead_s: float = 5.0  # see pace.py


def parse_stream_id(raw: bytes) -> tuple[str, str]:
    """What the caller names, and what for (`publish`, `request` or empty when it does not say).

    Three forms: the name alone; `publish:name` or `play:name` as other servers have them; and
    `#!::r=name,m=publish` (SRT access control guidelines, where `u=` may stand for a missing `r=`).
    """
    text = raw.decode("utf-8", "replace")
    if text.startswith("#!::"):
        pairs = dict(pair.split("=", 1) for pair in text[4:].split(",") if "=" in pair)
        return pairs.get("r") or pairs.get("u", ""), pairs.get("m", "")
    for prefix, mode in (("publish", "publish"), ("play", "request"), ("read", "request")):
        if text[len(prefix) : len(prefix) + 1] in (":", "/") and text.startswith(prefix):
            return text[len(prefix) + 1 :], mode
    return text, ""


class _Connection(Protocol):
    """What the server needs of a connection of either direction."""

    address: str

    def on_ready(self, events: int) -> None: ...

    def on_tick(self, now_s: float) -> None: ...

    def end(self, reason: str) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class _Pending:
    """A caller that was let in by the handshake and has not been accepted yet."""

    key: SrtKey
    address: str


class SrtServer:
    """Listens on one port. `keys` is asked from a thread of the library's."""

    def __init__(self, door: Door, keys: SrtKeys, play: Play, limits: SrtLimits | None = None) -> None:
        self._door = door
        self._keys = keys
        self._play = play
        self.limits = limits or SrtLimits()
        self.refused_handshakes = 0
        self._listener: int | None = None
        self._epoll = -1
        self._pending: dict[int, _Pending] = {}  # shared with the library's thread: single dict operations only
        self._connections: dict[int, _Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._handled = threading.Event()
        self._is_closing = False
        self._thread: threading.Thread | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens and gives the port back. SrtUnavailable without the library, OSError when the port is taken."""
        self.library = library = libsrt.load()
        self.loop = asyncio.get_running_loop()
        found = await self.loop.getaddrinfo(host, port)
        listener = library.open_socket()
        try:
            library.set_flag(listener, libsrt.RCVLATENCY, self.limits.latency_ms)
            bound = library.bind(listener, str(found[0][4][0]), port)
            library.listen(listener, _BACKLOG, self._judge)
        except SrtError:
            library.close(listener)
            raise
        self._listener = listener
        self._epoll = library.open_epoll()
        library.watch(self._epoll, listener, libsrt.EPOLL_IN)
        self._thread = threading.Thread(target=self._wait_for_sockets, name="srt", daemon=True)
        self._thread.start()
        self._ticking = asyncio.create_task(self._tick())
        return bound

    async def close(self) -> None:
        """Stops listening and ends every connection; sinks have heard `on_end` when it returns."""
        self._is_closing = True
        if self._listener is None:
            return
        self.library.close(self._listener)
        for connection in list(self._connections.values()):
            connection.end("shutdown")
        self._ticking.cancel()
        if self._tasks:  # questions to the door: what it lets in hears of its end
            await asyncio.wait(list(self._tasks), timeout=_CLOSE_S)
        for task in list(self._tasks):
            task.cancel()
        self._handled.set()
        if self._thread:
            await asyncio.to_thread(self._thread.join)
        self.library.close_epoll(self._epoll)
        self._listener = None

    @property
    def connections(self) -> int:
        return len(self._connections)

    # -- in the library's thread

    def _judge(self, sock: int, version: int, address: str, stream_id: bytes) -> int:
        """Within the handshake: 0, or a reject code. Asks memory only."""
        try:
            code = self._refusal(sock, version, address, stream_id)
        except Exception as e:  # whatever it is, the library cannot carry it
            code = _BAD_REQUEST if isinstance(e, SrtError) else _OVERLOAD
        if code:
            self.refused_handshakes += 1
        return code

    def _refusal(self, sock: int, version: int, address: str, stream_id: bytes) -> int:
        if version < _HANDSHAKE_VERSION:
            return _BAD_REQUEST
        name, mode = parse_stream_id(stream_id)
        found = self._keys.find(name) if name else Refused("unknown_key")
        if isinstance(found, Refused):
            return _CODES[found.reason]
        if mode not in ("", "publish" if found.mode == "publish" else "request"):
            return _BAD_MODE
        addresses = [one.address for one in list(self._connections.values())]
        addresses += [one.address for one in list(self._pending.values())]
        if len(addresses) >= self.limits.connections:
            return _OVERLOAD
        if addresses.count(address) >= self.limits.connections_per_address:
            return _OVERLOAD
        if found.mode == "publish" and self._is_publishing(found.stream_key):
            return _CONFLICT
        if found.passphrase:
            self.library.set_flag(sock, libsrt.ENFORCED_ENCRYPTION, True)
            self.library.set_flag(sock, libsrt.PASSPHRASE, found.passphrase.encode())
        self._pending[sock] = _Pending(found, address)
        return 0

    def _is_publishing(self, stream_key: str) -> bool:
        running = (one.key for one in list(self._connections.values()) if isinstance(one, _Publisher))
        coming = (one.key for sock, one in list(self._pending.items()) if self.library.state(sock) < libsrt.BROKEN)
        return any(key.mode == "publish" and key.stream_key == stream_key for key in (*running, *coming))

    # -- in our own thread

    def _wait_for_sockets(self) -> None:
        while not self._is_closing:
            ready = list(self.library.wait(self._epoll, _WAIT_MS))
            if not ready:
                continue
            self._handled.clear()
            try:
                self.loop.call_soon_threadsafe(self._handle, ready)
            except RuntimeError:  # the loop is closed: the process ends
                return
            while not self._handled.wait(1.0) and not self._is_closing:
                pass  # the loop is busy; asking again would only queue up the same
            time.sleep(_REST_S)

    # -- on the event loop

    def _handle(self, ready: list[tuple[int, int]]) -> None:
        try:
            for sock, events in ready:
                connection = self._connections.get(sock)
                if sock == self._listener:
                    self._accept()
                elif connection is not None:
                    self._serve(connection, events)
                else:
                    self.library.unwatch(self._epoll, sock)
        finally:
            self._handled.set()

    def _serve(self, connection: _Connection, events: int) -> None:
        """A sink that fails, or a mistake of ours, costs the connection that met it and no other."""
        try:
            connection.on_ready(events)
        except Exception:
            _log.exception("srt_connection_failed", peer=connection.address)
            connection.end("failed")

    def _accept(self) -> None:
        """One; when more wait, the library says so again."""
        accepted = None if self._is_closing or self._listener is None else self.library.accept(self._listener)
        if accepted is None:
            return
        sock, address = accepted
        pending = self._pending.pop(sock, None)
        if pending is None:
            self.library.close(sock)
        elif pending.key.mode == "publish":
            publisher = self._connections[sock] = _Publisher(self, sock, address, pending.key)
            self.spawn(publisher.ask(self._door))
        else:
            puller = self._connections[sock] = _Puller(self, sock, address)
            self.watch(sock, libsrt.EPOLL_ERR)
            self.spawn(puller.ask(self._play, pending.key.stream_key))

    async def _tick(self) -> None:
        """Deadlines, and callers whose handshake failed after we had let them in (a wrong passphrase)."""
        while True:
            await asyncio.sleep(0.5)
            now_s = self.loop.time()
            for connection in list(self._connections.values()):
                connection.on_tick(now_s)
            for sock in list(self._pending):
                if self.library.state(sock) >= libsrt.BROKEN:
                    self._pending.pop(sock, None)

    def watch(self, sock: int, events: int) -> None:
        self.library.watch(self._epoll, sock, events)

    def unwatch(self, sock: int) -> None:
        self.library.unwatch(self._epoll, sock)

    def release(self, sock: int) -> None:
        if self._connections.pop(sock, None) is not None:
            self.unwatch(sock)
            self.library.close(sock)

    def spawn(self, coroutine: collections.abc.Coroutine[object, object, None]) -> None:
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Publisher:
    """A caller that sends. Also the `Publisher` that the door is shown."""

    has_keys_on_demand = False

    def __init__(self, server: SrtServer, sock: int, address: str, key: SrtKey) -> None:
        self.key = key
        self.address = address
        self._server = server
        self._sock = sock
        self._demuxer = mpegts.Demuxer()
        self._pace = Pace(server.limits.lead_s)
        self._sink: Sink | None = None
        self._is_over = False
        self._received = 0
        self._has_sample = False
        self._last_s = server.loop.time()
        self._stats: dict[str, float] = {}

    def ask_for_key_frame(self) -> None:
        pass

    def kick(self, reason: str) -> None:
        self._server.loop.call_soon(self.end, reason)

    def stats(self) -> Mapping[str, float]:
        if not self._is_over:  # the library knows nothing of a connection that is broken: what was last is kept
            self._stats = self._server.library.stats(self._sock) or self._stats
        return {"received_bytes": float(self._received), **self._stats}

    async def ask(self, door: Door) -> None:
        """Asks the door; what the caller sends meanwhile waits in the library."""
        request = PublishRequest("srt", self.key.stream_key, self.address, bool(self.key.passphrase))
        try:
            answer = await door(request, self)
        except Exception:
            _log.exception("srt_door_failed", peer=self.address)
            answer = Refused("unavailable")
        if isinstance(answer, Refused):
            _log.info("publish_refused", protocol="srt", peer=self.address, reason=answer.reason)
            self.end(answer.reason)
            return
        if self._is_over:
            answer.on_end("gone")
            return
        self._sink = answer
        self._last_s = self._server.loop.time()
        _log.info("publish_began", protocol="srt", peer=self.address)
        self._server.watch(self._sock, libsrt.EPOLL_IN | libsrt.EPOLL_ERR)

    def on_ready(self, events: int) -> None:
        messages: list[bytes] = []
        is_gone = False
        try:
            while len(messages) < _MESSAGES_PER_TURN:
                message = self._server.library.receive(self._sock)
                if message is None:
                    break
                messages.append(message)
        except SrtError:
            is_gone = True
        data = b"".join(messages)
        self._received += len(data)
        try:
            self._deliver(self._demuxer.feed(data))
        except Malformed as e:
            _log.info("srt_peer_dropped", peer=self.address, reason=str(e))
            self.end("malformed")
            return
        if is_gone or (events & libsrt.EPOLL_ERR and not messages):
            self._deliver(self._demuxer.flush())
            self.end("eof")

    def on_tick(self, now_s: float) -> None:
        limits = self._server.limits
        self.stats()
        if now_s - self._last_s > (limits.idle_s if self._has_sample else limits.publish_s):
            self.end("idle" if self._has_sample else "publish timeout")

    def end(self, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._server.release(self._sock)
        sink, self._sink = self._sink, None
        # What was no transport stream is called so, however little of it came before the caller or our patience went.
        if self._demuxer.skipped_bytes and not self._has_sample:
            reason = "malformed"
        if sink is not None:
            _log.info("publish_ended", protocol="srt", peer=self.address, reason=reason)
            sink.on_end(reason)

    def _deliver(self, found: list[Track | Sample]) -> None:
        if self._sink is None or not found:
            return
        now_s = self._server.loop.time()
        wait_s = 0.0
        for one in found:
            if isinstance(one, Track):
                self._sink.on_track(one)
                if self._demuxer.ignored_types:
                    _log.info("srt_streams_ignored", peer=self.address, types=sorted(self._demuxer.ignored_types))
                continue
            self._has_sample = True
            self._last_s = now_s
            self._sink.on_sample(one)
            wait_s = self._pace.wait_s(one.dts, len(one.data), now_s)
        if wait_s > 0:
            self._server.unwatch(self._sock)
            self._server.loop.call_later(wait_s, self._go_on)

    def _go_on(self) -> None:
        if not self._is_over:
            self._server.watch(self._sock, libsrt.EPOLL_IN | libsrt.EPOLL_ERR)


class _Puller:
    """A caller that receives: a reader of the broadcast, whose bounded queue is the library's send buffer."""

    def __init__(self, server: SrtServer, sock: int, address: str) -> None:
        self.address = address
        self.dropped_samples = 0
        self._server = server
        self._sock = sock
        self._muxer = ts_muxer.Muxer()
        self._undo: Callable[[], None] | None = None
        self._is_over = False
        self._is_dropping = False  # until the next key frame
        self._has_video = False
        self._stuck_since_s: float | None = None

    async def ask(self, play: Play, stream_id: str) -> None:
        try:
            answer = await play(stream_id, self)
        except Exception:
            _log.exception("srt_play_failed", peer=self.address)
            answer = Refused("unavailable")
        if isinstance(answer, Refused):
            self.end(answer.reason)
            return
        if self._is_over:
            answer()
            return
        self._undo = answer

    # -- Sink

    def on_track(self, track: Track) -> None:
        self._has_video = self._has_video or track.kind == "video"
        with suppress(Malformed):
            self._muxer.track(track)

    def on_sample(self, sample: Sample) -> None:
        if self._is_over:
            return
        if self._is_dropping:
            if not sample.is_key or (self._has_video and sample.kind == "audio"):
                self.dropped_samples += 1
                return
            self._is_dropping = False
        data = self._muxer.sample(sample)
        try:
            for at in range(0, len(data), libsrt.MESSAGE_BYTES):
                if not self._server.library.send(self._sock, data[at : at + libsrt.MESSAGE_BYTES]):
                    self._is_dropping = True
                    self.dropped_samples += 1
                    self._stuck_since_s = self._stuck_since_s or self._server.loop.time()
                    return
            self._stuck_since_s = None
        except SrtError:
            self._server.loop.call_soon(self.end, "lost")

    def on_end(self, reason: str) -> None:
        self._undo = None
        self._server.loop.call_later(_GOODBYE_S, self.end, reason)

    # -- _Connection

    def on_ready(self, events: int) -> None:
        self.end("lost")

    def on_tick(self, now_s: float) -> None:
        if self._stuck_since_s is not None and now_s - self._stuck_since_s > self._server.limits.stuck_s:
            self.end("too slow")

    def end(self, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        _log.info("pull_ended", peer=self.address, reason=reason, dropped_samples=self.dropped_samples)
        self._server.release(self._sock)
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()
