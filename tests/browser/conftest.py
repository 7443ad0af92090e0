"""One Chromium and one event loop for all tests, and one stage per test. Without Chromium these tests say so loudly.

Who drives the browser is a process of its own and a second of work to start: it lives as long as the loop does. Each
test leaves no page of its own behind.
"""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
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
    # A camera and a microphone for the pages that ask for them, without asking back.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
START_S = 90


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What drives the browser belongs to one loop: the tests of this folder share it."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session", autouse=True)
def _players() -> None:
    web_build.build()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def one_chromium() -> AsyncIterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("NO CHROMIUM: THE BROWSER TESTS ARE SKIPPED. Install the package chromium to run them.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*FLAGS], timeout=START_S * 1000)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(one_chromium: Browser) -> AsyncIterator[Browser]:
    yield one_chromium
    for context in list(one_chromium.contexts):
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def stage(database_url: str, tmp_path: Path) -> AsyncIterator[Playing]:
    async with playing(database_url, tmp_path) as made:
        yield made
