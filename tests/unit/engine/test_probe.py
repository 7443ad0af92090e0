"""What probe says about each kind of file, and in which words it refuses."""

import asyncio
import json
from fractions import Fraction
from pathlib import Path

import pytest
from tests import footage

from fastpix_server.base.errors import ServiceFault, SourceFault
from fastpix_server.engine import probe as probing
from fastpix_server.engine.probe import needs_remux, probe
from fastpix_server.engine.run import Finished, run
from fastpix_server.engine.source import Source


def probed(kind: str) -> Source:
    return asyncio.run(probe(footage.make(kind), run=run))


def refused(path: Path) -> SourceFault:
    with pytest.raises(SourceFault) as fault:
        asyncio.run(probe(path, run=run))
    return fault.value


@pytest.mark.parametrize(
    ("kind", "fps", "frames", "is_vfr"),
    [
        ("plain", Fraction(30), 240, False),
        ("p25", Fraction(25), 200, False),
        ("p2997", Fraction(30000, 1001), 240, False),
        ("p23976", Fraction(24000, 1001), 192, False),
        ("p24", Fraction(24), 192, False),
        ("p5994", Fraction(60000, 1001), 480, False),
        ("p120", Fraction(60), 240, False),
        ("slow", Fraction(1), 10, False),
        ("vfr", Fraction(30000, 1001), 460, True),
        ("interlaced", Fraction(30000, 1001), 240, False),
        ("late_video", Fraction(30), 261, False),
    ],
)
def test_the_grid_has_the_exact_rate_and_number_of_frames(kind, fps, frames, is_vfr):
    video = probed(kind).video
    assert video is not None
    assert (video.fps, video.frames, video.is_vfr) == (fps, frames, is_vfr)


@pytest.mark.parametrize("kind", ["p2997", "p120", "vfr", "late_video", "no_edit_list", "open_gop"])
def test_ffmpeg_finds_as_many_frames_on_the_grid(kind):
    video = probed(kind).video
    assert video is not None
    shown = len(footage.frame_numbers("-i", str(footage.make(kind)), fps=video.fps))
    assert abs(shown - video.frames) <= 1  # ffmpeg's filter may drop or repeat the last one


@pytest.mark.parametrize(
    ("kind", "shown", "rotation"),
    [
        ("plain", (640, 360), 0),
        ("rotated", (640, 360), 90),
        ("sar", (640, 360), 0),
        ("tall_sar", (569, 360), 0),
        ("portrait", (360, 640), 0),
        ("odd", (427, 241), 0),
    ],
)
def test_the_displayed_size_counts_pixel_shape_and_rotation(kind, shown, rotation):
    video = probed(kind).video
    assert video is not None
    assert ((video.display_width, video.display_height), video.rotation_deg) == (shown, rotation)


def test_depth_transfer_and_interlacing_are_facts():
    hdr, deep, woven, plain = (probed(k).video for k in ("hdr", "ten_bit", "interlaced", "plain"))
    assert hdr is not None
    assert deep is not None
    assert woven is not None
    assert plain is not None
    assert (hdr.is_hdr, hdr.bit_depth, hdr.transfer) == (True, 10, "smpte2084")
    assert (deep.is_hdr, deep.bit_depth) == (False, 10)
    assert (woven.is_interlaced, plain.is_interlaced) == (True, False)


def test_key_frames_are_times_from_zero_whatever_the_file_starts_with():
    late = probed("late_video").video
    assert late is not None
    assert late.keyframes_s is not None
    assert late.keyframes_s[0] == pytest.approx(0.7)
    shifted = probed("mpegts")
    assert shifted.start_s > 100
    assert shifted.duration_s == pytest.approx(8.03, abs=0.1)


def test_sound_is_listed_with_its_language_and_title():
    first, second = probed("two_audios").audios
    assert (first.language, second.language) == ("eng", "fra")
    assert (first.codec, first.profile, first.channels, first.sample_rate_hz) == ("aac", "LC", 2, 48000)
    assert probed("surround").audios[0].channels == 6
    assert probed("no_audio").audios == ()


@pytest.mark.parametrize(
    ("kind", "container"),
    [
        ("plain", "mp4"),
        ("prores", "mov"),
        ("mkv", "mkv"),
        ("vp9", "webm"),
        ("mpegts", "ts"),
        ("mpeg2_ps", "mpeg"),
        ("avi", "avi"),
        ("flv", "flv"),
        ("audio_mp3", "mp3"),
        ("audio_m4a", "m4a"),
        ("audio_wav", "wav"),
        ("audio_flac", "flac"),
        ("audio_ogg", "ogg"),
        ("audio_adts", "aac"),
    ],
)
def test_every_accepted_container_is_recognised_by_its_bytes(kind, container, tmp_path):
    nameless = tmp_path / "upload"
    nameless.symlink_to(footage.make(kind))
    assert asyncio.run(probe(nameless, run=run)).container == container


@pytest.mark.parametrize("kind", ["audio_mp3", "audio_m4a", "audio_wav", "cover_art"])
def test_sound_alone_is_audio_only_even_with_cover_art(kind):
    source = probed(kind)
    assert source.is_audio_only
    assert len(source.audios) == 1
    assert source.duration_s == pytest.approx(8, abs=0.1)


def test_subtitles_and_data_are_left_aside():
    source = probed("subtitled")
    assert source.video is not None
    assert len(source.audios) == 1


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        *((k, False) for k in ("plain", "prores", "audio_m4a", "audio_wav", "audio_flac")),
        *((k, True) for k in ("mkv", "mkv_live", "vp9", "mpegts", "mpeg2_ps", "avi", "flv", "fragmented")),
        *((k, True) for k in ("audio_mp3", "audio_adts")),
    ],
)
def test_files_without_an_exact_index_want_a_remux(kind, expected):
    assert needs_remux(probed(kind)) is expected


def test_a_recording_without_a_length_is_accepted_for_the_remux_to_measure():
    source = probed("mkv_live")
    assert source.duration_s == 0
    assert needs_remux(source)


@pytest.mark.parametrize(
    ("kind", "code", "word"),
    [
        ("zero_length", "empty_file", "empty"),
        ("zero_bytes", "zero_bytes", "zero bytes"),
        ("text", "text_file", "text"),
        ("html", "html_page", "web page"),
        ("m3u8", "playlist_file", "playlist"),
        ("m3u8_private", "playlist_file", "playlist"),
        ("ffconcat", "playlist_file", "playlist"),
        ("dash", "playlist_file", "playlist"),
        ("png", "image_file", "image"),
        ("jpg", "image_file", "image"),
        ("webp", "image_file", "image"),
        ("gif", "image_file", "image"),
        ("pdf", "not_media", "document"),
        ("noise", "unsupported_format", "MP4"),
        ("truncated", "truncated", "incomplete"),
        ("moov_missing", "moov_missing", "index"),
        ("wide_100k", "too_many_pixels", "100000x16"),
        ("huge_area", "too_many_pixels", "16000x16000"),
        ("huge_picture", "too_many_pixels", "40 million"),
        ("many_streams", "too_many_streams", "33 streams"),
        ("gap", "long_gap", "100 s"),
        ("too_fast", "bad_frame_rate", "1000"),
        ("too_slow", "bad_frame_rate", "0.1"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(kind, code, word):
    fault = refused(footage.make(kind))
    assert fault.code == code
    assert word in fault.description
    assert fault.description.endswith(".")
    assert str(footage.cache_dir()) not in fault.description


@pytest.mark.parametrize("kind", ["text", "html", "m3u8", "ffconcat", "png", "gif", "zero_length", "noise", "pdf"])
async def test_ffprobe_never_sees_what_is_no_media(kind):
    async def never(argv, **_):
        raise AssertionError(argv)

    with pytest.raises(SourceFault):
        await probe(footage.make(kind), run=never)


async def test_ffprobe_gets_one_demuxer_no_network_and_a_plain_path():
    seen = []

    async def spy(argv, **options):
        seen.append(argv)
        return await run(argv, **options)

    await probe(footage.make("plain"), run=spy)
    (argv,) = seen
    assert argv[argv.index("-protocol_whitelist") + 1] == "file"
    assert argv[argv.index("-format_whitelist") + 1] == "mov"
    assert argv[-1] == f"file:{footage.make('plain')}"


def answering(*, finished: Finished | None = None, **changes):
    """A runner that answers what ffprobe says about the plain clip, with some fields changed."""

    async def runner(argv, **options):
        if finished is not None:
            return finished
        done = await run(argv, **options)
        report = json.loads(done.stdout)
        report["format"] |= changes.get("format", {})
        report["streams"] = [s | changes.get("stream", {}) for s in report["streams"]]
        if "streams" in changes:
            report["streams"] = changes["streams"]
        return Finished(0, json.dumps(report).encode(), b"")

    return runner


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"format": {"duration": str(12 * 3600 + 1)}}, "too_long"),
        ({"stream": {"codec_tag_string": "encv"}}, "encrypted"),
        ({"streams": []}, "no_media"),
        ({"finished": Finished(1, b"", b"Invalid data")}, "unreadable"),
        ({"finished": Finished(-9, b"", b"", "wall")}, "unreadable"),
        ({"finished": Finished(0, b"{", b"")}, "unreadable"),
    ],
)
async def test_what_ffprobe_reports_can_lead_to_a_refusal(changes, code):
    with pytest.raises(SourceFault) as fault:
        await probe(footage.make("plain"), run=answering(**changes))
    assert fault.value.code == code


async def test_exactly_twelve_hours_are_accepted():
    source = await probe(footage.make("plain"), run=answering(format={"duration": str(probing.MAX_DURATION_S)}))
    assert source.duration_s == probing.MAX_DURATION_S


async def test_a_missing_ffprobe_is_our_fault_and_not_the_users():
    with pytest.raises(ServiceFault):
        await probe(footage.make("plain"), run=answering(finished=Finished(127, b"", b"")))


async def test_at_most_eight_sounds_are_kept_the_default_first(tmp_path):
    path = tmp_path / "nine.mkv"
    maps = [a for _ in range(9) for a in ("-map", "0:a")]
    marks = ("-disposition:a:0", "0", "-disposition:a:4", "default")
    footage.ffmpeg("-f", "lavfi", "-i", "sine=d=0.3", *maps, "-c:a", "aac", "-b:a", "16k", *marks, str(path))
    source = await probe(path, run=run)
    assert len(source.audios) == probing.MAX_AUDIOS
    assert source.audios[0].stream_index == 4


async def test_thirty_two_streams_are_accepted(tmp_path):
    path = tmp_path / "many.mkv"
    maps = [a for _ in range(32) for a in ("-map", "0:a")]
    footage.ffmpeg("-f", "lavfi", "-i", "sine=d=0.3", *maps, "-c:a", "aac", "-b:a", "16k", str(path))
    assert (await probe(path, run=run)).audios
