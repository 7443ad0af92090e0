"""The pytest plugin: fixtures that start the platform and use it (docs/guide/testing.md).

Invariants: loading it costs nothing but pytest itself; a fixture that nobody asks for starts nothing. A session's
fixtures exist once in each worker of pytest-xdist, and each has a platform of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from fastpix.testing.catcher import WebhookCatcher
    from fastpix.testing.platform import Platform
    from fastpix.types import Media, Settings

READY_TIMEOUT_S = 60.0
_START_TIMEOUT = "fastpix_start_timeout_s"


class MakeMedia(Protocol):
    """What the fixture `make_media` gives."""

    def __call__(
        self,
        file: str | Path | None = None,
        *,
        title: str | None = None,
        settings: Settings | None = None,
        wait: bool = True,
        timeout_s: float = READY_TIMEOUT_S,
    ) -> Media:
        """Uploads the file (default: `fastpix_film`) and waits until it is Ready, unless `wait` is False."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(_START_TIMEOUT, "How long fastpix_platform may take to start, in seconds.", default="90")


@pytest.fixture(scope="session")
def fastpix_settings() -> dict[str, str]:
    """Settings of the platform's server beyond those of the plugin: override it in your conftest.py."""
    return {}


@pytest.fixture(scope="session")
def fastpix_platform(pytestconfig: pytest.Config, fastpix_settings: dict[str, str]) -> Iterator[Platform]:
    """A whole FastPix platform on free ports of this machine, in a temporary folder, for all tests of the session."""
    from fastpix.testing.platform import Platform

    platform = Platform(fastpix_settings, start_timeout_s=float(pytestconfig.getini(_START_TIMEOUT)))
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="session")
def fastpix_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 3 s, 320x180, with sound; made once."""
    from fastpix.testing import film

    return film.make(tmp_path_factory.mktemp("fastpix") / "film.mp4")


@pytest.fixture(scope="session")
def ready_media(fastpix_platform: Platform, fastpix_film: Path) -> Media:
    """A media that is Ready and public, for tests that only look at it. Use `make_media` in those that change it."""
    with fastpix_platform.client() as client:
        uploaded = client.uploads.upload(fastpix_film)
        return client.media.wait_until_ready(media_id=uploaded.media_id, timeout_s=READY_TIMEOUT_S)


@pytest.fixture
def make_media(fastpix_platform: Platform, fastpix_film: Path) -> Iterator[MakeMedia]:
    """Makes media that are deleted after the test."""
    import msgspec

    from fastpix import errors
    from fastpix.types import Settings as UploadSettings

    made: list[str] = []
    with fastpix_platform.client() as client:

        def make(
            file: str | Path | None = None,
            *,
            title: str | None = None,
            settings: Settings | None = None,
            wait: bool = True,
            timeout_s: float = READY_TIMEOUT_S,
        ) -> Media:
            asked = settings or UploadSettings()
            if title is not None:
                asked = msgspec.structs.replace(asked, title=title)
            made.append(client.uploads.upload(file or fastpix_film, settings=asked).media_id)
            if not wait:
                return client.media.get(media_id=made[-1])
            return client.media.wait_until_ready(media_id=made[-1], timeout_s=timeout_s)

        yield make
        for media_id in made:
            with contextlib.suppress(errors.NotFound):
                client.media.delete(media_id=media_id)


@pytest.fixture
def webhook_catcher(fastpix_platform: Platform) -> Iterator[WebhookCatcher]:
    """A receiver of this platform's webhooks, on this machine, for one test."""
    from fastpix.testing.catcher import WebhookCatcher

    with fastpix_platform.client() as client:
        catcher = WebhookCatcher(client)
        try:
            catcher.start()
            yield catcher
        finally:
            catcher.stop()
