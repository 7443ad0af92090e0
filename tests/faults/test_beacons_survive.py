"""No acknowledged beacon is lost: the HTTP role and the analytics role are killed with -9 under load."""

import asyncio
import json
import time
import uuid

import httpx
from tests.running_platform import RunningPlatform

from fastpix_server.base import errors
from fastpix_server.views import schema
from fastpix_server.views.clickhouse import ClickHouse

CLIENTS = 6
PAUSE_S = 0.01  # leaves the machine to the role that comes back
# Generous: on a busy machine the engine takes long to come back, and beacons may wait for it.
BACK_S = 120


class Senders:
    """Clients that send one view after the other, and remember which were acknowledged."""

    def __init__(self, platform: RunningPlatform) -> None:
        self._url = platform.base_url + "/"
        self._key = platform.credentials["workspaceKey"]
        self.acknowledged: set[str] = set()
        self._is_stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._send()) for _ in range(CLIENTS)]

    async def stop(self) -> None:
        self._is_stopping = True
        await asyncio.gather(*self._tasks)

    async def until(self, count: int) -> None:
        """Waits for `count` more acknowledgements."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(BACK_S):
            while len(self.acknowledged) < wanted:  # noqa: ASYNC110 - six tasks count, one waits
                await asyncio.sleep(0.05)

    async def _send(self) -> None:
        async with httpx.AsyncClient(timeout=10) as client:
            while not self._is_stopping:
                view_id, now_ms = str(uuid.uuid4()), time.time_ns() // 1_000_000
                event = {"wsid": self._key, "veid": view_id, "vesqnu": 1, "evna": "viewBegin", "vitp": now_ms}
                try:
                    answer = await client.post(self._url, content=json.dumps([{**event, "vest": now_ms}]))
                except httpx.HTTPError:
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code == 200:
                    self.acknowledged.add(view_id)
                    await asyncio.sleep(PAUSE_S)
                else:
                    assert answer.status_code == 429, answer.text
                    await asyncio.sleep(0.1)


async def stored(platform: RunningPlatform, workspace_id: str) -> set[str]:
    url = platform.role("analytics").environ()["FASTPIX_CLICKHOUSE_URL"]
    async with ClickHouse(url) as clickhouse:
        try:
            rows = await clickhouse.rows(
                f"SELECT DISTINCT toString(view_id) AS id FROM {schema.ROWS}"
                " WHERE workspace_id = {workspace_id:UUID}",
                {"workspace_id": workspace_id},
            )
        except errors.Unavailable:
            return set()
        return {row["id"] for row in rows}


async def test_what_was_acknowledged_is_in_the_table_after_both_roles_were_killed(shared: RunningPlatform) -> None:
    platform = shared
    workspace_id = platform.credentials["workspaceId"]
    senders = Senders(platform)
    senders.start()
    await senders.until(100)
    platform.role("http").kill()
    await senders.until(100)
    platform.role("analytics").kill()
    await senders.until(100)
    await senders.stop()
    missing = set(senders.acknowledged)
    async with asyncio.timeout(BACK_S):
        while missing:
            await asyncio.sleep(0.5)
            missing -= await stored(platform, workspace_id)
    assert len(senders.acknowledged) >= 300
    beacons = platform.data_dir / "beacons"
    assert not (beacons / "refused").exists()
