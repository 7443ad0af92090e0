"""Tag bodies, old and enhanced; and the way back."""

import pytest
from tests.unit.ingest import codec_samples as made

from fastpix_server.ingest import flv
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import Sample, Track

AVC_START = b"\x17\x00\x00\x00\x00" + made.AVCC
PICTURE = (5).to_bytes(4, "big") + b"\x65abcd"


def signed24(value: int) -> bytes:
    return (value & 0xFFFFFF).to_bytes(3, "big")


def only_sample(found: list[Track | Sample]) -> Sample:
    [sample] = found
    assert isinstance(sample, Sample)
    return sample


def test_h264_and_aac_as_every_encoder_sends_them() -> None:
    demuxer = flv.Demuxer()
    [video] = demuxer.feed(9, 0, AVC_START)
    [audio] = demuxer.feed(8, 0, b"\xaf\x00\x11\x90")
    assert video == Track("h264", made.AVCC, 320, 180)
    assert audio == Track("aac", b"\x11\x90", sample_rate_hz=48000, channels=2)
    assert demuxer.feed(9, 40, b"\x17\x01" + signed24(80) + PICTURE) == [Sample("video", 3600, 7200, True, PICTURE)]
    assert demuxer.feed(9, 80, b"\x27\x01" + signed24(-40) + PICTURE) == [Sample("video", 7200, -3600, False, PICTURE)]
    assert demuxer.feed(8, 21, b"\xaf\x01frame") == [Sample("audio", 1890, 0, True, b"frame")]


def test_what_is_sent_again_is_no_news_and_a_change_is() -> None:
    demuxer = flv.Demuxer()
    assert len(demuxer.feed(9, 0, AVC_START)) == 1
    assert demuxer.feed(9, 2000, AVC_START) == []
    other = b"\x17\x00\x00\x00\x00" + made.AVCC_160
    assert demuxer.feed(9, 4000, other) == [Track("h264", made.AVCC_160, 160, 90)]


def test_samples_before_their_track_are_left_out() -> None:
    demuxer = flv.Demuxer()
    assert demuxer.feed(9, 0, b"\x17\x01" + bytes(3) + PICTURE) == []
    assert demuxer.feed(8, 0, b"\xaf\x01frame") == []


def test_times_are_unwrapped_over_32_bits_and_may_step_back_a_little() -> None:
    demuxer = flv.Demuxer()
    demuxer.feed(9, 0xFFFFFFF0, AVC_START)
    times = [0xFFFFFFF8, 0x8, 0x4, 0x28]
    got = [only_sample(demuxer.feed(9, time, b"\x27\x01" + bytes(3) + PICTURE)).dts // 90 for time in times]
    assert got == [0xFFFFFFF8, 0x100000008, 0x100000004, 0x100000028]


def test_short_nal_lengths_become_four_bytes() -> None:
    demuxer = flv.Demuxer()
    two_bytes = made.AVCC[:4] + b"\xfd" + made.AVCC[5:]
    [track] = demuxer.feed(9, 0, b"\x17\x00\x00\x00\x00" + two_bytes)
    assert isinstance(track, Track)
    assert track.config[4] & 3 == 3
    short = (5).to_bytes(2, "big") + b"\x65abcd" + (1).to_bytes(2, "big") + b"\x06"
    sample = only_sample(demuxer.feed(9, 0, b"\x17\x01" + bytes(3) + short))
    assert sample.data == PICTURE + (1).to_bytes(4, "big") + b"\x06"


ENHANCED_START = b"\x90avc1" + made.AVCC


@pytest.mark.parametrize(
    ("body", "cts"),
    [
        (b"\x91avc1" + signed24(40) + PICTURE, 3600),
        (b"\x93avc1" + PICTURE, 0),
        (b"\x97\x02\x01\x02\x03\x01avc1" + signed24(40) + PICTURE, 3600),  # a nanosecond offset before it
        (b"\x96\x01avc1\x00" + signed24(40) + PICTURE, 3600),  # one track of a multitrack packet
        (
            b"\x96\x11avc1"
            + b"\x01" + (3).to_bytes(3, "big") + b"xyz"
            + b"\x00" + (len(PICTURE) + 3).to_bytes(3, "big") + signed24(40) + PICTURE,
            3600,
        ),
    ],
    ids=["coded", "coded without offset", "modified", "one track", "first of two tracks"],
)  # fmt: skip
def test_enhanced_tags_carry_the_same_picture(body: bytes, cts: int) -> None:
    demuxer = flv.Demuxer()
    assert demuxer.feed(9, 0, ENHANCED_START) == [Track("h264", made.AVCC, 320, 180)]
    assert demuxer.feed(9, 0, body) == [Sample("video", 0, cts, True, PICTURE)]


def test_opus_by_enhanced_rtmp() -> None:
    demuxer = flv.Demuxer()
    [track] = demuxer.feed(8, 0, b"\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00")
    assert track == Track("opus", b"\x00\x02\x01\x38\x00\x00\xbb\x80\x00\x00\x00", sample_rate_hz=48000, channels=2)
    assert demuxer.feed(8, 20, b"\x91Opuspacket") == [Sample("audio", 1800, 0, True, b"packet")]


@pytest.mark.parametrize(
    ("kind", "body"),
    [(9, b"\x12\x00"), (9, b"\x90vp09"), (8, b"\x2f\xff"), (8, b"\x90ac-3"), (9, b"\x17\x00\x00\x00\x00\x01\x64")],
    ids=["H.263", "VP9", "MP3", "AC-3", "a configuration cut off"],
)
def test_what_is_not_taken_ends_the_publication(kind: int, body: bytes) -> None:
    with pytest.raises(Malformed):
        flv.Demuxer().feed(kind, 0, body)


def test_a_picture_whose_units_reach_past_it_ends_the_publication() -> None:
    demuxer = flv.Demuxer()
    demuxer.feed(9, 0, AVC_START)
    with pytest.raises(Malformed):
        demuxer.feed(9, 0, b"\x17\x01" + bytes(3) + b"\x00\x00\xff\xff\x65")


@pytest.mark.parametrize("body", [b"\x17\x02", b"\x57\x00", b"\x52\x00", b"\x94avc1", b"\x92avc1", b""])
def test_ends_commands_and_metadata_are_left_out(body: bytes) -> None:
    demuxer = flv.Demuxer()
    demuxer.feed(9, 0, AVC_START)
    assert demuxer.feed(9, 0, body if len(body) != 2 or body[0] != 0x17 else body + bytes(3)) == []


@pytest.mark.parametrize("name", ["h264", "hevc", "av1", "aac", "opus"])
def test_what_the_packer_writes_the_demuxer_reads(name: str) -> None:
    track, data = made.TRACKS[name], made.DATA[name]
    packer, demuxer = flv.Packer(), flv.Demuxer()
    kind, time, body = packer.track(track)
    assert demuxer.feed(kind, time, body) == [track]
    cts = 7200 if name in ("h264", "hevc") else 0
    sample = Sample(track.kind, 90_000, cts, True, data)
    later = Sample(track.kind, 93_600, cts, track.kind == "audio", data)
    got = [demuxer.feed(*packer.sample(one))[0] for one in (sample, later)]
    assert got == [Sample(s.kind, s.dts - 90_000, s.cts, s.is_key, s.data) for s in (sample, later)]
