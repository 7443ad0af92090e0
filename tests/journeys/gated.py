"""A private media with its keys, an edge and a worker, and words for what happens to requests."""

import asyncio
import dataclasses
import time
from urllib.parse import quote

import httpx
import msgspec
from tests import footage
from tests.planned import planned
from tests.playing import PATH_KEYS, Playing, Published
from tests.unit.keys.signing import claims, token

from fastpix_server.base import ids
from fastpix_server.engine import webvtt
from fastpix_server.engine.webvtt import Cue
from fastpix_server.keys import service as keys
from fastpix_server.keys import store as keys_store
from fastpix_server.keys.model import KeyPair
from fastpix_server.playback import extras
from fastpix_server.playback.model import AccessPolicy, File, Label, Text
from fastpix_server.playback.signed_path import PathKeys

# The subtitle track that every furnished video has; its renditions are named s1.
TRACK_ID = "33333333-3333-4333-8333-333333333333"


async def furnish(stage: Playing, video: Published) -> Published:
    """Subtitles and every file for download, as far as the edge can tell."""
    text = Text(TRACK_ID, "s1", Label("en", "English"), f"media/{video.media_id}/tracks/1")
    cues = (Cue(0, 1000, "Hello"),)
    await stage.storage.objects.put(text.whole_key, webvtt.document(cues))
    await stage.storage.objects.put(text.cues_key, msgspec.json.encode(webvtt.to_json(cues)))
    key = f"sources/{video.media_id}/original"
    async with stage.db.unit() as tx:
        await extras.add_text(tx, video.media_id, text)
        for name in ("capped-4k.mp4", "audio.m4a", "source.mp4"):
            await extras.add_file(tx, video.media_id, File(name, key, 1, "video/mp4", 720))
    return video


@dataclasses.dataclass
class House:
    """A private media with its keys, an edge that serves it and a worker that makes it."""

    stage: Playing
    edge: httpx.AsyncClient
    mine: str
    theirs: str
    kid: str
    other_kid: str
    video: Published

    async def key(self, key: KeyPair, workspace_id: str | None = None) -> str:
        return await add_key(self.stage, workspace_id or self.mine, key)

    async def show(self, policy: AccessPolicy) -> None:
        """The video of this house is from now on one of that policy."""
        source = footage.bikes()
        shown = await self.stage.publish(source, await planned(source), access_policy=policy, workspace_id=self.mine)
        self.video = await furnish(self.stage, shown)

    async def delete_key(self, kid: str) -> None:
        async with self.stage.db.unit() as tx:
            await keys.delete(tx, self.mine, kid)

    def url(self, form: str, *, text: str | None = None, passed: str = "", video: Published | None = None) -> str:
        """`text` is a token to put into the query, `passed` a pass to put into the path."""
        shown = video or self.video
        made = form.format(
            **{"id": shown.playback_id, "revision": shown.plan.revision, "pass": passed, "track": TRACK_ID}
        )
        return made if text is None else f"{made}{'&' if '?' in made else '?'}token={quote(text)}"

    def signed(
        self, *, kid: str | None = None, path_keys: PathKeys = PATH_KEYS, left_s: int = 600, **named: str
    ) -> str:
        video = self.video
        return path_keys.sign(
            named.get("playback_id", video.playback_id),
            named.get("revision", video.plan.revision),
            int(time.time()) + left_s,
            kid or self.kid,
        )

    def scoped(self, scope: str = "", **named: object) -> str:
        """A pass for the video, or for what `scope` says (PICTURES)."""
        return self.signed(**({"revision": scope} if scope else {}), **named)  # type: ignore[arg-type]

    def good(self, kid: str | None = None, key: KeyPair | None = None, **changes: object) -> str:
        kid = kid or self.kid
        return token(claims(self.video.playback_id, kid=kid, **changes), kid=kid, key=key)


async def add_key(stage: Playing, workspace_id: str, key: KeyPair) -> str:
    kid = ids.new_uuid()
    async with stage.db.unit() as tx:
        await keys_store.insert(tx, key_id=kid, workspace_id=workspace_id, public_pem=key.public_pem)
        await keys.notify(tx, keys.CHANGED, workspace_id)
    return kid


async def ask(edge: httpx.AsyncClient, url: str, **headers: str) -> httpx.Response:
    if "/license/" not in url:
        return await edge.get(url, headers=headers)
    return await edge.post(url, json={"kids": ["AAAAAAAAAAAAAAAAAAAAAA"]}, headers=headers)


async def refused(edge: httpx.AsyncClient, url: str, status: int = 401, **headers: str) -> str:
    """The description of a refusal that nobody may keep, and that shows nothing of the media."""
    answer = await ask(edge, url, **headers)
    assert answer.status_code == status, (url, answer.status_code, answer.text[:200])
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    return str(answer.json()["error"]["description"])


async def until_refused(edge: httpx.AsyncClient, url: str) -> None:
    """Within a second where notifications arrive and the machine has nothing else to do."""
    end_s = time.monotonic() + 30
    while (await ask(edge, url)).status_code != 401:
        assert time.monotonic() < end_s
        await asyncio.sleep(0.01)  # a request that finds everything in memory never lets the listener run


async def served(edge: httpx.AsyncClient, url: str, **headers: str) -> httpx.Response:
    answer = await edge.get(url, headers=headers)
    assert answer.status_code == 200, (url, answer.status_code, answer.text[:200])
    return answer
