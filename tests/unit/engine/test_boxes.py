import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpix_server.engine import boxes


def moof(*, sizes=(10, 20), duration=512, sequence=1, decode_time=0, version=1) -> bytes:
    tfhd = boxes.build_full(b"tfhd", 0, 0x20008, struct.pack(">II", 1, duration))
    tfdt = boxes.build_full(b"tfdt", version, 0, struct.pack(">Q" if version else ">I", decode_time))
    trun = boxes.build_full(
        b"trun", 0, 0x201, struct.pack(">II", len(sizes), 0), struct.pack(f">{len(sizes)}I", *sizes)
    )
    mfhd = boxes.build_full(b"mfhd", 0, 0, struct.pack(">I", sequence))
    return boxes.build(b"moof", mfhd, boxes.build(b"traf", tfhd, tfdt, trun))


def test_a_built_box_is_found_again_by_its_path():
    data = boxes.build(b"free", b"xx") + boxes.build(b"moov", boxes.build(b"trak", boxes.build(b"mdia", b"abc")))
    found = boxes.find(data, (b"moov", b"trak", b"mdia"))
    assert found is not None
    assert data[found.body : found.end] == b"abc"
    assert boxes.find(data, (b"moov", b"udta")) is None


def test_large_and_open_ended_sizes_are_understood():
    large = struct.pack(">I4sQ", 1, b"mdat", 20) + b"abcd"
    open_ended = struct.pack(">I4s", 0, b"free") + b"rest"
    first, second = boxes.walk(large + open_ended)
    assert (first.kind, first.body, first.end) == (b"mdat", 16, 20)
    assert (second.kind, second.size) == (b"free", 12)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0",
        struct.pack(">I4s", 7, b"free"),
        struct.pack(">I4s", 100, b"free"),
        struct.pack(">I4sQ", 1, b"mdat", 15),
        struct.pack(">I4s", 1, b"mdat"),
    ],
    ids=["short_header", "size_below_header", "past_the_end", "large_size_below_header", "large_header_cut"],
)
def test_a_malformed_box_is_an_error_and_not_a_loop(data):
    with pytest.raises(boxes.BoxError):
        list(boxes.walk(data))


def test_a_walk_stops_at_its_largest_number_of_boxes():
    one = boxes.build(b"free")
    assert len(list(boxes.walk(one * (boxes.MAX_BOXES_PER_WALK - 1)))) == boxes.MAX_BOXES_PER_WALK - 1
    with pytest.raises(boxes.BoxError):
        list(boxes.walk(one * (boxes.MAX_BOXES_PER_WALK + 1)))


def test_patching_changes_sequence_and_decode_time_only():
    before = moof(sequence=1, decode_time=0)
    after = boxes.patch_fragment(before, sequence=42, decode_time=2**40)
    assert after == moof(sequence=42, decode_time=2**40)
    assert boxes.decode_time(after) == 2**40


def test_a_fragment_with_a_32_bit_decode_time_is_not_patched():
    short = moof(version=0, decode_time=7)
    assert boxes.decode_time(short) == 7
    with pytest.raises(boxes.BoxError):
        boxes.patch_fragment(short, sequence=1, decode_time=0)


def test_totals_add_up_every_sample_with_its_defaults():
    assert boxes.fragment_totals(moof(sizes=(10, 20, 5), duration=512)) == (3, 1536, 35)


def test_totals_read_each_sample_when_all_fields_are_present():
    rows = struct.pack(">12I", 100, 7, 0, 0, 200, 8, 0, 0, 300, 9, 0, 0)
    trun = boxes.build_full(b"trun", 1, 0xF01, struct.pack(">II", 3, 0), rows)
    tfhd = boxes.build_full(b"tfhd", 0, 0x20000, struct.pack(">I", 1))
    assert boxes.fragment_totals(boxes.build(b"moof", boxes.build(b"traf", tfhd, trun))) == (3, 600, 24)


def test_a_run_that_claims_more_samples_than_it_holds_is_refused():
    lying = bytearray(moof())
    at = bytes(lying).index(b"trun") + 8
    struct.pack_into(">I", lying, at, 1_000_000)
    with pytest.raises(boxes.BoxError):
        boxes.fragment_totals(bytes(lying))


@given(st.binary(max_size=200))
def test_any_bytes_either_walk_or_raise_box_error(data):
    try:
        found = list(boxes.walk(data))
    except boxes.BoxError:
        return
    assert all(0 <= b.start < b.body <= b.end <= len(data) for b in found)


@given(st.data())
def test_a_mutated_fragment_never_raises_anything_else(data):
    whole = bytearray(moof())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    try:
        boxes.fragment_totals(bytes(whole))
        boxes.patch_fragment(whole, sequence=1, decode_time=1)
        boxes.decode_time(bytes(whole))
    except boxes.BoxError:
        pass
