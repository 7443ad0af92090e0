"""Journey 1 of the design: bytes come in by URL or by upload, and every rung of a stream plays, frame for frame."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import imageio_ffmpeg
import pytest
from tests import footage
from tests.web_server import FileServer

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
STATUSES = ["Created", "Downloading", "Downloaded", "Validating", "In Queue", "Processing", "Ready"]


@pytest.fixture(scope="module")
def api(platform: Any) -> Any:
    with httpx.Client(base_url=platform.base_url, auth=(platform.username, platform.password), timeout=30) as client:
        yield client


def wait_until_settled(api: httpx.Client, media_id: str, timeout_s: float = 120) -> tuple[dict[str, Any], list[str]]:
    """The media once it is Ready or Failed, and the statuses seen on the way."""
    seen: list[str] = []
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        media = api.get(f"/v1/on-demand/{media_id}").json()["data"]
        if not seen or seen[-1] != media["status"]:
            seen.append(media["status"])
        if media["status"] in ("Ready", "Failed"):
            return media, seen
        time.sleep(0.05)
    raise AssertionError(f"media {media_id} is still {seen[-1]} after {timeout_s} s; saw {seen}")


def create_from_url(api: httpx.Client, url: str, **options: object) -> dict[str, Any]:
    answer = api.post(
        "/v1/on-demand", json={"inputs": [{"type": "video", "url": url}], "accessPolicy": "public", **options}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


def variants(master: str, url: str) -> list[str]:
    return [urljoin(url, line) for line in master.splitlines() if line and not line.startswith("#")]


def video_frames(url: str) -> int:
    done = subprocess.run(
        [
            FFMPEG,
            "-nostdin",
            "-v",
            "error",
            "-i",
            url,
            "-map",
            "0:v:0",
            "-fps_mode",
            "passthrough",
            "-f",
            "null",
            "-progress",
            "-",
            "-",
        ],
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    assert done.stderr.strip() == "", done.stderr
    return int(re.findall(r"frame=(\d+)", done.stdout)[-1])


def test_a_url_becomes_a_stream_whose_every_rung_has_every_frame(platform: Any, api: httpx.Client) -> None:
    clip = footage.bigbuckbunny()
    with FileServer(clip.parent) as server:
        created = create_from_url(api, server.url(clip.name), title="Bunny", metadata={"course": "7"})
        media, seen = wait_until_settled(api, created["id"])
    assert media["status"] == "Ready"
    assert [s for s in STATUSES if s in seen] == seen, "statuses come in the order of the contract"
    assert media["title"] == "Bunny"
    assert media["metadata"] == {"course": "7"}
    source_frames = video_frames(str(clip))

    playback_id = created["playbackIds"][0]["id"]
    url = f"{platform.base_url}/{playback_id}.m3u8"
    master = httpx.get(url)
    assert master.status_code == 200
    rungs = [rung for rung in variants(master.text, url) if "/a0/" not in rung]
    assert len(rungs) >= 3
    for rung in rungs:
        assert video_frames(rung) == source_frames


def test_an_uploaded_file_plays_within_moments_and_has_a_picture(platform: Any, api: httpx.Client) -> None:
    clip = footage.bigbuckbunny()
    upload = api.post(
        "/v1/on-demand/upload", json={"corsOrigin": "*", "pushMediaSettings": {"accessPolicy": "public"}}
    ).json()["data"]
    data = clip.read_bytes()
    half = 256 * 1024
    first = httpx.put(upload["url"], content=data[:half], headers={"Content-Range": f"bytes 0-{half - 1}/{len(data)}"})
    assert (first.status_code, first.headers["range"]) == (308, f"bytes=0-{half - 1}")
    last = httpx.put(
        upload["url"], content=data[half:], headers={"Content-Range": f"bytes {half}-{len(data) - 1}/{len(data)}"}
    )
    assert last.status_code == 200

    media, _ = wait_until_settled(api, upload["uploadId"])
    assert media["status"] == "Ready"
    playback_id = media["playbackIds"][0]["id"]
    picture = httpx.get(
        f"{platform.base_url}/{playback_id}/thumbnail.jpg", params={"time": 2, "width": 320}, timeout=30
    )
    assert picture.status_code == 200
    assert picture.content[:2] == b"\xff\xd8"
    page = httpx.get(f"{platform.base_url}/play/{playback_id}")
    assert page.status_code == 200


def test_a_deleted_media_is_gone_with_its_bytes(platform: Any, api: httpx.Client) -> None:
    clip = footage.bigbuckbunny()
    with FileServer(clip.parent) as server:
        media, _ = wait_until_settled(api, create_from_url(api, server.url(clip.name))["id"])
    playback_id = media["playbackIds"][0]["id"]
    assert httpx.get(f"{platform.base_url}/{playback_id}.m3u8").status_code == 200
    assert api.delete(f"/v1/on-demand/{media['id']}").json() == {"success": True}
    assert api.delete(f"/v1/on-demand/{media['id']}").status_code == 404
    assert httpx.get(f"{platform.base_url}/{playback_id}.m3u8").status_code == 404
    objects = Path(platform.data_dir) / "objects"
    end = time.monotonic() + 60
    while left := [p for p in objects.rglob("*") if media["id"] in str(p) and p.is_file()]:
        assert time.monotonic() < end, left
        time.sleep(0.1)


def test_the_readme_example_works_as_printed(platform: Any, tmp_path: Path) -> None:
    readme = Path(__file__).parents[2] / "README.md"
    [code] = re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    (tmp_path / "fastpix-data").mkdir()
    credentials = {"username": platform.username, "password": platform.password, "baseUrl": platform.base_url}
    (tmp_path / "fastpix-data/credentials.json").write_text(json.dumps(credentials))
    (tmp_path / "video.mp4").write_bytes(footage.bigbuckbunny().read_bytes())
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    status, page_url = done.stdout.split()
    assert status == "Ready"
    with urllib.request.urlopen(page_url) as page:
        assert page.status == 200
