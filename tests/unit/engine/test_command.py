"""Commands as text: each measured flag is there, and each kind of source changes what it should."""

import dataclasses
import itertools
from fractions import Fraction
from pathlib import Path

import pytest

from fastpix_server.engine import command, command_audio
from fastpix_server.engine.plan import AudioRendition, Plan, Timeline, VideoRendition
from fastpix_server.engine.source import VideoFacts

LARGE = VideoRendition("720p", "encode", 1280, 720, 2_800_000, 1_200_000, 23, "faster", "avc1.64001f")
SMALL = VideoRendition("270p", "encode", 480, 270, 600_000, 300_000, 21.5, "medium", "avc1.640015")
SOUND = AudioRendition("a0", "encode", 2, 2, 48000, 128_000, "und", "default", "mp4a.40.2")
NTSC = Fraction(30000, 1001)
FACTS = VideoFacts(1, "h264", 1280, 720, 1280, 720, 0, NTSC, False, 240, "yuv420p", 8, "bt709", False, 0, None)
LINE = Timeline(NTSC, 30000, 1001, (0, 60, 100, 200, 240), 48000, (0, 94, 156, 313, 375))
PLAN = Plan("r", "mp4", 0.0, 8.008, LINE, FACTS, (0.0, 1.5, 3.3366666, 6.0), (LARGE, SMALL), (SOUND,))
SOURCE = Path("/data/sources/m/original")


def video(plan: Plan = PLAN, k0: int = 1, k1: int = 3, **options: object) -> list[str]:
    return command.video_command(plan, SOURCE, plan.videos, k0, k1, **options)


def after(argv: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(argv) if name == option]


def graph_of(argv: list[str]) -> str:
    return after(argv, "-filter_complex")[0]


def with_facts(**facts: object) -> Plan:
    return dataclasses.replace(PLAN, video=dataclasses.replace(FACTS, **facts))


def test_only_a_local_file_of_known_containers_is_opened():
    argv = video()
    assert after(argv, "-i") == ["file:/data/sources/m/original"]
    assert after(argv, "-protocol_whitelist") == ["file,pipe"]
    formats = after(argv, "-format_whitelist")[0].split(",")
    assert not {"hls", "dash", "concat", "sdp", "image2", "lavfi", "rawvideo"} & set(formats)
    assert after(argv, "-max_pixels") == ["40000000"]
    assert argv.index("-max_pixels") < argv.index("-i")
    assert "-nostdin" in argv


def test_decoding_starts_at_the_key_frame_before_the_range():
    argv = video()
    assert after(argv, "-ss") == ["1.500000"]
    assert argv.index("-noaccurate_seek") < argv.index("-ss") < argv.index("-i")


def test_the_grid_begins_before_the_key_frame_and_cuts_to_the_exact_range():
    # Segment 1 begins at 60 * 1001/30000 = 2.002 s, 0.502 s = 15.04 frames behind the key frame.
    head = graph_of(video()).split(",split")[0]
    assert head == (
        "[0:1]fps=fps=30000/1001:start_time=-0.031867,tpad=stop=-1:stop_mode=clone,"
        "trim=start_frame=16:end_frame=156,setpts=N"
    )


def test_a_source_without_an_index_is_sought_half_a_second_early():
    plan = dataclasses.replace(PLAN, seeks_s=(None,) * 4)
    assert after(video(plan), "-ss") == ["1.502000"]
    assert after(video(plan, 0, 1), "-ss") == ["0.000000"]


def test_a_seek_never_lies_behind_the_start_of_its_range():
    plan = dataclasses.replace(PLAN, seeks_s=(0.0, 9.0, 9.0, 9.0))
    assert after(video(plan), "-ss") == ["2.002000"]


def test_a_key_frame_that_a_coarse_clock_puts_a_little_late_is_still_the_place_to_start():
    plan = dataclasses.replace(PLAN, seeks_s=(0.0, 2.003, 9.0, 9.0))
    argv = video(plan)
    assert after(argv, "-ss") == ["2.003000"]
    assert "start_time=-0.034367,tpad=stop=-1:stop_mode=clone,trim=start_frame=1:end_frame=141" in graph_of(argv)


def test_an_earlier_start_keeps_the_same_frames():
    argv = video(seek_segment=0)
    assert after(argv, "-ss") == ["0.000000"]
    assert "trim=start_frame=61:end_frame=201" in graph_of(argv)


def test_key_frames_are_forced_at_the_cuts_of_the_job_only():
    argv = video()
    assert after(argv, "-force_key_frames") == ["0.000000,1.334666"] * 2  # rounded down to reach the frame's own time
    assert after(argv, "-forced-idr") == ["1", "1"]
    assert after(argv, "-g") == ["100000", "100000"]
    assert after(argv, "-keyint_min") == ["100", "100"]  # the longest segment of the plan, the same in every job


def test_each_rung_has_its_size_its_rate_cap_and_its_pipe():
    argv = video()
    graph = graph_of(argv)
    assert "split=2[s0][s1];[s0]scale=1280:720:" in graph
    assert "[s1]scale=480:270:" in graph
    assert graph.count("setsar=1,format=yuv420p,setparams=color_primaries=bt709") == 2
    assert after(argv, "-crf") == ["23", "21.5"]
    assert after(argv, "-maxrate") == ["2800000", "600000"]
    assert after(argv, "-bufsize") == ["5600000", "1200000"]
    assert after(argv, "-preset") == ["faster", "medium"]
    assert after(argv, "-profile:v") == ["high", "high"]
    assert after(argv, "-level:v") == ["3.1", "2.1"]
    assert after(argv, "-video_track_timescale") == ["30000", "30000"]
    assert [a for a in argv if a.startswith("pipe:")] == ["pipe:3", "pipe:4"]
    assert set(after(argv, "-movflags")) == {"frag_keyframe+default_base_moof+delay_moov"}


def test_fast_changes_the_search_and_nothing_else():
    full, fast = video(), video(fast=True)
    added = [a for a in fast if a not in full]
    assert added == ["-x264-params", command.FAST_X264, "-x264-params", command.FAST_X264]


def test_one_thread_means_one_in_decoder_filters_and_encoders():
    argv = video(threads=1)
    assert after(argv, "-threads") == ["1", "1", "1"]
    assert after(argv, "-filter_complex_threads") == ["1"]
    assert "-threads" not in video()


def test_hdr_is_mapped_once_before_the_rungs_divide():
    graph = graph_of(video(with_facts(transfer="arib-std-b67")))
    assert graph.count("tonemap=tonemap=hable") == 1
    assert graph.index("tonemap") < graph.index("split=2")
    assert "zscale=transferin=arib-std-b67:" in graph
    assert "tonemap" not in graph_of(video())


def test_interlaced_pictures_are_woven_apart_before_the_grid():
    assert graph_of(video(with_facts(is_interlaced=True))).startswith("[0:1]bwdif=mode=send_frame")
    assert "bwdif" not in graph_of(video())


def test_high_definition_without_a_matrix_is_taken_for_bt709():
    assert after(video(), "-colorspace") == ["bt709"]
    assert after(video(with_facts(width=720, height=576)), "-colorspace") == []
    assert after(video(with_facts(transfer="smpte2084")), "-colorspace") == []


def test_the_longest_job_fits_into_one_argument():
    cuts = tuple(range(0, 60 * 257, 60))
    line = dataclasses.replace(LINE, cuts=cuts, audio_cuts=(0,) * 257)
    plan = dataclasses.replace(PLAN, timeline=line, seeks_s=(0.0,) * 256)
    assert max(map(len, video(plan, 0, 256))) < 128 * 1024


def test_limits_grow_with_the_work_and_bound_it():
    short, long = (command.video_limits(PLAN, PLAN.videos, 0, k) for k in (1, 4))
    assert short.cpu_s < long.cpu_s
    assert short.file_bytes == 0
    assert short.memory_bytes < 1 << 40


def test_sound_begins_sixteen_frames_early_and_ends_four_late():
    argv = command_audio.audio_command(PLAN, SOURCE, SOUND, 1, 3)
    # First frame 94 - 16 = 78: sample 79872 = 1.664 s, sought one second before that.
    assert after(argv, "-ss") == ["0.664000"]
    assert graph_of(argv) == (
        "[0:2]aresample=48000:async=1:min_hard_comp=0.02:first_pts=0,aformat=channel_layouts=stereo:sample_fmts=fltp,"
        "atrim=start_pts=48000,asetpts=N,apad,atrim=end_sample=244736,asetpts=N[a]"
    )
    assert command_audio.first_frame(PLAN, 1) == 94 - 16 - 1
    assert (after(argv, "-f"), argv[-1]) == (["adts"], "pipe:3")


def test_sound_at_the_start_is_preceded_by_silence():
    argv = command_audio.audio_command(PLAN, SOURCE, SOUND, 0, 1)
    assert after(argv, "-ss") == []
    assert "adelay=delays=16384S:all=1" in graph_of(argv)


@pytest.mark.parametrize(("channels", "layout"), [(1, "mono"), (2, "stereo")])
def test_sound_is_mono_or_stereo(channels: int, layout: str):
    sound = dataclasses.replace(SOUND, channels=channels)
    assert f"channel_layouts={layout}:" in graph_of(command_audio.audio_command(PLAN, SOURCE, sound, 0, 1))
