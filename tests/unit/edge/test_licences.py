"""Encrypted ids at the edge: what is shown, who gets keys, and the operator's own licence servers."""

import asyncio
import base64
import contextlib
import dataclasses
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urljoin
from xml.etree import ElementTree

import httpx
import pytest
from aiohttp import web
from sqlalchemy import text as sql
from tests import footage
from tests.planned import planned
from tests.playing import MASTER, Playing, Published, playing
from tests.unit.engine import cbcs
from tests.unit.keys.signing import claims, pair, token

from fastpix_server.access import service as access
from fastpix_server.base import ids
from fastpix_server.edge import licence_servers
from fastpix_server.edge.licence_servers import LicenceServers
from fastpix_server.keys import store as keys_store
from fastpix_server.playback import content_keys, service
from fastpix_server.playback.model import AccessPolicy

CLEARKEY, WIDEVINE = "license/clearkey", "license/widevine"
FAIRPLAY, CERT = "license/fairplay", "cert/fairplay"


@dataclasses.dataclass
class House:
    stage: Playing
    edge: httpx.AsyncClient
    workspace_id: str
    kid: str
    video: Published

    def token(self, purpose: str = "drm") -> str:
        aud = f"{purpose}:{self.video.playback_id}"
        return quote(token(claims(self.video.playback_id, kid=self.kid, aud=aud), kid=self.kid))

    def url(self, what: str) -> str:
        return f"/v1/on-demand/drm/{what}/{self.video.playback_id}?token={self.token()}"

    async def key_id(self) -> str:
        async with self.stage.db.unit() as tx:
            return (await content_keys.get(tx, self.video.media_id)).key_id

    async def another(self, policy: AccessPolicy) -> Published:
        async with self.stage.db.unit() as tx:
            made = await service.create_id(
                tx, workspace_id=self.workspace_id, target_id=self.video.media_id, access_policy=policy
            )
        return dataclasses.replace(self.video, playback_id=made.id)


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with playing(database_url, tmp_path) as stage:
        async with stage.db.unit() as tx:
            workspace = await access.create_workspace(tx, name="Mine")
            kid = ids.new_uuid()
            await keys_store.insert(tx, key_id=kid, workspace_id=workspace.id, public_pem=pair().public_pem)
        source = footage.bigbuckbunny()
        video = await stage.publish(source, await planned(source), access_policy="drm", workspace_id=workspace.id)
        await stage.maker()
        yield House(stage, await stage.edge(), workspace.id, kid, video)


def kids(*key_ids: str) -> dict[str, object]:
    encoded = [base64.urlsafe_b64encode(uuid.UUID(k).bytes).decode().rstrip("=") for k in key_ids]
    return {"kids": encoded, "type": "temporary"}


async def get(edge: httpx.AsyncClient, url: str) -> httpx.Response:
    answer = await edge.get(url)
    assert answer.status_code == 200, (url, answer.status_code, answer.text[:300])
    return answer


async def test_everything_under_an_encrypted_id_is_encrypted_and_the_licence_opens_it(house: House) -> None:
    edge, public = house.edge, await house.another("public")
    answer = await edge.post(house.url(CLEARKEY), json=kids(await house.key_id()))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"
    [jwk] = answer.json()["keys"]
    key = base64.urlsafe_b64decode(jwk["k"] + "==")
    assert (jwk["kty"], jwk["kid"], len(key)) == ("oct", kids(await house.key_id())["kids"][0], 16)  # type: ignore[index]
    master_url = f"http://edge/{house.video.playback_id}.m3u8?token={house.token('media')}"
    master = (await get(edge, master_url)).text
    assert master.count("#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES") == 3
    playlists = {urljoin(master_url, line) for line in master.splitlines() if line and line[0] != "#"}
    playlists |= {urljoin(master_url, part.split('"')[0]) for part in master.split(',URI="')[1:] if "m3u8" in part}
    seen = set()
    for playlist_url in playlists:
        playlist = (await get(edge, playlist_url)).text
        assert playlist.count("#EXT-X-KEY:METHOD=SAMPLE-AES") == 3
        assert f'URI="skd://{await house.key_id()}"' in playlist
        name = playlist_url.split("/")[-2]
        init = (await get(edge, urljoin(playlist_url, "init.mp4"))).content
        found = cbcs.tenc(init)
        assert cbcs.sample_entry(init)[0] in (b"encv", b"enca")
        assert str(uuid.UUID(bytes=found.key_id)) == await house.key_id()
        segment = (await get(edge, urljoin(playlist_url, "0.m4s"))).content
        samples = cbcs.samples(segment)
        clear = (await get(edge, public.url(name, "0.m4s"))).content
        opened = [
            cbcs.decrypted(s, p, found, key)
            for s, p in zip(samples, cbcs.subsamples(segment, len(samples)), strict=True)
        ]
        assert opened == cbcs.samples(clear)
        assert samples != cbcs.samples(clear)
        assert cbcs.sample_entry((await get(edge, public.url(name, "init.mp4"))).content)[0] in (b"avc1", b"mp4a")
        seen.add(name)
    assert {r.name for r in (*house.video.plan.videos, *house.video.plan.audios)} == seen


async def test_the_dash_manifest_names_the_key_in_every_set_and_holds_no_secret(house: House) -> None:
    manifest = (await get(house.edge, f"/{house.video.playback_id}.mpd?token={house.token('media')}")).text
    root = ElementTree.fromstring(manifest)
    dash, cenc = "{urn:mpeg:dash:schema:mpd:2011}", "{urn:mpeg:cenc:2013}"
    sets = list(root.iter(f"{dash}AdaptationSet"))
    assert len(sets) == 2
    for found in sets:
        systems = {p.get("schemeIdUri"): p for p in found.iter(f"{dash}ContentProtection")}
        scheme = systems["urn:mpeg:dash:mp4protection:2011"]
        assert (scheme.get("value"), scheme.get(f"{cenc}default_KID")) == ("cbcs", await house.key_id())
        for system in ("1077efec-c0b2-4d02-ace3-3c1e52e2fb4b", "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"):
            pssh = systems[f"urn:uuid:{system}"].find(f"{cenc}pssh")
            assert pssh is not None
            assert base64.b64decode(pssh.text or "")[12:28] == uuid.UUID(system).bytes
    assert "token" not in manifest


async def test_ids_of_the_same_video_that_are_not_encrypted_have_no_licence_and_no_locks(house: House) -> None:
    public = await house.another("public")
    assert "EXT-X-KEY" not in (await get(house.edge, public.url("a0", "index.m3u8"))).text
    assert "ContentProtection" not in (await get(house.edge, f"/{public.playback_id}.mpd")).text
    for what in (CLEARKEY, WIDEVINE):
        answer = await house.edge.post(f"/v1/on-demand/drm/{what}/{public.playback_id}", json=kids(ids.new_uuid()))
        assert (answer.status_code, "not encrypted" in answer.text) == (400, True)


async def test_two_encrypted_ids_of_one_video_share_its_key_and_its_segments(house: House) -> None:
    before = await house.key_id()
    second = await house.another("drm")
    assert await house.key_id() == before
    own = token(claims(second.playback_id, kid=house.kid, aud=f"drm:{second.playback_id}"), kid=house.kid)
    answer = await house.edge.post(f"/v1/on-demand/drm/{CLEARKEY}/{second.playback_id}?token={own}", json=kids(before))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422), (b"{", 422), (b"[]", 422), (b"\xff", 422), (b'{"kids": []}', 422), (b'{"kids": [1]}', 422),
        (b'{"kids": ["%%%"]}', 422), (b'{"kids": "AAAA"}', 422),
        (b'{"kids": ["AA"], "type": "persistent-license"}', 422),
        (b'{"kids": ["AA"]}', 400), (b'{"kids": ["AAAAAAAAAAAAAAAAAAAAAA"]}', 400),
        (json.dumps({"kids": ["AA"] * 65}).encode(), 422), (b"[" * 60_000, 422), (b" " * 70_000, 413),
    ],
)  # fmt: skip
async def test_what_is_no_request_for_this_videos_key_gets_none(house: House, body: bytes, status: int) -> None:
    answer = await house.edge.post(house.url(CLEARKEY), content=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["success"] is False
    assert "keys" not in answer.json()


async def test_only_the_keys_of_this_video_are_answered(house: House) -> None:
    mine = await house.key_id()
    source = footage.bikes()
    other = await house.stage.publish(
        source, await planned(source), access_policy="drm", workspace_id=house.workspace_id
    )
    async with house.stage.db.unit() as tx:
        theirs = (await content_keys.get(tx, other.media_id)).key_id
    assert theirs != mine
    answer = await house.edge.post(house.url(CLEARKEY), json=kids(theirs, mine))
    assert [k["kid"] for k in answer.json()["keys"]] == kids(mine)["kids"]
    assert (await house.edge.post(house.url(CLEARKEY), json=kids(theirs))).status_code == 400


async def test_what_is_not_configured_is_refused_in_words_and_never_as_a_failure(house: House) -> None:
    for what, variable in (
        (WIDEVINE, "FASTPIX_WIDEVINE_LICENSE_URL"),
        (FAIRPLAY, "FASTPIX_FAIRPLAY_LICENSE_URL"),
        (CERT, "FASTPIX_FAIRPLAY_CERT_URL"),
    ):
        ask = house.edge.get(house.url(what)) if what == CERT else house.edge.post(house.url(what), content=b"spc")
        answer = await ask
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, "DRM system not configured")
        assert variable in answer.json()["error"]["description"]
    edge = await house.stage.edge(licences=LicenceServers(has_clearkey=False))
    answer = await edge.post(house.url(CLEARKEY), json=kids(await house.key_id()))
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "DRM system not configured")


async def test_browsers_may_ask_across_origins_and_by_post_only(house: House) -> None:
    for what in (CLEARKEY, WIDEVINE, FAIRPLAY):
        asked = await house.edge.options(house.url(what))
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-methods"] == "POST, OPTIONS"
        assert "Content-Type" in asked.headers["access-control-allow-headers"]
        assert (await house.edge.get(house.url(what))).status_code == 405
    assert (await house.edge.options(house.url(CERT))).headers["access-control-allow-methods"] == "GET, OPTIONS"


class Operator:
    """A licence server as an operator runs one; it keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status, self.answer = 200, bytes(range(256))
        self.delay_s = 0.0

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.method, request.path_qs, headers, await request.read()))
        await asyncio.sleep(self.delay_s)
        headers = {"Location": "/elsewhere"} if self.status == 302 else {}
        return web.Response(status=self.status, body=self.answer, content_type="text/html", headers=headers)


@contextlib.asynccontextmanager
async def operator() -> AsyncIterator[tuple[Operator, str]]:
    made = Operator()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    yield made, f"http://127.0.0.1:{port}"
    await runner.cleanup()


def servers(base: str, *, sends_keys: bool = False) -> LicenceServers:
    return LicenceServers(
        widevine_url=f"{base}/wv?tenant=1",
        fairplay_url=f"{base}/fps",
        fairplay_cert_url=f"{base}/fps.cer",
        header=("X-Licence-Secret", "hush"),
        sends_keys=sends_keys,
    )


async def test_licences_pass_both_ways_as_bytes_and_the_viewers_token_stays_here(house: House) -> None:
    async with operator() as (server, base):
        edge = await house.stage.edge(licences=servers(base))
        challenge = bytes(range(255, -1, -1)) * 20
        for what, path in ((WIDEVINE, "/wv?tenant=1"), (FAIRPLAY, "/fps"), (CERT, "/fps.cer")):
            if what == CERT:
                answer = await edge.get(house.url(what), headers={"Cookie": "a=b", "Authorization": "Basic eA=="})
            else:
                answer = await edge.post(
                    house.url(what), content=challenge, headers={"Cookie": "a=b", "Authorization": "Basic eA=="}
                )
            assert (answer.status_code, answer.content) == (200, server.answer)
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["cache-control"] == "no-store"
            method, asked, headers, body = server.asked[-1]
            assert (method, asked, body) == (("GET", path, b"") if what == CERT else ("POST", path, challenge))
            assert headers["x-licence-secret"] == "hush"
            assert headers["x-fastpix-playback-id"] == house.video.playback_id
            assert headers["x-fastpix-key-id"] == await house.key_id()
            told = " ".join([asked, *headers.values()])
            assert house.token()[-40:] not in told
            assert not {"cookie", "authorization", "x-fastpix-content-key", "referer", "origin"} & headers.keys()


async def test_the_content_key_goes_to_the_licence_server_only_where_that_is_wanted(house: House) -> None:
    async with operator() as (server, base):
        edge = await house.stage.edge(licences=servers(base, sends_keys=True))
        assert (await edge.post(house.url(WIDEVINE), content=b"challenge")).status_code == 200
        async with house.stage.db.unit() as tx:
            key = await content_keys.get(tx, house.video.media_id)
        headers = server.asked[-1][2]
        assert base64.b64decode(headers["x-fastpix-content-key"]) == key.key
        assert base64.b64decode(headers["x-fastpix-content-iv"]) == key.iv
        assert (await edge.get(house.url(CERT))).status_code == 200
        assert "x-fastpix-content-key" not in server.asked[-1][2]


async def test_a_refusal_of_the_licence_server_is_passed_on_and_its_failures_are_not(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with operator() as (server, base):
        edge = await house.stage.edge(licences=servers(base))
        server.status = 403
        answer = await edge.post(house.url(WIDEVINE), content=b"challenge")
        assert (answer.status_code, answer.content) == (403, server.answer)
        for status in (302, 500):
            server.status, asked = status, len(server.asked)
            answer = await edge.post(house.url(WIDEVINE), content=b"challenge")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, 503)
            assert len(server.asked) == asked + 1  # no redirect was followed
            assert "127.0.0.1" not in answer.text
        server.status = 200
        monkeypatch.setattr(licence_servers, "MAX_ANSWER_BYTES", 255)
        assert (await edge.post(house.url(WIDEVINE), content=b"challenge")).status_code == 503
        monkeypatch.undo()
        monkeypatch.setattr(licence_servers, "TOTAL_S", 0.2)
        server.delay_s = 5
        assert (await edge.post(house.url(WIDEVINE), content=b"challenge")).status_code == 503
        monkeypatch.undo()
        monkeypatch.setattr(licence_servers, "MAX_IN_FLIGHT", 0)
        assert (await edge.post(house.url(WIDEVINE), content=b"challenge")).status_code == 503
    monkeypatch.undo()
    assert (await edge.post(house.url(WIDEVINE), content=b"challenge")).status_code == 503  # nobody listens there


async def test_the_key_lies_sealed_in_its_row_and_in_no_log(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    async with house.stage.db.unit() as tx:
        key = await content_keys.get(tx, house.video.media_id)
        row = (await tx.execute(sql("select sealed_key from playback_content_keys"))).one()
    assert key.key not in bytes(row.sealed_key)
    place = f"playback_content_keys:sealed_key:{house.video.media_id}"
    assert MASTER.open(bytes(row.sealed_key), place) == key.key
    with pytest.raises(Exception, match="cannot be opened"):
        MASTER.open(bytes(row.sealed_key), place[:-1] + "x")
    assert (await house.edge.post(house.url(CLEARKEY), json=kids(key.key_id))).status_code == 200
    said = "".join(capsys.readouterr())
    for spelled in (key.key.hex(), base64.b64encode(key.key).decode()[:-2], house.token()[-40:]):
        assert spelled not in said


async def test_the_key_goes_with_the_video(house: House) -> None:
    async with house.stage.db.unit() as tx:
        await service.unpublish(tx, house.video.media_id)
        rows = (await tx.execute(sql("select count(*) from playback_content_keys"))).scalar_one()
    assert rows == 0
