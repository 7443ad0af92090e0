"""What is made of a publisher's tracks."""

import pytest

from fastpix_server.ingest.model import Track
from fastpix_server.live import ladder

AAC, OPUS = Track("aac", b"\x11\x90"), Track("opus", bytes(11))


def video(width: int, height: int, codec: str = "h264") -> Track:
    return Track(codec, b"", width=width, height=height)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("track", "max_lines", "is_copied", "rungs"),
    [
        (video(1920, 1080), 1080, True, [(1280, 720), (854, 480)]),
        (video(1920, 1080), 720, False, [(1280, 720), (854, 480)]),
        (video(1920, 1080), 480, False, [(854, 480)]),
        (video(1280, 720), 1080, True, [(854, 480)]),
        (video(1080, 1920), 1080, True, [(720, 1280), (480, 854)]),
        (video(854, 480), 1080, True, []),
        (video(320, 180), 480, True, []),
        (video(3840, 2160), 1080, False, [(1920, 1080), (1280, 720), (854, 480)]),
        (video(2560, 1080), 1080, False, [(2560, 1080), (1706, 720), (1138, 480)]),
        (video(640, 360, "hevc"), 1080, True, [(640, 360)]),
        (video(1920, 1080, "av1"), 1080, True, [(1280, 720), (854, 480)]),
    ],
)
def test_rungs_follow_from_the_source_and_from_what_the_stream_allows(
    track: Track, max_lines: int, is_copied: bool, rungs: list[tuple[int, int]]
):
    found = ladder.scheme(track, AAC, max_lines=max_lines)
    assert found is not None
    assert found.is_copied is is_copied
    assert [(r.width, r.height) for r in found.rungs] == rungs
    assert found.forces_keys is not is_copied


def test_a_source_that_cannot_be_cut_is_encoded_in_its_own_size():
    found = ladder.scheme(video(640, 480), AAC, max_lines=1080, must_encode=True)
    assert found is not None
    assert (found.is_copied, [r.name for r in found.rungs]) == (False, ["480p"])


@pytest.mark.parametrize(
    ("track", "must_encode", "shown", "copies", "rungs"),
    [
        (video(640, 360), True, {"source"}, [], ["source 360"]),
        (video(480, 270), True, {"source"}, [], ["source 270"]),
        (video(480, 270), False, {"source", "480p", "720p"}, ["source", "480p", "720p"], []),
        (video(1280, 720), True, {"source", "480p"}, [], ["source 720", "480p 480"]),
        (video(320, 180), True, {"source", "480p"}, [], ["source 180", "480p 180"]),
        (video(854, 480, "hevc"), False, {"source", "720p"}, ["source"], ["480p 480", "720p 480"]),
        (video(1280, 720), False, set(), ["source"], ["480p 480"]),
    ],
)
def test_what_players_were_shown_goes_on_whatever_the_publisher_sends_then(
    track: Track, must_encode: bool, shown: set[str], copies: list[str], rungs: list[str]
):
    found = ladder.scheme(track, AAC, max_lines=1080, must_encode=must_encode, shown=shown)
    assert found is not None
    assert list(found.copies) == copies
    assert [f"{r.name} {r.height}" for r in found.rungs] == rungs
    assert shown <= {*found.copies, *(r.name for r in found.rungs)}


def test_opus_is_encoded_and_aac_is_not():
    with_opus, with_aac = (ladder.scheme(video(320, 180), a, max_lines=1080) for a in (OPUS, AAC))
    assert with_opus is not None
    assert with_opus.encodes_sound
    assert with_aac is not None
    assert not with_aac.needs_encoder


@pytest.mark.parametrize(
    ("track", "audio", "is_playable"),
    [
        (video(1280, 720), AAC, True),
        (video(1280, 720), OPUS, False),
        (video(3840, 2160), AAC, False),
        (None, AAC, True),
    ],
)
def test_without_an_encoder_only_what_can_be_copied_is_played(track: Track | None, audio: Track, is_playable: bool):
    found = ladder.scheme(track, audio, max_lines=1080, can_encode=False)
    assert (found is not None and not found.needs_encoder) is is_playable


def test_the_command_is_one_process_with_one_output_in_the_order_of_the_scheme():
    found = ladder.scheme(video(1920, 1080), OPUS, max_lines=1080)
    assert found is not None
    argv = ladder.command(found)
    assert argv.count("-i") == 1
    assert argv[-1] == "pipe:3"
    assert [argv[k + 1] for k, word in enumerate(argv) if word == "-map"] == ["[o0]", "[o1]", "0:a:0"]
    assert argv[argv.index("-force_key_frames:v") + 1] == "source"
    forced = ladder.scheme(video(1920, 1080), AAC, max_lines=720)
    assert forced is not None
    assert "expr:gte(t,4.499+n_forced*2)" in ladder.command(forced, 4.5)
