"""An edge's way to the origin servers: many viewers' same question is asked once, and answers are kept as long as told.

Invariants: one question per URL is under way at a time; a viewer who goes away takes nothing from the others; kept
answers are bounded in bytes, questions under way in number and time. Whatever does not come is `errors.Unavailable`,
after which a player asks again.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import aiohttp
from prometheus_client import Counter, Gauge

from fastpix_server.base import errors, log
from fastpix_server.db.pool import Database
from fastpix_server.edge.bodies import digest
from fastpix_server.edge.origin import MAX_AGE_HEADER, NOT_HERE
from fastpix_server.edge.origin_auth import OriginAuth
from fastpix_server.edge.whip_hop import Ingest
from fastpix_server.live import ingests
from fastpix_server.live.model import Answer

_log = log.get(__name__)

# A blocked playlist is answered within three target durations, and those are bounded by the packager.
TIMEOUT_S = 60.0
CONNECT_S = 2.0
# Different questions under way: parts and playlists of a few hundred renditions.
MAX_ASKED = 4096
# About ten seconds of a hundred renditions at 5 Mb/s; one answer is at most a segment.
MAX_KEPT_BYTES = 96 * 1024 * 1024
MAX_ANSWER_BYTES = 32 * 1024 * 1024
# Segments never change, but nobody asks for old ones twice.
MAX_KEPT_S = 60.0
# Processes come and go seldom; a wrong list costs one failed try.
LIVING_S = 2.0

_asked = Counter("fastpix_live_origin_requests", "Questions to origin servers, by how they were answered.", ["how"])
_waiting = Gauge("fastpix_live_origin_waiting", "Questions to origin servers under way.", multiprocess_mode="livesum")


class Origins:
    """`client` should allow MAX_ASKED connections. Also says where WebRTC publishers may go (whip_hop.Ingests)."""

    def __init__(self, client: aiohttp.ClientSession, auth: OriginAuth, db: Database) -> None:
        self.client = client
        self.auth = auth
        self._db = db
        self._under_way: dict[str, asyncio.Task[Answer]] = {}
        self._kept: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._kept_bytes = 0
        self._living: tuple[float, Sequence[Ingest]] = (float("-inf"), ())

    async def get(self, origin: str, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """`path` from the root of the origin server. Raises errors.Unavailable; 4xx are answers."""
        url = f"{origin}{path}" + (f"?{urlencode(query)}" if query else "")
        kept = self._find(url)
        if kept is not None:
            _asked.labels("kept").inc()
            return kept
        task = self._under_way.get(url)
        if task is None:
            if len(self._under_way) >= MAX_ASKED:
                raise errors.Unavailable("Too many live requests are under way; try again shortly.")
            _asked.labels("asked").inc()
            task = asyncio.create_task(self._ask(url))
            self._under_way[url] = task
            _waiting.set(len(self._under_way))
            task.add_done_callback(lambda done: self._forget(url, done))
        else:
            _asked.labels("shared").inc()
        return await asyncio.shield(task)

    async def tell(self, origin: str, path: str, body: bytes) -> bool:
        """False when it did not arrive."""
        try:
            timeout = aiohttp.ClientTimeout(total=5, sock_connect=CONNECT_S)
            async with self.client.post(
                origin + path, data=body, headers=self.auth.headers(), timeout=timeout, allow_redirects=False
            ) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def living(self) -> Sequence[Ingest]:
        """Ingest processes that are alive."""
        at_s, found = self._living
        if time.monotonic() - at_s > LIVING_S:
            found = [Ingest(one.id, one.origin) for one in await ingests.living(self._db)]
            self._living = (time.monotonic(), found)
        return found

    def headers(self) -> Mapping[str, str]:
        return self.auth.headers()

    async def _ask(self, url: str) -> Answer:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=CONNECT_S)
        try:
            async with self.client.get(
                url, headers=self.auth.headers(), timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status == NOT_HERE:
                    raise errors.Unavailable("The live stream is moving to another process; try again shortly.")
                body = await answer.content.read(MAX_ANSWER_BYTES + 1)
                while not answer.content.at_eof() and len(body) <= MAX_ANSWER_BYTES:
                    body += await answer.content.read(MAX_ANSWER_BYTES + 1 - len(body))
                if len(body) > MAX_ANSWER_BYTES or answer.status in (401, 500):
                    _log.error("origin_failed", status=answer.status, size_bytes=len(body))
                    raise errors.Unavailable("The origin of the live stream failed; try again shortly.")
                max_age_s = int(answer.headers.get(MAX_AGE_HEADER, "0"))
                found = Answer(answer.status, body, answer.content_type, max_age_s, digest(body))
        except (aiohttp.ClientError, TimeoutError) as fault:
            _log.info("origin_away", error=type(fault).__name__)
            raise errors.Unavailable("The origin of the live stream does not answer; try again shortly.") from fault
        self._keep(url, found)
        return found

    def _find(self, url: str) -> Answer | None:
        entry = self._kept.get(url)
        if entry is None:
            return None
        if entry[0] < time.monotonic():
            self._drop(url)
            return None
        return entry[1]

    def _keep(self, url: str, answer: Answer) -> None:
        if answer.status != 200 or answer.max_age_s <= 0:
            return
        self._drop(url)
        now_s = time.monotonic()
        self._kept[url] = (now_s + min(answer.max_age_s, MAX_KEPT_S), answer)
        self._kept_bytes += len(answer.body)
        # Nobody asks again for most of them: the oldest go when their time is over, not when there is no more room.
        while self._kept and (self._kept_bytes > MAX_KEPT_BYTES or next(iter(self._kept.values()))[0] < now_s):
            self._drop(next(iter(self._kept)))

    def _drop(self, url: str) -> None:
        entry = self._kept.pop(url, None)
        if entry is not None:
            self._kept_bytes -= len(entry[1].body)

    def _forget(self, url: str, done: asyncio.Task[Answer]) -> None:
        if self._under_way.get(url) is done:
            del self._under_way[url]
        _waiting.set(len(self._under_way))
        if not done.cancelled():
            done.exception()  # everybody who waited has heard it; nobody may have
