"""A file of fragments with negative composition offsets, as readers that get those wrong are given it."""

import json
import struct
import subprocess
from pathlib import Path

import pytest
from tests.footage import FFPROBE
from tests.unit.ingest.codec_samples import TRACKS

from fastpix_server.engine import boxes, composition
from fastpix_server.engine.boxes import BoxError
from fastpix_server.live.packager.mp4 import MediaSample, init_segment, part

STEP = 3600  # 25 pictures a second at 90 kHz
PLAIN = [0, 0, 0]  # written without a column
REORDERED = [0, 3 * STEP, 0, -2 * STEP, -STEP]
SHALLOW = [0, STEP, -STEP]


def written(path: Path, *groups: list[int]) -> list[tuple[int, int]]:
    """A file of one group of pictures a fragment; the decode and presentation times of its samples."""
    times, data = [], init_segment(TRACKS["h264"])
    for sequence, group in enumerate(groups, 1):
        begin = len(times) * STEP
        samples = [MediaSample(STEP, cts, k == 0, f"{sequence}.{k}".encode()) for k, cts in enumerate(group)]
        data += part(sequence, begin, samples)
        times += [(begin + k * STEP, begin + k * STEP + cts) for k, cts in enumerate(group)]
    path.write_bytes(data)
    return times


def read(path: Path) -> list[dict[str, str]]:
    command = [FFPROBE, "-v", "error", "-show_packets", "-show_data_hash", "md5", "-of", "json", str(path)]
    return list(json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)["packets"])


@pytest.mark.parametrize(
    ("groups", "depth"),
    [((REORDERED,), 2), ((PLAIN, SHALLOW, PLAIN, REORDERED, PLAIN), 2), ((SHALLOW, PLAIN), 1)],
    ids=["from_the_start", "deeper_later", "plain_after"],
)
def test_each_picture_is_shown_at_its_time_and_keeps_its_bytes(
    tmp_path: Path, groups: tuple[list[int], ...], depth: int
) -> None:
    times = written(tmp_path / "signed.mp4", *groups)
    before = read(tmp_path / "signed.mp4")
    assert composition.without_negatives(tmp_path / "signed.mp4", tmp_path / "out.mp4")
    after = read(tmp_path / "out.mp4")
    assert [int(p["pts"]) for p in after] == [shown for _, shown in times]
    assert [int(p["dts"]) for p in after] == [decoded - depth * STEP for decoded, _ in times]
    for name in ("data_hash", "duration", "flags"):
        assert [p[name] for p in after] == [p[name] for p in before]


@pytest.mark.parametrize("form", [(0, ">IiI"), (1, ">QqI")])
def test_an_edit_list_that_is_there_is_moved(tmp_path: Path, form: tuple[int, str]) -> None:
    times = written(tmp_path / "signed.mp4", REORDERED)
    data = (tmp_path / "signed.mp4").read_bytes()
    entries = [struct.pack(form[1], 90_000, -1, 0x10000), struct.pack(form[1], 0, 0, 0x10000)]  # a second of nothing
    edit = boxes.build(b"edts", boxes.build_full(b"elst", form[0], 0, struct.pack(">I", 2), *entries))
    moov, trak, mdia = (
        boxes.find(data, path) for path in ((b"moov",), (b"moov", b"trak"), (b"moov", b"trak", b"mdia"))
    )
    assert moov is not None
    assert trak is not None
    assert mdia is not None
    data = data[: mdia.start] + edit + data[mdia.start :]
    for box in (moov, trak):
        data = data[: box.start] + (box.size + len(edit)).to_bytes(4, "big") + data[box.start + 4 :]
    (tmp_path / "signed.mp4").write_bytes(data)
    assert composition.without_negatives(tmp_path / "signed.mp4", tmp_path / "out.mp4")
    assert [int(p["pts"]) for p in read(tmp_path / "out.mp4")] == [90_000 + shown for _, shown in times]


def test_a_file_without_negative_offsets_is_left_alone(tmp_path: Path) -> None:
    written(tmp_path / "plain.mp4", PLAIN, [STEP, 2 * STEP, 0])
    assert not composition.without_negatives(tmp_path / "plain.mp4", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("cut", [3, 40, -1, -20])
def test_a_broken_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "broken.mp4"
    written(path, REORDERED, REORDERED)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BoxError):
        composition.without_negatives(path, tmp_path / "out.mp4")


def test_runs_of_every_form_are_raised() -> None:
    """Version 0, flags of the first sample, several runs in one fragment; the data stays where it was."""
    run = boxes.build_full(b"trun", 0, 0x205, (2).to_bytes(4, "big"), bytes(4), bytes(4), bytes(8))
    other = boxes.build_full(b"trun", 1, 0x800, (1).to_bytes(4, "big"), (-5).to_bytes(4, "big", signed=True))
    moof = boxes.build(b"moof", boxes.build(b"traf", run, other))
    assert boxes.lowest_composition(moof) == -5
    raised = boxes.raise_compositions(moof, 5)
    assert boxes.lowest_composition(raised) == 0
    assert len(raised) == len(moof) + 8
    found = boxes.find(raised, (b"moof", b"traf", b"trun"))
    assert found is not None
    assert int.from_bytes(raised[found.body + 8 : found.body + 12], "big") == 8
