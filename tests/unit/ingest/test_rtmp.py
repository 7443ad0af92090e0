"""The dialogue of a publisher, written out; and what ends it."""

import struct

import pytest

from fastpix_server.ingest import amf, rtmp, rtmp_client
from fastpix_server.ingest import rtmp_chunks as chunks
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.flv import Message
from fastpix_server.ingest.model import Refused

GREETING = b"\x03" + bytes(8) + bytes(range(256)) * 5 + bytes(248)  # version, times, 1,528 bytes of anything
ECHO = bytes(1536)


def command(*values: object, stream: int = 0) -> bytes:
    return chunks.written(chunks.COMMAND, amf.encode(*values), chunk_stream=3, stream=stream)


CONNECT = command("connect", 1, {"app": "live", "tcUrl": "rtmp://host/live", "flashVer": "FMLE/3.0"})
CREATE = command("releaseStream", 2, None, "key1") + command("FCPublish", 3, None, "key1")
CREATE += command("createStream", 4, None)
PUBLISH = command("publish", 5, None, "key1", "live", stream=1)


def told(session: rtmp.Session) -> list[list[amf.Value]]:
    """The commands among what the peer is sent."""
    reader = chunks.ChunkReader()
    reader.chunk_size = 65536
    reader.feed(session.to_send())
    commands = []
    while (message := reader.read()) is not None:
        if message.kind == chunks.COMMAND:
            commands.append(amf.decode(message.body))
    return commands


def greeted() -> rtmp.Session:
    session = rtmp.Session()
    session.receive(GREETING + ECHO)
    session.to_send()
    return session


def publishing() -> rtmp.Session:
    session = greeted()
    session.receive(CONNECT + CREATE + PUBLISH)
    session.accept()
    session.to_send()
    return session


def test_the_handshake_echoes_what_the_peer_sent() -> None:
    session = rtmp.Session()
    assert session.receive(GREETING[:700]) == []
    assert session.to_send() == b""
    session.receive(GREETING[700:])
    answer = session.to_send()
    assert len(answer) == 1 + 2 * 1536
    assert answer[0] == 3
    assert answer[1537:] == GREETING[1:]
    assert session.stage == "handshake"
    session.receive(ECHO)
    assert session.stage == "connecting"


def test_a_publisher_connects_creates_and_asks_to_publish() -> None:
    session = greeted()
    assert session.receive(CONNECT) == []
    [connected] = told(session)
    assert connected[:2] == ["_result", 1.0]
    assert connected[3]["code"] == "NetConnection.Connect.Success"  # type: ignore[index,call-overload]
    assert session.receive(CREATE) == []
    assert [answer[:2] for answer in told(session)] == [["_result", 2.0], ["_result", 3.0], ["_result", 4.0]]
    assert session.receive(PUBLISH) == [rtmp.PublishWanted("live", "key1")]
    assert session.stage == "waiting"
    assert session.accept() == []
    [started] = told(session)
    assert started[3]["code"] == "NetStream.Publish.Start"  # type: ignore[index,call-overload]
    media = chunks.written(chunks.VIDEO, b"\x17\x01" + bytes(300), chunk_stream=6, stream=1, timestamp_ms=40)
    assert session.receive(media) == [rtmp.Media(9, 40, b"\x17\x01" + bytes(300))]
    assert session.receive(command("deleteStream", 6, None, 1)) == [rtmp.Ended("unpublish")]
    assert session.stage == "over"
    assert session.receive(media) == []


def test_the_same_dialogue_in_single_bytes_says_the_same() -> None:
    media = chunks.written(chunks.AUDIO, b"\xaf\x01" + bytes(900), chunk_stream=4, stream=1, timestamp_ms=0x1000000)
    session = rtmp.Session()
    events: list[rtmp.Event] = []
    for byte in GREETING + ECHO + CONNECT + CREATE + PUBLISH:
        events += session.receive(bytes((byte,)))
    events += session.accept()
    for byte in media:
        events += session.receive(bytes((byte,)))
    assert events == [rtmp.PublishWanted("live", "key1"), rtmp.Media(8, 0x1000000, b"\xaf\x01" + bytes(900))]


def test_what_comes_before_the_answer_of_the_door_waits_for_it() -> None:
    session = greeted()
    media = chunks.written(chunks.VIDEO, b"\x17\x00", chunk_stream=6, stream=1)
    assert session.receive(CONNECT + CREATE + PUBLISH + media) == [rtmp.PublishWanted("live", "key1")]
    assert session.receive(media) == []
    assert session.accept() == [rtmp.Media(9, 0, b"\x17\x00")] * 2


def test_app_and_key_lose_their_query() -> None:
    session = greeted()
    session.receive(command("connect", 1, {"app": "live/?token=1"}) + CREATE)
    wanted = session.receive(command("publish", 5, None, "key1?bandwidth=1", "live", stream=1))
    assert wanted == [rtmp.PublishWanted("live", "key1")]


@pytest.mark.parametrize("reason", ["unknown_key", "disabled", "already_publishing", "busy", "unavailable"])
def test_each_refusal_is_an_error_status(reason: str) -> None:
    session = greeted()
    session.receive(CONNECT + CREATE + PUBLISH)
    session.to_send()
    session.refuse(Refused(reason))  # type: ignore[arg-type]
    [status] = told(session)
    assert status[0] == "onStatus"
    assert status[3]["level"] == "error"  # type: ignore[index,call-overload]
    assert str(status[3]["code"]).startswith("NetStream.Publish.")  # type: ignore[index,call-overload]
    assert session.receive(PUBLISH) == []


def test_enhanced_codecs_are_announced_to_those_who_ask() -> None:
    session = greeted()
    session.receive(command("connect", 1, {"app": "live", "fourCcList": ["hvc1", "av01"]}))
    [connected] = told(session)
    assert {"hvc1", "av01"} <= set(connected[2]["fourCcList"])  # type: ignore[index,call-overload,arg-type]


def test_pings_are_answered_and_windows_acknowledged() -> None:
    session = publishing()
    session.receive(chunks.written(chunks.USER_CONTROL, struct.pack(">HI", 6, 77), chunk_stream=2))
    assert struct.pack(">HI", 7, 77) in session.to_send()
    session.receive(chunks.written(chunks.WINDOW_SIZE, struct.pack(">I", 1000), chunk_stream=2))
    session.receive(chunks.written(chunks.VIDEO, bytes(120) * 10, chunk_stream=6, stream=1))
    reader = chunks.ChunkReader()
    reader.feed(session.to_send())
    message = reader.read()
    assert message is not None
    assert message.kind == chunks.ACKNOWLEDGE


def test_an_aggregate_is_taken_apart() -> None:
    body = b"".join(
        bytes((kind,)) + (2).to_bytes(3, "big") + time.to_bytes(3, "big") + bytes(4) + bytes((kind, 1)) + bytes(4)
        for kind, time in ((9, 1000), (8, 1010), (18, 1011), (9, 1040))
    )
    aggregate = chunks.written(chunks.AGGREGATE, body, chunk_stream=6, stream=1, timestamp_ms=500)
    found = publishing().receive(aggregate)
    assert [(event.kind, event.timestamp_ms) for event in found if isinstance(event, rtmp.Media)] == [
        (9, 500),
        (8, 510),
        (9, 540),
    ]


def header(kind: int, size: int, csid: int = 3) -> bytes:
    return bytes((csid,)) + bytes(3) + size.to_bytes(3, "big") + bytes((kind,)) + bytes(4)


@pytest.mark.parametrize(
    "data",
    [
        chunks.written(chunks.SET_CHUNK_SIZE, struct.pack(">I", 0), chunk_stream=2),
        chunks.written(chunks.SET_CHUNK_SIZE, struct.pack(">I", 0x7FFFFFFF), chunk_stream=2),
        header(chunks.COMMAND, 0xFFFFFF),
        header(chunks.VIDEO, 15 << 20),
        b"\xc3" + bytes(100),
        b"".join(header(chunks.COMMAND, 60000, csid) + bytes(128) for csid in range(3, 50)),
        command("connect", 1) + chunks.written(chunks.COMMAND, b"\x03\x00\x01a" * 25, chunk_stream=3),
        chunks.written(chunks.COMMAND, b"\x0a\xff\xff\xff\xff", chunk_stream=3),
        command(1.0, 2.0),
        command("publish", 5, None, 17.0),
        command("publish", 5, None, "k" * 300),
        command("createStream", 2, None) * 100,
        header(chunks.COMMAND, 200) + bytes(128) + header(chunks.COMMAND, 10),
        b"\x40",
    ],
    ids=[
        "chunk size 0",
        "chunk size 2 GiB",
        "a command of 16 MB",
        "15 MB of video before publish",
        "a chunk without history",
        "47 chunk streams",
        "nested too deep",
        "an array of 4 billion",
        "a command without a name",
        "a publish without a name",
        "a publish with a long name",
        "a hundred commands",
        "a message interrupted by another",
        "nothing wrong yet",
    ],
)
def test_a_broken_dialogue_ends(data: bytes, request: pytest.FixtureRequest) -> None:
    session = greeted()
    if request.node.callspec.id == "nothing wrong yet":
        assert session.receive(data) == []
        return
    with pytest.raises(Malformed):
        session.receive(data)


def test_another_protocol_ends_at_its_first_byte() -> None:
    with pytest.raises(Malformed):
        rtmp.Session().receive(b"GET / HTTP/1.1\r\n")


def test_a_second_publish_ends_the_connection() -> None:
    with pytest.raises(Malformed):
        publishing().receive(PUBLISH)


def test_a_peer_cannot_make_us_answer_without_end() -> None:
    session = publishing()
    ping = chunks.written(chunks.USER_CONTROL, struct.pack(">HI", 6, 77), chunk_stream=2)
    with pytest.raises(Malformed):
        session.receive(ping * 10_000)


def test_unfinished_messages_are_bounded_over_all_chunk_streams() -> None:
    reader = chunks.ChunkReader()
    reader.is_open = True
    reader.chunk_size = chunks.MAX_CHUNK_BYTES
    with pytest.raises(Malformed, match="unfinished"):
        for csid in range(3, 3 + chunks.MAX_CHUNK_STREAMS):
            reader.feed(header(chunks.VIDEO, chunks.MAX_MEDIA_BYTES - 1, csid) + bytes(chunks.MAX_CHUNK_BYTES))
            reader.read()


def test_times_add_up_over_header_forms() -> None:
    reader = chunks.ChunkReader()
    first = bytes((6,)) + (1000).to_bytes(3, "big") + (3).to_bytes(3, "big") + b"\x09" + bytes(4) + b"aaa"
    second = bytes((0x46,)) + (40).to_bytes(3, "big") + (2).to_bytes(3, "big") + b"\x08" + b"bb"
    third = bytes((0x86,)) + (20).to_bytes(3, "big") + b"cc"
    fourth = bytes((0xC6,)) + b"dd"
    reader.feed(first + second + third + fourth)
    got = [reader.read() for _ in range(5)]
    assert [(m.kind, m.timestamp_ms, m.body) for m in got if m] == [
        (9, 1000, b"aaa"),
        (8, 1040, b"bb"),
        (8, 1060, b"cc"),
        (8, 1080, b"dd"),
    ]
    assert got[4] is None


@pytest.mark.parametrize("repeats", [True, False], ids=["repeated", "left out"])
def test_an_extended_time_may_be_left_out_of_later_chunks(repeats: bool) -> None:
    time = (0x01234567).to_bytes(4, "big")
    head = bytes((6,)) + b"\xff\xff\xff" + (200).to_bytes(3, "big") + b"\x09" + bytes(4) + time
    body = bytes(range(1, 201))
    reader = chunks.ChunkReader()
    reader.feed(head + body[:128] + b"\xc6" + (time if repeats else b"") + body[128:])
    assert reader.read() == chunks.Message(9, 0x01234567, 0, body)


def test_an_aborted_message_is_forgotten() -> None:
    reader = chunks.ChunkReader()
    reader.feed(header(chunks.COMMAND, 200) + bytes(128))
    assert reader.read() is None
    reader.feed(chunks.written(chunks.ABORT, struct.pack(">I", 3), chunk_stream=2))
    reader.feed(header(chunks.COMMAND, 1) + b"\x05")
    assert reader.read() == chunks.Message(chunks.COMMAND, 0, 0, b"\x05")


def test_our_client_and_our_server_understand_each_other() -> None:
    client, server = rtmp_client.Client(app="live", tc_url="rtmp://h/live", stream_key="key1"), rtmp.Session()
    wanted: list[rtmp.Event] = []
    for _ in range(8):
        wanted += server.receive(client.to_send())
        client.receive(server.to_send())
    assert wanted == [rtmp.PublishWanted("live", "key1")]
    server.accept()
    client.receive(server.to_send())
    assert client.stage == "publishing"
    body = bytes(range(256)) * 100
    assert server.receive(client.message(Message(9, 0x1234567, body))) == [rtmp.Media(9, 0x1234567, body)]
    assert server.receive(client.farewell()) == [rtmp.Ended("unpublish")]


def test_a_refusal_that_repeats_the_key_is_told_without_it() -> None:
    client = rtmp_client.Client(app="live", tc_url="rtmp://h/live", stream_key="key1")
    client.receive(b"\x03" + bytes(3072))
    about = {"level": "error", "code": "NetStream.Publish.BadName", "description": "no such stream: key1"}
    client.receive(command("onStatus", 0, None, about))
    assert client.stage == "failed"
    assert client.reason == "no such stream: ***"
