"""Journey 4 of the design: every URL of a protected id, against everything that a viewer may bring.

The edge's routes are discovered, not listed: a new kind of URL without a row here fails the first test.
"""

import asyncio
import base64
import dataclasses
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote, urljoin

import httpx
import pytest
from starlette.routing import Route
from tests import footage, live_segments
from tests.airing import on_air
from tests.planned import planned
from tests.playing import PATH_KEYS, Playing, Published, playing
from tests.running_platform import RunningPlatform
from tests.unit.keys import signing
from tests.unit.keys.signing import claims, pair, token
from tests.web_server import FileServer

from fastpix_server.access import service as access
from fastpix_server.base import ids
from fastpix_server.keys import service as keys
from fastpix_server.keys import store as keys_store
from fastpix_server.keys.model import KeyPair
from fastpix_server.live import recordings
from fastpix_server.live.recorder import Recorder
from fastpix_server.playback import service as playback
from fastpix_server.playback.signed_path import PathKeys, expiry_s

# Route of the edge -> the URL that stands for it. `{folder}`: what lies below a signed path.
BY_TOKEN = {
    "/{playback_id}.m3u8": "/{id}.m3u8",
    "/{playback_id}.mpd": "/{id}.mpd",
    "/{playback_id}/thumbnail.{format}": "/{id}/thumbnail.jpg?width=64",
    "/{playback_id}/{revision}/{rendition}/index.m3u8": "/{id}/{revision}/source/index.m3u8",
    "/{playback_id}/{revision}/{rendition}/init.mp4": "/{id}/{revision}/source/init.mp4",
    "/{playback_id}/{revision}/{rendition}/{k}.m4s": "/{id}/{revision}/source/0.m4s",
}
BY_PATH = {
    "/{playback_id}/{signature}/{revision}/{rendition}/index.m3u8": "/{id}/{pass}/{revision}/source/index.m3u8",
    "/{playback_id}/{signature}/{revision}/{rendition}/init.mp4": "/{id}/{pass}/{revision}/source/init.mp4",
    "/{playback_id}/{signature}/{revision}/{rendition}/{k}.m4s": "/{id}/{pass}/{revision}/source/0.m4s",
}
# Recordings of live streams have one header per connection of the publisher, and no other URLs of their own.
RECORDED_BY_TOKEN = {
    **{route: url for route, url in BY_TOKEN.items() if not route.endswith("/init.mp4")},
    "/{playback_id}/{revision}/{rendition}/init-{epoch}.mp4": "/{id}/{revision}/source/init-0.mp4",
}
RECORDED_BY_PATH = {
    **{route: url for route, url in BY_PATH.items() if not route.endswith("/init.mp4")},
    "/{playback_id}/{signature}/{revision}/{rendition}/init-{epoch}.mp4": "/{id}/{pass}/{revision}/source/init-0.mp4",
}
# A running session has parts beside its segments; everything else is named as in its recording.
LIVE_BY_TOKEN = [*RECORDED_BY_TOKEN.values(), "/{id}/{revision}/source/0.0.m4s", "/{id}/{revision}/a0/index.m3u8"]
LIVE_BY_PATH = [*RECORDED_BY_PATH.values(), "/{id}/{pass}/{revision}/source/0.0.m4s"]
# Nothing of a media is behind these: the player page is the same for every id, and uploads have keys of their own.
NO_MEDIA = {"/play/{playback_id}", "/play/assets/{digest}/{name}", "/upload/{upload_id}"}


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

    async def delete_key(self, kid: str) -> None:
        async with self.stage.db.unit() as tx:
            await keys.delete(tx, self.mine, kid)

    def url(self, form: str, *, text: str | None = None, passed: str = "", video: Published | None = None) -> str:
        """`text` is a token to put into the query."""
        shown = video or self.video
        made = form.format(**{"id": shown.playback_id, "revision": shown.plan.revision, "pass": passed})
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

    def good(self, kid: str | None = None, key: KeyPair | None = None, **changes: object) -> str:
        kid = kid or self.kid
        return token(claims(self.video.playback_id, kid=kid, **changes), kid=kid, key=key)


async def add_key(stage: Playing, workspace_id: str, key: KeyPair) -> str:
    kid = ids.new_uuid()
    async with stage.db.unit() as tx:
        await keys_store.insert(tx, key_id=kid, workspace_id=workspace_id, public_pem=key.public_pem)
        await keys.notify(tx, keys.CHANGED, workspace_id)
    return kid


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with playing(database_url, tmp_path) as stage:
        async with stage.db.unit() as tx:
            mine, theirs = [(await access.create_workspace(tx, name=name)).id for name in ("Mine", "Theirs")]
        kid, other_kid = await add_key(stage, mine, pair()), await add_key(stage, mine, pair("other"))
        source = footage.bikes()
        video = await stage.publish(source, await planned(source), access_policy="private", workspace_id=mine)
        await stage.maker()
        yield House(stage, await stage.edge(), mine, theirs, kid, other_kid, video)


async def refused(edge: httpx.AsyncClient, url: str, status: int = 401, **headers: str) -> str:
    """The description of a refusal that nobody may keep, and that shows nothing of the media."""
    answer = await edge.get(url, headers=headers)
    assert answer.status_code == status, (url, answer.status_code, answer.text[:200])
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    return str(answer.json()["error"]["description"])


async def until_refused(edge: httpx.AsyncClient, url: str) -> None:
    """A deletion bites within a second where notifications arrive."""
    end_s = time.monotonic() + 1
    while (await edge.get(url)).status_code == 200:
        assert time.monotonic() < end_s
        await asyncio.sleep(0.01)  # a request that finds everything in memory never lets the listener run


async def served(edge: httpx.AsyncClient, url: str, **headers: str) -> httpx.Response:
    answer = await edge.get(url, headers=headers)
    assert answer.status_code == 200, (url, answer.status_code, answer.text[:200])
    return answer


async def test_every_kind_of_url_that_the_edge_has_is_a_row_of_this_matrix(house: House) -> None:
    app = await house.stage.edge_app()
    found = {route.path for route in app.routes if isinstance(route, Route)}
    assert len(found) == len(app.routes)
    media = {path for path in found if "playback_id" in path and not path.startswith("/play/")}
    assert media == BY_TOKEN.keys() | BY_PATH.keys() | RECORDED_BY_TOKEN.keys() | RECORDED_BY_PATH.keys()
    others = {path for path in found - media if not path.startswith("/upload")}
    assert others <= NO_MEDIA


async def test_every_kind_of_url_refuses_every_bad_token_and_serves_every_good_one(house: House) -> None:
    await tokens_decide(house, list(BY_TOKEN.values()))


async def test_every_kind_of_url_of_a_recording_is_decided_alike(house: House) -> None:
    recorded = dataclasses.replace(house, video=await recording_of(house))
    await tokens_decide(recorded, list(RECORDED_BY_TOKEN.values()))
    await paths_decide(recorded, list(RECORDED_BY_PATH.values()))


async def test_every_kind_of_url_of_a_running_session_is_decided_alike(house: House) -> None:
    air = await on_air(house.stage, workspace_id=house.mine, policy="private")
    plan = dataclasses.replace(house.video.plan, revision=air.running.session.revision)
    live = dataclasses.replace(house, video=Published(air.stream.target_id, air.playback_id.id, plan, house.mine))
    await tokens_decide(live, LIVE_BY_TOKEN)
    await paths_decide(live, LIVE_BY_PATH)


async def test_a_token_that_runs_out_ends_a_broadcast_for_its_viewer(house: House) -> None:
    air = await on_air(house.stage, workspace_id=house.mine, policy="private")
    plan = dataclasses.replace(house.video.plan, revision=air.running.session.revision)
    live = dataclasses.replace(house, video=Published(air.stream.target_id, air.playback_id.id, plan, house.mine))
    now_s = int(time.time())
    for left_s, most_s in ((90, 150), (7 * 86_400, 24 * 3600)):
        text = live.good(exp=now_s + left_s)
        master = await served(house.edge, live.url("/{id}.m3u8", text=text))
        passed = re.findall(rf"^{air.playback_id.id}/(1\.[0-9]+\.\S+?)/", master.text, re.MULTILINE)[0]
        expires_at_s = int(passed.split(".")[1])
        assert min(left_s, 3600) <= expires_at_s - now_s <= most_s
        await served(house.edge, live.url(LIVE_BY_PATH[0], passed=passed))
    assert "path_expired" in await refused(house.edge, live.url(LIVE_BY_PATH[0], passed=live.signed(left_s=-1)))


async def test_restrictions_hold_on_every_kind_of_url_of_a_running_session(house: House) -> None:
    rules: dict[str, object] = {"domains": {"defaultPolicy": "deny", "allow": ["example.com"], "deny": []}}
    air = await on_air(house.stage, workspace_id=house.mine, restrictions=rules)
    revision = air.running.session.revision
    passed = PATH_KEYS.sign(air.playback_id.id, revision, int(time.time()) + 600, None)
    for form in (*LIVE_BY_TOKEN, *LIVE_BY_PATH):
        url = form.format(**{"id": air.playback_id.id, "revision": revision, "pass": passed})
        await served(house.edge, url, Origin="https://www.example.com")
        for origin in ("https://evil-example.com", "null"):
            assert "website" in await refused(house.edge, url, 403, Origin=origin)
        assert "website" in await refused(house.edge, url, 403)


async def recording_of(house: House) -> Published:
    """A private recording in the workspace of the house; of its plan only the revision means anything."""
    stage = house.stage
    spec = live_segments.spec(workspace_id=house.mine)
    recorder = Recorder(stage.db, stage.storage.objects, spec, media_policy="private")
    for segment in live_segments.session():
        recorder.on_segment(segment)
    await recorder.close()
    async with stage.db.unit() as tx:
        assert await recordings.finish(tx, spec)
        [named] = await playback.list_ids(tx, spec.session_id)
    plan = dataclasses.replace(house.video.plan, revision=spec.revision)
    return Published(spec.session_id, named.id, plan, house.mine)


async def tokens_decide(house: House, forms: list[str]) -> None:
    edge, now_s = house.edge, int(time.time())
    playback_id = house.video.playback_id
    attacks = signing.attacks(playback_id, house.kid, pair(), other_kid=house.other_kid, now_s=now_s)
    twins = signing.good_twins(playback_id, house.kid, pair(), workspace_id=house.mine, now_s=now_s)
    theirs, deleted = await house.key(pair("foreign"), house.theirs), await house.key(pair("third"))
    attacks["other workspace's key"] = (house.good(theirs, pair("foreign")), "token_key_unknown")
    dying = house.good(deleted, pair("third"))
    for form in forms:
        await served(edge, house.url(form, text=dying))
    await house.delete_key(deleted)
    await until_refused(edge, house.url(form, text=dying))
    attacks["deleted key"] = (dying, "token_key_unknown")
    for form in forms:
        assert "token_missing" in await refused(edge, house.url(form))
        assert "token_missing" in await refused(edge, house.url(form, text=""))
        for name, (text, reason) in attacks.items():
            said = await refused(edge, house.url(form, text=text))
            assert reason in said, (form, name, said)
        twice = house.url(form, text=house.good()) + f"&token={quote(house.good(exp=1))}"
        assert "token_malformed" in await refused(edge, twice)
        for text in twins.values():
            answer = await served(edge, house.url(form, text=text))
            assert answer.headers["cache-control"].startswith("private")
        assert (await edge.head(house.url(form))).status_code == 401
        assert (await edge.get(house.url(form), headers={"Range": "bytes=0-1"})).status_code == 401


async def test_every_signed_path_is_refused_when_anything_of_it_is_wrong(house: House) -> None:
    await paths_decide(house, list(BY_PATH.values()))


async def paths_decide(house: House, forms: list[str]) -> None:
    edge, other = house.edge, ids.new_uuid()
    deleted = await house.key(pair("third"))
    dying = house.signed(kid=deleted)
    for form in forms:
        await served(edge, house.url(form, passed=dying))
    await house.delete_key(deleted)
    await until_refused(edge, house.url(form, passed=dying))
    good = house.signed()
    keyless = PATH_KEYS.sign(house.video.playback_id, house.video.plan.revision, 4_000_000_000, None)
    bad = {
        "of another id": (house.signed(playback_id=other), "path_signature"),
        "of another version": (house.signed(revision="0" * 12), "path_signature"),
        "expired": (house.signed(left_s=-1), "path_expired"),
        "of a foreign key": (house.signed(path_keys=PathKeys.random()), "path_signature"),
        "of a key number that is over": (house.signed(path_keys=PathKeys(bytes(32), 3)), "path_key_unknown"),
        "of a deleted signing key": (dying, "token_key_unknown"),
        "of an unknown signing key": (house.signed(kid=other), "token_key_unknown"),
        "without a signing key": (keyless, "token_missing"),
        "changed": (good[:-1] + ("A" if good[-1] != "A" else "Q"), "path_signature"),
        "malformed": ("1.2.3", "path_malformed"),
    }  # fmt: skip
    for form in forms:
        for name, (passed, reason) in bad.items():
            said = await refused(edge, house.url(form, passed=passed))
            assert reason in said, (form, name, said)
            # A good token does not repair a bad path: such URLs would be without number.
            assert reason in await refused(edge, house.url(form, passed=passed, text=house.good()))
        answer = await served(edge, house.url(form, passed=good))
        assert answer.headers["cache-control"].startswith("public")
        age_s = int(re.findall(r"max-age=(\d+)", answer.headers["cache-control"])[0])
        assert age_s <= 600


async def test_a_player_that_sends_the_token_once_plays_to_the_end(house: House) -> None:
    edge = house.edge
    master_url = f"http://edge{house.url(BY_TOKEN['/{playback_id}.m3u8'], text=house.good())}"
    master = await served(edge, master_url)
    assert "token" not in master.text
    [playlist_url] = [urljoin(master_url, line) for line in master.text.splitlines() if line and line[0] != "#"]
    playlist = await served(edge, playlist_url)
    parts = re.findall(r'URI="([^"]+)"|^([0-9]+\.m4s)$', playlist.text, re.MULTILINE)
    assert len(parts) == house.video.plan.timeline.segment_count + 1
    for init, segment in parts:
        assert (await served(edge, urljoin(playlist_url, init or segment))).content
    manifest = (await served(edge, house.url("/{id}.mpd", text=house.good()))).text
    template = re.findall(r'media="([^"]+)"', manifest)[0]
    assert (await served(edge, f"/{template.replace('$Number$', '0')}")).content


async def test_viewers_of_the_same_hour_are_given_the_same_urls(house: House) -> None:
    form = BY_TOKEN["/{playback_id}.m3u8"]
    texts = set()
    for viewer in range(3):
        texts.add((await served(house.edge, house.url(form, text=house.good(sub=f"viewer {viewer}")))).text)
    duration_s = house.video.plan.timeline.duration_s
    # Two when the hour ends just now.
    assert len(texts) == 1 or expiry_s(duration_s, time.time() - 60) != expiry_s(duration_s, time.time())


async def test_what_was_handed_out_dies_with_the_key_that_opened_it(house: House) -> None:
    kid = await house.key(pair("third"))
    master = await served(house.edge, house.url("/{id}.m3u8", text=house.good(kid, pair("third"))))
    [playlist] = [line for line in master.text.splitlines() if line and line[0] != "#"]
    segment = f"/{playlist.rpartition('/')[0]}/0.m4s"
    await served(house.edge, segment)
    await house.delete_key(kid)
    await until_refused(house.edge, segment)
    assert "token_key_unknown" in await refused(house.edge, segment)
    await served(house.edge, house.url("/{id}.m3u8", text=house.good()))


@pytest.mark.parametrize("policy", ["public", "private"])
async def test_restrictions_hold_on_every_kind_of_url(house: House, policy: str) -> None:
    rules: dict[str, object] = {
        "domains": {"defaultPolicy": "deny", "allow": ["example.com"], "deny": []},
        "userAgents": {"defaultPolicy": "allow", "allow": [], "deny": ["BadBot"]},
    }
    source, edge = footage.bikes(), house.edge
    video = await house.stage.publish(
        source,
        await planned(source),
        access_policy=policy,
        workspace_id=house.mine,
        restrictions=rules,  # type: ignore[arg-type]
    )
    text = token(claims(video.playback_id, kid=house.kid), kid=house.kid)
    kid = house.kid if policy == "private" else None
    passed = PATH_KEYS.sign(video.playback_id, video.plan.revision, int(time.time()) + 600, kid)
    home = {"Origin": "https://www.example.com", "User-Agent": "Mozilla/5.0"}
    for form in (*BY_TOKEN.values(), *BY_PATH.values()):
        url = house.url(form, text=text, passed=passed, video=video)
        answer = await served(edge, url, **home)
        assert answer.headers["cache-control"].startswith("public" if "{pass}" in form else "private")
        await served(edge, url, Referer="https://example.com/watch")
        for origin in ("https://evil-example.com", "https://example.com.evil.org", "https://x@example.com", "null"):
            assert "website" in await refused(edge, url, 403, Origin=origin)
        assert "website" in await refused(edge, url, 403)
        assert "user agent" in await refused(edge, url, 403, **{**home, "User-Agent": "BadBot/1"})
    master = await served(edge, house.url("/{id}.m3u8", text=text, video=video), **home)
    assert re.search(rf"^{video.playback_id}/1\.\d+\.\S+/{video.plan.revision}/", master.text, re.MULTILINE)


async def test_a_public_id_without_restrictions_needs_and_carries_no_signature(house: House) -> None:
    source = footage.bikes()
    video = await house.stage.publish(source, await planned(source))
    for form in BY_TOKEN.values():
        answer = await served(house.edge, house.url(form, text="garbage", video=video))
        assert answer.headers["cache-control"].startswith("public")
    master = (await served(house.edge, house.url("/{id}.m3u8", video=video))).text
    assert f"{video.playback_id}/{video.plan.revision}/" in master


async def test_another_id_of_the_same_video_needs_a_token_of_its_own(house: House) -> None:
    async with house.stage.db.unit() as tx:
        second = await playback.create_id(
            tx, workspace_id=house.mine, target_id=house.video.media_id, access_policy="private"
        )
    other = dataclasses.replace(house.video, playback_id=second.id)
    for form in BY_TOKEN.values():
        assert "token_audience" in await refused(house.edge, house.url(form, text=house.good(), video=other))
        own = token(claims(second.id, kid=house.kid), kid=house.kid)
        await served(house.edge, house.url(form, text=own, video=other))


async def test_no_token_and_no_pass_is_logged(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    text, passed = house.good(exp=1), house.signed(left_s=-1)
    await refused(house.edge, house.url("/{id}.m3u8", text=text))
    await refused(house.edge, house.url(BY_PATH[min(BY_PATH)], passed=passed))
    out, err = capsys.readouterr()
    assert text[-40:] not in out + err
    assert passed[-22:] not in out + err


@pytest.fixture
def two_processes(tmp_path: Path) -> Iterator[RunningPlatform]:
    """A whole platform whose edge is two processes: what one signs, the other serves."""
    platform = RunningPlatform(tmp_path, FASTPIX_HTTP_WORKERS="2")
    platform.start()
    yield platform
    platform.stop()


def test_a_private_media_plays_from_its_key_to_its_last_segment_over_http(two_processes: RunningPlatform) -> None:
    """API, edge processes, worker; the key is made, used, and deleted by REST."""
    platform = two_processes
    # A connection stays with one process: every request makes a new one.
    limits = httpx.Limits(max_keepalive_connections=0)
    auth = (platform.username, platform.password)
    with (
        FileServer(footage.bikes().parent) as files,
        httpx.Client(base_url=platform.base_url, timeout=60, limits=limits) as http,
    ):
        made = http.post("/v1/iam/signing-keys", auth=auth).json()["data"]
        pem = base64.b64decode(made["privateKey"]).decode()
        media = http.post(
            "/v1/on-demand",
            json={"inputs": [{"type": "video", "url": files.url(footage.bikes().name)}], "accessPolicy": "private"},
            auth=auth,
        ).json()["data"]
        playback_id = media["playbackIds"][0]["id"]
        text = token(claims(playback_id, kid=made["id"]), kid=made["id"], key=KeyPair(pem, ""))
        url = f"/{playback_id}.m3u8?token={text}"
        end_s = time.monotonic() + 60
        while (master := http.get(url)).status_code != 200:
            assert (master.status_code, "ready" in master.text) == (400, True), master.text
            assert time.monotonic() < end_s
            time.sleep(0.1)
        assert http.get(f"/{playback_id}.m3u8").status_code == 401
        playlists = [line for line in master.text.splitlines() if line and line[0] != "#"]
        for playlist in playlists:
            parts = re.findall(r"^[0-9]+\.m4s$", http.get(f"/{playlist}").text, re.MULTILINE)
            assert http.get(urljoin(f"/{playlist}", parts[-1])).status_code == 200
        http.delete(f"/v1/iam/signing-keys/{made['id']}", auth=auth).raise_for_status()
        end_s = time.monotonic() + 6
        # Ten in a row: every HTTP process has been asked.
        while {http.get(u).status_code for u in (url, f"/{playlists[0]}") for _ in range(10)} != {401}:
            assert time.monotonic() < end_s
