"""Encoded frames out of aiortc, which by itself would decode them.

aiortc puts whole encoded frames into a queue for a thread that runs its module's `decoder_worker`. We put another
function in that place, which hands the frames of tapped receivers back to the event loop as they are, and runs the
original for every other receiver. For pictures we also take the place of its jitter buffer, which waits for a lost
packet until 512 others have come (half a minute of a small picture), and of what asks for lost packets, once. What is
used of aiortc's inside stands in this file only, and tests/unit/ingest/test_whip_tap.py fails when a new version
changes it; docs/decisions/0032-whip.md and 0054-live-recovery.md say why we live with that.
"""

import asyncio
import queue
import threading
import time
import weakref
from typing import Any, Protocol

from aiortc import RTCRtpReceiver, clock, rtcrtpreceiver
from aiortc.codecs import is_rtx
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtcpSrPacket, RtpPacket

from fastpix_server.ingest.model import Kind
from fastpix_server.ingest.rtp_recovery import Assembly, Missing, Packet

_decode = rtcrtpreceiver.decoder_worker
_taps: "weakref.WeakKeyDictionary[asyncio.Queue[Any], Tap]" = weakref.WeakKeyDictionary()


class Listener(Protocol):
    """Hears everything of one receiver, on the event loop."""

    def on_packet(self, kind: Kind, stamp: int | None, size_bytes: int, arrival_s: float) -> None:
        """Each packet as it comes, before it is put in order; no stamp: a repeated or an empty one."""

    def on_frame(self, kind: Kind, codec: str, data: bytes, stamp: int) -> None:
        """A whole frame: H.264 in Annex B or one Opus packet, with its raw 32-bit RTP stamp."""

    def on_gap(self, kind: Kind) -> None:
        """Packets before the next frame are lost for good."""

    def on_report(self, kind: Kind, stamp: int, wall_s: float) -> None:
        """The sender's two clocks at one moment."""

    def on_finish(self, kind: Kind) -> None:
        """No frame will follow: the peer said goodbye, or the connection is closed."""


class _Raw:
    """In place of aiortc's mapper, which counts from the first frame: reports speak of the raw clock."""

    def map(self, stamp: int) -> int:
        return stamp


class _Buffer:
    """In place of aiortc's jitter buffer: gives nothing back to it, and hands pictures out itself."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Whether a key frame is to be asked for."""
        data: bytes = vars(packet)["_data"]  # where aiortc puts the payload without its packaging
        piece = Packet(packet.sequence_number, packet.timestamp, bool(packet.marker), packet.payload_type, data)
        return self._assembly.add(piece, time.monotonic()), None


class _Nacks:
    """In place of aiortc's generator of negative acknowledgements."""

    def __init__(self) -> None:
        self._missing = Missing()

    @property
    def missing(self) -> list[int]:
        return self._missing.due

    def add(self, packet: RtpPacket) -> bool:
        return self._missing.add(packet.sequence_number, time.monotonic())


class Tap:
    """Sits on one receiver from before its connection until its end."""

    def __init__(self, receiver: RTCRtpReceiver, kind: Kind, listener: Listener) -> None:
        self.kind: Kind = kind
        self.listener = listener
        inside: Any = receiver  # its methods are replaced, and fields of it that have no public name
        self._receiver = inside
        self._pass_packet = inside._handle_rtp_packet
        self._pass_report = inside._handle_rtcp_packet
        inside._handle_rtp_packet = self._on_packet
        inside._handle_rtcp_packet = self._on_report
        inside._RTCRtpReceiver__timestamp_mapper = _Raw()
        self._assembly: Assembly | None = None
        if kind == "video":
            # In turns of the loop of their own, in order: what fails there must not reach aiortc's reading of packets.
            loop = asyncio.get_running_loop()
            self._assembly = Assembly(self._on_picture, lambda: loop.call_soon(listener.on_gap, kind))
            self._loop = loop
            inside._RTCRtpReceiver__jitter_buffer = _Buffer(self._assembly)
            inside._RTCRtpReceiver__nack_generator = _Nacks()
        _taps[inside.track._queue] = self

    async def ask_for_key_frame(self) -> None:
        """A picture loss indication for every source that sent something lately."""
        for source in self._receiver.getSynchronizationSources():
            await self._receiver._send_rtcp_pli(source.source)

    def look(self, now_s: float) -> None:
        """Gives up packets that have been missing for too long, though nothing came behind them."""
        if self._assembly is not None:
            self._assembly.look(now_s)

    def loss(self) -> tuple[int, float]:
        """Packets lost for good, and the jitter in seconds, of the main source."""
        streams = self._receiver._RTCRtpReceiver__remote_streams.values()
        busiest = max(streams, key=lambda stream: stream.packets_received, default=None)
        if busiest is None or busiest.max_seq is None:
            return 0, 0.0
        return max(0, busiest.packets_lost), busiest.jitter / busiest._clockrate

    async def _on_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        codec = self._receiver._RTCRtpReceiver__codecs.get(packet.payload_type)
        # Retransmission streams begin with padding to probe the bandwidth: their stamps belong to no picture.
        is_media = codec is not None and not is_rtx(codec) and bool(packet.payload)
        stamp = packet.timestamp if is_media else None
        self.listener.on_packet(self.kind, stamp, len(packet.payload), time.monotonic())
        await self._pass_packet(packet, arrival_time_ms)

    async def _on_report(self, packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            info = packet.sender_info
            self.listener.on_report(
                self.kind, info.rtp_timestamp, clock.datetime_from_ntp(info.ntp_timestamp).timestamp()
            )
        await self._pass_report(packet)

    def _on_picture(self, data: bytes, stamp: int, payload_type: int) -> None:
        codec = self._receiver._RTCRtpReceiver__codecs.get(payload_type)
        if codec is not None:
            self._loop.call_soon(self.listener.on_frame, self.kind, codec.name, data, stamp)


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    input_q: "queue.Queue[Any]",
    output_q: "asyncio.Queue[Any]",
    decode_error: threading.Event,
) -> None:
    """Runs in aiortc's thread in place of its `decoder_worker`."""
    tap = _taps.get(output_q)
    if tap is None:
        _decode(loop, input_q, output_q, decode_error)
        return
    while (task := input_q.get()) is not None:
        codec, frame = task
        _call(loop, _deliver, tap, codec, frame.data, frame.timestamp)
    _call(loop, tap.listener.on_finish, tap.kind)


def _deliver(tap: Tap, codec: RTCRtpCodecParameters, data: bytes, stamp: int) -> None:
    tap.listener.on_frame(tap.kind, codec.name, data, stamp)


def _call(loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> None:
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        return  # the loop is closed: nobody is left to hear it


rtcrtpreceiver.decoder_worker = _hand_over
