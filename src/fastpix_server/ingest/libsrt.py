"""libsrt, the reference implementation of SRT, called through ctypes: no compiler, no wheel, a library of the system.

Invariants: sockets do not block; every call that fails raises `SrtError` or says so in its value. Calls release the
interpreter's lock, as the library calls back (`listen`) from a thread of its own while it holds locks of its own.
Numbers are those of srt.h, which keeps them from 1.4 on. Why so: docs/decisions/0022-ingest.md.
"""

import atexit
import contextlib
import ctypes
import ctypes.util
import functools
import socket
import struct
from collections.abc import Callable, Iterator

NAMES = ("libsrt.so.1.5", "libsrt-gnutls.so.1.5", "libsrt-openssl.so.1.5", "libsrt.so.1.4", "libsrt-gnutls.so.1.4")

SNDSYN, RCVSYN, REUSEADDR, LATENCY, PASSPHRASE, CONNTIMEO, RCVLATENCY, PEERLATENCY = 1, 2, 15, 23, 26, 36, 43, 44
STREAMID, PAYLOADSIZE, ENFORCED_ENCRYPTION, PEER_IDLE = 46, 49, 53, 55
EPOLL_IN, EPOLL_OUT, EPOLL_ERR = 0x1, 0x4, 0x8
CONNECTED, BROKEN = 5, 6  # states; BROKEN and above are over
REJECT_UNKNOWN, REJECT_TIMEOUT = 0, 16  # reasons that are no word of the peer

MESSAGE_BYTES = 1316  # seven transport packets: what fits into one UDP datagram everywhere
MAX_MESSAGE_BYTES = 1456

_INVALID = -1
_WOULD_BLOCK_SEND, _WOULD_BLOCK_RECEIVE = 6001, 6002
_MAX_EVENTS = 256
_LOG_CRITICAL = 2  # errors of peers are not ours to print, and come back as values

ListenCallback = Callable[[int, int, str, bytes], int]  # socket, handshake version, address, stream id -> reject code


class SrtUnavailable(RuntimeError):
    """There is no libsrt here. The text says how to get it."""


class SrtError(OSError):
    """libsrt refused, with its own words."""


class _Event(ctypes.Structure):
    _fields_ = [("socket", ctypes.c_int), ("events", ctypes.c_int)]


class _Stats(ctypes.Structure):
    """The beginning of CBytePerfMon; the library writes more behind it than any version had when this was written."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("ms_time", "packets_sent", "packets_received")),
        *((name, ctypes.c_int) for name in ("send_lost", "receive_lost", "retransmitted")),
        *((name, ctypes.c_int) for name in ("acks_sent", "acks_received", "naks_sent", "naks_received")),
        ("send_duration", ctypes.c_int64),
        *((name, ctypes.c_int) for name in ("send_dropped", "receive_dropped", "undecrypted")),
        *((name, ctypes.c_uint64) for name in ("bytes_sent", "bytes_received", "bytes_lost", "bytes_retransmitted")),
        *((name, ctypes.c_uint64) for name in ("bytes_send_dropped", "bytes_receive_dropped", "bytes_undecrypted")),
        *((name, ctypes.c_int64) for name in ("local_sent", "local_received")),
        *((name, ctypes.c_int) for name in ("local_send_lost", "local_receive_lost", "local_retransmitted")),
        *((name, ctypes.c_int) for name in ("receive_retransmitted", "l_acks_sent", "l_acks_received")),
        *((name, ctypes.c_int) for name in ("l_naks_sent", "l_naks_received")),
        *((name, ctypes.c_double) for name in ("send_rate", "receive_rate")),
        ("l_send_duration", ctypes.c_int64),
        ("reorder_distance", ctypes.c_int),
        ("belated_time", ctypes.c_double),
        ("belated", ctypes.c_int64),
        *((name, ctypes.c_int) for name in ("l_send_dropped", "l_receive_dropped", "l_undecrypted")),
        *((name, ctypes.c_uint64) for name in ("l_bytes_sent", "l_bytes_received", "l_bytes_lost")),
        *((name, ctypes.c_uint64) for name in ("l_bytes_retransmitted", "l_bytes_send_dropped")),
        *((name, ctypes.c_uint64) for name in ("l_bytes_receive_dropped", "l_bytes_undecrypted")),
        ("send_period", ctypes.c_double),
        *((name, ctypes.c_int) for name in ("flow_window", "congestion_window", "flight_size")),
        ("rtt_ms", ctypes.c_double),
        ("room", ctypes.c_byte * 1024),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p
)


@functools.cache
def load() -> "Library":
    """The library, started. Raises SrtUnavailable."""
    found = (ctypes.util.find_library(name) for name in ("srt", "srt-gnutls", "srt-openssl"))
    for name in (*NAMES, *filter(None, found)):
        with contextlib.suppress(OSError, AttributeError):  # not there, or of another time
            return Library(ctypes.CDLL(name))
    raise SrtUnavailable(
        "SRT is off: libsrt 1.4 or newer is not installed. Debian and Ubuntu: apt install libsrt1.5-gnutls; "
        "Fedora: dnf install srt-libs; then start again."
    )


class Library:
    """The few calls that we need, in Python's terms. Sockets and epolls are numbers of the library's own."""

    def __init__(self, dll: ctypes.CDLL) -> None:
        self._dll = dll
        self._buffer = ctypes.create_string_buffer(MAX_MESSAGE_BYTES)
        self._callbacks: dict[int, object] = {}  # the library calls them: they must outlive their sockets
        dll.srt_getlasterror_str.restype = ctypes.c_char_p
        dll.srt_rejectreason_str.restype = ctypes.c_char_p
        dll.srt_setrejectreason.argtypes = [ctypes.c_int, ctypes.c_int]
        dll.srt_startup()
        dll.srt_setloglevel(_LOG_CRITICAL)
        atexit.register(dll.srt_cleanup)

    def open_socket(self) -> int:
        made = int(self._dll.srt_create_socket())
        if made == _INVALID:
            raise self._error()
        self.set_flag(made, RCVSYN, False)
        self.set_flag(made, SNDSYN, False)
        return made

    def set_flag(self, sock: int, option: int, value: bool | int | bytes) -> None:
        if isinstance(value, bytes):
            done = self._dll.srt_setsockflag(sock, option, value, len(value))
        else:
            boxed = ctypes.c_bool(value) if isinstance(value, bool) else ctypes.c_int(value)
            done = self._dll.srt_setsockflag(sock, option, ctypes.byref(boxed), ctypes.sizeof(boxed))
        if done < 0:
            raise self._error()

    def number(self, sock: int, option: int) -> int:
        """The value of an option; 0 when there is none (any more)."""
        value, size = ctypes.c_int(), ctypes.c_int(ctypes.sizeof(ctypes.c_int))
        self._dll.srt_getsockflag(sock, option, ctypes.byref(value), ctypes.byref(size))
        return value.value

    def bind(self, sock: int, host: str, port: int) -> int:
        """Binds and gives the port back."""
        packed = _pack_address(host, port)
        if self._dll.srt_bind(sock, packed, len(packed)) < 0:
            raise self._error()
        return self._address(self._dll.srt_getsockname, sock)[1]

    def listen(self, sock: int, backlog: int, callback: ListenCallback) -> None:
        """`callback` runs in the library's thread, must not block, and decides by its value: 0 lets the caller in."""

        def judge(_opaque: object, made: int, version: int, address: int, stream_id: bytes | None) -> int:
            code = callback(made, version, _unpack_address(ctypes.string_at(address, 28))[0], stream_id or b"")
            if code:
                self._dll.srt_setrejectreason(made, code)
            return -1 if code else 0

        self._callbacks[sock] = kept = _CALLBACK(judge)
        if self._dll.srt_listen_callback(sock, kept, None) < 0 or self._dll.srt_listen(sock, backlog) < 0:
            raise self._error()

    def accept(self, listener: int) -> tuple[int, str] | None:
        """A new connection and its address, or None when nobody waits, or the caller has gone again meanwhile."""
        address, size = ctypes.create_string_buffer(128), ctypes.c_int(128)
        made = int(self._dll.srt_accept(listener, address, ctypes.byref(size)))
        if made == _INVALID:
            return None
        try:
            self.set_flag(made, RCVSYN, False)
            self.set_flag(made, SNDSYN, False)
        except SrtError:
            self.close(made)
            return None
        return made, _unpack_address(address.raw)[0]

    def connect(self, sock: int, host: str, port: int) -> None:
        """Begins to connect; the state tells the rest."""
        packed = _pack_address(host, port)
        if self._dll.srt_connect(sock, packed, len(packed)) < 0:
            raise self._error()

    def receive(self, sock: int) -> bytes | None:
        """One message, None when none is there. SrtError when the connection is over."""
        size = self._dll.srt_recvmsg(sock, self._buffer, MAX_MESSAGE_BYTES)
        if size > 0:
            return ctypes.string_at(self._buffer, size)
        if size == 0 or self._dll.srt_getlasterror(None) == _WOULD_BLOCK_RECEIVE:
            return None
        raise self._error()

    def send(self, sock: int, data: bytes) -> bool:
        """False when there is no room. SrtError when the connection is over."""
        if self._dll.srt_sendmsg(sock, data, len(data), -1, True) >= 0:
            return True
        if self._dll.srt_getlasterror(None) == _WOULD_BLOCK_SEND:
            return False
        raise self._error()

    def close(self, sock: int) -> None:
        self._dll.srt_close(sock)
        self._callbacks.pop(sock, None)

    def state(self, sock: int) -> int:
        return int(self._dll.srt_getsockstate(sock))

    def why_rejected(self, sock: int) -> str:
        text = self._dll.srt_rejectreason_str(self._dll.srt_getrejectreason(sock))
        return bytes(text or b"rejected").decode(errors="replace")

    def reject_code(self, sock: int) -> int:
        """Why the handshake failed: the library's own reasons, or from 1000 on the peer's."""
        return int(self._dll.srt_getrejectreason(sock))

    def unsent_bytes(self, sock: int) -> int:
        """What the peer has not acknowledged; 0 for a connection that is over."""
        blocks, size = ctypes.c_size_t(), ctypes.c_size_t()
        done = self._dll.srt_getsndbuffer(sock, ctypes.byref(blocks), ctypes.byref(size))
        return int(size.value) if done >= 0 else 0

    def stats(self, sock: int) -> dict[str, float]:
        stats = _Stats()
        if self._dll.srt_bstats(sock, ctypes.byref(stats), 0) < 0:
            return {}
        return {
            "rtt_ms": float(stats.rtt_ms),
            "lost_packets": float(stats.receive_lost),
            "dropped_packets": float(stats.receive_dropped),
            "retransmitted_packets": float(stats.receive_retransmitted),
        }

    # -- epoll

    def open_epoll(self) -> int:
        return int(self._dll.srt_epoll_create())

    def watch(self, epoll: int, sock: int, events: int) -> None:
        self._dll.srt_epoll_add_usock(epoll, sock, ctypes.byref(ctypes.c_int(events)))

    def unwatch(self, epoll: int, sock: int) -> None:
        self._dll.srt_epoll_remove_usock(epoll, sock)

    def wait(self, epoll: int, timeout_ms: int) -> Iterator[tuple[int, int]]:
        """Sockets that are ready, with their events."""
        events = (_Event * _MAX_EVENTS)()
        count = self._dll.srt_epoll_uwait(epoll, events, _MAX_EVENTS, ctypes.c_int64(timeout_ms))
        return ((event.socket, event.events) for event in events[: max(0, min(count, _MAX_EVENTS))])

    def close_epoll(self, epoll: int) -> None:
        self._dll.srt_epoll_release(epoll)

    def _address(self, call: Callable[..., int], sock: int) -> tuple[str, int]:
        address, size = ctypes.create_string_buffer(128), ctypes.c_int(128)
        if call(sock, address, ctypes.byref(size)) < 0:
            raise self._error()
        return _unpack_address(address.raw)

    def _error(self) -> SrtError:
        return SrtError(bytes(self._dll.srt_getlasterror_str() or b"libsrt failed").decode(errors="replace"))


def _pack_address(host: str, port: int) -> bytes:
    """A sockaddr. `host` is numeric: who resolves names decides which addresses are allowed."""
    try:
        return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)
    except OSError:
        packed = socket.inet_pton(socket.AF_INET6, host)
    return struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", port, 0) + packed + bytes(4)


def _unpack_address(raw: bytes) -> tuple[str, int]:
    family, port = struct.unpack_from("=H", raw)[0], struct.unpack_from(">H", raw, 2)[0]
    if family == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), port
    return socket.inet_ntoa(raw[4:8]), port
