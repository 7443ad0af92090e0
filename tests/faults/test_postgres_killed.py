"""kill -9 of the database, again and again, while commits are acknowledged: none of those may be missing afterwards."""

import os
import threading
import time
from pathlib import Path

import psycopg

from fastpix_server.app.postgres import EmbeddedPostgres

WRITERS = 4
KILLS = 2 * int(os.environ.get("SOAK_ROUNDS", "1"))
COMMITS = 200  # before each kill
LOAD_WITHIN_S = 60


def write(server: EmbeddedPostgres, writer: int, acknowledged: list[tuple[int, int]], stop: threading.Event) -> None:
    """Commits row after row, and notes a row only when the server has said that it is committed."""
    number = 0
    while not stop.is_set():
        try:
            with psycopg.connect(server.url("postgres"), autocommit=True, connect_timeout=2) as connection:
                while not stop.is_set():
                    number += 1
                    connection.execute("insert into ledger values (%s, %s)", [writer, number])
                    acknowledged.append((writer, number))
        except psycopg.OperationalError:
            time.sleep(0.02)


def test_no_acknowledged_commit_is_lost_when_the_database_is_killed_under_load(tmp_path: Path):
    server = EmbeddedPostgres(tmp_path / "pg")
    server.start()
    try:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("create table ledger (writer int, number int, primary key (writer, number))")
        acknowledged: list[tuple[int, int]] = []
        stop = threading.Event()
        writers = [threading.Thread(target=write, args=(server, n, acknowledged, stop)) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        for _ in range(KILLS):
            wanted, end_s = len(acknowledged) + COMMITS, time.monotonic() + LOAD_WITHIN_S
            while len(acknowledged) < wanted:
                assert time.monotonic() < end_s, "there was no load to lose"
                time.sleep(0.01)
            assert server.process is not None
            server.process.kill()
            server.process.wait()
            server.launch()
            server.wait_ready()
        stop.set()
        for writer in writers:
            writer.join()
        with psycopg.connect(server.url("postgres")) as connection:
            kept = set(connection.execute("select writer, number from ledger").fetchall())
        assert not set(acknowledged) - kept
    finally:
        server.stop()
