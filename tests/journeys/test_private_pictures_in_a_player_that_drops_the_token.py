"""Players send the token with the manifest and the description, and ask for pictures without it.

Two ways are open to them: the signed `url` of the description, and the cookie; neither opens anything else.
"""

import dataclasses
import re
import time
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import pytest
from tests import footage
from tests.journeys.gated import House, refused, served, until_refused
from tests.planned import planned
from tests.playing import PATH_KEYS
from tests.unit.keys.signing import claims, pair, token

from fastpix_server.base import ids
from fastpix_server.edge import picture_cookie
from fastpix_server.playback import service as playback
from fastpix_server.playback.signed_path import PICTURES, expiry_s

SHEETS = ("spritesheet.jpg", "spritesheet.png", "advanced-spritesheet.jpg")
PICTURES_OF = ("/{id}/thumbnail.jpg", *("/{id}/" + name for name in SHEETS))
GIVE_A_COOKIE = ("/{id}.m3u8", "/{id}.mpd", "/{id}/spritesheet.json", "/{id}/thumbnail.jpg", "/{id}/spritesheet.jpg")


async def cookie_of(house: House, form: str = "/{id}.m3u8", text: str | None = None) -> str:
    answer = await served(house.edge, house.url(form, text=text or house.good()))
    found = SimpleCookie(answer.headers["set-cookie"])[picture_cookie.NAME]
    return f"{picture_cookie.NAME}={found.value}"


@pytest.mark.parametrize("name", ["spritesheet", "advanced-spritesheet"])
async def test_the_description_of_a_private_sheet_names_a_url_that_needs_no_token(house: House, name: str) -> None:
    edge = house.edge
    described = (await served(edge, house.url(f"/{{id}}/{name}.json?interval=5", text=house.good()))).json()
    assert "token" not in described["url"]
    url = urlsplit(described["url"])
    answer = await served(edge, f"{url.path}?{url.query}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"].startswith("public, max-age=")
    # Neither another picture format nor size needs another pass, but nothing else opens by it.
    root = url.path.rpartition("/")[0]
    await served(edge, f"{root}/thumbnail.webp?width=64")
    plan = house.video.plan
    assert "path_signature" in await refused(edge, f"{root}/{plan.revision}/source/0.m4s")
    for form in ("spritesheet.json", "advanced-spritesheet.json"):
        assert (await edge.get(f"{root}/{form}")).status_code == 404


async def test_the_url_of_a_sheet_lives_as_long_as_the_paths_of_its_video(house: House) -> None:
    described = (await served(house.edge, house.url("/{id}/spritesheet.json", text=house.good()))).json()
    expires_at_s = int(re.findall(r"/1\.(\d+)\.", described["url"])[0])
    duration_s = house.video.plan.timeline.duration_s
    assert expires_at_s in {expiry_s(duration_s, time.time() - 30), expiry_s(duration_s, time.time())}


@pytest.mark.parametrize("form", GIVE_A_COOKIE)
async def test_a_token_is_answered_with_a_cookie_that_opens_the_pictures_of_that_id(house: House, form: str) -> None:
    answer = await served(house.edge, house.url(form, text=house.good()))
    assert answer.headers["cache-control"].startswith("private")
    [said] = answer.headers.get_list("set-cookie")
    parts = {part.strip().partition("=")[0]: part.strip().partition("=")[2] for part in said.split(";")}
    assert parts["Path"] == f"/{house.video.playback_id}/"
    assert parts["SameSite"] == "Strict"
    assert "HttpOnly" in parts
    assert 0 < int(parts["Max-Age"]) <= 3 * 3600
    cookie = f"{picture_cookie.NAME}={parts[picture_cookie.NAME]}"
    for picture in PICTURES_OF:
        shown = await served(house.edge, house.url(picture), Cookie=cookie)
        assert shown.headers["cache-control"].startswith("private")
        assert "set-cookie" not in shown.headers, "a cookie does not renew itself"


async def test_the_cookie_opens_pictures_and_nothing_else(house: House) -> None:
    edge, cookie, plan = house.edge, await cookie_of(house), house.video.plan
    for form in ("/{id}.m3u8", "/{id}.mpd", "/{id}/spritesheet.json", "/{id}/advanced-spritesheet.json"):
        assert "token_missing" in await refused(edge, house.url(form), Cookie=cookie)
    for name in ("source/index.m3u8", "source/init.mp4", "source/0.m4s"):
        said = await refused(edge, f"/{house.video.playback_id}/{plan.revision}/{name}", Cookie=cookie)
        assert "token_missing" in said


async def test_a_cookie_is_refused_when_anything_of_it_is_wrong(house: House) -> None:
    kid = await house.key(pair("third"))
    dying = await cookie_of(house, text=house.good(kid, pair("third")))
    await served(house.edge, house.url(PICTURES_OF[0]), Cookie=dying)
    await house.delete_key(kid)
    bad = {
        "of another id": (house.scoped(PICTURES, playback_id=ids.new_uuid()), "path_signature"),
        "a pass for the video": (house.scoped(), "path_signature"),
        "expired": (house.scoped(PICTURES, left_s=-1), "path_expired"),
        "of an unknown key": (house.scoped(PICTURES, kid=ids.new_uuid()), "token_key_unknown"),
        "without a signing key": (
            PATH_KEYS.sign(house.video.playback_id, PICTURES, 4_000_000_000, None),
            "token_missing",
        ),
        "malformed": ("x" * 4000, "path_malformed"),
        "empty": ("", "path_malformed"),
    }
    for picture in PICTURES_OF:
        await until_refused_with(house, picture, dying)
        for name, (passed, reason) in bad.items():
            said = await refused(house.edge, house.url(picture), Cookie=f"{picture_cookie.NAME}={passed}")
            assert reason in said, (picture, name, said)
        # A bad token is refused whatever else is there.
        good = f"{picture_cookie.NAME}={house.scoped(PICTURES)}"
        await served(house.edge, house.url(picture), Cookie=good)
        assert "token_expired" in await refused(house.edge, house.url(picture, text=house.good(exp=1)), Cookie=good)


async def until_refused_with(house: House, form: str, cookie: str) -> None:
    house.edge.headers["Cookie"] = cookie
    try:
        await until_refused(house.edge, house.url(form))
    finally:
        del house.edge.headers["Cookie"]


async def test_restrictions_hold_for_the_cookie_too(house: House) -> None:
    rules: dict[str, object] = {"domains": {"defaultPolicy": "deny", "allow": ["example.com"], "deny": []}}
    source = footage.bikes()
    video = await house.stage.publish(
        source, await planned(source), access_policy="private", workspace_id=house.mine, restrictions=rules
    )
    home = dataclasses.replace(house, video=video)
    text = token(claims(video.playback_id, kid=house.kid), kid=house.kid)
    at_home = {"Referer": "https://example.com/"}
    answer = await served(house.edge, home.url("/{id}.m3u8", text=text), **at_home)
    cookie = answer.headers["set-cookie"].partition(";")[0]
    for picture in PICTURES_OF:
        await served(house.edge, home.url(picture), Cookie=cookie, **at_home)
        said = await refused(house.edge, home.url(picture), 403, Cookie=cookie, Referer="https://evil.example/")
        assert "website" in said


async def test_a_public_id_gives_no_cookie_and_looks_at_none(house: House) -> None:
    source = footage.bikes()
    video = await house.stage.publish(source, await planned(source), workspace_id=house.mine)
    for form in (*GIVE_A_COOKIE, *PICTURES_OF):
        url = house.url(form, text=house.good(), video=video)
        answer = await served(house.edge, url, Cookie=f"{picture_cookie.NAME}=garbage")
        assert "set-cookie" not in answer.headers
    described = (await served(house.edge, house.url("/{id}/spritesheet.json", video=video))).json()
    assert described["url"] == f"http://edge/{video.playback_id}/spritesheet.jpg"


async def test_a_cookie_of_one_id_is_worth_nothing_for_another_of_the_same_video(house: House) -> None:
    cookie = await cookie_of(house)
    async with house.stage.db.unit() as tx:
        second = await playback.create_id(
            tx, workspace_id=house.mine, target_id=house.video.media_id, access_policy="private"
        )
    other = dataclasses.replace(house.video, playback_id=second.id)
    for picture in PICTURES_OF:
        assert "path_signature" in await refused(house.edge, house.url(picture, video=other), Cookie=cookie)
