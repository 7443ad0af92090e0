"""Cuts and joins: every frame and every sample of the timeline is the one that the edit list names."""

import dataclasses
import io
import itertools
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import footage
from tests.media.making import Made, cheap, warnings_of

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine import loudness, sprites, watermark
from fastpix_server.engine.copyrung import CopySource, judge
from fastpix_server.engine.edit import Edit, Overlay, SoundSource, Watermark
from fastpix_server.engine.edit_list import Cuts, Insert, Stretch, compose
from fastpix_server.engine.encode import encode_audio, encode_video
from fastpix_server.engine.pictures import picture
from fastpix_server.engine.plan import Plan
from fastpix_server.engine.probe import probe
from fastpix_server.engine.run import run
from fastpix_server.engine.splice import make_edited_plan, whole
from fastpix_server.engine.timeline import Timeline
from fastpix_server.engine.watermark import Picture
from fastpix_server.playback.artifacts import MovingPicture
from fastpix_server.playback.stills import moving_picture_of_edit

RATE_HZ = 48000


async def edited(paths: list[Path], cuts: Cuts, edit: Edit | None = None, *, copy: bool = False) -> Plan:
    sources = [await probe(path, run=run) for path in paths]
    verdict = judge(paths[0], sources[0]) if copy else None
    return make_edited_plan(sources, compose([whole(0, sources[0])], cuts), edit or Edit(), copy=verdict)


async def shown(
    plan: Plan, paths: list[Path], folder: Path, *, order: list[int] | None = None, is_cheap: bool = True
) -> np.ndarray:
    """Frame numbers of the smallest rung, made whole or segment by segment in that order."""
    rung = cheap(plan.videos[-1]) if is_cheap else plan.videos[-1]
    made = Made(dataclasses.replace(plan, videos=(rung,)))
    count = plan.timeline.segment_count
    for k0, k1 in [(0, count)] if order is None else [(k, k + 1) for k in order]:
        await encode_video(plan, paths[0], [rung], k0, k1, made.emit, others=paths[1:], fast=True)
    stream = await made.write(rung.name, folder / "v.mp4")
    assert warnings_of(stream) == ""
    return footage.frame_numbers("-i", str(stream))


async def heard(plan: Plan, paths: list[Path], folder: Path, *, apart: bool = False) -> Path:
    made = Made(plan)
    count = plan.timeline.segment_count
    for k0, k1 in [(k, k + 1) for k in range(count)] if apart else [(0, count)]:
        await encode_audio(plan, paths[0], plan.audios[0], k0, k1, made.emit, others=paths[1:])
    return await made.write("a0", folder / "a.mp4")


def frames(*ranges: tuple[float, float], fps: int = 30) -> list[int]:
    return [n for begin, end in ranges for n in range(round(begin * fps), round(end * fps))]


def seconds(*values: float) -> tuple[Fraction, ...]:
    return tuple(Fraction(value).limit_denominator(1000) for value in values)


def clicks_of(path: Path) -> list[float]:
    """When whole clicks begin, in seconds, in order; each to the sample."""
    pcm = samples_of(path)
    match = np.correlate(pcm, footage.click(RATE_HZ), "valid")
    found: list[float] = []
    loud = 0.6 * match.max()
    while match.max() > loud:
        at = int(match.argmax())
        found.append(at / RATE_HZ)
        match[max(0, at - RATE_HZ // 20) : at + RATE_HZ // 20] = 0
    return sorted(found)


def samples_of(path: Path) -> np.ndarray:
    out = ["-map", "0:a:0", "-af", f"aresample={RATE_HZ}:async=1:first_pts=0", "-ac", "1", "-f", "s16le", "-"]
    return np.frombuffer(footage.ffmpeg("-i", str(path), *out), "<i2").astype(float)


async def test_removed_seconds_are_gone_to_the_frame(tmp_path: Path):
    base = footage.make("plain")
    start, end, a, b, c, d = seconds(0.5, 7.2, 2, 3.1, 5, 5.5)
    plan = await edited([base], Cuts(start_s=start, end_s=end, removed_s=((a, b), (c, d))))
    numbers = await shown(plan, [base], tmp_path, order=list(reversed(range(plan.timeline.segment_count))))
    assert numbers.tolist() == frames((0.5, 2), (3.1, 5), (5.5, 7.2))
    assert plan.timeline.frames == len(numbers)
    for apart in (False, True):
        # The base clicks at 1, 4, 6 and 7 s; its clicks at 2, 3 and 5 s lie in what was cut away.
        clicks = clicks_of(await heard(plan, [base], tmp_path, apart=apart))
        assert clicks == pytest.approx([0.5, 2.4, 3.9, 4.9], abs=1.5 / RATE_HZ)


async def test_other_sizes_and_rates_are_joined_into_the_frame_of_the_base(tmp_path: Path):
    paths = [footage.make(kind) for kind in ("plain", "p25", "square", "no_audio")]
    zero, one, two, three = seconds(0, 1, 2, 3)
    inserts = (Insert(two, Stretch(2, one, three)), Insert(None, Stretch(3, one, three)))
    plan = await edited(paths, Cuts(end_s=three, inserts=inserts, intro=Stretch(1, zero, two)))
    numbers = (await shown(plan, paths, tmp_path, is_cheap=False)).tolist()
    intro, first, square, second, last = (numbers[a * 30 : b * 30] for a, b in ((0, 2), (2, 4), (4, 6), (6, 7), (7, 9)))
    # 25 frames a second on a grid of 30: none is skipped, some are seen twice.
    assert sorted(set(intro)) == list(range(50))
    assert intro == sorted(intro)
    assert (first, second, last) == (frames((0, 2)), frames((2, 3)), frames((1, 3)))
    assert len(square) == 60
    # The square picture stands in the middle of the wide frame, with black at both sides.
    luma = picture_at(tmp_path / "v.mp4", 5, plan)
    border = (luma.shape[1] - luma.shape[0]) // 2
    assert luma[:, : border - 4].max() < 24
    assert luma[:, -border + 4 :].max() < 24
    assert luma[:, border + 4 : -border - 4].std() > 20
    clicks = clicks_of(await heard(plan, paths, tmp_path))
    inside = [c for c in clicks if c % 1 == pytest.approx(0, abs=0.001) and round(c) in (1, 3, 5)]
    assert inside == pytest.approx([1, 3, 5], abs=1.5 / RATE_HZ)
    assert not [c for c in clicks if c > 7], "the last file has no sound"


def picture_at(video: Path, time_s: float, plan: Plan) -> np.ndarray:
    out = ["-frames:v", "1", "-pix_fmt", "gray", "-f", "rawvideo", "-"]
    raw = footage.ffmpeg("-ss", str(time_s), "-i", str(video), *out)
    return np.frombuffer(raw, np.uint8).reshape(plan.videos[-1].height, plan.videos[-1].width).astype(float)


async def test_a_cut_at_clean_pictures_keeps_the_rung_that_is_copied(tmp_path: Path):
    base = footage.make("plain")
    a, b, c = (Fraction(n, 30) for n in (40, 120, 160))  # where its encoder began new groups
    plan = await edited([base], Cuts(start_s=a, removed_s=((b, c),)), copy=True)
    assert plan.videos[0].kind == "copy"
    opened = CopySource.open(base, plan)
    name = plan.videos[0].name
    stream = tmp_path / "copy.mp4"
    parts = (opened.segment(name, k) for k in range(plan.timeline.segment_count))
    stream.write_bytes(opened.init(name) + b"".join(parts))
    assert footage.frame_numbers("-i", str(stream)).tolist() == [*range(40, 120), *range(160, 240)]
    assert warnings_of(stream) == ""
    moved = await edited([base], Cuts(start_s=a + Fraction(1, 30)), copy=True)
    assert all(video.kind == "encode" for video in moved.videos)


async def white_mark(folder: Path) -> Path:
    logo, mark = folder / "mark.png", folder / "mark.mov"
    footage.ffmpeg("-f", "lavfi", "-i", "color=white:size=64x32,format=rgba", "-frames:v", "1", str(logo))
    assert await watermark.decode(logo, mark) == Picture(64, 32)
    return mark


async def test_a_watermark_stands_where_it_was_placed_and_nowhere_else(tmp_path: Path):
    base, mark = footage.make("plain"), await white_mark(tmp_path)
    half = Watermark(file=1, left=0.5, top=0.25, width=0.25, height=0.25, opacity=0.5)
    source = await probe(base, run=run)
    plain = make_edited_plan([source], [Stretch(0, *seconds(1, 1.7))], Edit())
    plan = make_edited_plan([source, source], [Stretch(0, *seconds(1, 1.7))], Edit(watermarks=(half,)))
    await shown(plain, [base], tmp_path, is_cheap=False)
    before = picture_at(tmp_path / "v.mp4", 0.5, plain)
    await shown(plan, [base, mark], tmp_path, is_cheap=False)
    after = picture_at(tmp_path / "v.mp4", 0.5, plan)
    height, width = after.shape
    box = np.zeros_like(after, dtype=bool)
    box[round(height * 0.25) : round(height * 0.5), round(width * 0.5) : round(width * 0.75)] = True
    inside = np.s_[round(height * 0.28) : round(height * 0.47), round(width * 0.53) : round(width * 0.72)]
    # Half of white over what was there.
    assert np.abs(after[inside] - (before[inside] + 255) / 2).mean() < 4
    far = ~box
    far[round(height * 0.2) : round(height * 0.55), round(width * 0.45) : round(width * 0.8)] = False
    blocks = [(after - before)[y : y + 15, x : x + 16] for y in range(0, height, 15) for x in range(0, width, 16)]
    outside = [far[y : y + 15, x : x + 16].all() for y in range(0, height, 15) for x in range(0, width, 16)]
    # Single pixels differ by what the encoder made of the noise in our pictures; whole blocks do not.
    assert max(abs(block.mean()) for block, is_far in zip(blocks, outside, strict=True) if is_far) < 6
    still = tmp_path / "still.png"
    still.write_bytes(await picture(plan, base, at_s=0.5, width=width, height=height, format="png", others=[mark]))
    thumbnail = picture_at(still, 0, plan)
    assert thumbnail[inside].mean() - thumbnail[far].mean() == pytest.approx(
        after[inside].mean() - after[far].mean(), abs=6
    )
    assert make_edited_plan([source, source], [whole(0, source)], Edit(watermarks=(half,)),
                            copy=judge(base, source)).videos[0].kind == "encode"  # fmt: skip


@pytest.mark.parametrize("is_one_pass", [True, False])
async def test_every_tile_of_a_sheet_shows_the_watermark(
    is_one_pass: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    base, mark = footage.make("plain"), await white_mark(tmp_path)
    source = await probe(base, run=run)
    placed = Watermark(file=1, left=0.5, top=0.25, width=0.25, height=0.25, opacity=1)
    plan = make_edited_plan([source, source], [whole(0, source)], Edit(watermarks=(placed,)))
    monkeypatch.setattr(sprites, "is_one_pass", lambda *_: is_one_pass)
    layout = sprites.layout(plan, 2)
    data = await sprites.sheet(plan, base, layout, "png", others=[mark])
    sheet = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert layout.count > 1
    for i in range(layout.count):
        x, y = layout.place(i)
        tile = sheet[y : y + layout.tile_height, x : x + layout.tile_width]
        height, width = tile.shape
        assert tile[round(height * 0.3) : round(height * 0.45), round(width * 0.55) : round(width * 0.7)].min() > 245
        assert tile[round(height * 0.55) :, : round(width * 0.45)].mean() < 235


@pytest.mark.parametrize("bad", [b"\x89PNG\r\n\x1a\nnot really", b"<svg/>", b"#EXTM3U\n", b""])
async def test_what_is_no_picture_is_refused_as_a_watermark(bad: bytes, tmp_path: Path):
    path = tmp_path / "mark"
    path.write_bytes(bad)
    with pytest.raises(SourceFault):
        await watermark.decode(path, tmp_path / "mark.mov")


def tone(path: Path, level: float, length_s: float, frequency_hz: int = 440) -> Path:
    """A sine at `level` of full scale."""
    sine = f"aevalsrc={level}*sin(2*PI*{frequency_hz}*t):d={length_s}:s=48000"
    footage.ffmpeg("-f", "lavfi", "-i", sine, "-c:a", "pcm_s16le", str(path))
    return path


def level(pcm: np.ndarray, at_s: float, length_s: float = 0.1) -> float:
    """Root mean square around a time, in parts of a full-scale sine."""
    part = pcm[round((at_s - length_s / 2) * RATE_HZ) : round((at_s + length_s / 2) * RATE_HZ)]
    return float(np.sqrt((part**2).mean()) / 32768 * np.sqrt(2))


async def test_another_sound_replaces_that_of_the_video_and_is_silent_after_its_end(tmp_path: Path):
    base, song = footage.make("plain"), tone(tmp_path / "song.wav", 0.5, 5)
    sources = [await probe(path, run=run) for path in (base, song)]
    edit = Edit(swap=SoundSource(1, sources[1].audios[0].stream_index))
    plan = make_edited_plan(sources, [whole(0, sources[0])], edit, copy=judge(base, sources[0]))
    assert plan.videos[0].kind == "copy", "the picture did not change"
    pcm = samples_of(await heard(plan, [base, song], tmp_path, apart=True))
    assert [level(pcm, t) for t in (0.5, 2, 3.99, 4.8)] == pytest.approx([0.5] * 4, abs=0.02)
    assert level(pcm, 6) < 0.001


async def test_imposed_sounds_begin_fade_and_end_in_their_time(tmp_path: Path):
    base, bell = tone(tmp_path / "base.wav", 0.1, 12, 1000), tone(tmp_path / "bell.wav", 0.6, 20)
    sources = [await probe(path, run=run) for path in (base, bell)]
    stream = sources[1].audios[0].stream_index
    edit = Edit(overlays=(Overlay(1, stream, *seconds(2, 10, 2, 4)),))
    plan = make_edited_plan(sources, [whole(0, sources[0])], edit)
    whole_sound = samples_of(await heard(plan, [base, bell], tmp_path))
    apart = samples_of(await heard(plan, [base, bell], tmp_path, apart=True))
    for pcm in (whole_sound, apart):
        alone = [level(pcm, t) for t in (1, 1.9, 10.2, 11)]
        assert alone == pytest.approx([0.1] * 4, abs=0.01)
        # Two tones of other pitch add as powers; the fades are straight lines.
        imposed = [np.sqrt(max(level(pcm, t) ** 2 - 0.01, 0)) for t in (2.5, 3, 3.5, 5, 6, 7, 8, 9)]
        assert imposed == pytest.approx([0.15, 0.3, 0.45, 0.6, 0.6, 0.45, 0.3, 0.15], abs=0.02)
    shared = min(len(whole_sound), len(apart))
    part = np.s_[RATE_HZ // 10 : shared - RATE_HZ // 10]
    difference = whole_sound[:shared][part] - apart[:shared][part]
    # What is left is the coding noise of AAC, 34 dB below a pure tone; a fade out of step would be far above it.
    assert np.sqrt((difference**2).mean()) < 0.03 * np.sqrt((whole_sound[part] ** 2).mean())


def loudness_of(path: Path) -> float:
    """What ffmpeg's own meter says of a whole file."""
    command = [footage.FFMPEG, "-nostdin", "-nostats", "-i", str(path), "-af", "ebur128", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, check=True, timeout=60).stderr.decode()
    return float(re.findall(r"I:\s+(-?\d+\.\d+) LUFS", said)[-1])


@pytest.mark.parametrize(("loud", "quiet"), [(0.9, 0.3), (0.02, 0.005)])
async def test_optimised_sound_is_as_loud_as_the_recommendation_says(loud: float, quiet: float, tmp_path: Path):
    sound = tmp_path / "sound.wav"
    speech = f"aevalsrc=if(lt(mod(t\\,3)\\,2)\\,{loud}\\,{quiet})*sin(2*PI*(300+200*sin(t))*t):d=12:s=48000"
    footage.ffmpeg("-f", "lavfi", "-i", speech, "-c:a", "pcm_s16le", str(sound))
    source = await probe(sound, run=run)
    plain = make_edited_plan([source], [whole(0, source)], Edit())
    gains = await loudness.gains_db(plain, [sound])
    plan = make_edited_plan([source], [whole(0, source)], Edit(gains_db=gains))
    made = await heard(plan, [sound], tmp_path, apart=True)
    assert loudness_of(made) == pytest.approx(-23, abs=1)
    assert await loudness.measure_lufs(plain, [sound], plain.audios[0]) == pytest.approx(loudness_of(sound), abs=0.2)
    assert np.abs(samples_of(made)).max() <= 32768 * 0.95
    assert loudness.gain_db(-70.0) == 0
    assert loudness.gain_db(-60.0) == loudness.MAX_GAIN_DB


async def test_pictures_of_an_edit_show_nothing_that_was_cut_away(tmp_path: Path):
    base = footage.make("plain")
    start, a, b = seconds(0.4, 1.2, 5.1)
    plan = await edited([base], Cuts(start_s=start, removed_s=((a, b),)))
    kept = frames((0.4, 1.2), (5.1, 8))
    for at_s in (0, 0.7, 0.85, 2, 3.5):
        made = tmp_path / "picture.png"
        made.write_bytes(await picture(plan, base, at_s=at_s, width=None, height=None, format="png"))
        [number] = footage.frame_numbers("-i", str(made)).tolist()
        assert number in kept
        assert abs(kept.index(number) - at_s * 30) <= 15  # a key frame within half a second may stand for the time
    layout = sprites.layout(plan)
    sheet = await sprites.sheet(plan, base, layout, "png")
    assert sheet.startswith(b"\x89PNG")
    spots = sprites.places(plan, layout)
    assert {round((spot.seek_s + spot.offset_s) * 30) for spot in spots} <= set(kept)


async def test_a_moving_picture_of_an_edit_jumps_where_the_edit_does(tmp_path: Path):
    base = footage.make("plain")
    start, a, b = seconds(0.4, 1.2, 5.1)
    plan = await edited([base], Cuts(start_s=start, removed_s=((a, b),)))
    kept = frames((0.4, 1.2), (5.1, 8))
    made = tmp_path / "moving.gif"
    wanted = MovingPicture(start_ms=500, length_ms=1000, width=0, height=0, rate=10, format="gif")
    made.write_bytes(await moving_picture_of_edit(plan, base, [], wanted))
    expected = [kept[15 + 3 * i] for i in range(10)]
    found = footage.frame_numbers("-i", str(made)).tolist()
    assert len(found) == 10
    assert max(abs(f - e) for f, e in zip(found, expected, strict=True)) <= 1


def test_long_sounds_are_measured_in_stretches_that_do_not_overlap():
    frames_of = 25 * 2
    cuts = tuple(range(0, 25 * 3600 + 1, frames_of))
    long = Timeline(Fraction(25), 12800, 512, cuts, RATE_HZ, tuple(0 for _ in cuts))
    ranges = loudness.measured_ranges(long)
    assert len(ranges) == loudness.SAMPLES
    assert all(end <= first for (_, end), (first, _) in itertools.pairwise(ranges))
    assert sum(end - first for first, end in ranges) * 2 <= loudness.SAMPLES * (loudness.SAMPLE_S + 4)
    assert ranges[0][0] < 600
    assert ranges[-1][1] > 1200
    short = Timeline(Fraction(25), 12800, 512, cuts[:31], RATE_HZ, tuple(0 for _ in cuts[:31]))
    assert loudness.measured_ranges(short) == [(0, 30)]
