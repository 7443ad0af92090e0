"""Simulcast: the publisher's own picture and sound, as they are, to one other platform by RTMP or RTMPS.

Invariants: a push is a reader with a queue of its own, bounded in media time; a target that is dead, slow or refuses
delays nobody and costs at most that queue. A socket is opened only to an address that the policy allows, the very one
that was judged: names are resolved for each attempt, once. What a target gets begins with sequence headers and a key
frame, and its clock never goes back. Stream keys appear in no log, no state and no error.
Why without ffmpeg: docs/decisions/0023-simulcast.md.
"""

import asyncio
import collections
import dataclasses
import random
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit

from fastpix_server.base import log
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.ingest import flv, rtmp_client
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import CLOCK_HZ, Sample, Track

_log = log.get(__name__)

PushState = Literal["starting", "broadcasting", "retrying", "stopped"]
OnState = Callable[[PushState, str], None]

QUEUE_S = 2.0  # of media; a target that is later than this loses pictures up to the next key frame
_MAX_QUEUE_BYTES = 32 << 20  # two seconds at 128 Mb/s: for times that stand still
_CONNECT_S = 5.0  # for one address
_DIALOGUE_S = 10.0  # from the connection until the platform lets us publish
_STALL_S = 10.0  # without room for one more write
_SILENCE_S = 10.0  # without a sample we end the publication: platforms do so after 10 to 30 s
_STEADY_S = 30.0  # of broadcasting: then a failure is a new one, and the back-off begins anew
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 30.0
_MAX_ADDRESSES = 4  # of one name that are tried in one attempt
_WRITE_BUFFER_BYTES = 256 << 10
_READ_BYTES = 16 << 10
_JUMP = 10 * CLOCK_HZ  # a larger step is another clock: the publisher has reconnected
_PORTS = {"rtmp": 1935, "rtmps": 443}


class PushFailed(Exception):
    """This attempt is over. The text is for the operator."""


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Where to push: `rtmp(s)://host[:port]/app` and the stream key of that platform."""

    scheme: str
    host: str
    port: int
    app: str
    url: str
    stream_key: str = dataclasses.field(repr=False)

    @classmethod
    def parse(cls, url: str, stream_key: str) -> "Target":
        """Raises ValueError with the reason when it cannot be an RTMP target."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS:
            raise ValueError("a target is an rtmp:// or rtmps:// address")
        if not parts.hostname or parts.username or parts.password:
            raise ValueError("a target names a host, and no user")
        app = parts.path.strip("/") + (f"?{parts.query}" if parts.query else "")
        tc_url = url.rstrip("/")
        return cls(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], app, tc_url, stream_key)


class Push:
    """A reader of one broadcast for one target. Runs from its making until `on_end` or `close`."""

    def __init__(
        self,
        target: Target,
        *,
        policy: AddressPolicy,
        on_state: OnState = lambda _state, _reason: None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.state: PushState = "stopped"
        self.dropped_samples = 0
        self.sent_samples = 0
        self.sent_bytes = 0
        self.attempts = 0
        self._target = target
        self._policy = policy
        self._on_state = on_state
        self._ssl_context = ssl_context
        self._queue = _Queue()
        self._tracks: dict[str, Track] = {}
        self._task = asyncio.create_task(self._run())

    # -- Sink

    def on_track(self, track: Track) -> None:
        self._tracks[track.kind] = track
        self._queue.put_track(track)

    def on_sample(self, sample: Sample) -> None:
        self.dropped_samples += self._queue.put(sample)

    def on_end(self, reason: str) -> None:
        """What is queued still goes out, then the platform hears the end."""
        self._queue.end()

    # -- for its owner

    async def close(self) -> None:
        """Ends at once, with a farewell if there is room for one."""
        self._queue.end()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def counters(self) -> Mapping[str, float]:
        return {
            "sent_bytes": float(self.sent_bytes),
            "sent_samples": float(self.sent_samples),
            "dropped_samples": float(self.dropped_samples),
            "attempts": float(self.attempts),
        }

    # -- the work

    async def _run(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        try:
            while not self._queue.is_over:
                self._tell("starting" if not failures else "retrying", "")
                if not await self._queue.wait(None):
                    continue
                self.attempts += 1
                began_s = loop.time()
                reason = await self._attempt()
                if loop.time() - began_s > _STEADY_S and self.sent_samples:
                    failures = 0
                if reason is None:
                    failures = 0
                    continue
                failures += 1
                self._tell("retrying", reason)
                await self._queue.wait_for_end(_back_off_s(failures))
        finally:
            self._queue.close()
            self._tell("stopped", "")

    async def _attempt(self) -> str | None:
        """One connection from its beginning to its end. Why it failed; None when there was nothing more to send."""
        try:
            async with asyncio.timeout(_CONNECT_S * _MAX_ADDRESSES):
                reader, writer = await self._connect()
        except TimeoutError:
            return "the target does not answer"
        except (OSError, ValueError, PushFailed) as e:  # ValueError: a name that no resolver takes
            return str(e) or type(e).__name__
        client = rtmp_client.Client(app=self._target.app, tc_url=self._target.url, stream_key=self._target.stream_key)
        listening = asyncio.create_task(_listen(client, reader, writer))
        try:
            return await self._publish(client, writer, listening)
        except (OSError, Malformed, PushFailed) as e:
            return str(e) or type(e).__name__
        except Exception:
            _log.exception("push_broken", host=self._target.host)
            return "an error of ours"
        finally:
            self._queue.close()
            listening.cancel()
            if self._queue.is_over and client.stage == "publishing" and not writer.is_closing():
                writer.write(client.farewell())
            await _hang_up(writer)
            with suppress(asyncio.CancelledError, Exception):
                await listening

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the first address that is allowed and answers. The socket goes to the address that was judged."""
        target, loop = self._target, asyncio.get_running_loop()
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        allowed = [info for info in found if self._policy.is_allowed(str(info[4][0]))]
        if not allowed:
            raise PushFailed("the address of the target is not a public one")
        failure: Exception = PushFailed("the target does not answer")
        for family, kind, protocol, _, address in allowed[:_MAX_ADDRESSES]:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                async with asyncio.timeout(_CONNECT_S):
                    await loop.sock_connect(sock, address)
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

    async def _publish(
        self, client: rtmp_client.Client, writer: asyncio.StreamWriter, listening: "asyncio.Task[None]"
    ) -> str | None:
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        writer.write(client.to_send())
        loop = asyncio.get_running_loop()
        end_s = loop.time() + _DIALOGUE_S
        while client.stage not in ("publishing", "failed") and not listening.done():
            if loop.time() > end_s:
                raise PushFailed("the target does not answer")
            await asyncio.wait([listening], timeout=0.05)
        if client.stage != "publishing":
            raise PushFailed(client.reason or "the target ended the dialogue")
        self._tell("broadcasting", "")
        return await self._pump(client, writer, listening)

    async def _pump(
        self, client: rtmp_client.Client, writer: asyncio.StreamWriter, listening: "asyncio.Task[None]"
    ) -> str | None:
        self._queue.open()
        stream = _Outgoing(client)
        while True:
            if not await self._queue.wait(_SILENCE_S):
                return None  # the end, or the publisher is away: begin again when it is back
            if listening.done():
                raise PushFailed(client.reason or "the target closed the connection")
            items = self._queue.take()
            data = b"".join([stream.written(item, self._tracks) for item in items])
            if not data:
                continue
            writer.write(data)
            self.sent_samples += sum(isinstance(item, Sample) for item in items)
            self.sent_bytes += len(data)
            try:
                async with asyncio.timeout(_STALL_S):
                    await writer.drain()
            except TimeoutError:
                raise PushFailed("the target does not read") from None

    def _tell(self, state: PushState, reason: str) -> None:
        if state == self.state and not reason:
            return
        self.state = state
        _log.info("push", state=state, host=self._target.host, reason=reason)
        try:
            self._on_state(state, reason)
        except Exception:
            _log.exception("push_listener_failed")


class _Queue:
    """Tracks and samples that wait for the socket. Closed (nothing is kept) until there is one."""

    def __init__(self) -> None:
        self.is_over = False  # nothing will follow
        self._items: collections.deque[Track | Sample] = collections.deque()
        self._size = 0
        self._is_open = False
        self._is_waiting = True  # for a key frame
        self._is_behind = False  # and it waits because it had to drop
        self._has_video = False
        self._news = asyncio.Event()

    def put_track(self, track: Track) -> None:
        self._has_video = self._has_video or track.kind == "video"
        if self._is_open:
            self._items.append(track)

    def put(self, sample: Sample) -> int:
        """How many samples are lost by it: none of those before a connection is ready for its first key frame."""
        self._news.set()
        if not self._is_open:
            return 0
        if self._is_waiting:
            if not sample.is_key or (self._has_video and sample.kind != "video"):
                return int(self._is_behind)
            self._is_waiting = self._is_behind = False
        self._items.append(sample)
        self._size += len(sample.data)
        if self._span(sample) <= QUEUE_S * CLOCK_HZ and self._size <= _MAX_QUEUE_BYTES:
            return 0
        lost = sum(isinstance(item, Sample) for item in self._items)
        tracks = {item.kind: item for item in self._items if isinstance(item, Track)}
        self._items = collections.deque(tracks.values())
        self._size = 0
        self._is_waiting = self._is_behind = True
        return lost

    def _span(self, newest: Sample) -> int:
        oldest = next((item for item in self._items if isinstance(item, Sample)), newest)
        step = newest.dts - oldest.dts
        return step if 0 <= step <= _JUMP else 0

    def take(self) -> list[Track | Sample]:
        items = list(self._items)
        self._items.clear()
        self._size = 0
        if not self.is_over:
            self._news.clear()
        return items

    async def wait(self, timeout_s: float | None) -> bool:
        """Until something comes; False when it was silent for so long, or when it is over and nothing is left."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return bool(self._items) or not self.is_over

    async def wait_for_end(self, timeout_s: float) -> None:
        """Rests for so long, or until it is over."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while not self.is_over and loop.time() < end_s:
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(end_s):
                    await self._news.wait()

    def open(self) -> None:
        self._items.clear()
        self._is_open = self._is_waiting = True
        self._is_behind = False

    def close(self) -> None:
        self._items.clear()
        self._size = 0
        self._is_open = False
        if not self.is_over:
            self._news.clear()

    def end(self) -> None:
        self.is_over = True
        self._news.set()


class _Outgoing:
    """Samples of one or more clocks as messages of one that only goes forward."""

    def __init__(self, client: rtmp_client.Client) -> None:
        self._client = client
        self._packer = flv.Packer()
        self._has_begun = False
        self._shift = 0
        self._last: int | None = None  # of the publisher's clock

    def written(self, item: Track | Sample, tracks: Mapping[str, Track]) -> bytes:
        if isinstance(item, Track):
            at = None if self._last is None else self._last + self._shift
            return self._client.message(self._packer.track(item, at)) if self._has_begun else b""
        before = b"" if self._has_begun else self._begin(tracks)
        if self._last is not None and abs(item.dts - self._last) > _JUMP:
            self._shift += self._last - item.dts + CLOCK_HZ // 25  # one picture later
        self._last = item.dts
        moved = dataclasses.replace(item, dts=item.dts + self._shift) if self._shift else item
        return before + self._client.message(self._packer.sample(moved))

    def _begin(self, tracks: Mapping[str, Track]) -> bytes:
        self._has_begun = True
        known = list(tracks.values())
        headers = (self._client.message(self._packer.track(track)) for track in known)
        return b"".join((self._client.begin(known), *headers))


def _back_off_s(failures: int) -> float:
    """With some chance in it: targets on one platform are not to be asked in step."""
    doubled_s = _FIRST_RETRY_S * float(2 ** min(failures - 1, 10))
    return min(_LAST_RETRY_S, doubled_s) * random.uniform(0.8, 1.2)


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
