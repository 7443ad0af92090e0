"""One Chromium and one stage with a real HTTP server per test. Without Chromium these tests say so loudly."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright
from tests.playing import Playing, playing

from fastpix_server.edge import web_build

# Nothing of the browser may speak to the outside: the pages must work without any other server.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
)


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session", autouse=True)
def _players() -> None:
    web_build.build()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("NO CHROMIUM: THE BROWSER TESTS ARE SKIPPED. Install the package chromium to run them.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture
async def stage(database_url: str, tmp_path: Path) -> AsyncIterator[Playing]:
    async with playing(database_url, tmp_path) as made:
        yield made
