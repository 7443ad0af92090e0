"""WHIP (RFC 9725): publishers by WebRTC. aiortc does ICE, DTLS, SRTP and retransmission; frames stay as they are.

Invariants: the door is asked once per session, before a port is opened; whoever it lets in hears `on_end` exactly once,
whatever happens; samples start with a key frame, and after a loss go on with one. Nothing is decoded here.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Mapping, Sequence

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from fastpix_server.base import log
from fastpix_server.ingest import whip_offer
from fastpix_server.ingest.model import Door, Kind, PublishRequest, Refused, Sink
from fastpix_server.ingest.rtp_recovery import KeyFrames
from fastpix_server.ingest.whip_frames import Frames
from fastpix_server.ingest.whip_model import Accepted, Outcome, Unusable
from fastpix_server.ingest.whip_offer import Offer
from fastpix_server.ingest.whip_tap import Tap

_log = log.get(__name__)

# A session costs about 4 % of a core at 2.5 Mb/s: more would starve the other protocols of this process.
MAX_SESSIONS = 32
MAX_KEY_CHARS = 128  # keys of streams have 65
CONNECT_S = 15.0  # ICE and DTLS over three round trips with losses
SILENCE_S = 5.0  # without a packet; browsers send some every 20 ms
REORDERED_MAX = 30  # pictures that came out of order until we say that B-frames are not taken
CLOSE_S = 5.0
_TICK_S = 0.25


class Whip:
    """The WHIP sessions of this process. `announce`: further addresses at which our UDP ports can be reached."""

    def __init__(self, door: Door, *, announce: Sequence[str] = (), max_sessions: int = MAX_SESSIONS) -> None:
        self._door = door
        self._announce = tuple(announce)
        self._max_sessions = max_sessions
        self._sessions: dict[str, _Session] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def offer(self, sdp: str, stream_key: str, peer: str) -> Outcome:
        """Takes an offer, or says why not. The publisher has CONNECT_S to connect after the answer."""
        offer = whip_offer.read_offer(sdp)
        if isinstance(offer, Unusable):
            return offer
        if not stream_key or len(stream_key) > MAX_KEY_CHARS:
            return Refused("unknown_key")
        if self._is_closed or len(self._sessions) >= self._max_sessions:
            return Refused("busy")
        session = _Session(self, secrets.token_hex(16), offer)
        self._sessions[session.session_id] = session
        try:
            return await self._admit(session, PublishRequest("whip", stream_key, peer))
        except BaseException:
            session.finish("failed")
            raise

    async def _admit(self, session: "_Session", request: PublishRequest) -> Outcome:
        sink = await self._door(request, session)
        if isinstance(sink, Refused):
            session.finish("refused")
            return sink
        session.enter(sink)
        if session.is_over:
            return Refused("unavailable")
        try:
            answer = await session.negotiate()
        except Exception as fault:  # aiortc has no common error; the offer is the publisher's word
            _log.warning("whip_negotiation_failed", peer=request.peer, error=repr(fault))
            session.finish("failed")
            return Unusable("unsupported", "The offer could not be negotiated.")
        if session.is_over:
            return Refused("unavailable")
        return Accepted(session.session_id, whip_offer.announce(answer, self._announce))

    async def end(self, session_id: str) -> bool:
        """Ends a session; False when there is none of this id (any more)."""
        session = self._sessions.get(session_id)
        if session is None:
            return False
        session.finish("unpublish")
        return True

    async def close(self) -> None:
        """Ends all sessions and waits until their ports are closed."""
        self._is_closed = True
        for session in list(self._sessions.values()):
            session.finish("shutdown")
        while self._closing:
            await asyncio.wait(self._closing)

    @property
    def session_count(self) -> int:
        return len(self._sessions)

    def forget(self, session: "_Session") -> None:
        if self._sessions.pop(session.session_id, None) is not None:
            task = asyncio.create_task(session.release(), name="whip-close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class _Session:
    """One publisher: a Publisher for the door, a Listener for the taps."""

    has_keys_on_demand = True

    def __init__(self, whip: Whip, session_id: str, offer: Offer) -> None:
        self.session_id = session_id
        self.is_over = False
        self._whip = whip
        self._offer = offer
        self._frames: Frames | None = None
        self._keys = KeyFrames()
        self._sink: Sink | None = None
        self._taps: dict[Kind, Tap] = {}
        self._peer: RTCPeerConnection | None = None
        self._watch: asyncio.Task[None] | None = None
        self._received_bytes = 0
        self._last_packet_s = 0.0

    # Publisher

    def ask_for_key_frame(self) -> None:
        self._keys.lost()

    def kick(self, reason: str) -> None:
        self.finish(reason)

    def stats(self) -> Mapping[str, float]:
        lost, jitter_s = 0, 0.0
        for tap in self._taps.values():
            tap_lost, tap_jitter_s = tap.loss()
            lost, jitter_s = lost + tap_lost, max(jitter_s, tap_jitter_s)
        counts = self._frames.counts if self._frames is not None else {}
        return {
            "received_bytes": float(self._received_bytes),
            "lost_packets": float(lost),
            "jitter_ms": round(jitter_s * 1000, 1),
            **counts,
        }

    # Listener

    def on_packet(self, kind: Kind, stamp: int | None, size_bytes: int, arrival_s: float) -> None:
        self._received_bytes += size_bytes
        self._last_packet_s = arrival_s
        if self._frames is not None and stamp is not None:
            self._frames.on_packet(kind, stamp, arrival_s)

    def on_frame(self, kind: Kind, codec: str, data: bytes, stamp: int) -> None:
        if self.is_over or self._frames is None:
            return
        if self._frames.on_frame(kind, codec, data, stamp):
            self._keys.came(time.monotonic())
        elif self._frames.needs_key:
            self._keys.lost()
        if self._frames.reordered > REORDERED_MAX:
            self.finish("b_frames")

    def on_gap(self, kind: Kind) -> None:
        if self._frames is not None:
            self._frames.on_gap(kind)
            self._keys.lost()

    def on_report(self, kind: Kind, stamp: int, wall_s: float) -> None:
        if self._frames is not None:
            self._frames.on_report(kind, stamp, wall_s)

    def on_finish(self, kind: Kind) -> None:
        self.finish("eof")

    # Life

    def enter(self, sink: Sink) -> None:
        self._sink = sink
        self._frames = Frames(sink, has_video="video" in self._offer.kinds)
        if self.is_over:  # it was kicked while the door was still thinking
            sink.on_end("kicked")

    async def negotiate(self) -> str:
        """The answer, with all candidates in it. Raises whatever aiortc raises."""
        # No servers: with none given, aiortc would ask a public STUN server about us.
        peer = self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for kind in self._offer.kinds:
            peer.addTransceiver(kind, direction="recvonly").setCodecPreferences(whip_offer.preferences(kind))
        peer.on("connectionstatechange", self._on_state)
        await peer.setRemoteDescription(RTCSessionDescription(self._offer.sdp, "offer"))
        for transceiver in peer.getTransceivers():
            kind = "video" if transceiver.kind == "video" else "audio"
            self._taps[kind] = Tap(transceiver.receiver, kind, self)
        await peer.setLocalDescription(await peer.createAnswer())
        if not self.is_over:
            self._watch = asyncio.create_task(self._look_after(), name=f"whip-{self.session_id[:8]}")
        return str(peer.localDescription.sdp)

    def finish(self, reason: str) -> None:
        """Ends the session, once; later calls do nothing."""
        if self.is_over:
            return
        self.is_over = True
        if self._watch is not None:
            self._watch.cancel()
        self._whip.forget(self)
        if self._sink is not None:
            _log.info("whip_ended", session=self.session_id[:8], reason=reason, **self.stats())
            try:
                self._sink.on_end(reason)
            except Exception:  # what goes wrong behind the door is not the publisher's doing
                _log.exception("whip_sink_failed", session=self.session_id[:8])

    async def release(self) -> None:
        """Closes what the session holds; a peer that does not answer cannot keep it open."""
        if self._peer is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._peer.close()

    def _on_state(self) -> None:
        state = self._peer.connectionState if self._peer is not None else "closed"
        if state in ("failed", "closed"):
            self.finish("disconnected")

    async def _look_after(self) -> None:
        """Asks for key frames, and notices a publisher that never comes or falls silent."""
        started_s = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            now_s = time.monotonic()
            if self._last_packet_s == 0.0:
                if now_s - started_s > CONNECT_S:
                    return self.finish("not_connected")
            elif now_s - self._last_packet_s > SILENCE_S:
                return self.finish("idle")
            video = self._taps.get("video")
            if video is not None and self._last_packet_s:
                video.look(now_s)
                if self._keys.is_due(now_s):
                    await video.ask_for_key_frame()
