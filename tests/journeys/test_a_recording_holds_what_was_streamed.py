"""What an encoder sent is what the recording shows, frame by frame, also when the process that held it was killed."""

import re
import time
from pathlib import Path

import httpx
import numpy as np
from tests import footage
from tests.clock_picture import read_row
from tests.journeys.test_a_publish_becomes_live_hls_and_then_a_recording import Owner, publisher
from tests.publishers import Picture

SIZE = (320, 180)
CLEAR = Picture(width=SIZE[0], height=SIZE[1], fps=25, bitrate_bps=900_000, key_every_s=1.0)


def numbers(http: httpx.Client, playback_id: str, folder: Path) -> list[int]:
    """The number of every frame of the source rung, read from the pictures themselves."""
    master = http.get(f"/{playback_id}.m3u8").text
    path = next(line for line in master.splitlines() if "/source/index.m3u8" in line)
    playlist = http.get(f"/{path}").text
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    names = {*re.findall(r'URI="(init[^"]+)"', playlist), *re.findall(r"^\d+\.m4s$", playlist, re.MULTILINE)}
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(http.get(f"/{path.rpartition('/')[0]}/{name}").content)
    (folder / "index.m3u8").write_text(playlist)
    raw = footage.ffmpeg(
        *("-allowed_extensions", "ALL", "-i", str(folder / "index.m3u8"), "-map", "0:v:0"),
        *("-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"),
    )
    frames = np.frombuffer(raw, np.uint8).reshape(-1, SIZE[1], SIZE[0])
    return [read_row(frame, 1) for frame in frames]


def finished_segments(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"^(\d+)\.m4s", text, re.MULTILINE)]


def test_every_frame_is_in_the_recording_once_and_in_order(platform, tmp_path):
    owner = Owner(platform)
    with publisher("rtmp", owner.target, CLEAR):
        owner.until_status("active")
        owner.until(lambda: len(finished_segments(owner.media_playlist()[1])) >= 4, "four segments")
        poster = owner.viewer.get(owner.manifest.replace(".m3u8", "/thumbnail.jpg?width=160"))
        assert (poster.status_code, poster.headers["content-type"]) == (200, "image/jpeg")
        clip = owner.manifest + "?start=1&end=4"
        owner.until(lambda: owner.viewer.get(clip).status_code == 200, "the clip's playlist")
    owner.do("finish")
    began_s = time.monotonic()
    [media] = owner.recording()
    print(f"\nrecording Ready {time.monotonic() - began_s:.2f} s after the end")
    shown = numbers(owner.viewer, media["playbackIds"][0]["id"], tmp_path / "recording")
    assert shown == list(range(shown[0], shown[0] + len(shown)))
    assert abs(media["duration"] - len(shown) / 25) < 0.1
    clips = f"/v1/on-demand/{owner.stream['streamId']}/live-clips"

    def ready_clip():
        found = owner.http.get(clips).json()["data"]
        assert len(found) == 1
        return found[0] if found[0]["status"] == "Ready" else None

    kept = owner.until(ready_clip, "the kept clip")
    assert owner.http.delete(f"/v1/on-demand/{media['id']}").status_code == 200
    cut = numbers(owner.viewer, kept["playbackIds"][0]["id"], tmp_path / "clip")
    assert cut == list(range(cut[0], cut[0] + len(cut)))
    assert set(cut) <= set(shown)
    assert 3.0 <= len(cut) / 25 <= 3.0 + 2 * 3


def test_after_kill_9_of_the_ingest_the_recording_has_every_segment_that_viewers_could_see(platform, tmp_path):
    owner = Owner(platform)
    with publisher("rtmp", owner.target, CLEAR):
        owner.until_status("active")
        owner.until(lambda: len(finished_segments(owner.media_playlist()[1])) >= 4, "four segments")
        _, before = owner.media_playlist()
        platform.role("ingest").kill()
    owner.until(lambda: "reconnectUntil" in owner.read("/health"), "the take-over")
    with publisher("rtmp", owner.target, CLEAR):
        owner.until(lambda: owner.read("/health").get("connections") == 2, "the second connection")
        owner.until(lambda: "#EXT-X-DISCONTINUITY\n" in owner.media_playlist()[1], "the discontinuity")
    owner.do("finish")
    [media] = owner.recording()
    shown = numbers(owner.viewer, media["playbackIds"][0]["id"], tmp_path / "recording")
    breaks = [k for k in range(1, len(shown)) if shown[k] != shown[k - 1] + 1]
    assert len(breaks) == 1  # one discontinuity; on both sides of it nothing is missing
    # What a viewer could fetch as a whole segment is there, but for the newest, whose row may not have been written.
    lengths = [float(s) for s in re.findall(r"#EXTINF:([0-9.]+)", before)]
    assert breaks[0] / 25 >= sum(lengths[:-1]) - 0.1
