"""The configuration of docs/guide/cdn.md, as it stands there, in a real nginx in front of a running edge."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from tests import footage
from tests.journeys.gated import House
from tests.planned import planned
from tests.running_platform import free_port
from tests.unit.keys.signing import pair

from fastpix_server.app.commands import written
from fastpix_server.base import ids
from fastpix_server.playback.signed_path import PICTURES, PathKeys, derive

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "cdn.md").read_text()
MODULE = next((p for p in Path("/usr/lib").glob("**/nginx/modules/ngx_http_js_module.so")), None)
STARTS_WITHIN_S = 20

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None or MODULE is None,
    reason="THE CDN RECIPE IS NOT TESTED: install nginx and libnginx-mod-http-js",
)


class Seen:
    """What has reached the edge: path and query."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []

    def wrap(self, app: ASGIApp) -> ASGIApp:
        async def looked_at(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                self.requests.append((scope["path"], scope["query_string"].decode()))
            await app(scope, receive, send)

        return looked_at

    def of(self, path: str) -> int:
        return sum(seen == urlsplit(path).path for seen, _ in self.requests)


class Cdn:
    """nginx with the guide's files, in a folder of its own."""

    def __init__(self, folder: Path, edge_url: str, keys: dict[int, bytes]) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "log" / "fastpix.log"
        for name in ("log", "cache", "fastpix"):
            (folder / name).mkdir(parents=True)
        self.give(keys)
        (folder / "fastpix" / "fastpix.js").write_text(_block("js"))
        config = _block("nginx")
        for shown, ours in {
            "/etc/nginx/fastpix/": f"{folder}/fastpix/",
            "/var/cache/nginx/fastpix": f"{folder}/cache",
            "/var/log/nginx/": f"{folder}/log/",
            "server 127.0.0.1:8080;": f"server {urlsplit(edge_url).netloc};",
            "listen 80;": f"listen {urlsplit(self.url).netloc};",
        }.items():
            assert shown in config, f"the guide does not say {shown} any more"
            config = config.replace(shown, ours)
        (folder / "fastpix.conf").write_text(config)
        # What surrounds conf.d in a distribution's nginx.conf.
        user = "user root;" if os.getuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"load_module {MODULE};\n{user}\nworker_processes 2;\npid {folder}/pid;\nerror_log {folder}/log/main.log;\n"
            f"events {{}}\nhttp {{ access_log off; include {folder}/fastpix.conf; }}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def give(self, keys: dict[int, bytes]) -> None:
        """As `fastpix path-key --format nginx` prints them."""
        lines = [written(number, key, "nginx") for number, key in keys.items()]
        (self.folder / "fastpix" / "path-keys.conf").write_text("\n".join(lines) + "\n")

    def launch(self) -> None:
        argv = ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;"]
        with (self.folder / "out").open("wb") as out:
            self._process = subprocess.Popen(argv, stdout=out, stderr=out, start_new_session=True)

    async def wait_until_ready(self) -> None:
        assert self._process is not None
        end_s = time.monotonic() + STARTS_WITHIN_S
        async with httpx.AsyncClient() as http:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    await http.get(f"{self.url}/v1")
                    return
                assert self._process.poll() is None, (self.folder / "out").read_text()
                assert time.monotonic() < end_s
                await asyncio.sleep(0.05)

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(10)

    def written(self) -> str:
        """Everything that nginx has written: logs, and the heads of what it keeps, which hold the keys."""
        logs = "".join(path.read_text(errors="replace") for path in (self.folder / "log").iterdir())
        return logs + "".join(
            path.read_bytes()[:4096].decode("latin-1") for path in (self.folder / "cache").rglob("*") if path.is_file()
        )


def _block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return str(found)


class Stand:
    """A house with a CDN in front, and a viewer who comes through it."""

    def __init__(self, house: House, cdn: Cdn, seen: Seen, http: httpx.AsyncClient) -> None:
        self.house, self.cdn, self.seen, self.http = house, cdn, seen, http

    async def status(self, path: str, **headers: str) -> int:
        return (await self.http.get(path, headers=headers)).status_code

    async def master(self, text: str) -> httpx.Response:
        return await self.http.get(self.house.url("/{id}.m3u8", text=text))

    async def segments(self, text: str) -> list[str]:
        """What a player that brings this token comes to ask for, playlist first."""
        master = await self.master(text)
        assert master.status_code == 200, master.text
        [playlist] = [line for line in master.text.splitlines() if line and line[0] != "#"]
        playlist = f"/{playlist}"
        listed = (await self.http.get(playlist)).text
        parts = re.findall(r'URI="([^"]+)"|^([0-9]+\.m4s)$', listed, re.MULTILINE)
        return [playlist, *(urljoin(playlist, a or b) for a, b in parts)]


@pytest.fixture
async def stand(house: House, tmp_path: Path) -> AsyncIterator[Stand]:
    seen = Seen()
    edge_url = await house.stage.serve(seen.wrap)
    cdn = Cdn(tmp_path / "cdn", edge_url, {n: derive(bytes(32), n) for n in (1, 2)})
    try:
        cdn.launch()
        await cdn.wait_until_ready()
        async with httpx.AsyncClient(base_url=cdn.url, timeout=60) as http:
            http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            yield Stand(house, cdn, seen, http)
    finally:
        cdn.stop()


async def test_the_second_viewer_of_a_private_media_does_not_reach_the_edge(stand: Stand) -> None:
    first = await stand.segments(stand.house.good(sub="one"))
    bodies = {}
    for path in first:
        answer = await stand.http.get(path)
        assert answer.status_code == 200
        bodies[path] = answer.content
    reached = {path: stand.seen.of(path) for path in first}
    assert set(reached.values()) == {1}
    second = await stand.segments(stand.house.good(sub="two"))
    if second != first:  # the hour has ended in between
        first = second
        bodies = {path: (await stand.http.get(path)).content for path in first}
    before = {path: stand.seen.of(path) for path in first}
    for path in first:
        assert (await stand.http.get(path)).content == bodies[path]
        part = await stand.http.get(path, headers={"Range": "bytes=2-5"})
        assert (part.status_code, part.content) == (206, bodies[path][2:6])
        # Nor does a query make an address of its own.
        assert (await stand.http.get(f"{path}?x=1&token=abc")).content == bodies[path]
    assert {path: stand.seen.of(path) for path in first} == before


async def test_a_forged_or_expired_path_is_refused_at_the_cache_even_where_the_file_is_kept(stand: Stand) -> None:
    house = stand.house
    good = house.signed(left_s=8)
    form = "/{id}/{pass}/{revision}/source/0.m4s"
    assert await stand.status(house.url(form, passed=good)) == 200
    reached = len(stand.seen.requests)
    assert await stand.status(house.url(form, passed=good)) == 200
    number, expiry, kid, mac = good.split(".")
    flipped = mac[:-1] + ("A" if mac[-1] != "A" else "Q")
    bad = {
        "another mac": (f"{number}.{expiry}.{kid}.{flipped}", "path_signature"),
        "more time": (f"{number}.{int(expiry) + 3600}.{kid}.{mac}", "path_signature"),
        "no signing key": (f"{number}.{expiry}.0.{mac}", "path_signature"),
        "another id": (house.signed(playback_id=ids.new_uuid()), "path_signature"),
        "another version": (house.signed(revision="0" * 12), "path_signature"),
        "for pictures": (house.scoped(PICTURES), "path_signature"),
        "a foreign key": (house.signed(path_keys=PathKeys.random()), "path_signature"),
        "another number": (f"2.{expiry}.{kid}.{mac}", "path_signature"),
        "an unknown number": (f"3.{expiry}.{kid}.{mac}", "path_key_unknown"),
        "expired": (house.signed(left_s=-1), "path_expired"),
        "shorter": (good[:-1], "path_malformed"),
        "longer": (good + "A", "path_malformed"),
        "not a number": (f"1.{expiry}x.{kid}.{mac}", "path_malformed"),
    }
    for name, (passed, reason) in bad.items():
        answer = await stand.http.get(house.url(form, passed=passed))
        assert (answer.status_code, reason in answer.text) == (401, True), (name, answer.text)
        assert answer.json()["error"]["code"] == 401
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["access-control-allow-origin"] == "*"
        token = await stand.http.get(house.url(form, passed=passed, text=house.good()))
        assert token.status_code == 401
    # The kept object itself, once its path has ended.
    end_s = time.monotonic() + 60
    while await stand.status(house.url(form, passed=good)) == 200:
        assert time.monotonic() < end_s
        await asyncio.sleep(0.2)
    assert time.time() >= int(expiry)
    assert "path_expired" in (await stand.http.get(house.url(form, passed=good))).text
    assert len(stand.seen.requests) == reached, "none of it was asked of the edge"


@pytest.mark.parametrize("ending", ["%0a", "%00", "/", "%2f", "%20x", "%0d%0aX-A:%20b", "/../0.m4s%0a", ";"])
async def test_an_odd_end_of_a_path_neither_opens_nor_reaches_what_is_kept(stand: Stand, ending: str) -> None:
    house = stand.house
    url = house.url("/{id}/{pass}/{revision}/source/0.m4s", passed=house.signed())
    assert await stand.status(url) == 200
    forged = house.url("/{id}/{pass}/{revision}/source/0.m4s", passed=house.signed(path_keys=PathKeys.random()))
    for path in (url, forged):
        host, _, port = urlsplit(stand.cdn.url).netloc.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path}{ending} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        status = int((await reader.read()).split(b" ", 2)[1])
        writer.close()
        assert status in (400, 401, 404), (ending, status)


async def test_pictures_below_a_pass_are_kept_by_what_makes_them_and_by_nothing_else(stand: Stand) -> None:
    house = stand.house
    passed = house.scoped(PICTURES)
    url = house.url("/{id}/{pass}/thumbnail.jpg?width=64", passed=passed)
    small = (await stand.http.get(url)).content
    reached = len(stand.seen.requests)
    for more in ("&x=1", "&token=abc", "&width=999"):
        assert (await stand.http.get(url + more)).content == small
    assert len(stand.seen.requests) == reached
    assert (await stand.http.get(url.replace("64", "32"))).content != small
    for form in ("/{id}/{pass}/spritesheet.jpg", "/{id}/{pass}/advanced-spritesheet.jpg?interval=2"):
        assert await stand.status(house.url(form, passed=passed)) == 200
        for bad in (
            house.signed(),
            house.scoped(PICTURES, left_s=-1),
            house.scoped(PICTURES, path_keys=PathKeys.random()),
        ):
            assert await stand.status(house.url(form, passed=bad)) == 401


async def test_manifests_go_through_with_their_token_and_are_kept_for_nobody(stand: Stand) -> None:
    house = stand.house
    for form in ("/{id}.m3u8", "/{id}.mpd", "/{id}/thumbnail.jpg", "/{id}/spritesheet.json"):
        assert await stand.status(house.url(form, text=house.good())) == 200
        assert await stand.status(house.url(form)) == 401
        assert await stand.status(house.url(form, text=house.good(exp=1))) == 401
        assert await stand.status(house.url(form, text=house.good())) == 200
    for path in ("/v1/on-demand", "/metrics", "/health/ready", "/docs", "/upload/x"):
        assert await stand.status(path) == 404
    assert (await stand.http.post(house.url("/{id}.m3u8", text=house.good()))).status_code == 405


async def test_no_token_and_no_pass_is_written_down(stand: Stand) -> None:
    house, text = stand.house, stand.house.good()
    paths = await stand.segments(text)
    for path in paths:
        assert await stand.status(f"{path}?token={text}", Referer=f"http://x/play/?token={text}") == 200
    passed = house.scoped(PICTURES)
    picture = house.url("/{id}/{pass}/thumbnail.jpg?width=64", passed=passed, text=text)
    assert await stand.status(picture) == 200
    await asyncio.sleep(0.3)
    written_down = stand.cdn.written()
    assert text not in written_down
    assert text.rpartition(".")[2] not in written_down
    logged = stand.cdn.log.read_text()
    assert f"/{house.video.playback_id}/-/" in logged
    assert passed not in logged
    assert paths[0].split("/")[2] not in logged


async def test_a_deleted_signing_key_ends_what_the_edge_serves_and_what_is_kept_at_its_expiry(stand: Stand) -> None:
    """What the guide's table says of deleted keys, in both columns."""
    house = stand.house
    kid = await house.key(pair("third"))
    passed = house.signed(kid=kid, left_s=20)
    kept, other = (house.url(f"/{{id}}/{{pass}}/{{revision}}/source/{k}.m4s", passed=passed) for k in (0, 1))
    assert await stand.status(kept) == 200
    await house.delete_key(kid)
    end_s = time.monotonic() + 60
    while await stand.status(house.url("/{id}.m3u8", text=house.good(kid, pair("third")))) == 200:
        assert time.monotonic() < end_s
        await asyncio.sleep(0.05)
    assert await stand.status(other) == 401, "the edge knows"
    if time.time() < int(passed.split(".")[1]) - 5:
        assert await stand.status(kept) == 200, "the cache cannot know"
    end_s = time.monotonic() + 60
    while await stand.status(kept) == 200:
        assert time.monotonic() < end_s
        await asyncio.sleep(0.2)


async def test_a_path_key_that_is_taken_from_the_cache_ends_its_paths_there(stand: Stand) -> None:
    house = stand.house
    form = "/{id}/{pass}/{revision}/source/0.m4s"
    old, new = house.signed(), house.signed(path_keys=PathKeys(bytes(32), 2))
    assert [await stand.status(house.url(form, passed=p)) for p in (old, new)] == [200, 200]
    stand.cdn.give({2: derive(bytes(32), 2), 3: derive(bytes(32), 3)})
    stand.cdn.reload()
    end_s = time.monotonic() + 60
    while await stand.status(house.url(form, passed=old)) == 200:
        assert time.monotonic() < end_s
        await asyncio.sleep(0.1)
    assert await stand.status(house.url(form, passed=new)) == 200


async def test_open_media_are_kept_without_a_pass_and_private_ones_are_not(stand: Stand) -> None:
    house = stand.house
    source = footage.bikes()
    video = await house.stage.publish(source, await planned(source), workspace_id=house.mine)
    form = "/{id}/{revision}/source/0.m4s"
    for _ in range(2):
        assert await stand.status(house.url(form, video=video)) == 200
    assert stand.seen.of(house.url(form, video=video)) == 1
    for _ in range(2):
        assert await stand.status(house.url(form)) == 401
        assert await stand.status(house.url(form, text=house.good())) == 401, "a segment has one address"


async def test_many_viewers_of_a_new_segment_are_one_request_at_the_edge(stand: Stand) -> None:
    house = stand.house
    url = house.url("/{id}/{pass}/{revision}/source/2.m4s", passed=house.signed())
    answers = await asyncio.gather(*(stand.http.get(url) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert stand.seen.of(url) == 1
