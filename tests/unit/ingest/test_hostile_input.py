"""Whatever arrives, parsers answer with tracks, samples or `Malformed`, and hold a bounded amount of it."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ingest import codec_samples as made
from tests.unit.ingest import peers

from fastpix_server.ingest import amf, av1, flv, h264, hevc, libsrt, mpegts, rtmp, rtmp_client, sound
from fastpix_server.ingest import rtmp_chunks as chunks
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import Sample, Track
from fastpix_server.ingest.srt import parse_stream_id

PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "amf": (amf.decode, amf.encode("connect", 1, {"app": "live", "list": [1, None, True], "deep": {"a": {"b": 1}}})),
    "avcC": (lambda data: flv.Demuxer().feed(9, 0, b"\x17\x00\x00\x00\x00" + data), made.AVCC),
    "SPS": (h264.parse_sps, made.SPS_1080_INTERLACED_422_10),
    "hvcC": (lambda data: hevc.track(hevc.parse_record(data).sets), made.HVCC),
    "HEVC SPS": (hevc.parse_sps, made.HEVC_SPS_1080),
    "av1C": (av1.track, made.AV1C),
    "OBUs": (av1.without_delimiters, b"\x12\x00" + made.DATA["av1"] * 3),
    "ASC": (sound.aac_track, bytes.fromhex("2b92080000")),
    "OpusHead": (sound.opus_track_from_head, sound.opus_head(sound.opus_track(2))),
    "Opus packet": (sound.opus_packet_samples, b"\xe3\x06packet"),
    "stream id": (parse_stream_id, b"#!::r=abc,m=publish"),
}


def parse(parser: Callable[[bytes], object], data: bytes) -> None:
    try:
        parser(data)
    except Malformed:
        pass


def mutated(data: bytes, dice: random.Random) -> bytes:
    """A few bytes changed, cut, doubled or put in: close enough to the truth to get deep."""
    bent = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        at = dice.randrange(len(bent) + 1)
        match dice.randrange(5):
            case 0 if at < len(bent):
                bent[at] = dice.randrange(256)
            case 1 if at < len(bent):
                bent[at] ^= 1 << dice.randrange(8)
            case 2:
                del bent[at : at + dice.choice((1, 4, 100))]
            case 3:
                bent[at:at] = dice.randbytes(dice.choice((1, 3, 50)))
            case _:
                bent[at:at] = bent[max(0, at - 20) : at]
    return bytes(bent)


@pytest.mark.parametrize("name", PARSERS)
def test_parsers_take_mutations_of_the_truth(name: str) -> None:
    parser, truth = PARSERS[name]
    parser(truth)
    dice = random.Random(1)
    for _ in range(3000):
        parse(parser, mutated(truth, dice))


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.binary(max_size=300))
def test_parsers_take_anything(name: str, data: bytes) -> None:
    parse(PARSERS[name][0], data)


@given(data=st.binary(max_size=400), kind=st.sampled_from((8, 9)), time=st.integers(0, 0xFFFFFFFF))
def test_the_flv_demuxer_takes_anything(data: bytes, kind: int, time: int) -> None:
    demuxer = flv.Demuxer()
    demuxer.feed(9, 0, b"\x17\x00\x00\x00\x00" + made.AVCC)
    demuxer.feed(8, 0, b"\xaf\x00\x11\x90")
    parse(lambda body: demuxer.feed(kind, time, body), data)


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=5,  # so that nothing is nested deeper than is taken
)


@given(values=st.lists(VALUES, max_size=3))
def test_amf_comes_back_as_it_went(values: list[object]) -> None:
    assert amf.decode(amf.encode(*values)) == values


@given(
    messages=st.lists(
        st.tuples(st.sampled_from((8, 9, 18)), st.binary(max_size=700), st.integers(0, 0xFFFFFFFF)), max_size=6
    ),
    chunk_size=st.integers(1, 300),
    pieces=st.integers(1, 97),
)
def test_chunks_come_back_as_messages_however_they_are_cut(
    messages: list[tuple[int, bytes, int]], chunk_size: int, pieces: int
) -> None:
    reader = chunks.ChunkReader()
    reader.chunk_size = chunk_size
    data = b"".join(
        chunks.written(kind, body, chunk_stream=3 + i, stream=1, chunk_size=chunk_size, timestamp_ms=time)
        for i, (kind, body, time) in enumerate(messages)
    )
    got = []
    for at in range(0, len(data), pieces):
        reader.feed(data[at : at + pieces])
        while (message := reader.read()) is not None:
            got.append((message.kind, message.body, message.timestamp_ms))
    assert got == messages


def recorded_publisher() -> bytes:
    """All that a publisher of half a second sends after the handshake, from `connect` to `deleteStream`."""
    client, server = rtmp_client.Client(app="live", tc_url="rtmp://h/live", stream_key="key1"), rtmp.Session()
    sent = b""
    for _ in range(8):
        data = client.to_send()
        sent += data
        server.receive(data)
        client.receive(server.to_send())
        if server.stage == "waiting":
            server.accept()
    packer = flv.Packer()
    sent += client.begin([made.TRACKS["h264"], made.TRACKS["aac"]])
    for name in ("h264", "aac"):
        sent += client.message(packer.track(made.TRACKS[name]))
    for i in range(12):
        for name in ("h264", "aac"):
            track = made.TRACKS[name]
            data = made.DATA[name] if name == "aac" else (900).to_bytes(4, "big") + b"\x65" * 900
            sent += client.message(packer.sample(Sample(track.kind, i * 3600, 0, i % 5 == 0, data)))
    return (sent + client.farewell())[1 + 2 * 1536 :]


def held(session: rtmp.Session) -> int:
    reader = session._chunks
    return len(reader._buffer) + sum(len(stream.body or b"") for stream in reader._streams.values())


def test_mutated_publishers_break_nothing_and_fill_nothing() -> None:
    truth, dice, endings = recorded_publisher(), random.Random(2), {"malformed": 0, "whole": 0}
    for _ in range(600):
        session, demuxer, data = rtmp.Session(), flv.Demuxer(), mutated(truth, dice)
        session.receive(b"\x03" + bytes(3072))
        try:
            for at in range(0, len(data), 999):
                events = session.receive(data[at : at + 999])
                if session.stage == "waiting":
                    events += session.accept()
                for event in events:
                    if isinstance(event, rtmp.Media):
                        demuxer.feed(*event)
                assert held(session) < 100_000
                session.to_send()
            endings["whole"] += 1
        except Malformed:
            endings["malformed"] += 1
    assert min(endings.values()) > 20


@given(data=st.binary(max_size=2000))
def test_a_session_takes_anything_after_the_handshake(data: bytes) -> None:
    session = rtmp.Session()
    session.receive(b"\x03" + bytes(3072))
    parse(session.receive, data)


@given(data=st.binary(max_size=2000))
def test_a_target_of_simulcast_may_say_anything(data: bytes) -> None:
    client = rtmp_client.Client(app="live", tc_url="rtmp://h/live", stream_key="key1")
    client.receive(b"\x03" + bytes(3072))
    parse(lambda said: client.receive(said), data)
    client.to_send()


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return peers.footage(tmp_path_factory.mktemp("ts"), "clip.ts", *peers.H264, *peers.AAC, seconds=1).read_bytes()


def test_mutated_transport_streams_break_nothing_and_fill_nothing(stream: bytes) -> None:
    dice = random.Random(3)
    for _ in range(300):
        data, demuxer = bytearray(stream[: 188 * 200]), mpegts.Demuxer()
        for _ in range(dice.choice((1, 5, 50))):
            at = dice.randrange(len(data))
            data[at] = dice.randrange(256)
        if dice.random() < 0.3:
            at = dice.randrange(len(data))
            del data[at : at + dice.randrange(1, 400)]
        found: list[Track | Sample] = []
        try:
            for at in range(0, len(data), 1316):
                found += demuxer.feed(bytes(data[at : at + 1316]))
            found += demuxer.flush()
        except Malformed:
            continue
        assert len(demuxer._rest) < 188
        kinds = set()
        for one in found:
            if isinstance(one, Track):
                kinds.add(one.kind)
            else:
                assert one.kind in kinds


def test_an_endless_picture_is_bounded(stream: bytes) -> None:
    demuxer = mpegts.Demuxer()
    demuxer.feed(stream[: 188 * 60])
    [(pid, target)] = [(pid, s) for pid, s in demuxer._streams.items() if s.target.kind == "video"]
    counter = target.counter or 0
    with pytest.raises(Malformed, match="without sound or picture"):
        for _ in range(200_000):
            counter = (counter + 1) & 15
            demuxer.feed(bytes((0x47, pid >> 8, pid & 0xFF, 0x10 | counter)) + bytes(184))
            assert target.size <= mpegts.MAX_PES_BYTES + 184


@given(raw=st.binary(min_size=28, max_size=128))
def test_addresses_of_the_library_are_read_whatever_they_are(raw: bytes) -> None:
    libsrt._unpack_address(raw)
