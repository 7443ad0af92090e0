"""One Chromium for all tests, and one stage per test. Without Chromium these tests say so loudly.

The browser is started once, by a thread of its own; each test connects to it and leaves nothing of itself there.
"""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright
from tests.playing import Playing, playing
from tests.running_platform import free_port

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


@pytest.fixture(scope="session", autouse=True)
def _players() -> None:
    web_build.build()


class OneChromium(threading.Thread):
    """`url` is where others connect, once `start_and_wait` returned; it ends with `stop`."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self.url = f"http://127.0.0.1:{free_port()}"
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._is_up = threading.Event()

    def run(self) -> None:
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        async with async_playwright() as playwright:
            door = f"--remote-debugging-port={self.url.rpartition(':')[2]}"
            browser = await playwright.chromium.launch(
                executable_path=self._path, args=[*FLAGS, door], timeout=START_S * 1000
            )
            self._is_up.set()
            await self._end.wait()
            await browser.close()

    def start_and_wait(self) -> None:
        self.start()
        assert self._is_up.wait(START_S), "Chromium did not start"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self.join(START_S)


@pytest.fixture(scope="session")
def one_chromium() -> Iterator[OneChromium]:
    path = chromium()
    if path is None:
        pytest.skip("NO CHROMIUM: THE BROWSER TESTS ARE SKIPPED. Install the package chromium to run them.")
    made = OneChromium(path)
    made.start_and_wait()
    yield made
    made.stop()


@pytest.fixture
async def browser(one_chromium: OneChromium) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(one_chromium.url, timeout=START_S * 1000)
        yield browser
        for context in browser.contexts[1:]:  # the first is the browser's own
            await context.close()
        await browser.close()


@pytest.fixture
async def stage(database_url: str, tmp_path: Path) -> AsyncIterator[Playing]:
    async with playing(database_url, tmp_path) as made:
        yield made
