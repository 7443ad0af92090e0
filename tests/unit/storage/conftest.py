"""Each store test runs against this machine's disk and against a real S3 server."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.storage import seaweed

from fastpix_server.storage.open import Storage, open_store


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with seaweed.running() as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return open_store(f"file://{tmp_path}/objects", {}, tmp_path / "work")
    endpoint = request.getfixturevalue("s3_endpoint")
    return open_store(f"s3://{seaweed.BUCKET}/{uuid.uuid4().hex}", seaweed.options(endpoint), tmp_path / "work")
