"""Encryption of segments, byte by byte: against a reader written from the standard, and against ffmpeg."""

import os
import subprocess
import uuid
from pathlib import Path

import pytest
import uvloop
from tests import footage
from tests.footage import FFMPEG
from tests.planned import planned
from tests.unit.engine import cbcs

from fastpix_server.base.errors import ServiceFault
from fastpix_server.engine import boxes, protect
from fastpix_server.engine.copyrung import CopySource
from fastpix_server.engine.encode import Control, encode_audio, encode_video
from fastpix_server.engine.inits import make_init
from fastpix_server.engine.protect import ContentKey, protect_segment, protected_init

KEY = ContentKey(str(uuid.uuid4()), os.urandom(16), os.urandom(16))


class Clear:
    """A rendition in the clear: its header and some segments."""

    def __init__(self, kind: protect.Kind, init: bytes, segments: dict[int, bytes]) -> None:
        self.kind = kind
        self.init = init
        self.segments = segments


async def clear(which: str) -> Clear:
    segments: dict[int, bytes] = {}

    async def emit(_name: str, k: int, segment: bytes) -> None:
        segments[k] = segment

    if which == "copied":
        source = footage.make("plain")
        plan = await planned(source)
        copy, name = CopySource.open(source, plan), plan.videos[0].name
        return Clear("video", copy.init(name), {k: copy.segment(name, k) for k in (0, 1)})
    source = footage.trailer()
    plan = await planned(source)
    if which == "sound":
        await encode_audio(plan, source, plan.audios[0], 0, 3, emit, control=Control())
        return Clear("audio", await make_init(plan, plan.audios[0]), segments)
    rung = plan.videos[-1]
    await encode_video(plan, source, [rung], 0, 3, emit, fast=True, control=Control())
    return Clear("video", await make_init(plan, rung), segments)


@pytest.mark.parametrize("which", ["encoded", "copied", "sound"])
async def test_encrypted_samples_differ_and_the_key_gives_the_clear_ones_back(which: str) -> None:
    rendition = await clear(which)
    init = protected_init(rendition.init, KEY)
    found = cbcs.tenc(init)
    assert (found.is_protected, found.iv_size, found.key_id, found.constant_iv) == (1, 0, KEY.id_bytes, KEY.iv)
    assert (found.crypt_blocks, found.skip_blocks) == ((0, 0) if which == "sound" else (1, 9))
    for k, segment in rendition.segments.items():
        made = await protect_segment(rendition.init, segment, rendition.kind, KEY)
        was, now = cbcs.samples(segment), cbcs.samples(made)
        pairs = cbcs.subsamples(made, len(now))
        assert [cbcs.decrypted(s, p, found, KEY.key) for s, p in zip(now, pairs, strict=True)] == was
        # Every picture and every sound of more than a block is unreadable, and nothing else of it is left elsewhere.
        changed = [a != b for a, b in zip(was, now, strict=True) if len(a) > 256]
        assert changed
        assert all(changed)
        assert max(was, key=len) not in made
        assert boxes.decode_time(made[made.index(b"moof") - 4 :]) == boxes.decode_time(
            segment[segment.index(b"moof") - 4 :]
        )
        assert cbcs.box(made, b"moof", b"mfhd") == cbcs.box(segment, b"moof", b"mfhd"), k


@pytest.mark.parametrize("which", ["encoded", "copied", "sound"])
async def test_the_header_says_what_was_done_and_keeps_everything_else(which: str) -> None:
    rendition = await clear(which)
    init = protected_init(rendition.init, KEY)
    (was, old), (now, new) = cbcs.sample_entry(rendition.init), cbcs.sample_entry(init)
    assert (was, now) == ((b"mp4a", b"enca") if which == "sound" else (b"avc1", b"encv"))
    assert new.startswith(old)
    assert cbcs.box(new, b"sinf", b"frma") == was
    assert cbcs.box(new, b"sinf", b"schm") == bytes(4) + b"cbcs" + bytes.fromhex("00010000")
    systems = [b for b in boxes.walk(init, *_inside(init, b"moov")) if b.kind == b"pssh"]
    common, widevine = (init[b.start : b.end] for b in systems)
    assert common == protect.common_pssh(KEY.key_id)
    assert common[12:28] == uuid.UUID("1077efec-c0b2-4d02-ace3-3c1e52e2fb4b").bytes
    assert common[32:48] == KEY.id_bytes
    assert widevine[12:28] == uuid.UUID("edef8ba9-79d6-4ace-a3c8-27dcd51d21ed").bytes
    assert KEY.id_bytes in widevine
    assert KEY.key not in init


def _inside(data: bytes, kind: bytes) -> tuple[int, int]:
    found = boxes.find(data, (kind,))
    assert found is not None
    return found.body, found.end


@pytest.mark.parametrize("which", ["encoded", "copied", "sound"])
async def test_ffmpeg_with_the_key_decodes_the_same_frames_and_without_it_none(which: str, tmp_path: Path) -> None:
    rendition = await clear(which)
    whole = b"".join(rendition.segments.values())
    made = [await protect_segment(rendition.init, s, rendition.kind, KEY) for s in rendition.segments.values()]
    (tmp_path / "clear.mp4").write_bytes(rendition.init + whole)
    (tmp_path / "made.mp4").write_bytes(protected_init(rendition.init, KEY) + b"".join(made))
    expected = _frames(tmp_path / "clear.mp4")
    assert len(expected) > 50
    assert _frames(tmp_path / "made.mp4", "-decryption_key", KEY.key.hex()) == expected
    assert not set(_frames(tmp_path / "made.mp4", "-decryption_key", bytes(16).hex())) & set(expected)


def _frames(path: Path, *options: str) -> list[str]:
    done = subprocess.run(
        [FFMPEG, "-v", "quiet", *options, "-i", str(path), "-f", "framemd5", "-"], capture_output=True, check=False
    )
    return [line for line in done.stdout.decode().splitlines() if line and line[0] != "#"]


def test_it_works_in_the_loop_that_the_worker_runs() -> None:
    """uvloop gives children other descriptors than asyncio does."""

    async def scenario() -> None:
        rendition = await clear("sound")
        assert await protect_segment(rendition.init, rendition.segments[0], rendition.kind, KEY)

    uvloop.run(scenario())


async def test_the_key_is_on_no_command_line() -> None:
    rendition = await clear("sound")
    said = " ".join(protect.command(Path("/nowhere"), rendition.kind))
    assert KEY.key.hex() not in said
    assert KEY.key.hex() not in repr(KEY)
    assert str(KEY.key) not in repr(KEY)


async def test_what_is_no_segment_is_a_fault_of_ours_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rendition = await clear("sound")
    for init, segment in ((rendition.init, b"\0" * 100), (b"", rendition.segments[0])):
        with pytest.raises(ServiceFault, match="encrypted"):
            await protect_segment(init, segment, rendition.kind, KEY)
    for broken in (b"", rendition.init[:-200], rendition.segments[0]):
        with pytest.raises(ServiceFault):
            protected_init(broken, KEY)
    assert list(tmp_path.iterdir()) == []
