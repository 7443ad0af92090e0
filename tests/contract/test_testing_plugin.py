"""The pytest plugin of the package, on one real platform: every fixture, every fault, every example of its guide."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import psutil
import pytest

from fastpix import NO_RETRIES, NotFound, RateLimited, TimedOut, playback_url
from fastpix.testing import platform as testing_platform
from fastpix.testing.catcher import EventNotSeen
from fastpix.testing.platform import Platform, PlatformNotStarted, missing_packages

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "testing.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)

# The guide's own tests and its fastpix_settings become part of this module: pytest runs them as they stand.
exec(compile("\n\n".join(EXAMPLES), "docs/guide/testing.md", "exec"), globals())


def test_the_guide_has_its_examples() -> None:
    assert len(EXAMPLES) >= 7
    assert len(re.findall(r"^def test_", "\n".join(EXAMPLES), re.MULTILINE)) >= 7


def test_the_platform_has_the_settings_of_the_conftest_and_shows_its_log(fastpix_platform: Platform) -> None:
    assert httpx.get(f"{fastpix_platform.url}/v1/iam/workspace").status_code == 401
    assert "http_request" in fastpix_platform.logs()  # as the level is debug
    assert fastpix_platform.password not in repr(fastpix_platform)
    assert fastpix_platform.started_in_s > 0


async def test_the_asynchronous_client_is_one_of_the_same_platform(fastpix_platform: Platform, ready_media) -> None:
    async with fastpix_platform.async_client() as client:
        assert (await client.media.get(media_id=ready_media.id)).id == ready_media.id


def test_a_ready_media_plays(fastpix_platform: Platform, ready_media) -> None:
    def lines(url: str) -> list[str]:
        text = httpx.get(url).raise_for_status().text
        return [urljoin(url, line) for line in text.splitlines() if line and not line.startswith("#")]

    master = playback_url(ready_media.playback_ids[0].id, base_url=fastpix_platform.url)
    segment = httpx.get(lines(lines(master)[0])[0]).raise_for_status()
    assert b"moof" in segment.content[:4096]


@pytest.fixture
def gone_afterwards(fastpix_platform: Platform) -> Iterator[list[str]]:
    """Ids of media that must not be there any more when the fixtures that were asked for after this one have ended."""
    made: list[str] = []
    yield made
    with fastpix_platform.client() as client:
        for media_id in made:
            with pytest.raises(NotFound):
                client.media.get(media_id=media_id)


def test_a_media_is_made_without_waiting_and_deleted_after_the_test(gone_afterwards, make_media) -> None:
    media = make_media(title="mine", wait=False)
    assert media.title == "mine"
    gone_afterwards.append(media.id)


def test_the_catcher_refuses_what_is_not_signed_and_says_what_did_not_come(webhook_catcher) -> None:
    body = b'{"type": "video.media.ready", "object": {"type": "media", "id": "m"}, "id": "e"}'
    for headers in ({}, {"FastPix-Signature": "bm8="}):
        assert httpx.post(webhook_catcher.url, content=body, headers=headers).status_code == 401
    assert len(webhook_catcher.refused) == 2
    with pytest.raises(EventNotSeen, match=r"video.media.ready of m came 0 times in 0.1 s, not 1. .*no header"):
        webhook_catcher.wait_for("video.media.ready", object_id="m", timeout_s=0.1)
    assert webhook_catcher.events == []


def test_a_rate_limit_holds_for_the_operation_alone_and_ends_with_its_block(
    fastpix_platform: Platform, ready_media
) -> None:
    with fastpix_platform.client(retries=NO_RETRIES) as client:
        with fastpix_platform.faults.too_many_requests(times=None, retry_after_s=7, operation="get-media") as fault:
            with pytest.raises(RateLimited) as caught:
                client.media.get(media_id=ready_media.id)
            assert (caught.value.retry_after_s, caught.value.message) == (7, "too many requests")
            assert caught.value.request_id
            client.uploads.list().page()  # its path looks like a media's
            client.media.list().page()
        assert fault.hits == 1
        client.media.get(media_id=ready_media.id)
    unknown = fastpix_platform.faults.slow(1, operation="get-medium")
    with pytest.raises(ValueError, match="no operation 'get-medium'"), unknown:
        pass


def test_playback_can_be_limited_too(fastpix_platform: Platform, ready_media) -> None:
    url = playback_url(ready_media.playback_ids[0].id, base_url=fastpix_platform.url)
    with fastpix_platform.faults.too_many_requests(path="/*.m3u8", retry_after_s=3):
        refused = httpx.get(url)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "3")
        assert refused.headers["Access-Control-Allow-Origin"] == "*"
        assert httpx.get(url).status_code == 200  # once, as `times` is 1


def test_an_upload_that_is_limited_arrives_all_the_same(fastpix_platform: Platform, make_media) -> None:
    with fastpix_platform.faults.too_many_requests(times=2, retry_after_s=0, method="PUT") as fault:
        assert make_media().status == "Ready"
    assert fault.hits == 2


def test_a_slow_answer_runs_into_the_clients_limit(fastpix_platform: Platform, ready_media) -> None:
    slow = fastpix_platform.faults.slow(5, path="/v1/on-demand/**")
    with fastpix_platform.client(timeout_s=0.5, retries=NO_RETRIES) as client, slow, pytest.raises(TimedOut):
        client.media.get(media_id=ready_media.id)


def test_only_the_next_media_fails(fastpix_platform: Platform, make_media) -> None:
    with fastpix_platform.faults.failed_encode() as fault:
        first = make_media(wait=False)
        with fastpix_platform.client() as client:
            deadline = time.monotonic() + 60
            while (found := client.media.get(media_id=first.id)).status != "Failed":
                assert time.monotonic() < deadline, found
                time.sleep(0.1)
        assert make_media().status == "Ready"
    assert fault.hits == 1


def test_a_dropped_delivery_comes_with_the_next_try(fastpix_platform: Platform, make_media, webhook_catcher) -> None:
    with fastpix_platform.faults.dropped_webhook(event="video.media.ready", url=webhook_catcher.url) as fault:
        media = make_media()
        event = webhook_catcher.wait_for("video.media.ready", object_id=media.id)
    assert fault.hits == 1
    assert [attempt.error for attempt in event.attempts] == ["connection failed"]
    assert [one.id for one in webhook_catcher.events].count(event.id) == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_tests_end_in_the_middle(how: signal.Signals, tmp_path: Path) -> None:
    program = "from fastpix.testing.platform import Platform\nPlatform().start()"
    environ = {"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    tests = subprocess.Popen([sys.executable, "-c", program], env=environ, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while len(started := psutil.Process(tests.pid).children(recursive=True)) < 3:  # keeper, supervisor, a role
        assert tests.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    tests.send_signal(how)
    tests.wait(60)
    _, left = psutil.wait_procs(started, timeout=60)
    assert left == []
    while folders := list(tmp_path.glob("fastpix-testing-*")):
        assert time.monotonic() < deadline, folders
        time.sleep(0.05)


def test_a_start_that_fails_shows_the_log_and_leaves_nothing(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(PlatformNotStarted, match=r"The platform ended with 1(.|\n)*FASTPIX_HTTP_WORKERS is 'many'"):
        Platform({"FASTPIX_HTTP_WORKERS": "many"}).start()
    with pytest.raises(PlatformNotStarted, match=r"not ready within 0\.01 s"):
        Platform(start_timeout_s=0.01).start()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="FASTPIX_HTTP_PORT: the fixture decides this itself"):
        Platform({"FASTPIX_HTTP_PORT": "1"})


def test_what_to_install_is_said_when_the_server_is_missing(monkeypatch) -> None:
    server = ("granian<3,>=2.5; extra == 'server'", 'no-such2[x,y]<3,>=1; extra == "server"')
    needed = ["click>=8", *server, "not-this; extra == 'test'"]
    assert missing_packages(needed) == ["no-such2"]
    monkeypatch.setattr(testing_platform.metadata, "requires", lambda _name: needed)
    with pytest.raises(PlatformNotStarted, match=r"\(no-such2\): pip install 'fastpix\[server\]'"):
        Platform().start()


def test_pytest_loads_the_plugin_and_nothing_else_of_ours() -> None:
    program = """
import sys, pytest
before = set(sys.modules)
import fastpix.testing.plugin
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) <= {"fastpix", "fastpix.testing", "fastpix.testing.plugin"}
