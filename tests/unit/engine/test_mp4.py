"""The sample tables against ffprobe's packets on good files, and against made-up lies on bad ones."""

import contextlib
import struct
import subprocess
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import footage

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine import boxes, mp4


def ffprobe_packets(path: Path, stream: str) -> np.ndarray:
    """(pts seconds, size, file position, is key) of every packet, in decode order."""
    command = [footage.FFPROBE, "-v", "error", "-select_streams", stream, "-of", "csv=p=0"]
    entries = ["-show_entries", "packet=pts_time,size,pos,flags", str(path)]
    lines = subprocess.run([*command, *entries], capture_output=True, check=True, text=True).stdout.split()
    rows = [line.split(",") for line in lines]
    return np.array([(float(r[0]), int(r[1]), int(r[2]), r[3].startswith("K")) for r in rows])


@pytest.mark.parametrize(
    "kind", ["plain", "p2997", "late_audio", "late_video", "no_edit_list", "vfr", "open_gop", "hevc", "prores"]
)
def test_times_sizes_places_and_keys_are_those_that_ffprobe_reads(kind):
    path = footage.make(kind)
    index = mp4.read_index(path)
    assert index is not None
    for number, track in enumerate(index.tracks):
        if track.samples is None:
            continue
        expected = ffprobe_packets(path, str(number))
        own = track.times_s()[: len(expected)]
        assert np.abs(own - expected[:, 0]).max() < 2e-5
        assert np.array_equal(track.samples.size[: len(expected)], expected[:, 1])
        assert np.array_equal(track.samples.offset[: len(expected)], expected[:, 2])
        if track.kind == "vide":
            assert len(track.samples) == len(expected)
            assert np.array_equal(track.samples.is_key, expected[:, 3] == 1)


def test_pixel_aspect_rotation_language_and_edits_are_read():
    wide = mp4.read_index(footage.make("sar"))
    turned = mp4.read_index(footage.make("rotated"))
    late = mp4.read_index(footage.make("late_video"))
    spoken = mp4.read_index(footage.make("two_audios"))
    assert wide is not None
    assert turned is not None
    assert late is not None
    assert spoken is not None
    assert wide.tracks[0].pixel_aspect == (4, 3)
    assert (wide.tracks[0].is_upright, turned.tracks[0].is_upright) == (True, False)
    assert (late.tracks[0].empty_s, late.tracks[0].media_time) == (0.7, 1024)
    assert [t.language for t in spoken.tracks[1:]] == ["eng", "fra"]


def test_uncompressed_sound_is_not_expanded_to_one_entry_per_sample():
    index = mp4.read_index(footage.make("prores"))
    assert index is not None
    assert index.tracks[1].samples is None


def test_a_fragmented_file_has_no_tables_and_wants_a_remux():
    assert mp4.read_index(footage.make("fragmented")) is None


@pytest.mark.parametrize(
    ("kind", "code"), [("truncated", "truncated"), ("moov_missing", "moov_missing"), ("zero_bytes", "moov_missing")]
)
def test_a_file_that_was_cut_short_is_refused_with_its_reason(kind, code):
    with pytest.raises(SourceFault) as refused:
        mp4.read_index(footage.make(kind))
    assert refused.value.code == code


def test_a_file_that_ends_inside_its_index_is_truncated(tmp_path):
    path = tmp_path / "a.mp4"
    whole = footage.make("plain").read_bytes()
    path.write_bytes(whole[: whole.index(b"moov") + 500])
    with pytest.raises(SourceFault) as refused:
        mp4.read_index(path)
    assert refused.value.code == "truncated"


def test_an_index_larger_than_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(struct.pack(">I4sQ", 1, b"moov", mp4.MAX_MOOV_BYTES + 1))
    with pytest.raises(SourceFault) as refused:
        mp4.read_index(path)
    assert refused.value.code == "index_too_large"


def lying(tmp_path: Path, table: bytes, at: int, value: int) -> Path:
    """A good file in which one 32-bit field of the first table of that name says something else."""
    data = bytearray(footage.make("plain").read_bytes())
    struct.pack_into(">I", data, data.index(table) + 4 + at, value)
    path = tmp_path / "lying.mp4"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("table", "at", "value"),
    [
        (b"stsz", 8, 0xFFFFFFFF),
        (b"stts", 4, 0xFFFFFFFF),
        (b"stts", 8, 5),
        (b"ctts", 4, 0x10000000),
        (b"stss", 4, 0x10000000),
        (b"stss", 8, 0),
        (b"stss", 8, 100_000),
        (b"stsc", 4, 0xFFFFFFFF),
        (b"stsc", 8, 7),
        (b"stco", 4, 0xFFFFFFFF),
        (b"elst", 4, 0x7FFFFFFF),
        (b"mdhd", 12, 0),
    ],
)
def test_a_table_that_lies_about_itself_is_refused_and_takes_no_memory(tmp_path, table, at, value):
    path = lying(tmp_path, table, at, value)
    tracemalloc.start()
    try:
        with pytest.raises(SourceFault) as refused:
            mp4.read_index(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.code in ("broken_index", "truncated", "index_too_large")
    assert peak < 20 << 20


def fixed_size_file(tmp_path: Path, count: int, size: int) -> Path:
    """A good file whose picture track claims `count` samples of one and the same size."""
    data = bytearray(footage.make("no_audio").read_bytes())
    struct.pack_into(">II", data, data.index(b"stsz") + 8, size, count)
    path = tmp_path / "fixed.mp4"
    path.write_bytes(data)
    return path


def test_more_samples_than_the_limit_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(mp4, "MAX_SAMPLES", 239)
    with pytest.raises(SourceFault) as refused:
        mp4.read_index(footage.make("no_audio"))
    assert refused.value.code == "index_too_large"
    monkeypatch.setattr(mp4, "MAX_SAMPLES", 240)
    assert mp4.read_index(footage.make("no_audio")) is not None


def test_samples_of_one_size_must_fit_the_file_before_they_are_expanded(tmp_path):
    with pytest.raises(SourceFault) as refused:
        mp4.read_index(fixed_size_file(tmp_path, 10_000_000, 1000))
    assert refused.value.code == "truncated"


def test_two_real_edits_are_left_to_the_remux(tmp_path):
    data = bytearray(footage.make("no_audio").read_bytes())
    at = data.index(b"elst")
    entry = data[at + 12 : at + 24]
    moov = boxes.find(data, (b"moov",))
    path = tmp_path / "edits.mp4"
    assert moov is not None
    grown = data[: at + 4] + struct.pack(">II", 0, 2) + entry + entry + data[at + 24 :]
    for kind in (b"elst", b"edts", b"trak", b"moov"):
        place = grown.index(kind) - 4
        struct.pack_into(">I", grown, place, struct.unpack_from(">I", grown, place)[0] + 12)
    path.write_bytes(grown)
    assert mp4.read_index(path) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_index_is_read_or_refused_and_nothing_else(tmp_path, data):
    whole = footage.make("plain").read_bytes()
    start = whole.index(b"moov") - 4
    moov = bytearray(whole[start : start + struct.unpack_from(">I", whole, start)[0]])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(8, len(moov) - 5))
        struct.pack_into(">I", moov, place, data.draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 20])))
    path = tmp_path / "mutated.mp4"
    path.write_bytes(whole[:start] + bytes(moov) + whole[start + len(moov) :])
    with contextlib.suppress(SourceFault):
        mp4.read_index(path)


def test_an_hour_of_samples_is_read_in_a_fraction_of_a_second(tmp_path):
    """The same short clip repeated by stream copy to an hour: about 108,000 pictures and 168,750 sounds."""
    path = tmp_path / "hour.mp4"
    repeat = ("-stream_loop", "449", "-i", str(footage.make("tiny")), "-map", "0", "-c", "copy")
    footage.ffmpeg(*repeat, "-t", "3600", str(path))
    began_s = time.process_time()
    index = mp4.read_index(path)
    took_s = time.process_time() - began_s
    assert index is not None
    assert index.tracks[0].samples is not None
    assert len(index.tracks[0].samples) > 107_000
    assert took_s < 0.5  # 27 ms is usual
