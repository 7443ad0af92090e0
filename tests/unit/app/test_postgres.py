"""The embedded server: starts, survives, refuses, cleans up. Each test runs a server of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fastpix_server.app import postgres
from fastpix_server.app.postgres import EmbeddedPostgres, PostgresFault


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was initialised and stopped, so that each test needs no initdb of its own."""
    home = tmp_path_factory.mktemp("seed") / "pg"
    server = EmbeddedPostgres(home)
    server.start()
    server.stop()
    return home


@pytest.fixture
def home(seed: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", str(seed), str(tmp_path / "pg")], check=True)
    return tmp_path / "pg"


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(home)
    yield server
    server.stop()


def one(server: EmbeddedPostgres, database: str = "postgres") -> object:
    with psycopg.connect(server.url(database)) as connection:
        return connection.execute("select 1").fetchone()


def test_it_listens_on_a_private_socket_only(server: EmbeddedPostgres):
    server.start()
    assert one(server) == (1,)
    with psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
    assert (server.home / "run").stat().st_mode & 0o777 == 0o700
    assert server.home.stat().st_mode & 0o777 == 0o700


def test_it_runs_without_any_privilege(server: EmbeddedPostgres):
    server.start()
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    assert "CapEff:\t0000000000000000\n" in status


def test_a_database_is_made_once(server: EmbeddedPostgres):
    server.start()
    server.ensure_database("mine")
    server.ensure_database("mine")
    assert one(server, "mine") == (1,)


def test_a_second_owner_of_the_home_is_refused(server: EmbeddedPostgres, home: Path):
    server.start()
    with pytest.raises(PostgresFault, match="Another process"):
        EmbeddedPostgres(home).start()
    assert one(server) == (1,)


def test_a_pid_file_of_another_program_is_removed(server: EmbeddedPostgres):
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n")
    server.start()
    assert one(server) == (1,)


def test_an_unreadable_pid_file_is_removed(server: EmbeddedPostgres):
    (server.data / "postmaster.pid").write_text("")
    server.start()
    assert one(server) == (1,)


def test_a_half_finished_initdb_is_never_used(tmp_path: Path):
    home = tmp_path / "pg"
    (home / "data.new").mkdir(parents=True)
    (home / "data.new" / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(home)
    server.start()
    assert one(server) == (1,)
    assert not (home / "data.new").exists()
    server.stop()


def test_a_long_path_gets_a_short_socket_folder(home: Path, tmp_path: Path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    home.rename(deep / "pg")
    server = EmbeddedPostgres(deep / "pg")
    server.start()
    assert one(server) == (1,)
    sockets = Path(server.url().partition("host=")[2])
    assert len(str(sockets)) < 80
    assert sockets.stat().st_mode & 0o777 == 0o700
    server.stop()
    sockets.rmdir()


def test_the_longest_path_that_fits_keeps_its_socket_beside_it():
    longest = 107 - len("/run/.s.PGSQL.5432")
    assert postgres._socket_folder(Path("/" + "x" * (longest - 1))).name == "run"
    assert postgres._socket_folder(Path("/" + "x" * longest)).name != "run"


def test_a_socket_folder_of_somebody_else_is_refused(server: EmbeddedPostgres, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (server.home / "run").rmdir()
    (server.home / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PostgresFault, match="belongs to another"):
        server.start()


def test_a_killed_server_starts_again_with_everything_that_was_committed(server: EmbeddedPostgres):
    server.start()
    with psycopg.connect(server.url("postgres")) as connection:
        connection.execute("create table t as select 1 as a")
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    server.launch()
    server.wait_ready()
    with psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("select a from t").fetchone() == (1,)


_OWNER = """
import sys, time
from pathlib import Path
from fastpix_server.app.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.process.pid, flush=True)
time.sleep(600)
"""


def test_the_server_dies_with_an_owner_that_was_killed(home: Path):
    owner = subprocess.Popen([sys.executable, "-c", _OWNER, str(home)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    # Its successor waits for the old server to finish, and takes over.
    server = EmbeddedPostgres(home)
    server.start()
    assert not postgres._is_postgres(pid)
    assert one(server) == (1,)
    server.stop()


def test_stop_is_quick_and_leaves_no_process(server: EmbeddedPostgres):
    server.start()
    assert server.process is not None
    pid = server.process.pid
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 20
    assert not Path(f"/proc/{pid}").exists()


def test_a_server_that_cannot_start_says_where_its_log_is(server: EmbeddedPostgres):
    (server.data / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(PostgresFault, match="last words"):
        server.start()
