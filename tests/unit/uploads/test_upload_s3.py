"""The same uploads into a bucket: two server processes, one real S3 server, nothing on the local disk."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.storage import seaweed
from tests.unit.uploads.conftest import Uploading, ask, free_port, put

from fastpix_server.storage.open import open_store

FILE = os.urandom(40_000_000)  # more than two parts of 16 MiB


@pytest.fixture(scope="module")
def remote(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uploading]:
    with seaweed.running() as endpoint:
        folder = tmp_path_factory.mktemp("uploads-s3")
        running = Uploading(module_database_url, folder, free_port(), processes=2, s3_endpoint=endpoint)
        storage = open_store(f"s3://{seaweed.BUCKET}/uploads", seaweed.options(endpoint), folder / "test-work")
        asyncio.run(storage.objects.self_test())  # as the platform does at its start; here it also makes the bucket
        running.start()
        yield running
        running.kill()


def _source(remote: Uploading, upload_id: str) -> bytes:
    url = f"s3://{seaweed.BUCKET}/uploads"
    storage = open_store(url, seaweed.options(remote.s3_endpoint), remote.folder / "test-work")
    assert asyncio.run(storage.objects.list_sizes(f"staging/{upload_id}")) == {}
    return asyncio.run(storage.objects.get(f"sources/{upload_id}/original"))


def test_chunks_become_a_source_in_the_bucket(remote: Uploading) -> None:
    made = remote.create()
    assert put(made["url"], FILE[:20_000_000], 0, len(FILE)).headers["range"] == "bytes=0-19999999"
    assert put(made["url"], FILE[15_000_000:30_000_000], 15_000_000, len(FILE)).headers["range"] == "bytes=0-29999999"
    assert put(made["url"], FILE[30_000_000:], 30_000_000, len(FILE)).status_code == 200
    assert _source(remote, made["uploadId"]) == FILE
    assert not Path(remote.folder, "objects", "sources").exists()


def test_writers_on_two_processes_end_in_the_same_bytes(remote: Uploading) -> None:
    made, file = remote.create(), FILE[:6_000_000]

    def client() -> None:
        for _ in range(60):
            asked = ask(made["url"], len(file))
            if asked.status_code == 200:
                return
            at = int(asked.headers.get("range", "bytes=0--1").removeprefix("bytes=0-")) + 1
            assert put(made["url"], file[at : at + 1_000_000], at, len(file)).status_code in (200, 308, 503)

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert _source(remote, made["uploadId"]) == file
    assert remote.events(made["uploadId"]).count("video.upload.media_created") == 1
