"""Sounds and subtitles that were added to media which plays: in both manifests, made and served under every policy."""

import asyncio
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import urljoin

import httpx
import msgspec
import numpy as np
import pytest
from tests import footage
from tests.journeys.gated import add_key
from tests.planned import planned
from tests.playing import Playing, Published
from tests.unit.keys.signing import claims, pair, token

from fastpix_server.access import service as access
from fastpix_server.base import ids
from fastpix_server.engine import binaries, webvtt
from fastpix_server.engine.added_sound import plan_added_sound
from fastpix_server.engine.probe import probe
from fastpix_server.engine.run import run
from fastpix_server.engine.webvtt import Cue
from fastpix_server.playback import extras
from fastpix_server.playback.model import Label, Text

CUES = (Cue(1000, 2000, "one"), Cue(9000, 9500, "two"))
RATE_HZ = 48_000


def tone(path: Path, hz: int, seconds: float, *options: str) -> Path:
    source = f"sine=frequency={hz}:sample_rate={RATE_HZ}:duration={seconds}"
    footage.ffmpeg("-f", "lavfi", "-i", source, *options, str(path))
    return path


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE_HZ / len(samples))


def decoded(data: bytes) -> np.ndarray:
    argv = [binaries.ffmpeg(), "-v", "error", "-f", "mov", "-i", "pipe:0", "-f", "s16le", "-ac", "1", "pipe:1"]
    return np.frombuffer(subprocess.run(argv, input=data, capture_output=True, check=True).stdout, np.int16)


async def add_sound(stage: Playing, shown: Published, file: Path, label: Label, *, version: int = 1) -> str:
    track_id = ids.new_uuid()
    name = f"x{track_id[:8]}-{version}"
    source = await probe(file, run=run)
    plan = plan_added_sound(
        shown.plan, source, name=name, language=label.language, title=label.title, quality="standard"
    )
    key = f"sources/{shown.media_id}/tracks/{track_id}/1"
    await stage.storage.objects.put(key, file.read_bytes())
    async with stage.db.unit() as tx:
        await extras.add_sound(
            tx,
            shown.media_id,
            track_id=track_id,
            workspace_id=shown.workspace_id,
            source_key=key,
            place=f"media/{shown.media_id}/tracks/{track_id}/1",
            plan=plan,
            label=label,
        )
    return track_id


async def add_text(stage: Playing, shown: Published, label: Label) -> str:
    track_id = ids.new_uuid()
    text = Text(track_id, f"s{track_id[:8]}-1", label, f"media/{shown.media_id}/tracks/{track_id}/1")
    await stage.storage.objects.put(text.whole_key, webvtt.document(CUES))
    await stage.storage.objects.put(text.cues_key, msgspec.json.encode(webvtt.to_json(CUES)))
    async with stage.db.unit() as tx:
        await extras.add_text(tx, shown.media_id, text)
    return track_id


def medias(text: str) -> list[dict[str, str]]:
    return [
        {name: value.strip('"') for name, value in re.findall(r'([A-Z-]+)=("[^"]*"|[^,]*)', line)}
        for line in text.splitlines()
        if line.startswith("#EXT-X-MEDIA:")
    ]


@pytest.fixture
async def bikes(stage: Playing) -> Published:
    source = footage.bikes()
    return await stage.publish(source, await planned(source))


async def heard(edge: httpx.AsyncClient, master: str, group: dict[str, str]) -> list[np.ndarray]:
    """Each segment of a sound of the menu, decoded."""
    playlist_url = urljoin(f"http://edge/{master}", f"/{group['URI']}")
    playlist = (await edge.get(playlist_url)).text
    init = (await edge.get(urljoin(playlist_url, "init.mp4"))).content
    names = re.findall(r"^[0-9]+\.m4s$", playlist, re.MULTILINE)
    return [decoded(init + (await edge.get(urljoin(playlist_url, name))).content) for name in names]


async def test_an_added_sound_joins_the_menu_and_is_made_on_the_cuts_of_the_picture(
    stage: Playing, bikes: Published, tmp_path: Path
) -> None:
    edge = await stage.edge()
    await stage.maker()
    before = (await edge.get(f"/{bikes.playback_id}.m3u8")).text
    assert medias(before) == []
    low = tone(tmp_path / "low.wav", 440, 4)
    high = tone(tmp_path / "high.ogg", 1000, 14, "-c:a", "libopus")
    first = await add_sound(stage, bikes, low, Label("de", 'Deutsch "x"'))
    await add_sound(stage, bikes, high, Label("en", "English"))
    async with stage.db.unit() as tx:
        await extras.relabel(tx, bikes.media_id, first, Label("de-AT", "English"))
    after = (await edge.get(f"/{bikes.playback_id}.m3u8")).text
    groups = medias(after)
    assert [(g["TYPE"], g["LANGUAGE"], g["NAME"], g["DEFAULT"]) for g in groups] == [
        ("AUDIO", "de-AT", "English", "YES"),
        ("AUDIO", "en", "English 2", "NO"),
    ]
    assert 'CODECS="avc1.64001f,mp4a.40.2"' in after or "mp4a.40.2" in after
    assert 'AUDIO="audio"' in after
    # What a running player holds is as good as before.
    [old] = [line for line in before.splitlines() if line and line[0] != "#"]
    assert old in after
    german, english = [await heard(edge, after, group) for group in groups]
    timeline = bikes.plan.timeline
    assert len(german) == len(english) == timeline.segment_count
    total = sum(map(len, english))
    assert abs(total / RATE_HZ - timeline.duration_s) < 0.05
    assert {round(pitch_hz(part[4096:]), -1) for part in english} == {1000}
    spoken = [float(np.abs(part[4096:].astype(float)).mean()) > 100 for part in german]
    ends = [float(timeline.start_s(k + 1)) for k in range(timeline.segment_count)]
    assert spoken == [end - 1.5 < 4 for end in ends]
    assert abs(pitch_hz(german[0][4096:]) - 440) < 2
    dash = ElementTree.fromstring((await edge.get(f"/{bikes.playback_id}.mpd")).text)
    sets = [s for s in dash.iter("{urn:mpeg:dash:schema:mpd:2011}AdaptationSet") if s.get("contentType") == "audio"]
    assert [(s.get("lang"), s[0].get("value"), s[1].text) for s in sets] == [
        ("de-AT", "main", "English"),
        ("en", "alternate", "English 2"),
    ]


async def test_a_sound_that_was_taken_away_is_gone_at_once(stage: Playing, bikes: Published, tmp_path: Path) -> None:
    edge = await stage.edge()
    await stage.maker()
    track_id = await add_sound(stage, bikes, tone(tmp_path / "a.wav", 440, 4), Label("de", "Deutsch"))
    [group] = medias((await edge.get(f"/{bikes.playback_id}.m3u8")).text)
    url = f"/{group['URI']}"
    assert (await edge.get(url)).status_code == 200
    async with stage.db.unit() as tx:
        await extras.drop(tx, bikes.media_id, track_id)
    for _ in range(200):
        if (answer := await edge.get(url)).status_code == 404:
            break
        await asyncio.sleep(0.05)  # the news of it are on their way
    assert answer.status_code == 404
    assert medias((await edge.get(f"/{bikes.playback_id}.m3u8")).text) == []


async def test_subtitles_are_segmented_in_hls_whole_in_dash_and_found_by_their_track(
    stage: Playing, bikes: Published
) -> None:
    edge = await stage.edge()
    track_id = await add_text(stage, bikes, Label("fr", "Fran\u00e7ais & <co>"))
    master = (await edge.get(f"/{bikes.playback_id}.m3u8")).text
    [group] = medias(master)
    assert (group["TYPE"], group["LANGUAGE"], group["NAME"]) == ("SUBTITLES", "fr", "Fran\u00e7ais & <co>")
    assert (group["DEFAULT"], group["AUTOSELECT"], group["FORCED"]) == ("NO", "YES", "NO")
    variants = [line for line in master.splitlines() if line.startswith("#EXT-X-STREAM-INF")]
    assert all('SUBTITLES="text"' in line for line in variants)
    playlist_url = f"http://edge/{group['URI']}"
    playlist = (await edge.get(playlist_url)).text
    lengths = [float(x) for x in re.findall(r"#EXTINF:([0-9.]+),", playlist)]
    assert abs(sum(lengths) - bikes.plan.timeline.duration_s) < 0.001
    shown = []
    for name in re.findall(r"^[0-9]+\.vtt$", playlist, re.MULTILINE):
        segment = await edge.get(urljoin(playlist_url, name))
        assert segment.headers["content-type"].startswith("text/vtt")
        assert segment.text.startswith("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n")
        shown += re.findall(r"^(one|two)$", segment.text, re.MULTILINE)
    assert shown == ["one", "two"]
    assert (await edge.get(urljoin(playlist_url, f"{len(lengths)}.vtt"))).status_code == 404
    by_track = await edge.get(f"/{bikes.playback_id}/text/{track_id}.vtt")
    assert by_track.content == webvtt.document(CUES)
    assert (await edge.get(f"/{bikes.playback_id}/text/{ids.new_uuid()}.vtt")).status_code == 404
    dash = ElementTree.fromstring((await edge.get(f"/{bikes.playback_id}.mpd")).text)
    [text] = [s for s in dash.iter("{urn:mpeg:dash:schema:mpd:2011}AdaptationSet") if s.get("contentType") == "text"]
    assert text.get("lang") == "fr"
    [base] = text.iter("{urn:mpeg:dash:schema:mpd:2011}BaseURL")
    assert (await edge.get(f"/{base.text}")).content == webvtt.document(CUES)


async def test_an_encrypted_id_shows_an_added_sound_only_encrypted(stage: Playing, tmp_path: Path) -> None:
    source = footage.bikes()
    async with stage.db.unit() as tx:
        workspace = await access.create_workspace(tx, name="Ours")
    shown = await stage.publish(source, await planned(source), access_policy="drm", workspace_id=workspace.id)
    edge = await stage.edge()
    await stage.maker()
    kid = await add_key(stage, shown.workspace_id, pair())
    await add_sound(stage, shown, tone(tmp_path / "a.wav", 440, 4), Label("de", "Deutsch"))
    text = token(claims(shown.playback_id, kid=kid), kid=kid)
    [group] = medias((await edge.get(f"/{shown.playback_id}.m3u8?token={text}")).text)
    playlist = (await edge.get(f"/{group['URI']}")).text
    assert "METHOD=SAMPLE-AES" in playlist
    folder = f"/{group['URI'].rpartition('/')[0]}"
    init, segment = [(await edge.get(f"{folder}/{name}")).content for name in ("init.mp4", "0.m4s")]
    assert b"enca" in init
    assert b"senc" in segment or b"cbcs" in init
