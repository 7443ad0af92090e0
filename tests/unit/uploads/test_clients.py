"""Each published uploader, by what it sends and what it needs to hear (contract section 7, table of clients)."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.uploads.conftest import Uploading, ask, put

CHUNK = 1024 * 1024
FILE = os.urandom(3 * CHUNK + 12_345)
ORIGIN = "https://app.example"


def _sent_range(answer: httpx.Response) -> int:
    """Bytes that a 308 acknowledges, read as Android and Flutter do: no Range means none."""
    text = answer.headers.get("range")
    return 0 if text is None else int(text.rpartition("-")[2]) + 1


def _preflight(url: str, method: str, headers: str) -> httpx.Response:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    return httpx.options(url, headers=asked)


def _browser_may(answer: httpx.Response, method: str, headers: str) -> bool:
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    methods = {name.strip() for name in answer.headers["access-control-allow-methods"].split(",")}
    return (
        answer.is_success
        and answer.headers["access-control-allow-origin"] in ("*", ORIGIN)
        and method in methods
        and set(headers.split(",")) <= allowed
    )


@pytest.mark.parametrize("version", ["1.0.3", "1.0.5"])
@pytest.mark.parametrize("browser", [True, False])
def test_the_web_uploader_posts_then_puts(uploading: Uploading, version: str, browser: bool) -> None:
    upload = uploading.create(browser=browser, corsOrigin=ORIGIN)
    url: str = upload["url"]
    assert ("upload_id=" in url) is not browser
    if version == "1.0.3" or "upload_id=" not in url:
        assert _browser_may(_preflight(url, "POST", "content-type,x-goog-resumable"), "POST", "x-goog-resumable")
        begun = httpx.post(url, headers={"x-goog-resumable": "start", "Content-Type": "video/mp4", "Origin": ORIGIN})
        assert begun.status_code == 201
        assert {"range", "location"} <= set(begun.headers["access-control-expose-headers"].lower().split(", "))
        assert begun.headers["access-control-allow-origin"] == ORIGIN
        url = begun.headers["location"]
    assert "upload_id=" in url
    assert _browser_may(_preflight(url, "PUT", "content-range,content-type"), "PUT", "content-range,content-type")
    at = 0
    while True:
        sent = put(url, FILE[at : at + CHUNK], at, len(FILE), **{"Content-Type": "video/mp4", "Origin": ORIGIN})
        assert sent.headers["access-control-allow-origin"] == ORIGIN
        if sent.status_code == 200:
            break
        assert sent.status_code == 308
        assert "location" not in sent.headers
        assert sent.content == b""
        at = _sent_range(sent)
    assert uploading.stored(upload["uploadId"]) == FILE


def test_the_web_uploader_asks_before_it_goes_on(uploading: Uploading) -> None:
    """1.0.5 sends its status query with x-goog-resumable on it."""
    upload = uploading.create(browser=True)
    url = httpx.post(upload["url"], headers={"x-goog-resumable": "start"}).headers["location"]
    put(url, FILE[:CHUNK], 0, len(FILE))
    asked = httpx.put(url, headers={"Content-Range": f"bytes */{len(FILE)}", "x-goog-resumable": "start"})
    assert (asked.status_code, asked.headers["range"]) == (308, f"bytes=0-{CHUNK - 1}")


def test_android_asks_puts_and_wants_exactly_200(uploading: Uploading) -> None:
    upload = uploading.create()
    at = 0
    while True:
        asked = ask(upload["url"], len(FILE))
        assert (asked.status_code, _sent_range(asked)) == (308, at)
        assert ("range" in asked.headers) is (at > 0)
        sent = put(upload["url"], FILE[at : at + CHUNK], at, len(FILE), **{"Content-Type": "application/octet-stream"})
        at += CHUNK
        if sent.status_code != 308:
            break
    assert sent.status_code == 200
    assert ask(upload["url"], len(FILE)).status_code == 200
    assert uploading.stored(upload["uploadId"]) == FILE


def test_ios_sends_the_suffix_as_type_and_wants_the_chunks_own_end(uploading: Uploading) -> None:
    upload = uploading.create()
    for at in range(0, len(FILE), CHUNK):
        sent = put(upload["url"], FILE[at : at + CHUNK], at, len(FILE), **{"Content-Type": "mov"})
        if at + CHUNK < len(FILE):
            assert sent.headers["range"] == f"bytes=0-{at + CHUNK - 1}"
    assert sent.status_code == 200


def test_flutter_and_react_native_put_without_asking(uploading: Uploading) -> None:
    upload = uploading.create()
    answers = [put(upload["url"], FILE[at : at + CHUNK], at, len(FILE)) for at in range(0, len(FILE), CHUNK)]
    assert [answer.status_code for answer in answers] == [308, 308, 308, 200]


def test_curl_puts_the_whole_file(uploading: Uploading) -> None:
    upload = uploading.create()
    assert httpx.put(upload["url"], content=FILE).status_code == 200
    assert uploading.stored(upload["uploadId"]) == FILE


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_line_of_the_guide_works(uploading: Uploading, tmp_path: Path) -> None:
    """curl waits for 100 Continue before a body of this size, and hears a refusal without sending it."""
    file = tmp_path / "holiday.mp4"
    file.write_bytes(FILE)
    upload = uploading.create()
    argv = ["curl", "-s", "-w", "%{http_code}", "-m", "20", "-T", str(file)]
    refused = subprocess.run(
        [*argv, upload["url"].replace("sig=", "sig=0")], capture_output=True, text=True, check=True
    )
    assert refused.stdout.endswith("403")
    sent = subprocess.run([*argv, upload["url"]], capture_output=True, text=True, check=True)
    assert sent.stdout == "200"
    assert uploading.stored(upload["uploadId"]) == FILE


def test_a_body_of_unknown_length_is_the_whole_file_too(uploading: Uploading) -> None:
    upload = uploading.create()
    pieces = (FILE[at : at + 100_000] for at in range(0, len(FILE), 100_000))
    assert httpx.put(upload["url"], content=pieces).status_code == 200
    assert uploading.stored(upload["uploadId"]) == FILE


def test_a_finished_upload_is_a_media_of_the_same_id(uploading: Uploading) -> None:
    settings: dict[str, Any] = {"accessPolicy": "public", "title": "Home", "metadata": {"a": "b"}}
    upload = uploading.create(pushMediaSettings=settings)
    upload_id = upload["uploadId"]
    assert uploading.api("GET", f"/{upload_id}").status_code == 404
    assert httpx.put(upload["url"], content=FILE).status_code == 200
    media = uploading.api("GET", f"/{upload_id}").json()["data"]
    assert (media["id"], media["title"], media["metadata"]) == (upload_id, "Home", {"a": "b"})
    assert [playback["accessPolicy"] for playback in media["playbackIds"]] == ["public"]
    assert uploading.events(upload_id) == ["video.media.upload", "video.upload.media_created"]
    assert uploading.status(upload_id) == "completed"
    assert uploading.staged(upload_id) == []
    jobs = uploading.rows("select task_name from procrastinate_jobs where args ->> 'media_id' = %s", upload_id)
    assert jobs == [("media.prepare",)]
    listed = uploading.api("GET", "/uploads", params={"limit": 50}).json()["data"]
    assert upload_id not in [entry["uploadId"] for entry in listed]
    assert uploading.api("GET", f"/{upload_id}/input-info").json()["data"]["configuration"]["url"] == upload["url"]
