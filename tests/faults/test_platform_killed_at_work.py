"""kill -9 of every process of a platform in the middle of its work, and a start on the same folder: nothing is lost."""

import contextlib
import time
from pathlib import Path

import httpx
import psutil
from tests import footage
from tests.running_platform import RunningPlatform

FILL_WITHIN_S = 120
FILM_S = 16


def kill_everything(platform: RunningPlatform) -> None:
    if platform.process.poll() is not None:
        return
    root = psutil.Process(platform.process.pid)
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    platform.process.wait()


def stored(platform: RunningPlatform, media_id: str) -> set[str]:
    """The final segments of a media, `rendition/k.m4s`."""
    found = (platform.data_dir / "objects/media" / media_id).glob("*/*/*.m4s")
    return {f"{p.parent.name}/{p.name}" for p in found if not p.name.endswith(".fast.m4s")}


def segments_of(base_url: str, playback_id: str) -> dict[str, int]:
    """Rendition -> number of its segments."""
    lines = httpx.get(f"{base_url}/{playback_id}.m3u8", timeout=30).raise_for_status().text.splitlines()
    uris = {line for line in lines if line and not line.startswith("#")}
    texts = {uri.split("/")[-2]: httpx.get(f"{base_url}/{uri}", timeout=30).raise_for_status().text for uri in uris}
    return {name: text.count("#EXTINF") for name, text in texts.items()}


def wait_for(condition, timeout_s: float) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def film(folder: Path) -> bytes:
    """Long enough to be killed in."""
    short = folder / "film.mp4"
    footage.ffmpeg("-i", str(footage.trailer()), "-t", str(FILM_S), "-c", "copy", str(short))
    return short.read_bytes()


def test_a_whole_platform_killed_at_work_goes_on_where_it_was(shared: RunningPlatform, tmp_path: Path):
    platform, data = shared, film(tmp_path)
    auth = (platform.username, platform.password)
    options = {"corsOrigin": "*", "pushMediaSettings": {"accessPolicy": "public", "maxResolution": "480p"}}
    urls = []
    for _ in range(2):
        answer = httpx.post(f"{platform.base_url}/v1/on-demand/upload", json=options, auth=auth, timeout=30)
        urls.append(answer.raise_for_status().json()["data"])
    half = len(data) // 2
    assert httpx.put(urls[0]["url"], content=data, timeout=60).status_code == 200
    whole, partial = urls[0]["uploadId"], urls[1]["uploadId"]
    head = {"Content-Range": f"bytes 0-{half - 1}/{len(data)}"}
    kept = httpx.put(urls[1]["url"], content=data[:half], headers=head, timeout=60)
    assert (kept.status_code, kept.headers["range"]) == (308, f"bytes=0-{half - 1}")
    wait_for(lambda: len(stored(platform, whole)) >= 3, FILL_WITHIN_S)
    kill_everything(platform)

    before = stored(platform, whole)
    platform.start()
    asked = httpx.put(urls[1]["url"], headers={"Content-Range": f"bytes */{len(data)}"}, timeout=30)
    assert (asked.status_code, asked.headers["range"]) == (308, f"bytes=0-{half - 1}")
    rest = {"Content-Range": f"bytes {half}-{len(data) - 1}/{len(data)}"}
    assert httpx.put(urls[1]["url"], content=data[half:], headers=rest, timeout=60).status_code == 200
    for media_id in (whole, partial):
        url = f"{platform.base_url}/v1/on-demand/{media_id}"

        def is_ready(url: str = url) -> bool:
            return httpx.get(url, auth=auth, timeout=30).json()["data"]["status"] == "Ready"

        wait_for(is_ready, FILL_WITHIN_S)
    media = httpx.get(f"{platform.base_url}/v1/on-demand/{whole}", auth=auth, timeout=30).json()["data"]
    wanted = segments_of(platform.base_url, media["playbackIds"][0]["id"])
    names = {f"{name}/{k}.m4s" for name, count in wanted.items() for k in range(count)}
    assert before <= names
    wait_for(lambda: stored(platform, whole) >= names, FILL_WITHIN_S)
