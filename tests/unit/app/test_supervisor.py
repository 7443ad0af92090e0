"""Decisions of the supervisor that need no process. The processes are in tests/faults."""

import os
import re
import socket
from pathlib import Path

import pytest

from fastpix_server.app import commands, secrets, settings, supervisor
from fastpix_server.app.supervisor import CannotStart, Role


@pytest.mark.parametrize(("deaths", "pause_s"), [(0, 0.2), (1, 0.4), (2, 0.8), (8, 30.0), (10**6, 30.0)])
def test_the_pause_before_a_restart_grows_to_its_maximum(deaths: int, pause_s: float):
    assert supervisor.restart_pause_s(deaths) == pytest.approx(pause_s)


def test_a_role_that_was_stable_starts_its_count_anew():
    role = Role("worker", 1.0, started_at=100.0, deaths=7)
    assert role.note_death(100.0 + supervisor.STABLE_S) == supervisor.RESTART_FIRST_S
    assert role.deaths == 1


def test_a_role_that_dies_early_waits_longer_each_time():
    role = Role("worker", 1.0, started_at=100.0)
    pauses = [role.note_death(100.0 + supervisor.STABLE_S - 1) for _ in range(3)]
    assert pauses == [0.2, 0.4, 0.8]


def test_the_drain_budgets_fit_into_ten_seconds():
    inner_s = max(supervisor.WORKER_DRAIN_S, supervisor.INGEST_DRAIN_S)
    roles_s = supervisor.HTTP_DRAIN_S + inner_s + supervisor.ANALYTICS_DRAIN_S
    assert roles_s + supervisor.DATABASE_DRAIN_S < 9.5


def test_the_own_analytics_engine_gets_a_free_port_and_a_password_that_settings_take():
    first, second = supervisor.own_analytics_url(), supervisor.own_analytics_url()
    assert first.startswith("http://fastpix:")
    assert first.partition("@")[0] != second.partition("@")[0]
    assert settings.load({"FASTPIX_CLICKHOUSE_URL": first}).clickhouse_url.reveal() == first


def test_a_folder_has_one_owner_who_is_named(tmp_path: Path):
    with supervisor.acquire_data_dir(tmp_path):  # noqa: SIM117 - the second one is what fails
        with pytest.raises(CannotStart, match=str(os.getpid())), supervisor.acquire_data_dir(tmp_path):
            pass
    with supervisor.acquire_data_dir(tmp_path):
        pass


def test_a_port_in_use_is_a_sentence_and_a_free_one_is_fine():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        at = settings.load({"FASTPIX_HTTP_PORT": str(taken.getsockname()[1])})
        with pytest.raises(CannotStart, match="FASTPIX_HTTP_PORT"):
            supervisor.check_port_is_free(at)
    supervisor.check_port_is_free(at)


def test_a_host_that_is_none_of_ours_is_a_sentence():
    with pytest.raises(CannotStart, match="FASTPIX_HOST"):
        supervisor.check_port_is_free(settings.load({"FASTPIX_HOST": "192.0.2.1"}))


def test_roles_see_the_decisions_of_the_supervisor(tmp_path: Path):
    at = settings.load({"FASTPIX_DATA_DIR": str(tmp_path / "data")})
    stale = tmp_path / "data" / "run" / "metrics" / "counter_1.db"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    environ = supervisor.role_environ(at, "postgresql:///x", "http://a:b@127.0.0.1:1")
    assert environ["FASTPIX_DATABASE_URL"] == "postgresql:///x"
    assert environ["FASTPIX_CLICKHOUSE_URL"] == "http://a:b@127.0.0.1:1"
    assert environ["FASTPIX_DATA_DIR"] == str(tmp_path / "data")
    assert not stale.exists()
    assert settings.load({k: v for k, v in environ.items() if k.startswith("FASTPIX_")}).data_dir == at.data_dir


def test_the_welcome_has_lines_that_can_be_pasted(tmp_path: Path):
    at = settings.load({"FASTPIX_DATA_DIR": str(tmp_path)})
    made = secrets.load_credentials(at)
    said = commands.welcome(at, made, "rtmp://127.0.0.1:1935/live")
    assert f"curl -u '{made.username}:{made.password}' http://127.0.0.1:8080/v1/on-demand" in said
    assert '"accessPolicy": "public"' in said
    assert "rtmp://127.0.0.1:1935/live" in said
    assert re.search(r"^  \S+ demo  ", said, re.MULTILINE)


def test_the_welcome_promises_no_rtmp_on_a_port_of_somebody_else():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = commands._encoders(settings.load({"FASTPIX_RTMP_PORT": str(port)}))
    assert said.startswith("RTMP IS OFF")
    assert "FASTPIX_RTMP_PORT" in said
    assert "RTMP is off" in commands._encoders(settings.load({"FASTPIX_RTMP_PORT": "0"}))
