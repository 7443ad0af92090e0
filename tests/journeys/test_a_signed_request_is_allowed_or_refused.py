"""Journey 4 of the design: every URL of a protected id, against everything that a viewer may bring.

The edge's routes are discovered, not listed: a new kind of URL without a row here fails the first test.
"""

import base64
import dataclasses
import re
import time
from collections.abc import Iterable
from urllib.parse import quote, urljoin

import httpx
import pytest
from starlette.routing import Route
from tests import footage, live_segments
from tests.airing import on_air
from tests.journeys.gated import House, furnish, refused, served, until_refused
from tests.planned import planned
from tests.playing import PATH_KEYS, Published
from tests.running_platform import RunningPlatform
from tests.unit.keys import signing
from tests.unit.keys.signing import claims, pair, token
from tests.web_server import FileServer

from fastpix_server.base import ids
from fastpix_server.edge import picture_cookie
from fastpix_server.keys.model import KeyPair
from fastpix_server.live import recordings
from fastpix_server.live.recorder import Recorder
from fastpix_server.playback import service as playback
from fastpix_server.playback.model import AccessPolicy
from fastpix_server.playback.signed_path import PICTURES, PathKeys, expiry_s

# Route of the edge -> the URL that stands for it. `{folder}`: what lies below a signed path.
BY_TOKEN = {
    "/{playback_id}.m3u8": "/{id}.m3u8",
    "/{playback_id}.mpd": "/{id}.mpd",
    "/play/{playback_id}/about": "/play/{id}/about",
    "/{playback_id}/thumbnail.{format}": "/{id}/thumbnail.jpg?width=64",
    "/{playback_id}/spritesheet.{format}": "/{id}/spritesheet.jpg",
    "/{playback_id}/advanced-spritesheet.{format}": "/{id}/advanced-spritesheet.json?interval=2",
    "/{playback_id}/clip.{format}": "/{id}/clip.webp?end=0.2&width=32",
    "/{playback_id}/text/{track_id}.vtt": "/{id}/text/{track}.vtt",
    "/{playback_id}/{revision}/{rendition}/whole.vtt": "/{id}/{revision}/s1/whole.vtt",
    "/{playback_id}/{revision}/{rendition}/{k}.vtt": "/{id}/{revision}/s1/0.vtt",
    "/{playback_id}/{revision}/{rendition}/index.m3u8": "/{id}/{revision}/source/index.m3u8",
    "/{playback_id}/{revision}/{rendition}/init.mp4": "/{id}/{revision}/source/init.mp4",
    "/{playback_id}/{revision}/{rendition}/{k}.m4s": "/{id}/{revision}/source/0.m4s",
}
# Files for download are not encrypted: no token opens them under an id of the policy drm.
CLEAR_BY_TOKEN = {
    "/{playback_id}/capped-4k.mp4": "/{id}/capped-4k.mp4",
    "/{playback_id}/audio.m4a": "/{id}/audio.m4a",
    "/{playback_id}/source.{ending}": "/{id}/source.mp4",
}
BY_PATH = {
    "/{playback_id}/{signature}/{revision}/{rendition}/whole.vtt": "/{id}/{pass}/{revision}/s1/whole.vtt",
    "/{playback_id}/{signature}/{revision}/{rendition}/{k}.vtt": "/{id}/{pass}/{revision}/s1/0.vtt",
    "/{playback_id}/{signature}/{revision}/{rendition}/index.m3u8": "/{id}/{pass}/{revision}/source/index.m3u8",
    "/{playback_id}/{signature}/{revision}/{rendition}/init.mp4": "/{id}/{pass}/{revision}/source/init.mp4",
    "/{playback_id}/{signature}/{revision}/{rendition}/{k}.m4s": "/{id}/{pass}/{revision}/source/0.m4s",
}
# Keys and licences of an encrypted id: a token with the audience `drm:` alone opens them.
BY_LICENCE_TOKEN = {
    "/v1/on-demand/drm/license/clearkey/{playback_id}": "/v1/on-demand/drm/license/clearkey/{id}",
    "/v1/on-demand/drm/license/widevine/{playback_id}": "/v1/on-demand/drm/license/widevine/{id}",
    "/v1/on-demand/drm/license/fairplay/{playback_id}": "/v1/on-demand/drm/license/fairplay/{id}",
    "/v1/on-demand/drm/cert/fairplay/{playback_id}": "/v1/on-demand/drm/cert/fairplay/{id}",
}
# Below a pass for pictures, which is one for no revision.
BY_PICTURE_PASS = {
    "/{playback_id}/{signature}/thumbnail.{format}": "/{id}/{pass}/thumbnail.jpg?width=64",
    "/{playback_id}/{signature}/clip.{format}": "/{id}/{pass}/clip.webp?end=0.2&width=32",
    "/{playback_id}/{signature}/spritesheet.{format}": "/{id}/{pass}/spritesheet.jpg",
    "/{playback_id}/{signature}/advanced-spritesheet.{format}": "/{id}/{pass}/advanced-spritesheet.jpg?interval=2",
}
SCOPED = [(form, "") for form in BY_PATH.values()] + [(form, PICTURES) for form in BY_PICTURE_PASS.values()]
PLANNED_ONLY = ("/init.mp4", "spritesheet", ".vtt")
# Recordings of live streams have one header per connection of the publisher, and no other URLs of their own.
RECORDED_BY_TOKEN = {
    **{route: url for route, url in BY_TOKEN.items() if not any(part in route for part in PLANNED_ONLY)},
    "/{playback_id}/{revision}/{rendition}/init-{epoch}.mp4": "/{id}/{revision}/source/init-0.mp4",
}
RECORDED_BY_PATH = {
    **{route: url for route, url in BY_PATH.items() if not any(part in route for part in PLANNED_ONLY)},
    "/{playback_id}/{signature}/{revision}/{rendition}/init-{epoch}.mp4": "/{id}/{pass}/{revision}/source/init-0.mp4",
}
# A running session has parts beside its segments; everything else is named as in its recording.
LIVE_BY_TOKEN = [
    *(url for url in RECORDED_BY_TOKEN.values() if "/clip." not in url),
    "/{id}/{revision}/source/0.0.m4s",
    "/{id}/{revision}/a0/index.m3u8",
]
LIVE_BY_PATH = [*RECORDED_BY_PATH.values(), "/{id}/{pass}/{revision}/source/0.0.m4s"]
# Nothing of a media is behind these: page and script are the same for every id, and uploads have keys of their own.
NO_MEDIA = {"/play/{playback_id}", "/play/assets/{digest}/{name}", "/beacon.js", "/upload/{upload_id}"}
# Names what the gate would let the asker play, each by its playback id (tests/unit/edge/test_playlists.py).
NO_MEDIA |= {"/play/playlist/{playlist_id}", "/play/playlist/{playlist_id}/items"}


async def test_every_kind_of_url_that_the_edge_has_is_a_row_of_this_matrix(house: House) -> None:
    app = await house.stage.edge_app()
    found = {route.path for route in app.routes if isinstance(route, Route)}
    assert len(found) == len(app.routes)
    media = {path for path in found if "playback_id" in path and path not in NO_MEDIA}
    planned_media = (
        BY_TOKEN.keys() | CLEAR_BY_TOKEN.keys() | BY_PATH.keys() | BY_PICTURE_PASS.keys() | BY_LICENCE_TOKEN.keys()
    )
    assert media == planned_media | RECORDED_BY_TOKEN.keys() | RECORDED_BY_PATH.keys()
    others = {path for path in found - media if not path.startswith("/upload")}
    assert others <= NO_MEDIA


@pytest.mark.parametrize("policy", ["private", "drm"])
async def test_every_kind_of_url_refuses_every_bad_token_and_serves_every_good_one(
    house: House, policy: AccessPolicy
) -> None:
    await house.show(policy)
    if policy == "drm":
        for form in CLEAR_BY_TOKEN.values():
            await refused(house.edge, house.url(form))
            await refused(house.edge, house.url(form, text=house.good()), 404)
    await tokens_decide(house, list(BY_TOKEN.values()) + (list(CLEAR_BY_TOKEN.values()) if policy == "private" else []))


async def test_every_kind_of_url_of_a_recording_is_decided_alike(house: House) -> None:
    recorded = dataclasses.replace(house, video=await recording_of(house))
    await tokens_decide(recorded, list(RECORDED_BY_TOKEN.values()))
    await paths_decide(recorded, scoped(RECORDED_BY_PATH.values()))


async def test_every_kind_of_url_of_a_running_session_is_decided_alike(house: House) -> None:
    air = await on_air(house.stage, workspace_id=house.mine, policy="private")
    plan = dataclasses.replace(house.video.plan, revision=air.running.session.revision)
    live = dataclasses.replace(house, video=Published(air.stream.target_id, air.playback_id.id, plan, house.mine))
    await tokens_decide(live, LIVE_BY_TOKEN)
    await paths_decide(live, scoped(LIVE_BY_PATH))


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


def scoped(forms: Iterable[str]) -> list[tuple[str, str]]:
    """Forms below a signed path, each with the pass that it needs; pictures have one of their own."""
    thumbnail = BY_PICTURE_PASS["/{playback_id}/{signature}/thumbnail.{format}"]
    return [*((form, "") for form in forms), (thumbnail, PICTURES)]


async def tokens_decide(house: House, forms: list[str]) -> None:
    edge, playback_id = house.edge, house.video.playback_id
    theirs, deleted = await house.key(pair("foreign"), house.theirs), await house.key(pair("third"))
    dying = house.good(deleted, pair("third"))
    for form in forms:
        await served(edge, house.url(form, text=dying))
    await house.delete_key(deleted)
    await until_refused(edge, house.url(form, text=dying))
    for form in forms:
        # Made for each form: some are good or bad by half a minute, and a slow machine takes longer for them all.
        now_s = int(time.time())
        attacks = signing.attacks(playback_id, house.kid, pair(), other_kid=house.other_kid, now_s=now_s)
        twins = signing.good_twins(playback_id, house.kid, pair(), workspace_id=house.mine, now_s=now_s)
        attacks["other workspace's key"] = (house.good(theirs, pair("foreign")), "token_key_unknown")
        attacks["deleted key"] = (dying, "token_key_unknown")
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


async def test_every_licence_url_refuses_every_bad_token_and_lets_every_good_one_in(house: House) -> None:
    await house.show("drm")
    edge, playback_id = house.edge, house.video.playback_id
    theirs = await house.key(pair("foreign"), house.theirs)
    aud = f"drm:{playback_id}"
    passed = house.signed()
    for form in BY_LICENCE_TOKEN.values():
        now_s = int(time.time())
        attacks = signing.attacks(playback_id, house.kid, pair(), other_kid=house.other_kid, now_s=now_s, purpose="drm")
        twins = signing.good_twins(playback_id, house.kid, pair(), workspace_id=house.mine, now_s=now_s, purpose="drm")
        attacks["other workspace's key"] = (house.good(theirs, pair("foreign"), aud=aud), "token_key_unknown")
        attacks["token for the video"] = (house.good(), "token_audience")
        assert "token_missing" in await refused(edge, house.url(form))
        assert "token_missing" in await refused(edge, house.url(form, text=""))
        for name, (text, reason) in attacks.items():
            said = await refused(edge, house.url(form, text=text))
            assert reason in said, (form, name, said)
        twice = house.url(form, text=house.good(aud=aud)) + f"&token={quote(house.good(exp=1))}"
        assert "token_malformed" in await refused(edge, twice)
        # A signed path is no permission to decrypt, wherever it is put.
        assert "token_malformed" in await refused(edge, house.url(form, text=passed))
        for text in twins.values():  # let in, and then told what is wrong: a foreign key id, or no licence server
            assert await refused(edge, house.url(form, text=text), 400)
    deleted = await house.key(pair("third"))
    dying = house.url(form, text=house.good(deleted, pair("third"), aud=aud))
    assert await refused(edge, dying, 400)
    await house.delete_key(deleted)
    await until_refused(edge, dying)


@pytest.mark.parametrize("policy", ["private", "drm"])
async def test_every_signed_path_is_refused_when_anything_of_it_is_wrong(house: House, policy: AccessPolicy) -> None:
    await house.show(policy)
    await paths_decide(house, SCOPED)


async def paths_decide(house: House, forms: list[tuple[str, str]]) -> None:
    edge, other = house.edge, ids.new_uuid()
    deleted = await house.key(pair("third"))
    for form, scope in forms:
        await served(edge, house.url(form, passed=house.scoped(scope, kid=deleted)))
    await house.delete_key(deleted)
    await until_refused(edge, house.url(form, passed=house.scoped(scope, kid=deleted)))
    for form, scope in forms:
        good = house.scoped(scope)
        keyless = PATH_KEYS.sign(house.video.playback_id, scope or house.video.plan.revision, 4_000_000_000, None)
        bad = {
            "of another id": (house.scoped(scope, playback_id=other), "path_signature"),
            "of another version": (house.signed(revision="0" * 12), "path_signature"),
            "of the other kind": (house.scoped("" if scope else PICTURES), "path_signature"),
            "expired": (house.scoped(scope, left_s=-1), "path_expired"),
            "of a foreign key": (house.scoped(scope, path_keys=PathKeys.random()), "path_signature"),
            "of a key number that is over": (house.scoped(scope, path_keys=PathKeys(bytes(32), 3)), "path_key_unknown"),
            "of a deleted signing key": (house.scoped(scope, kid=deleted), "token_key_unknown"),
            "of an unknown signing key": (house.scoped(scope, kid=other), "token_key_unknown"),
            "without a signing key": (keyless, "token_missing"),
            "changed": (good[:-1] + ("A" if good[-1] != "A" else "Q"), "path_signature"),
            "malformed": ("1.2.3", "path_malformed"),
        }
        for name, (passed, reason) in bad.items():
            said = await refused(edge, house.url(form, passed=passed))
            assert reason in said, (form, name, said)
            # A good token does not repair a bad path: such URLs would be without number. Nor does a good cookie.
            assert reason in await refused(edge, house.url(form, passed=passed, text=house.good()))
            cookie = f"{picture_cookie.NAME}={house.scoped(PICTURES)}"
            assert reason in await refused(edge, house.url(form, passed=passed), Cookie=cookie)
        answer = await served(edge, house.url(form, passed=good))
        assert "set-cookie" not in answer.headers
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


@pytest.mark.parametrize("policy", ["public", "private", "drm"])
async def test_restrictions_hold_on_every_kind_of_url(house: House, policy: AccessPolicy) -> None:
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
    await furnish(house.stage, video)
    text = token(claims(video.playback_id, kid=house.kid), kid=house.kid)
    kid = None if policy == "public" else house.kid
    home = {"Origin": "https://www.example.com", "User-Agent": "Mozilla/5.0"}
    clear = CLEAR_BY_TOKEN.values() if policy != "drm" else ()
    for form, scope in [*((form, "") for form in (*BY_TOKEN.values(), *clear)), *SCOPED]:
        passed = PATH_KEYS.sign(video.playback_id, scope or video.plan.revision, int(time.time()) + 600, kid)
        url = house.url(form, text=text, passed=passed, video=video)
        answer = await served(edge, url, **home)
        assert answer.headers["cache-control"].startswith("public" if "{pass}" in form else "private")
        await served(edge, url, Referer="https://example.com/watch")
        for origin in ("https://evil-example.com", "https://example.com.evil.org", "https://x@example.com", "null"):
            assert "website" in await refused(edge, url, 403, Origin=origin)
        assert "website" in await refused(edge, url, 403)
        assert "user agent" in await refused(edge, url, 403, **{**home, "User-Agent": "BadBot/1"})
    both = token(claims(video.playback_id, kid=house.kid, aud=f"drm:{video.playback_id}"), kid=house.kid)
    for form in BY_LICENCE_TOKEN.values() if policy == "drm" else ():
        url = house.url(form, text=both, video=video)
        assert await refused(edge, url, 400, **home)  # who may ask is told what is wrong
        assert "website" in await refused(edge, url, 403, Origin="https://evil-example.com")
        assert "website" in await refused(edge, url, 403)
        assert "user agent" in await refused(edge, url, 403, **{**home, "User-Agent": "BadBot/1"})
    master = await served(edge, house.url("/{id}.m3u8", text=text, video=video), **home)
    assert re.search(rf"^{video.playback_id}/1\.\d+\.\S+/{video.plan.revision}/", master.text, re.MULTILINE)


async def test_a_public_id_without_restrictions_needs_and_carries_no_signature(house: House) -> None:
    source = footage.bikes()
    video = await furnish(house.stage, await house.stage.publish(source, await planned(source)))
    for form in (*BY_TOKEN.values(), *CLEAR_BY_TOKEN.values()):
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
    for form in (*BY_TOKEN.values(), *CLEAR_BY_TOKEN.values()):
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


def test_a_private_media_plays_from_its_key_to_its_last_segment_over_http(platform: RunningPlatform) -> None:
    """API, edge processes, worker; the key is made, used, and deleted by REST."""
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
        end_s = time.monotonic() + 60
        # Ten in a row: every HTTP process has been asked.
        while {http.get(u).status_code for u in (url, f"/{playlists[0]}") for _ in range(10)} != {401}:
            assert time.monotonic() < end_s
