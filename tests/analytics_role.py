"""The analytics role as a process of its own, for tests that need the real engine."""

import asyncio
import secrets
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.running_platform import clean_environ, free_port

from fastpix_server.base import errors
from fastpix_server.views import schema
from fastpix_server.views.clickhouse import ClickHouse

# The engine is half a gigabyte of library; on a busy machine its first page-in takes a while.
START_S = 120


class AnalyticsRole:
    """`url` stays the same when it is killed and started again."""

    def __init__(self, data_dir: Path) -> None:
        self.url = f"http://fastpix:{secrets.token_hex(8)}@127.0.0.1:{free_port()}"
        self.data_dir = data_dir
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fastpix_server.app", "analytics"],
            env=clean_environ(FASTPIX_DATA_DIR=str(self.data_dir), FASTPIX_CLICKHOUSE_URL=self.url),
        )
        with ThreadPoolExecutor(1) as other:  # the caller may be in an event loop of its own
            other.submit(asyncio.run, self._wait_ready()).result()

    async def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_S
        async with ClickHouse(self.url) as clickhouse:
            while True:
                assert self.process is not None
                assert self.process.poll() is None, "the analytics role ended"
                try:
                    # Made last: all tables are there.
                    found = await clickhouse.rows(
                        "SELECT name FROM system.tables WHERE name = {name:String}", {"name": schema.EVENTS}
                    )
                    if found:
                        return
                except errors.FastpixError:
                    pass
                assert time.monotonic() < deadline, "the analytics role did not start"
                await asyncio.sleep(0.1)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)
