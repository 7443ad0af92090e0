"""A real HTTP server that serves a folder and pages, and takes beacons down as they come."""

import asyncio
import json
from pathlib import Path
from typing import Any

from aiohttp import web

Event = dict[str, Any]


class Recorder:
    """`statuses` answers the next beacon requests; then everything is 200. `gate` closes what is named in `held`."""

    def __init__(self, folder: Path) -> None:
        self.batches: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.statuses: list[int] = []
        self.pages: dict[str, str] = {}
        self.held: set[str] = set()
        self.gate = asyncio.Event()
        self.takes_beacons = asyncio.Event()
        self.takes_beacons.set()
        self.refused: list[Event] = []
        self.base = ""
        self._folder = folder
        self._runner: web.AppRunner | None = None

    @property
    def events(self) -> list[Event]:
        """What was acknowledged, each event once, in the order of its number within its view."""
        seen: dict[tuple[str, int], Event] = {}
        for batch in self.batches:
            for event in batch["events"]:
                seen.setdefault((event["veid"], event["vesqnu"]), event)
        views = list(dict.fromkeys(event["veid"] for event in seen.values()))
        return sorted(seen.values(), key=lambda event: (views.index(event["veid"]), event["vesqnu"]))

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event["evna"] == name]

    async def start(self) -> None:
        app = web.Application(client_max_size=1_000_000)
        app.router.add_post("/", self._beacon)
        app.router.add_get("/pages/{name}", self._page)
        app.router.add_get("/{name:.+}", self._file)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        self.gate.set()
        self.takes_beacons.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _beacon(self, request: web.Request) -> web.Response:
        batch = json.loads(await request.text())
        headers = {"Access-Control-Allow-Origin": "*"}
        await self.takes_beacons.wait()
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.batches.append(batch)
            self.headers.append(dict(request.headers))
        else:
            self.refused.extend(batch["events"])
        return web.Response(status=status, headers=headers)

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=self.pages[request.match_info["name"]], content_type="text/html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name in self.held:
            await self.gate.wait()
        path = self._folder / name
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)


def view_of(events: list[Event]) -> Event:
    """The state of a view after its events: what a reader of delta-encoded beacons ends up with."""
    state: Event = {}
    for event in events:
        state.update(event)
    return state
