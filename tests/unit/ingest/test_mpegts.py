"""Transport streams that ffmpeg made: every picture and frame comes out, at its time; what is broken costs little."""

import random
import subprocess
from pathlib import Path

import pytest
from tests.footage import FFMPEG
from tests.unit.ingest import peers

from fastpix_server.ingest import mpegts, ts_muxer
from fastpix_server.ingest.bits import Malformed
from fastpix_server.ingest.model import CLOCK_HZ, Sample, Track

OPUS = ("-c:a", "libopus", "-ac", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ts")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    return peers.footage(folder, "clip.ts", *peers.H264, *peers.AAC)


def demuxed(data: bytes, seed: int = 1) -> peers.Memory:
    """Fed in pieces of any size, as sockets give them."""
    memory, demuxer, dice, at = peers.Memory(), mpegts.Demuxer(), random.Random(seed), 0
    while at < len(data):
        size = dice.choice((1, 100, 188, 1316, 20_000))
        give(memory, demuxer.feed(data[at : at + size]))
        at += size
    give(memory, demuxer.flush())
    return memory


def give(memory: peers.Memory, found: list[Track | Sample]) -> None:
    for one in found:
        if isinstance(one, Track):
            memory.on_track(one)
        else:
            memory.on_sample(one)


def assert_same_times(memory: peers.Memory, path: Path, offset: int = 0) -> None:
    for kind in ("video", "audio"):
        expected = [(int(p["dts"]) + offset, int(p["pts"]) - int(p["dts"])) for p in peers.packets(path, kind[0])]
        got = [(sample.dts, sample.cts) for sample in memory.of(kind)]
        assert len(got) == len(expected)
        for mine, theirs in zip(got, expected, strict=True):
            assert mine == pytest.approx(theirs, abs=2)


@pytest.mark.parametrize(
    ("codecs", "names"),
    [
        ((*peers.H264, *peers.AAC), ["h264", "aac"]),
        ((*peers.HEVC, *peers.AAC), ["hevc", "aac"]),
        ((*peers.H264, *OPUS), ["h264", "opus"]),
        ((*peers.H264, "-c:a", "aac", "-ar", "44100", "-ac", "1", "-pes_payload_size", "9000"), ["h264", "aac"]),
    ],
    ids=["h264-aac", "hevc-aac", "h264-opus", "several-aac-frames-per-packet"],
)
def test_every_picture_and_frame_comes_out_at_its_time(folder: Path, codecs: tuple[str, ...], names: list[str]) -> None:
    path = peers.footage(folder, f"{'-'.join(names)}{len(codecs)}.ts", *codecs)
    memory = demuxed(path.read_bytes())
    assert [track.codec for track in sorted(memory.tracks, key=lambda t: t.kind, reverse=True)] == names
    assert {(t.width, t.height) for t in memory.tracks if t.kind == "video"} == {(320, 180)}
    assert_same_times(memory, path)
    keys = ["K" in p["flags"] for p in peers.packets(path, "v")]
    assert [sample.is_key for sample in memory.of("video")] == keys


def test_times_go_on_over_the_wrap_of_33_bits(folder: Path) -> None:
    path = peers.footage(folder, "wrap.ts", *peers.H264, *peers.AAC, "-output_ts_offset", "95441.5")
    memory = demuxed(path.read_bytes())
    for kind in ("video", "audio"):
        times = [sample.dts for sample in memory.of(kind)]
        assert times == sorted(times)
        assert times[-1] > 1 << 33
    assert len(memory.of("video")) == 75


def test_a_lost_packet_costs_the_pictures_up_to_the_next_key_frame(clip: Path) -> None:
    data = bytearray(clip.read_bytes())
    whole = demuxed(bytes(data))
    video_pid = 0x100
    packets = [at for at in range(0, len(data), 188) if (data[at + 1] & 0x1F) << 8 | data[at + 2] == video_pid]
    lost = packets[len(packets) // 6]
    del data[lost : lost + 188]
    memory, demuxer = peers.Memory(), mpegts.Demuxer()
    give(memory, demuxer.feed(bytes(data)) + demuxer.flush())
    assert demuxer.lost_packets == 1
    assert len(memory.of("audio")) == len(whole.of("audio"))
    got, all_of_it = memory.of("video"), whole.of("video")
    missing = [sample for sample in all_of_it if sample not in got]
    assert 0 < len(missing) < 30
    first = all_of_it.index(missing[0])
    assert missing == all_of_it[first : first + len(missing)]
    assert all_of_it[first + len(missing)].is_key


def test_garbage_between_packets_is_skipped(clip: Path) -> None:
    data = clip.read_bytes()
    whole = demuxed(data)
    at = 188 * 40
    spoilt = b"\x00garbage" * 5 + data[:at] + b"more of it" * 30 + data[at:]
    memory = demuxed(spoilt)
    assert len(memory.of("audio")) == len(whole.of("audio"))
    assert len(memory.of("video")) == len(whole.of("video"))


def test_what_is_no_transport_stream_is_refused_soon() -> None:
    demuxer = mpegts.Demuxer()
    with pytest.raises(Malformed):
        for _ in range(1000):
            demuxer.feed(random.Random(1).randbytes(1316))


def test_packets_that_never_become_a_sample_are_refused_in_the_end() -> None:
    demuxer = mpegts.Demuxer()
    packet = bytes((0x47, 0x01, 0x00, 0x10)) + bytes(184)
    with pytest.raises(Malformed):
        for _ in range(200):
            demuxer.feed(packet * 1000)


def test_a_program_without_a_codec_that_is_taken_is_refused(folder: Path) -> None:
    path = peers.footage(folder, "mpeg2.ts", "-c:v", "mpeg2video", "-c:a", "mp2")
    demuxer = mpegts.Demuxer()
    with pytest.raises(Malformed, match="codec"):
        demuxer.feed(path.read_bytes())
    assert demuxer.ignored_types == {0x02, 0x03}


def test_sound_that_is_not_taken_is_left_out_and_noted(folder: Path) -> None:
    path = peers.footage(folder, "mp2.ts", *peers.H264, "-c:a", "mp2")
    memory, demuxer = peers.Memory(), mpegts.Demuxer()
    give(memory, demuxer.feed(path.read_bytes()))
    assert {track.codec for track in memory.tracks} == {"h264"}
    assert demuxer.ignored_types == {0x03}


def test_parameter_sets_that_change_give_another_track(folder: Path) -> None:
    small = peers.footage(folder, "small.ts", *peers.H264, "-vf", "scale=160:90", "-output_ts_offset", "10")
    both = (folder / "clip.ts").read_bytes() if (folder / "clip.ts").exists() else b""
    both = both or peers.footage(folder, "clip.ts", *peers.H264, *peers.AAC).read_bytes()
    memory = demuxed(both + small.read_bytes())
    assert [(t.width, t.height) for t in memory.tracks if t.kind == "video"] == [(320, 180), (160, 90)]


def framehash(path: Path, stream: str) -> list[str]:
    run = [FFMPEG, "-v", "error", "-i", str(path), "-map", f"0:{stream}", "-f", "framehash", "-hash", "md5", "-"]
    said = subprocess.run(run, capture_output=True, check=True, timeout=peers.WAIT_S)
    assert said.stderr == b""
    return [line.rsplit(b",", 1)[1].decode() for line in said.stdout.splitlines() if not line.startswith(b"#")]


@pytest.mark.parametrize("codecs", [(*peers.H264, *peers.AAC), (*peers.HEVC, *peers.AAC), (*peers.H264, *OPUS)])
def test_what_our_muxer_writes_decodes_to_the_same_pictures_and_sound(
    folder: Path, codecs: tuple[str, ...], tmp_path: Path
) -> None:
    source = peers.footage(folder, "source.ts", *codecs)
    memory = demuxed(source.read_bytes())
    muxer, written = ts_muxer.Muxer(), bytearray()
    for track in memory.tracks:
        muxer.track(track)
    for sample in memory.samples:
        piece = muxer.sample(sample)
        assert len(piece) % mpegts.PACKET_BYTES == 0
        written += piece
    path = tmp_path / "ours.ts"
    path.write_bytes(written)
    assert framehash(path, "v") == framehash(source, "v")
    assert framehash(path, "a") == framehash(source, "a")
    again = demuxed(bytes(written))
    assert again.tracks
    assert [s.data for s in again.of("video")] == [s.data for s in memory.of("video")]
    assert [s.data for s in again.of("audio")] == [s.data for s in memory.of("audio")]
    shift = memory.samples[0].dts - CLOCK_HZ
    assert [(s.dts + shift, s.cts) for s in again.of("video")] == [(s.dts, s.cts) for s in memory.of("video")]
