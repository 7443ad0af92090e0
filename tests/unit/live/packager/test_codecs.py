"""What configurations say, and silence that decoders accept."""

import io
import subprocess

import av
import imageio_ffmpeg
import pytest
from tests import live_samples

from fastpix_server.ingest.model import Track
from fastpix_server.live.packager import codecs, mp4, reading
from fastpix_server.live.packager.codecs import BadTrack
from fastpix_server.live.packager.mp4 import MediaSample


@pytest.mark.parametrize(
    ("track", "name"),
    [
        (Track("h264", bytes.fromhex("01640028ffe10000"), 1920, 1080), "avc1.640028"),
        (Track("hevc", bytes.fromhex("0101600000009000000000005d") + bytes(10), 1920, 1080), "hvc1.1.6.L93.90"),
        (Track("av1", bytes.fromhex("81050c00"), 1920, 1080), "av01.0.05M.08"),
        (Track("aac", bytes.fromhex("1190")), "mp4a.40.2"),
        (Track("aac", bytes.fromhex("2b920800")), "mp4a.40.5"),
        (Track("opus", bytes(11)), "opus"),
    ],
)
def test_the_name_of_a_codec_is_read_from_its_configuration(track: Track, name: str):
    assert codecs.rfc6381(track) == name


@pytest.mark.parametrize(
    "track",
    [
        Track("h264", b"\x01\x64"),
        Track("hevc", bytes(22)),
        Track("av1", b""),
        Track("aac", b"\x11"),
        Track("aac", b"\x16\x90"),  # a sampling rate index that is reserved
        Track("aac", b"\x09\x90"),  # AAC Main
        Track("h264", bytes(codecs.MAX_CONFIG_BYTES + 1), 16, 16),
    ],
)
def test_a_configuration_that_makes_no_sense_is_a_bad_track(track: Track):
    with pytest.raises(BadTrack):
        codecs.rfc6381(track)
        codecs.sound_of(track)


def test_sbr_counts_at_the_rate_of_its_core():
    sound = codecs.sound_of(Track("aac", bytes.fromhex("2b920800")))  # explicit SBR: 22,050 Hz core, shown at 44,100
    assert (sound.rate_hz, sound.frame_samples) == (22_050, 1024)


def sound_config(layout: int) -> bytes:
    return (2 << 11 | 3 << 7 | layout << 3).to_bytes(2, "big")


@pytest.mark.parametrize(("layout", "channels"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 8)])
def test_silence_decodes_to_silence_in_every_layout(layout: int, channels: int):
    track = Track("aac", sound_config(layout))
    silence = codecs.sound_of(track).silence
    data = mp4.init_segment(track) + mp4.part(1, 0, [MediaSample(1024, 0, True, silence)] * 10)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-i", "pipe:0", "-f", "s16le", "pipe:1"]
    decoded = subprocess.run(command, input=data, capture_output=True, check=True)
    assert decoded.stderr == b""
    assert decoded.stdout == bytes(10 * 1024 * channels * 2)


@pytest.mark.parametrize(
    ("video", "audio"), [("libx264", "aac"), ("libx265", "libopus"), ("libsvtav1", "aac")], ids=["h264", "hevc", "av1"]
)
def test_an_init_segment_and_a_part_read_back_as_what_was_written(video: str, audio: str):
    published = live_samples.publication(seconds=1, video=video, audio=audio)
    for kind in ("video", "audio"):
        track, samples = published.track(kind), published.of(kind)
        [read] = reading.read_tracks(mp4.init_segment(track))
        assert (read.track.codec, read.track.config) == (track.codec, track.config)
        assert (read.track.width, read.track.height) == (track.width, track.height)
        written = [MediaSample(3000 + k % 2, s.cts - 6000, s.is_key, s.data) for k, s in enumerate(samples)]
        whole = mp4.part(7, 1 << 33, written)
        size = int.from_bytes(whole[:4], "big")
        back = list(reading.read_samples(whole[:size], whole[size:], {read.track_id: read}))
        # The reader's mdat begins with its header; offsets count from the moof.
        assert [(s.duration, s.cts, s.is_key, s.data) for s in back] == written
        assert back[0].time == 1 << 33


def test_ffmpeg_decodes_every_picture_of_every_codec_once():
    for video in ("libx264", "libx265", "libsvtav1"):
        published = live_samples.publication(seconds=1, video=video)
        samples = published.of("video")
        data = mp4.init_segment(published.track("video")) + mp4.part(
            1, 0, [MediaSample(3000, s.cts - samples[0].cts, s.is_key, s.data) for s in samples]
        )
        with av.open(io.BytesIO(data)) as container:
            shown = [frame.pts for frame in container.decode(video=0)]
        # FFmpeg's reader moves all pictures by the most negative offset (a frame or two); players do not.
        assert [pts - shown[0] for pts in shown] == [3000 * k for k in range(30)], video
        assert shown[0] <= 6000
