"""The analytics role as a process of its own, in a folder that may be used again."""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.running import free_port
from fastpix_server.base import errors
from fastpix_server.views import schema
from fastpix_server.views.clickhouse import ClickHouse

START_S = 120


@contextlib.asynccontextmanager
async def analytics(folder: Path) -> AsyncIterator[ClickHouse]:
    folder.mkdir(parents=True, exist_ok=True)
    url = f"http://fastpix:{secrets.token_hex(8)}@127.0.0.1:{free_port()}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FASTPIX_")}
    environ |= {"FASTPIX_DATA_DIR": str(folder), "FASTPIX_CLICKHOUSE_URL": url}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [sys.executable, "-m", "fastpix_server.app", "analytics"], env=environ, stdout=log, stderr=log
        )
    try:
        async with ClickHouse(url) as clickhouse:
            await _when_ready(clickhouse, process)
            yield clickhouse
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


async def _when_ready(clickhouse: ClickHouse, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError("the analytics role ended")
        with contextlib.suppress(errors.FastpixError):
            if await clickhouse.rows(f"SELECT name FROM system.tables WHERE name = '{schema.EVENTS}'"):
                return
        await asyncio.sleep(0.1)
    raise TimeoutError("the analytics role did not start")
