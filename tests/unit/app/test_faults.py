"""Switches of faults: read at each use, spent exactly, and not there at all in a normal start."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from fastpix_server.app import faults, settings, wiring
from fastpix_server.base import errors
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.media import service
from fastpix_server.webhooks.post import Post


def switch(folder: Path, name: str = "a", **fields: Any) -> faults.Switches:
    (folder / f"{name}.json").write_text(json.dumps(fields))
    return faults.Switches(str(folder))


async def test_a_normal_start_has_no_faults_and_an_armed_one_has_them_all(database_url: str, tmp_path: Path) -> None:
    environ = {"FASTPIX_DATA_DIR": str(tmp_path / "data"), "FASTPIX_DATABASE_URL": database_url}
    for extra, is_armed in (({}, False), ({"FASTPIX_FAULTS": str(tmp_path)}, True)):
        async with wiring.open_platform(settings.load({**environ, **extra}), pool_size=1) as platform:
            assert isinstance(wiring.make_api(platform), faults.FaultyApp) is is_armed
            async with wiring.make_origin_client() as client:
                assert isinstance(wiring.make_edge(platform, client), faults.FaultyApp) is is_armed
            assert type(wiring.make_courier(platform)._post) is (faults.FaultyPost if is_armed else Post)
            registry = wiring.make_registry(platform, wiring.make_segment_maker(platform))
            [prepare] = [job.handler for job in registry.jobs if job.name == service.PREPARE_JOB]
            assert (prepare.__self__._may_prepare is not None) is is_armed  # type: ignore[attr-defined]


def test_a_normal_start_does_not_even_load_the_faults() -> None:
    program = "import sys, fastpix_server.app.wiring, fastpix_server.app.http, fastpix_server.app.worker"
    done = f"{program}; assert 'fastpix_server.app.faults' not in sys.modules"
    subprocess.run([sys.executable, "-c", done], check=True, timeout=120)


def test_a_folder_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(settings.BadSettings, match="FASTPIX_FAULTS is '/nowhere': give the path of a folder"):
        settings.load({"FASTPIX_FAULTS": "/nowhere"})


@pytest.mark.parametrize(
    ("pattern", "method", "path", "is_meant"),
    [
        ("/v1/on-demand/*", "GET", "/v1/on-demand/abc", True),
        ("/v1/on-demand/*", "POST", "/v1/on-demand/abc", False),
        ("/v1/on-demand/*", "GET", "/v1/on-demand/abc/tracks", False),
        ("/v1/on-demand/*", "GET", "/v1/on-demand/uploads", False),
        ("/v1/**", "GET", "/v1/on-demand/abc/tracks", True),
        ("/*.m3u8", "GET", "/id.m3u8", True),
        ("/*.m3u8", "GET", "/idxm3u8", False),
        (None, "GET", "/anything", True),
    ],
)
def test_a_switch_means_the_requests_that_it_names(pattern: str | None, method: str, path: str, is_meant: bool) -> None:
    named = faults.Switch("slow", method="GET", path=pattern, except_paths=("/v1/on-demand/uploads",))
    assert named.is_for_request(method, path) is is_meant


def test_times_hold_over_processes_and_a_switch_that_is_off_does_nothing(tmp_path: Path) -> None:
    first = switch(tmp_path, kind="failed_encode", times=3)
    assert first.take("slow") is None
    second = faults.Switches(str(tmp_path))
    assert [one.take("failed_encode") is not None for one in (first, second, first, second)] == [True] * 3 + [False]
    assert (tmp_path / "a.used").stat().st_size == 3
    always = switch(tmp_path, "b", kind="failed_encode")
    assert all(always.take("failed_encode") for _ in range(5))
    (tmp_path / "b.json").unlink()
    assert always.take("failed_encode") is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"kind": "explode"}',
        '{"kind": "slow", "delayS": 121}',
        '{"kind": "slow", "times": 0}',
        '{"kind": "slow", "else": 1}',
        '{"kind": "slow"}' + " " * faults.FILE_MAX_BYTES,
        '{"kind": "slow", "path": "' + "x" * 513 + '"}',
    ],
)
def test_a_file_that_is_not_understood_switches_nothing_and_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.json").write_text(text)
    good = switch(tmp_path, "z", kind="slow", delayS=1)
    with capture_logs() as said:
        found = good.take("slow")
    assert found is not None
    assert (said[0]["switch"], found.delay_s) == ("broken", 1.0)


def test_a_failing_media_fails_as_an_unreadable_file_does(tmp_path: Path) -> None:
    may_prepare = faults.failing(switch(tmp_path, kind="failed_encode", times=1))
    with pytest.raises(errors.SourceFault) as caught:
        may_prepare("media")
    assert caught.value.code == "source_unreadable"
    may_prepare("media")


async def test_probes_are_not_touched(tmp_path: Path) -> None:
    post = faults.FaultyPost(AddressPolicy(), switch(tmp_path, kind="dropped_webhook"))
    made = await post.send("http://127.0.0.1:9/", b"{}")
    assert made.error == "address is not public"
    body = b'{"type": "video.media.ready"}'
    dropped = await post.send("http://127.0.0.1:9/", body, {"FastPix-Signature": "s"})
    assert dropped.error == "connection failed"
