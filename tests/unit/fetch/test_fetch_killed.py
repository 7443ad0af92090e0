"""A worker that is killed in the middle of a download loses no more than its last unsynced bytes."""

import asyncio
import os
import sys
from pathlib import Path

from tests.unit.fetch.conftest import Fetching, Origin, Seen, ranged

FILE = b"\0\0\0\x20ftypisom" + os.urandom(19_000_000)


async def test_a_killed_worker_is_continued_from_its_durable_bytes(
    fetching: Fetching, origin: Origin, tmp_path: Path
) -> None:
    async def stalls(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(f'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: {len(FILE)}\r\n\r\n'.encode())
        writer.write(FILE[:18_000_000])
        await writer.drain()
        for _ in range(400):  # keeps the idle watch quiet while the test kills the worker
            writer.write(FILE[18_000_000:18_000_100])
            await asyncio.sleep(0.2)

    origin.talks = [stalls, ranged(FILE)]
    media_id = await fetching.create(origin.url())
    argv = [sys.executable, "-m", "tests.unit.fetch.worker", fetching.db.url, str(tmp_path), media_id]
    worker = await asyncio.create_subprocess_exec(*argv)
    try:
        async with asyncio.timeout(90):
            while await fetching.storage.staging.size(media_id) == 0:  # noqa: ASYNC110 another process writes
                await asyncio.sleep(0.05)
    finally:
        worker.kill()
        await worker.wait()
    durable = await fetching.storage.staging.size(media_id)
    assert durable >= 16 * 1024 * 1024
    assert (await fetching.media(media_id)).status == "Downloading"

    media = await fetching.run(media_id)
    assert media.status == "Downloaded"
    assert await fetching.source(media) == FILE
    assert origin.seen[1].headers["range"] == f"bytes={durable}-"
    assert origin.seen[1].headers["if-range"] == '"v1"'
