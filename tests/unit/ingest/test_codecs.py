"""What parameter sets and configurations say, of every codec that is taken."""

import pytest
from tests.unit.ingest import codec_samples as made

from fastpix_server.ingest import av1, h264, hevc, nal, sound
from fastpix_server.ingest.bits import BitReader, Malformed


def test_the_size_of_h264_is_what_is_shown() -> None:
    sps = h264.parse_sps(made.SPS_1080)
    assert (sps.width, sps.height, sps.level) == (1920, 1080, 40)  # coded as 1,088 lines
    fields = h264.parse_sps(made.SPS_1080_INTERLACED_422_10)
    assert (fields.width, fields.height, fields.chroma_format, fields.bit_depth) == (1920, 1080, 2, 10)


def test_avcc_is_taken_apart_and_put_together_again() -> None:
    record = h264.parse_record(made.AVCC)
    assert record.prefix_size == 4
    assert h264.track(record.sps, record.pps) == made.TRACKS["h264"]


def test_hvcc_is_taken_apart_and_put_together_again() -> None:
    record = hevc.parse_record(made.HVCC)
    assert sorted(record.sets) == [hevc.VPS, hevc.SPS, hevc.PPS]
    assert hevc.track(record.sets) == made.TRACKS["hevc"]
    assert (hevc.parse_sps(made.HEVC_SPS_1080).width, hevc.parse_sps(made.HEVC_SPS_1080).height) == (1920, 1080)


def test_av1_knows_its_size_and_loses_its_delimiters() -> None:
    assert (av1.track(made.AV1C).width, av1.track(made.AV1C).height) == (320, 180)
    assert av1.without_delimiters(b"\x12\x00" + made.DATA["av1"]) == made.DATA["av1"]
    assert av1.without_delimiters(made.DATA["av1"]) is made.DATA["av1"]


@pytest.mark.parametrize(
    ("config", "rate_hz", "channels"),
    [("1190", 48000, 2), ("1208", 44100, 1), ("2b920800", 22050, 2), ("eb098800", 24000, 1), ("11b0", 48000, 6)],
    ids=["LC", "mono", "HE with its core", "HE v2 with its core", "5.1"],
)
def test_aac_configurations(config: str, rate_hz: int, channels: int) -> None:
    track = sound.aac_track(bytes.fromhex(config))
    assert (track.sample_rate_hz, track.channels) == (rate_hz, channels)


@pytest.mark.parametrize("config", ["", "11", "0990", "1f90", "1180"])
def test_aac_configurations_that_are_not_taken(config: str) -> None:
    with pytest.raises(Malformed):
        sound.aac_track(bytes.fromhex(config))


def test_adts_says_what_the_configuration_says() -> None:
    for track in (made.TRACKS["aac"], sound.aac_track(bytes.fromhex("1208")), sound.aac_track(bytes.fromhex("11b0"))):
        framed = sound.to_adts(track, b"frame")
        header = sound.parse_adts(framed, 0)
        assert (header.header_size, header.frame_size) == (7, 12)
        assert sound.aac_track(header.config) == track


def test_opus_headers_come_back() -> None:
    track = sound.opus_track(2, pre_skip=312)
    assert sound.opus_track_from_head(sound.opus_head(track)) == track


@pytest.mark.parametrize(
    ("packet", "samples"),
    [(b"\xfc", 960), (b"\x78", 960), (b"\x18", 2880), (b"\xe3\x06", 720), (b"\x9b\x04", 3840), (b"\xe0", 120)],
)
def test_opus_packets_say_how_long_they_play(packet: bytes, samples: int) -> None:
    assert sound.opus_packet_samples(packet) == samples


def test_key_frames_are_idr_or_recovery_points_with_parameter_sets() -> None:
    sps, pps, idr, inter = b"\x67abc", b"\x68a", b"\x65abc", b"\x41abc"
    recovery, other = b"\x06\x06\x01\x80\x80", b"\x06\x05\x02ab\x80"
    assert h264.is_key([idr])
    assert h264.is_key([sps, pps, recovery, inter])
    assert not h264.is_key([sps, pps, inter])
    assert not h264.is_key([recovery, inter])
    assert not h264.is_key([sps, pps, other, inter])


def test_units_of_the_byte_stream_and_back() -> None:
    assert nal.split_byte_stream(b"no unit") == []
    stream = b"junk\x00\x00\x01\x67ab\x00\x00\x00\x01\x68c\x00\x00\x01\x65\x00\x00\x03\x01\x80\x00\x00"
    units = nal.split_byte_stream(stream)
    assert units == [b"\x67ab", b"\x68c", b"\x65\x00\x00\x03\x01\x80"]
    assert list(nal.split_prefixed(nal.join_prefixed(units))) == units
    assert nal.split_byte_stream(nal.to_byte_stream(nal.join_prefixed(units))) == units
    with pytest.raises(Malformed):
        nal.split_byte_stream(b"\x00\x00\x01\x65" * 2000)
    with pytest.raises(Malformed):
        nal.check_prefixed(bytes(4) * 2000)


def test_a_picture_of_an_absurd_size_is_not_taken() -> None:
    with pytest.raises(Malformed):
        nal.check_size(100_000, 1080)
    with pytest.raises(Malformed):
        nal.check_size(1920, 0)


def test_variable_length_fields() -> None:
    bits = BitReader(bytes.fromhex("a69c40"))  # 1 010 011 00100 ... : 0, 1, 2, 3
    assert [bits.unsigned() for _ in range(3)] == [0, 1, 2]
    assert [BitReader(bytes((byte,))).signed() for byte in (0x40, 0x60, 0x20)] == [1, -1, 2]
    with pytest.raises(Malformed):
        BitReader(bytes(20)).unsigned()
