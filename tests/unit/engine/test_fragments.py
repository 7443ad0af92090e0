"""Fragments out of a pipe: whole, counted, moved; broken ones are refused."""

import asyncio
import struct

import pytest

from fastpix_server.engine import boxes, fragments
from fastpix_server.engine.fragments import Fragment, FragmentError


def reader_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


def a_moof(durations: list[int], tfdt: int = 0) -> bytes:
    samples = b"".join(struct.pack(">II", d, 10) for d in durations)
    return boxes.build(
        b"moof",
        boxes.build_full(b"mfhd", 0, 0, struct.pack(">I", 1)),
        boxes.build(
            b"traf",
            boxes.build_full(b"tfhd", 0, 0x020000, struct.pack(">I", 1)),
            boxes.build_full(b"tfdt", 1, 0, struct.pack(">Q", tfdt)),
            boxes.build_full(b"trun", 0, 0x301, struct.pack(">II", len(durations), 0) + samples),
        ),
    )


MDAT = boxes.build(b"mdat", b"pictures")


async def test_fragments_are_read_between_header_and_index():
    data = boxes.build(b"ftyp", b"iso5") + boxes.build(b"moov") + a_moof([5]) + MDAT + boxes.build(b"mfra", b"x")
    read = [f async for f in fragments.read_fragments(reader_of(data))]
    assert read == [Fragment(a_moof([5]), MDAT)]
    assert await fragments.read_init(reader_of(data)) == boxes.build(b"ftyp", b"iso5") + boxes.build(b"moov")


@pytest.mark.parametrize("lost", [1, len(MDAT) - 1, len(MDAT) + 3])
async def test_a_stream_that_is_cut_off_yields_only_what_is_whole(lost: int):
    data = a_moof([5]) + MDAT + a_moof([5]) + MDAT
    assert len([f async for f in fragments.read_fragments(reader_of(data[:-lost]))]) == 1


@pytest.mark.parametrize("size", [0, 7, fragments.MAX_BOX_BYTES + 1])
async def test_a_box_of_impossible_size_is_refused(size: int):
    with pytest.raises(FragmentError):
        [b async for b in fragments.read_boxes(reader_of(struct.pack(">I4s", size, b"mdat")))]


def segment(moof: bytes, **planned: int) -> bytes:
    plan = {"index": 7, "frames": 3, "frame_ticks": 5, "decode_time": 105, **planned}
    return fragments.video_segment(Fragment(moof, MDAT), **plan)


def test_a_finished_segment_is_at_its_place_on_the_timeline():
    data = segment(a_moof([5, 5, 5]))
    assert [b.kind for b in boxes.walk(data)] == [b"styp", b"moof", b"mdat"]
    moof = boxes.find(data, [b"moof"])
    assert moof is not None
    assert boxes.decode_time(data[moof.start : moof.end]) == 105
    mfhd = boxes.find(data, [b"moof", b"mfhd"])
    assert mfhd is not None
    assert data[mfhd.body + 4 : mfhd.end] == struct.pack(">I", 8)


@pytest.mark.parametrize("durations", [[5, 5], [5, 5, 5, 5], [5, 5, 6]])
def test_a_wrong_number_of_frames_or_ticks_is_refused(durations: list[int]):
    with pytest.raises(FragmentError, match="planned 3 frames"):
        segment(a_moof(durations))


def test_a_fragment_without_structure_is_refused():
    with pytest.raises(FragmentError):
        segment(boxes.build(b"moof", b"junk"))


def test_sound_frames_become_one_fragment_whose_offset_points_at_them():
    data = fragments.audio_segment([b"abc", b"de", b"f"], index=4, decode_time=4096)
    moof = boxes.find(data, [b"moof"])
    assert moof is not None
    totals = boxes.fragment_totals(data[moof.start : moof.end])
    assert (totals.samples, totals.duration_ticks, totals.data_size_bytes) == (3, 3 * 1024, 6)
    trun = boxes.find(data, [b"moof", b"traf", b"trun"])
    assert trun is not None
    (offset,) = struct.unpack_from(">I", data, trun.body + 8)
    assert data[moof.start + offset :] == b"abcdef"


def adts(payload: bytes) -> bytes:
    size = len(payload) + 7
    return bytes([0xFF, 0xF1, 0x4C, 0x80 | size >> 11, size >> 3 & 0xFF, (size & 7) << 5 | 0x1F, 0xFC]) + payload


async def test_sound_frames_are_read_without_their_headers():
    data = adts(b"one") + adts(b"x" * 5000) + adts(b"cut off")[:-1]
    assert [f async for f in fragments.read_adts(reader_of(data))] == [b"one", b"x" * 5000]


@pytest.mark.parametrize(
    "header", [b"ID3\x04\x00\x00\x00", adts(b"")[:3] + b"\x80\x00\x5f\xfc", b"\xff\xf0" + adts(b"a")[2:7]]
)
def test_what_is_no_plain_sound_header_is_refused(header: bytes):
    with pytest.raises(FragmentError):
        fragments.adts_payload_bytes(header)
