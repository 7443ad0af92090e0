"""Frames of RTP become samples: key first, after gaps as well; what cannot be used is counted."""

import functools
import subprocess

from tests.whip_stage import Remembering

from fastpix_server.engine import binaries
from fastpix_server.ingest import nal
from fastpix_server.ingest.whip_frames import VIDEO_WAIT_TICKS, Frames

START = 700_000


@functools.cache
def pictures(size: str = "320x180") -> list[bytes]:
    """Two groups of five pictures in Annex B, each picture with its start code, key frames with parameter sets."""
    command = [
        binaries.ffmpeg(),
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        f"testsrc2=size={size}:rate=25",
        "-frames:v",
        "10",
    ]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline", "-g", "5"]
    command += ["-x264-params", "aud=1:slices=1:threads=1", "-f", "h264", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    found: list[list[bytes]] = []
    for unit in nal.split_byte_stream(raw):
        if unit[0] & 0x1F == 9:
            found.append([])
        found[-1].append(unit)
    return [b"".join(b"\0\0\0\1" + unit for unit in units) for units in found]


class Stream:
    def __init__(self, *, has_video: bool = True) -> None:
        self.sink = Remembering()
        self.frames = Frames(self.sink, has_video=has_video)
        self.frames.on_packet("audio", START, 1.0)
        self.frames.on_packet("video", START, 1.0)

    def picture(self, number: int, data: bytes | None = None) -> None:
        data = pictures()[number % 10] if data is None else data
        self.frames.on_frame("video", "H264", data, (START + 3600 * number) % 2**32)

    def sound(self, number: int, packet: bytes = b"\x78opus") -> None:
        self.frames.on_frame("audio", "opus", packet, START + 960 * number)


def test_pictures_before_the_first_key_frame_are_dropped_and_counted():
    stream = Stream()
    for number in range(2, 8):
        stream.picture(number)
    assert [sample.is_key for sample in stream.sink.samples] == [True, False, False]
    assert stream.frames.counts["dropped_frames"] == 3
    assert (stream.sink.tracks[0].width, stream.sink.tracks[0].height) == (320, 180)


def test_samples_are_length_prefixed_without_parameter_sets_and_delimiters():
    stream = Stream()
    stream.picture(0)
    kinds = [unit[0] & 0x1F for unit in nal.split_prefixed(stream.sink.samples[0].data)]
    assert kinds[-1] == 5
    assert not {7, 8, 9} & set(kinds)


def test_after_a_gap_only_a_key_frame_goes_on():
    stream = Stream()
    for number in range(2):
        stream.picture(number)
    stream.frames.on_gap("video")
    for number in range(3, 7):
        stream.picture(number)
    assert [sample.dts for sample in stream.sink.samples] == [0, 3600, 18000, 21600]
    assert stream.sink.samples[2].is_key


def test_a_picture_whose_beginning_is_lost_counts_as_a_gap():
    stream = Stream()
    stream.picture(0)
    stream.picture(1, pictures()[1][30:])
    stream.picture(2)
    stream.picture(5)
    assert [sample.is_key for sample in stream.sink.samples] == [True, True]


def test_another_size_is_another_configuration_before_its_first_picture():
    stream = Stream()
    stream.picture(0)
    stream.picture(1, pictures("160x90")[0])
    assert [(track.width, track.height) for track in stream.sink.tracks] == [(320, 180), (160, 90)]
    assert len(stream.sink.samples) == 2


def test_pictures_out_of_order_are_counted_and_left_out():
    stream = Stream()
    stream.picture(0)
    stream.picture(5)
    stream.picture(3)
    assert stream.frames.reordered == 1
    assert len(stream.sink.samples) == 2


def test_sound_waits_for_the_first_picture():
    stream = Stream()
    for number in range(10):
        stream.sound(number)
    assert not stream.sink.samples
    stream.picture(0)
    stream.sound(10)
    assert [track.codec for track in stream.sink.tracks] == ["h264", "opus"]
    assert [sample.kind for sample in stream.sink.samples] == ["video", "audio"]


def test_sound_goes_alone_when_no_picture_comes():
    stream = Stream()
    for number in range(VIDEO_WAIT_TICKS // 1800 + 2):
        stream.sound(number)
    assert [track.codec for track in stream.sink.tracks] == ["opus"]
    assert stream.sink.samples[0].dts >= VIDEO_WAIT_TICKS


def test_an_offer_without_a_picture_has_sound_at_once():
    stream = Stream(has_video=False)
    stream.sound(0)
    stream.sound(1, b"")
    stream.sound(2)
    assert [sample.dts for sample in stream.sink.samples] == [0, 3600]


def test_bytes_that_are_no_h264_are_dropped_and_nothing_else_happens():
    stream = Stream()
    for data in (b"", b"\0\0\0\1", b"\0\0\0\1\x67", b"\xff" * 100, b"\0\0\0\1\x67\x42" + b"\xff" * 50):
        stream.picture(1, data)
    assert not stream.sink.samples
    stream.picture(5)
    assert len(stream.sink.samples) == 1
