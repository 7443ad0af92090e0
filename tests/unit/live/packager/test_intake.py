"""Epochs, silence and patience: what becomes of a publisher's samples before they are packaged."""

import dataclasses
import itertools
from collections.abc import Iterable

import pytest

from fastpix_server.ingest.model import CLOCK_HZ, Sample, Track
from fastpix_server.live.packager.codecs import silent_aac
from fastpix_server.live.packager.intake import Intake
from fastpix_server.live.packager.segments import Placed

VIDEO = Track("h264", bytes.fromhex("0142c01effe1000000"), width=320, height=180)
AUDIO = Track("aac", bytes.fromhex("1190"), sample_rate_hz=48_000, channels=2)
SILENCE = silent_aac(2)
FRAME, SOUND = 3000, 1920
SPOKEN = b"spoken"


class Taken:
    """A Taker that remembers."""

    def __init__(self) -> None:
        self.epochs: list[tuple[Track | None, Track | None, int]] = []
        self.pictures: list[list[Placed]] = []
        self.sounds: list[list[Placed]] = []
        self.warm: list[Placed] = []
        self.ends = 0
        self.end_ticks = 0

    def begin(self, video: Track | None, audio: Track | None, wall_ms: int, reorder: int, warm_ticks: int) -> int:
        self.epochs.append((video, audio, wall_ms))
        self.pictures.append([])
        self.sounds.append([])
        return self.end_ticks

    def warm_up(self, sample: Placed) -> None:
        self.warm.append(sample)

    def picture(self, sample: Placed) -> None:
        self.pictures[-1].append(sample)
        self.end_ticks = sample.time + sample.duration

    def sound(self, sample: Placed) -> None:
        self.sounds[-1].append(sample)

    def end(self) -> None:
        self.ends += 1


def intake(taken: Taken, tracks: Iterable[Track] = (VIDEO, AUDIO)) -> Intake:
    made = Intake(taken, now_s=lambda: 1000.0)
    for track in tracks:
        made.on_track(track)
    return made


def stream(seconds: float, *, start_s: float = 0.0, gop: int = 60) -> list[Sample]:
    """Pictures and sound, interleaved by time."""
    start, end = round(start_s * CLOCK_HZ), round((start_s + seconds) * CLOCK_HZ)
    video = [Sample("video", t, 0, k % gop == 0, b"picture") for k, t in enumerate(range(start, end, FRAME))]
    audio = [Sample("audio", t, 0, True, SPOKEN) for t in range(start, end, SOUND)]
    return sorted([*video, *audio], key=lambda s: s.dts)


def feed(made: Intake, samples: Iterable[Sample]) -> None:
    for sample in samples:
        made.on_sample(sample)


def spoken(sounds: list[Placed]) -> list[bool]:
    return [s.data == SPOKEN for s in sounds]


def test_an_epoch_begins_with_a_key_frame_and_what_comes_before_is_dropped():
    taken = Taken()
    made = intake(taken)
    feed(made, [dataclasses.replace(s, is_key=s.dts >= 60_000 and s.is_key) for s in stream(3, gop=1)])
    made.end()
    assert taken.pictures[0][0].time == 0
    assert len(taken.pictures[0]) == 70
    assert made.counts.dropped >= 20
    assert taken.sounds[0][0].time < 1024


def test_a_second_without_news_of_sound_is_enough_to_begin_without_it():
    taken = Taken()
    made = intake(taken, [VIDEO])
    feed(made, [s for s in stream(0.9) if s.kind == "video"])
    assert taken.epochs == []
    feed(made, [s for s in stream(1, start_s=0.9) if s.kind == "video"])
    assert [(v, a) for v, a, _ in taken.epochs] == [(VIDEO, None)]
    assert len(taken.pictures[0]) > 50, "what came while it waited is there"


def test_sound_that_stops_is_followed_by_silence_and_goes_on_when_it_comes_back():
    taken = Taken()
    made = intake(taken)
    feed(made, [s for s in stream(12) if s.kind == "video" or not 3 <= s.dts / CLOCK_HZ < 8])
    made.end()
    places = [s.time for s in taken.sounds[0]]
    assert places == list(range(0, 1024 * len(places), 1024)), "no hole"
    heard = spoken(taken.sounds[0])
    silent_s = [k * 1024 / 48_000 for k, is_spoken in enumerate(heard) if not is_spoken]
    assert silent_s[0] == pytest.approx(3, abs=0.03)
    assert silent_s[-1] == pytest.approx(8, abs=0.03)
    assert all(heard[k] for k in range(len(heard)) if k * 1024 / 48_000 > 8.05)
    assert taken.ends == 1


def test_sound_that_was_announced_and_never_comes_is_silence():
    taken = Taken()
    made = intake(taken)
    feed(made, [s for s in stream(6) if s.kind == "video"])
    made.end()
    assert {s.data for s in taken.sounds[0]} == {SILENCE}
    assert len(taken.sounds[0]) * 1024 / 48_000 == pytest.approx(6, abs=0.03)


def test_sound_that_always_comes_late_is_waited_for_after_the_first_time():
    taken = Taken()
    made = intake(taken)
    samples = stream(20)
    late_s = 1.6  # it arrives so much behind the pictures of its time
    samples.sort(key=lambda s: s.dts + (late_s * CLOCK_HZ if s.kind == "audio" else 0))
    feed(made, samples)
    made.end()
    heard = spoken(taken.sounds[0])
    after = [is_spoken for k, is_spoken in enumerate(heard) if 6 < k * 1024 / 48_000 < 19]
    assert all(after)


def test_a_jump_of_the_whole_clock_is_another_epoch():
    for jump_s in (-500.0, 1.0, 47_721.8):
        taken = Taken()
        made = intake(taken)
        feed(made, stream(4))
        feed(made, stream(4, start_s=4 + jump_s))
        made.end()
        assert len(taken.epochs) == 2, jump_s
        assert [len(p) for p in taken.pictures] == [120, 120]
        for sounds in taken.sounds:
            assert sum(spoken(sounds)) / len(sounds) > 0.97
        assert made.counts.jumps == 1


def test_jumps_without_end_do_not_make_epochs_without_end():
    taken = Taken()
    made = intake(taken)
    feed(made, (Sample("video", k * 999_999, 0, True, b"x") for k in range(600)))
    made.end()
    assert len(taken.epochs) <= 600 / 30 / 2 + 1
    assert made.counts.jumps > 500


def test_a_jump_of_the_sound_alone_does_not_end_the_epoch():
    taken = Taken()
    made = intake(taken)
    feed(made, [dataclasses.replace(s, dts=s.dts + 900_000_000) if _is_later_sound(s) else s for s in stream(12)])
    made.end()
    assert len(taken.epochs) == 1
    heard = spoken(taken.sounds[0])
    assert all(heard[k] for k in range(len(heard)) if k * 1024 / 48_000 > 6)


def _is_later_sound(sample: Sample) -> bool:
    return sample.kind == "audio" and sample.dts > 4 * CLOCK_HZ


def test_a_bad_track_is_counted_and_left_out():
    taken = Taken()
    made = intake(taken, [VIDEO, Track("aac", b"\x00"), Track("h264", VIDEO.config, width=100_000, height=5)])
    assert (made.video, made.audio, made.counts.bad_tracks) == (VIDEO, None, 2)


def test_beginning_again_in_the_middle_of_a_group_warms_up_the_decoder():
    taken = Taken()
    made = intake(taken)
    feed(made, stream(4, gop=1000))
    made.begin_again()
    feed(made, [dataclasses.replace(s, is_key=s.kind == "audio") for s in stream(2, start_s=4)])
    made.end()
    assert len(taken.epochs) == 2
    assert len(taken.warm) == 120
    assert taken.warm[0].is_key
    assert taken.pictures[1][0].time == taken.warm[-1].time + FRAME
    assert len(taken.pictures[1]) == 60
    assert spoken(taken.sounds[1]).count(False) <= 1


@pytest.mark.parametrize(("apart_s", "is_slow"), [(1.0, True), (0.6, True), (0.5, False), (11.0, False)])
def test_a_publisher_of_less_than_two_pictures_a_second_is_told_apart(apart_s: float, is_slow: bool):
    told: list[str] = []
    made = Intake(Taken(), now_s=lambda: 1000.0, on_slow=lambda: told.append("slow"))
    made.on_track(VIDEO)
    made.on_track(AUDIO)
    feed(made, (Sample("video", round(k * apart_s * CLOCK_HZ), 0, True, b"x") for k in range(60)))
    assert told == ["slow"] * is_slow


def test_when_the_pictures_stop_the_sound_goes_on_and_the_last_key_frame_stands():
    taken = Taken()
    made = intake(taken)
    feed(made, stream(4))
    feed(made, [s for s in stream(8, start_s=4) if s.kind == "audio"])
    spoken_s = taken.sounds[0][-1].time / 48_000
    assert 11 < spoken_s < 12, "the sound waited for nothing"
    # They come back in the middle of a group, which cannot be decoded behind a repeated picture.
    feed(made, [dataclasses.replace(s, is_key=s.dts >= 13 * CLOCK_HZ and s.is_key) for s in stream(3, start_s=12)])
    made.end()
    assert len(taken.epochs) == 1
    [pictures], [sounds] = taken.pictures, taken.sounds
    stills = [p for p in pictures if 4 * CLOCK_HZ <= p.time < 14 * CLOCK_HZ]
    assert all(p.is_key and p.duration <= CLOCK_HZ // 2 for p in stills)
    assert made.counts.stills == len(stills)
    assert all(b.time == a.time + a.duration for a, b in itertools.pairwise(pictures))
    assert pictures[-1].time == 15 * CLOCK_HZ - FRAME
    assert all(spoken(sounds))
    assert len(sounds) == 15 * 48_000 // 1024 + 1


def test_a_connection_without_pictures_shows_the_last_one_of_the_connection_before():
    first = intake(Taken())
    feed(first, stream(3))
    first.end()
    taken = Taken()
    second = Intake(taken, now_s=lambda: 1000.0, still=first.still)
    second.on_track(AUDIO)
    feed(second, [s for s in stream(6) if s.kind == "audio"])
    assert [(video, audio) for video, audio, _ in taken.epochs] == [(VIDEO, AUDIO)]
    second.on_track(VIDEO)
    feed(second, stream(2, start_s=6))
    second.end()
    assert len(taken.epochs) == 1, "pictures of the same kind come back into the same epoch"
    assert taken.pictures[0][-1].time == 8 * CLOCK_HZ - FRAME
    assert sum(not p.is_key for p in taken.pictures[0]) == 59, "of the two seconds at the end"
    assert all(spoken(taken.sounds[0]))
