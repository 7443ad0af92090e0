"""Plans from facts alone: what every rendition shares, and what a property must hold for any source."""

import dataclasses
import itertools
import json
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine import cuts
from fastpix_server.engine.copy_verdict import CopyAudio, CopyVerdict, CopyVideo
from fastpix_server.engine.plan import AAC_FRAME_SAMPLES, MAX_OVERHANG_S, Plan, make_plan
from fastpix_server.engine.plan_json import plan_from_json, plan_to_json
from fastpix_server.engine.source import AudioFacts, Source, VideoFacts

SOUND = AudioFacts(1, "aac", "LC", 2, 48000, "und", "", 128_000)


def picture(
    frames: int = 300, fps: Fraction = Fraction(30), keys: tuple[float, ...] | None = None, **changes
) -> VideoFacts:
    facts = VideoFacts(
        0, "h264", 1280, 720, 1280, 720, 0, fps, False, frames, "yuv420p", 8, "bt709", False, 2_000_000, keys
    )
    return dataclasses.replace(facts, **changes)


def source(video: VideoFacts | None = None, audios=(SOUND,), duration_s: float | None = None) -> Source:
    length = float(video.frames / video.fps) if video else 10.0
    return Source("mp4", video is not None, length if duration_s is None else duration_s, 0.0, 1_000_000, video, audios)


def every_n_seconds(n: float, video: VideoFacts) -> VideoFacts:
    step = round(n * video.fps)
    return dataclasses.replace(video, keyframes_s=tuple(i / float(video.fps) for i in range(0, video.frames, step)))


def copyable(video: VideoFacts, *, every: int, bytes_per_frame: int = 8000) -> CopyVerdict:
    marks = tuple(range(0, video.frames, every))
    sizes = tuple(m * bytes_per_frame for m in marks)
    total = video.frames * bytes_per_frame
    own = CopyVideo(video.width, video.height, "avc1.64001f", marks, sizes, total, video.frames)
    return CopyVerdict(own, (CopyAudio(1, 44100, 2, 128_000, 10**6),))


def test_without_key_frames_the_grid_has_two_second_segments():
    plan = make_plan(source(picture(frames=300)))
    assert plan.timeline.cuts == (0, 60, 120, 180, 240, 300)
    assert plan.seeks_s == (None,) * 5


def test_a_last_segment_shorter_than_half_is_merged_and_a_longer_one_is_not():
    assert make_plan(source(picture(frames=149))).timeline.cuts == (0, 60, 149)
    assert make_plan(source(picture(frames=150))).timeline.cuts == (0, 60, 120, 150)
    assert make_plan(source(picture(frames=7))).timeline.cuts == (0, 7)


def test_short_groups_are_cut_at_key_frames_near_two_seconds():
    assert make_plan(source(every_n_seconds(0.5, picture()))).timeline.cuts == (0, 60, 120, 180, 240, 300)
    assert make_plan(source(every_n_seconds(3, picture()))).timeline.cuts == (0, 90, 180, 270, 300)
    assert make_plan(source(every_n_seconds(3, picture()))).seeks_s == (0.0, 3.0, 6.0, 9.0)


def test_groups_of_four_seconds_are_followed_and_longer_ones_are_not():
    four = make_plan(source(every_n_seconds(4, picture(frames=480))))
    longer = make_plan(source(every_n_seconds(4.1, picture(frames=492))))
    assert four.timeline.cuts == (0, 120, 240, 360, 480)
    assert longer.timeline.cuts[1] == 60
    assert longer.seeks_s[:4] == (0.0, 0.0, 0.0, pytest.approx(4.1))


def test_ntsc_rates_have_exact_ticks():
    timeline = make_plan(source(picture(fps=Fraction(30000, 1001)))).timeline
    assert (timeline.timescale, timeline.frame_ticks) == (30000, 1001)
    assert timeline.start_s(1) == Fraction(60 * 1001, 30000)


def test_sound_is_cut_at_the_nearest_frame_and_covers_the_end():
    timeline = make_plan(source(picture(frames=300))).timeline
    assert timeline.audio_cuts == (0, 94, 188, 281, 375, 469)
    assert timeline.audio_cuts[-1] * AAC_FRAME_SAMPLES >= 10 * 48000


def test_sound_that_outlasts_the_picture_a_little_is_in_the_last_segment():
    plan = make_plan(source(picture(frames=300), duration_s=10 + MAX_OVERHANG_S))
    assert plan.timeline.frames == 300
    assert plan.timeline.audio_cuts[-1] == math.ceil(10.5 * 48000 / 1024)


def test_sound_that_outlasts_the_picture_by_much_holds_the_last_frame():
    plan = make_plan(source(picture(frames=300), duration_s=13))
    assert plan.timeline.frames == 390


def test_sound_alone_is_cut_on_its_own_frames():
    plan = make_plan(source(None, duration_s=60))
    assert plan.is_audio_only
    assert plan.videos == ()
    assert plan.timeline.cuts == plan.timeline.audio_cuts
    assert all(2 < plan.timeline.segment_s(k) < 6.1 for k in range(plan.timeline.segment_count))
    assert plan.timeline.start_s(1) * 48000 % 1024 == 0


def test_without_sound_the_audio_cuts_are_zero():
    plan = make_plan(source(picture(), audios=()))
    assert plan.audios == ()
    assert set(plan.timeline.audio_cuts) == {0}
    assert len(plan.timeline.audio_cuts) == len(plan.timeline.cuts)


def test_surround_becomes_stereo_and_mono_stays_mono():
    sounds = (dataclasses.replace(SOUND, channels=6), dataclasses.replace(SOUND, stream_index=2, channels=1))
    plan = make_plan(source(picture(), audios=sounds))
    assert [(a.name, a.channels, a.sample_rate_hz) for a in plan.audios] == [("a0", 2, 48000), ("a1", 1, 48000)]


def test_titles_in_a_menu_are_told_apart():
    english = dataclasses.replace(SOUND, language="eng")
    named = dataclasses.replace(SOUND, title="Commentary")
    titles = [a.title for a in make_plan(source(picture(), audios=(english, english, named, SOUND))).audios]
    assert titles == ["eng", "eng (2)", "Commentary", "Audio 4"]
    assert make_plan(source(picture())).audios[0].title == "default"


def test_the_copy_replaces_the_encoded_rung_of_its_size():
    video = picture()
    plan = make_plan(source(video), copy=copyable(video, every=60))
    assert [(v.name, v.kind) for v in plan.videos] == [("source", "copy"), ("480p", "encode"), ("270p", "encode")]
    assert plan.videos[0].max_bitrate_bps == 8000 * 30 * 8


def test_with_the_copy_groups_may_last_six_seconds():
    six, seven = picture(frames=720), picture(frames=840)
    assert make_plan(source(six), copy=copyable(six, every=180)).timeline.cuts == (0, 180, 360, 540, 720)
    assert make_plan(source(seven), copy=copyable(seven, every=210)).videos[0].kind == "encode"


def test_a_copy_that_is_too_large_or_too_heavy_is_not_offered():
    video = picture()
    heavy = copyable(video, every=60, bytes_per_frame=18_000)  # 4.3 Mb/s where 2.8 is the cap
    light = copyable(video, every=60, bytes_per_frame=17_000)
    assert make_plan(source(video), copy=heavy).videos[0].kind == "encode"
    assert make_plan(source(video), copy=light).videos[0].kind == "copy"
    assert make_plan(source(video), copy=light, max_resolution="480p").videos[0].name == "480p"


def test_copied_sound_keeps_its_own_rate_for_all():
    other = dataclasses.replace(SOUND, stream_index=2, codec="mp3")
    video = picture()
    plan = make_plan(source(video, audios=(SOUND, other)), copy=copyable(video, every=60))
    assert [(a.kind, a.sample_rate_hz) for a in plan.audios] == [("copy", 44100), ("encode", 44100)]
    assert plan.timeline.audio_rate_hz == 44100


def test_copied_sound_must_reach_the_end():
    video = picture(frames=300)
    verdict = copyable(video, every=60)
    last = math.ceil(10 * 44100 / 1024)
    for frames, kind in ((last - 3, "copy"), (last - 4, "encode")):
        short = dataclasses.replace(verdict, audios=(dataclasses.replace(verdict.audios[0], frames=frames),))
        assert make_plan(source(video), copy=short).audios[0].kind == kind


def test_the_revision_changes_with_everything_that_segments_depend_on():
    video = picture()
    plans = [
        make_plan(source(video)),
        make_plan(source(video), quality="pro"),
        make_plan(source(video), max_resolution="480p"),
        make_plan(source(picture(frames=301))),
        make_plan(source(video), copy=copyable(video, every=60)),
    ]
    assert len({p.revision for p in plans}) == len(plans)
    assert make_plan(source(video)).revision == plans[0].revision


def test_nothing_to_play_is_a_fault_of_the_source():
    with pytest.raises(SourceFault):
        make_plan(source(picture(frames=0), duration_s=0))


RATES = st.sampled_from(
    [
        Fraction(n)
        for n in ("1/2", "1", "10", "24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60", "17")
    ]
)


@st.composite
def sources(draw: st.DrawFn) -> Source:
    fps = draw(RATES)
    frames = draw(st.integers(1, 4000))
    length = float(frames / fps)
    keys = draw(st.none() | st.lists(st.floats(0, length), max_size=60).map(lambda k: tuple(sorted({0.0, *k}))))
    sounds = tuple(dataclasses.replace(SOUND, stream_index=i) for i in range(draw(st.integers(0, 3))))
    return source(picture(frames, fps, keys), sounds, length + draw(st.floats(0, 5)))


def check_shared(plan: Plan) -> None:
    timeline = plan.timeline
    assert timeline.cuts[0] == 0
    assert all(a < b for a, b in itertools.pairwise(timeline.cuts))
    assert len(plan.seeks_s) == timeline.segment_count == len(timeline.audio_cuts) - 1
    longest = max(timeline.segment_s(k) for k in range(timeline.segment_count))
    assert longest <= cuts.MAX_SEGMENT_S + 1 / timeline.fps
    assert Fraction(timeline.timescale, timeline.frame_ticks) == timeline.fps
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


@given(sources())
def test_any_source_is_covered_by_rising_bounded_cuts(facts):
    assert facts.video is not None
    plan = make_plan(facts)
    check_shared(plan)
    timeline = plan.timeline
    assert timeline.frames >= facts.video.frames
    end_s = max(timeline.duration_s, facts.duration_s)
    if facts.audios:
        assert timeline.audio_cuts[0] == 0
        assert all(a < b for a, b in itertools.pairwise(timeline.audio_cuts))
        assert timeline.audio_cuts[-1] * AAC_FRAME_SAMPLES / timeline.audio_rate_hz >= end_s - 0.001
        assert abs(timeline.duration_s - end_s) <= MAX_OVERHANG_S + float(1 / timeline.fps)
    for k, seek in enumerate(plan.seeks_s):
        assert seek is None or seek <= float(timeline.start_s(k)) + 0.26 / float(timeline.fps)


@given(st.floats(0.01, 50_000, allow_nan=False))
def test_any_length_of_sound_is_covered(duration_s):
    plan = make_plan(source(None, duration_s=duration_s))
    check_shared(plan)
    assert plan.timeline.duration_s >= duration_s - 0.001


@given(st.integers(1, 3000), st.lists(st.integers(0, 3000), max_size=80), RATES)
def test_key_cuts_are_key_frames_and_nothing_else(frames, keys, fps):
    marks = sorted(set(keys))
    found = cuts.key_cuts(frames, fps, marks, max_gop_s=cuts.MAX_GOP_S)
    if found is not None:
        assert set(found[1:-1]) <= set(marks)
        assert found[-1] == frames
        assert all((b - a) <= (cuts.MAX_GOP_S + cuts.TARGET_S) * fps + 1 for a, b in itertools.pairwise(found))
