"""The platform as a tree of processes: what dies comes back, what is stopped is gone, nothing is left behind."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from tests.running_platform import RunningPlatform, clean_environ, free_port

STARTED_WITHIN_S = 90  # on a busy machine; an idle one takes three


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fastpix-fault-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def until(condition: Callable[[], bool], timeout_s: float, what: str) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, what
        time.sleep(0.1)  # to look at a tree of processes is work
    return time.monotonic() - started


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def role_is_new(platform: RunningPlatform, name: str, old: psutil.Process) -> bool:
    try:
        return platform.role(name) != old
    except (AssertionError, psutil.NoSuchProcess):
        return False


def test_kill_9_of_the_supervisor_leaves_no_process(shared: RunningPlatform):
    tree = shared.processes()
    assert len(tree) > 6
    shared.process.kill()
    shared.process.wait()
    until(lambda: not any(is_alive(process) for process in tree), STARTED_WITHIN_S, "one outlived the supervisor")
    # And the folder is usable at once.
    shared.start()


@pytest.mark.parametrize("name", ["http", "worker", "ingest", "postgres"])
def test_a_role_that_was_killed_comes_back(shared: RunningPlatform, name: str):
    old = shared.role(name)
    below = old.children(recursive=True)
    old.kill()
    until(lambda: role_is_new(shared, name, old), STARTED_WITHIN_S, f"{name} did not come back")
    shared.wait_until_ready()
    if name != "postgres":
        assert not any(is_alive(process) for process in below)
    assert httpx.get(f"{shared.base_url}/v1/on-demand", auth=(shared.username, shared.password)).status_code == 200


def test_one_killed_server_process_of_two_is_replaced(shared: RunningPlatform):
    front = shared.role("http")
    victim = next(child for child in front.children() if "fastpix_server.app" in child.cmdline())
    victim.kill()

    def is_replaced() -> bool:
        return len([c for c in front.children() if is_alive(c)]) >= 2 and not is_alive(victim)

    until(is_replaced, STARTED_WITHIN_S, "the server process was not replaced")
    assert shared.role("http") == front
    shared.wait_until_ready()


def test_sigterm_during_the_start_stops_as_well(folder: Path):
    running = RunningPlatform(folder)
    running.launch()
    until((running.data_dir / "postgres").exists, STARTED_WITHIN_S, "it did not begin")
    stops_in_time(running, running.processes())


def stops_in_time(running: RunningPlatform, tree: list[psutil.Process]) -> None:
    """By itself and to the last process. Ten seconds are promised; a machine that runs other tests may double them."""
    running.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    running.process.wait(60)
    assert time.monotonic() - started < 20
    assert not any(is_alive(process) for process in tree)


def fastpix(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastpix", *words],
        env=clean_environ(**environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_second_platform_on_the_same_folder_is_refused_in_one_sentence(shared: RunningPlatform):
    second = fastpix("up", FASTPIX_DATA_DIR=str(shared.data_dir), FASTPIX_HTTP_PORT=str(free_port()))
    assert second.returncode == 1
    assert second.stderr.startswith("Error: fastpix already runs on ")
    assert str(shared.process.pid) in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_one_sentence(shared: RunningPlatform, folder: Path):
    second = fastpix("up", FASTPIX_DATA_DIR=str(folder / "other"), FASTPIX_HTTP_PORT=str(shared.port))
    assert second.returncode == 1
    assert "FASTPIX_HTTP_PORT" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_setting_that_is_unknown_is_one_sentence(folder: Path):
    refused = fastpix("up", FASTPIX_DATA_DIR=str(folder / "never"), FASTPIX_HTTP_PROT="1")
    assert refused.returncode == 1
    assert refused.stderr == "Error: FASTPIX_HTTP_PROT is not a setting. Did you mean FASTPIX_HTTP_PORT?\n"
    assert not (folder / "never").exists()


@pytest.mark.parametrize("role", ["api", "edge", "worker", "ingest", "migrate"])
def test_a_role_on_its_own_says_that_it_needs_a_database(role: str, folder: Path):
    refused = fastpix(role, FASTPIX_DATA_DIR=str(folder / "other"), FASTPIX_HTTP_PORT=str(free_port()))
    assert refused.returncode != 0
    assert "FASTPIX_DATABASE_URL" in refused.stderr


def test_secrets_are_private_and_not_in_the_log(shared: RunningPlatform):
    assert shared.data_dir.stat().st_mode & 0o777 == 0o700
    for name in ("credentials.json", "master.key"):
        assert (shared.data_dir / name).stat().st_mode & 0o777 == 0o600
    structured = [line for line in shared.log().splitlines() if line.startswith("{")]
    assert structured
    assert shared.password not in "\n".join(structured)


def test_nothing_of_the_platform_runs_with_a_terminal_of_its_parent(shared: RunningPlatform):
    # Ctrl-C reaches the process group of the terminal: only the supervisor may be in it.
    group = os.getpgid(shared.process.pid)
    assert all(os.getpgid(p.pid) != group for p in shared.processes()[1:])


def test_sigterm_stops_everything_in_time_whoever_is_still_connected(shared: RunningPlatform):
    """The last of those that share it: nobody has to start it again."""
    tree = shared.processes()
    with httpx.Client(base_url=shared.base_url) as client:
        client.get("/health/live")  # a connection that is kept alive
        stops_in_time(shared, tree)
