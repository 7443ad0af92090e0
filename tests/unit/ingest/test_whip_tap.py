"""What we use of aiortc's inside is still there; an upgrade that changes it fails here, not in production."""

import asyncio
import inspect
import queue
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, rtcrtpreceiver
from aiortc.rtp import RTCP_PSFB_PLI, RTCP_RTPFB_NACK, RtpPacket
from tests.playing import until
from tests.unit.ingest import offers

from fastpix_server.ingest import rtp_recovery, whip_tap
from fastpix_server.ingest.whip_tap import Tap


class Hearing:
    def __init__(self) -> None:
        self.frames: list[tuple[str, str, bytes, int]] = []
        self.finished: list[str] = []
        self.gaps: list[str] = []

    def on_frame(self, kind: str, codec: str, data: bytes, stamp: int) -> None:
        self.frames.append((kind, codec, data, stamp))

    def on_gap(self, kind: str) -> None:
        self.gaps.append(kind)

    def on_finish(self, kind: str) -> None:
        self.finished.append(kind)

    def __getattr__(self, _name: str) -> Any:
        return lambda *_arguments: None


def test_the_decoder_of_aiortc_has_the_shape_that_we_replace():
    assert list(inspect.signature(whip_tap._decode).parameters) == ["loop", "input_q", "output_q", "decode_error"]
    assert whip_tap._decode is not whip_tap._hand_over
    assert rtcrtpreceiver.decoder_worker is whip_tap._hand_over
    # aiortc looks the function up in its module when a receiver starts.
    assert "target=decoder_worker" in inspect.getsource(rtcrtpreceiver.RTCRtpReceiver.receive)


async def negotiated() -> RTCPeerConnection:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    await peer.setRemoteDescription(RTCSessionDescription(offers.browser(), "offer"))
    return peer


async def test_the_fields_of_a_receiver_that_we_touch_exist():
    peer = await negotiated()
    receiver: Any = peer.getTransceivers()[1].receiver
    for name in ("timestamp_mapper", "codecs", "remote_streams", "decoder_queue", "jitter_buffer", "nack_generator"):
        assert hasattr(receiver, f"_RTCRtpReceiver__{name}"), name
    source = inspect.getsource(rtcrtpreceiver.RTCRtpReceiver._handle_rtp_packet)
    assert "self.__timestamp_mapper.map(" in source
    assert "self._send_rtcp_pli(packet.ssrc)" in source
    assert "self.__decoder_queue.put((codec, encoded_frame))" in source
    assert "pli_flag, encoded_frame = self.__jitter_buffer.add(packet)" in source
    assert "self.__nack_generator.add(packet)" in source
    assert "sorted(self.__nack_generator.missing)" in source
    stream = rtcrtpreceiver.StreamStatistics(90_000)
    assert (stream.packets_received, stream.jitter, stream._clockrate, stream.max_seq) == (0, 0, 90_000, None)
    await peer.close()


async def test_frames_of_a_tapped_receiver_arrive_as_they_are_and_its_end_is_heard():
    peer = await negotiated()
    receiver: Any = peer.getTransceivers()[1].receiver
    hearing = Hearing()
    tap = Tap(receiver, "video", hearing)
    frames: queue.Queue[Any] = queue.Queue()
    worker = threading.Thread(
        target=rtcrtpreceiver.decoder_worker,
        args=(asyncio.get_running_loop(), frames, receiver.track._queue, threading.Event()),
    )
    worker.start()
    frames.put((SimpleNamespace(name="H264"), SimpleNamespace(data=b"\0\0\0\1A", timestamp=4_294_967_295)))
    frames.put(None)
    await until(lambda: hearing.finished)
    worker.join()
    assert hearing.frames == [("video", "H264", b"\0\0\0\1A", 4_294_967_295)]
    assert tap.loss() == (0, 0.0)
    await peer.close()


async def test_a_lost_packet_is_asked_for_again_and_in_the_end_a_key_frame_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rtp_recovery, "HOLE_S", 60.0)  # until we have seen what is asked before
    peer = await negotiated()
    receiver: Any = peer.getTransceivers()[1].receiver
    hearing, sent = Hearing(), []
    tap = Tap(receiver, "video", hearing)
    h264 = next(codec for codec in rtcrtpreceiver.get_capabilities("video").codecs if codec.name == "H264")
    receiver._RTCRtpReceiver__codecs[96] = rtcrtpreceiver.RTCRtpCodecParameters(
        mimeType=h264.mimeType, clockRate=90_000, payloadType=96
    )
    receiver._RTCRtpReceiver__rtcp_ssrc = 7

    async def send(packet: Any) -> None:
        sent.append(packet)

    receiver._send_rtcp = send

    async def receive(number: int) -> None:
        packet = RtpPacket(payload_type=96, marker=1, sequence_number=number, timestamp=3000 * number, ssrc=1)
        packet.payload = bytes((0x61, number))
        await receiver._handle_rtp_packet(packet, 0)

    for number in (0, 1, 3):
        await receive(number)
    monkeypatch.setattr(rtp_recovery, "ASK_AGAIN_S", 0.0)
    await receive(4)
    assert [(packet.fmt, packet.lost) for packet in sent] == [(RTCP_RTPFB_NACK, [2])] * 2
    monkeypatch.setattr(rtp_recovery, "HOLE_S", 0.0)
    await receive(5)
    await asyncio.sleep(0)
    assert sent[-1].fmt == RTCP_PSFB_PLI
    assert [data[-1] for _, _, data, _ in hearing.frames] == [0, 1, 4, 5], (
        "the picture behind a hole may lack its start"
    )
    assert hearing.gaps == ["video"]
    assert tap.loss()[0] == 1
    await peer.close()


async def test_a_receiver_without_a_tap_is_decoded_as_ever():
    frames: queue.Queue[Any] = queue.Queue()
    decoded: asyncio.Queue[Any] = asyncio.Queue()
    pcmu = rtcrtpreceiver.RTCRtpCodecParameters(mimeType="audio/PCMU", clockRate=8000, channels=1, payloadType=0)
    worker = threading.Thread(
        target=rtcrtpreceiver.decoder_worker, args=(asyncio.get_running_loop(), frames, decoded, threading.Event())
    )
    worker.start()
    frames.put((pcmu, SimpleNamespace(data=bytes(160), timestamp=0)))
    frames.put(None)
    frame = await asyncio.wait_for(decoded.get(), 20)
    worker.join()
    assert frame.samples == 160
