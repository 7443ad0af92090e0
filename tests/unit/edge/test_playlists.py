"""The items of a playlist page: what the gate would let this viewer play, and not a word of anything else."""

import dataclasses
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text
from tests import footage
from tests.journeys.gated import add_key
from tests.planned import planned
from tests.playing import Playing, Published, until
from tests.unit.keys.signing import claims, pair, token

from fastpix_server.access import service as access
from fastpix_server.base import ids
from fastpix_server.edge import playlists as pages
from fastpix_server.media import playlists
from fastpix_server.media import service as media
from fastpix_server.media.playlist_schemas import CreatePlaylist
from fastpix_server.media.schemas import Rules
from fastpix_server.playback import service as playback

ONLY_HERE: dict[str, object] = {"domains": {"defaultPolicy": "deny", "allow": ["example.com"], "deny": []}}


@dataclasses.dataclass
class House:
    stage: Playing
    edge: httpx.AsyncClient
    workspace_id: str
    kid: str

    async def film(self, title: str, policy: str = "public", **options: object) -> Published:
        """A media that is Ready, as far as its row says."""
        made = await self.stage.publish(
            footage.bikes(),
            await planned(footage.bikes()),
            access_policy=policy,  # type: ignore[arg-type]
            workspace_id=self.workspace_id,
            **options,  # type: ignore[arg-type]
        )
        async with self.stage.db.unit() as tx:
            await tx.execute(
                text(
                    "insert into media (id, workspace_id, status, origin, source_url, title, metadata, media_quality,"
                    " max_resolution, source_access, optimize_audio, duration_s, created_at, updated_at) values (:id,"
                    " :workspace_id, 'Ready', 'url', '', :title, '{}', 'standard', '1080p', false, false, 10.5, now(),"
                    " now())"
                ),
                {"id": made.media_id, "workspace_id": self.workspace_id, "title": title},
            )
        return made

    async def playlist(self, *films: Published) -> str:
        body = {"name": "mine", "referenceId": ids.new_uuid(), "type": "manual"}
        async with self.stage.db.unit() as tx:
            made = await playlists.create(tx, self.workspace_id, CreatePlaylist.model_validate(body))
            await playlists.add_media(tx, self.workspace_id, made["id"], [film.media_id for film in films])
        return str(made["id"])

    def token(self, film: Published, **changes: object) -> str:
        return token(claims(film.playback_id, kid=self.kid, **changes), kid=self.kid)

    async def titles(self, playlist: str, *tokens: str, **headers: str) -> list[str]:
        return [item["title"] for item in await self.items(playlist, *tokens, **headers)]

    async def items(self, playlist: str, *tokens: str, **headers: str) -> list[dict[str, object]]:
        query = "&".join(f"token={quote(one)}" for one in tokens)
        answer = await self.edge.get(f"/play/playlist/{playlist}/items?{query}", headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert set(answer.json()) == {"name", "items"}
        return list(answer.json()["items"])


@pytest.fixture
async def house(stage: Playing, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(pages, "FRESH_S", 0.0)
    async with stage.db.unit() as tx:
        workspace = await access.create_workspace(tx, name="w")
    return House(stage, await stage.edge(), workspace.id, await add_key(stage, workspace.id, pair()))


async def test_a_playlist_shows_each_viewer_what_the_gate_lets_them_play(house: House) -> None:
    public, private = await house.film("public"), await house.film("private", "private")
    other, fenced = await house.film("other", "private"), await house.film("fenced", restrictions=ONLY_HERE)
    encrypted = await house.film("encrypted", "drm")
    playlist = await house.playlist(private, public, fenced, encrypted, other)
    here = {"Referer": "https://www.example.com/page"}
    assert await house.titles(playlist) == ["public"]
    assert await house.titles(playlist, **here) == ["public", "fenced"]
    assert await house.titles(playlist, house.token(private)) == ["private", "public"]
    both = await house.items(playlist, house.token(other), house.token(private), **here)
    assert [(item["title"], item.get("token")) for item in both] == [
        ("private", 1), ("public", None), ("fenced", None), ("other", 0),
    ]  # fmt: skip
    assert both[0] == {
        "playbackId": private.playback_id, "title": "private", "isAudioOnly": False, "duration": 10.5, "token": 1,
    }  # fmt: skip
    # The gate says the same of every one of them, and of those that were not mentioned.
    for film, text_ in ((private, house.token(private)), (public, None)):
        query = "" if text_ is None else f"?token={text_}"
        assert (await house.edge.get(f"/{film.playback_id}.m3u8{query}")).status_code == 200
    for film in (private, other, fenced, encrypted):
        assert (await house.edge.get(f"/{film.playback_id}.m3u8")).status_code in (401, 403)


async def test_bad_tokens_open_nothing_of_a_playlist(house: House) -> None:
    private = await house.film("private", "private")
    playlist = await house.playlist(private)
    async with house.stage.db.unit() as tx:
        stranger = await access.create_workspace(tx, name="another")
    stranger_kid = await add_key(house.stage, stranger.id, pair("foreign"))
    for bad in (
        house.token(private, exp=1),
        house.token(private, aud=f"media:{ids.new_uuid()}"),
        house.token(private, aud=f"media:{playlist}"),
        token(claims(private.playback_id, kid=stranger_kid), kid=stranger_kid, key=pair("foreign")),
        house.token(private)[:-4] + "AAAA",
        "x.y.z",
        "",
    ):
        assert await house.titles(playlist, bad) == [], bad
    assert await house.titles(playlist, *["nothing"] * 60, house.token(private)) == []  # beyond what one may bring
    assert await house.titles(playlist, "nothing", house.token(private)) == ["private"]


async def test_an_open_id_is_preferred_and_a_revoked_one_is_gone(house: House) -> None:
    film = await house.film("film", "private")
    playlist = await house.playlist(film)
    async with house.stage.db.unit() as tx:
        opened = await playback.create_id(
            tx, workspace_id=house.workspace_id, target_id=film.media_id, access_policy="public"
        )
    [item] = await house.items(playlist, house.token(film))
    assert (item["playbackId"], "token" in item) == (opened.id, False)
    async with house.stage.db.unit() as tx:
        await playback.delete_id(tx, film.media_id, opened.id)
    assert await house.titles(playlist) == []
    [item] = await house.items(playlist, house.token(film))
    assert item["playbackId"] == film.playback_id


async def test_a_changed_restriction_bites_at_once_and_the_other_ids_of_the_media_do_not_feel_it(house: House) -> None:
    film = await house.film("film")
    async with house.stage.db.unit() as tx:
        other = await playback.create_id(
            tx, workspace_id=house.workspace_id, target_id=film.media_id, access_policy="public", resolution="480p"
        )
    for playback_id in (film.playback_id, other.id):
        assert (await house.edge.get(f"/{playback_id}.m3u8")).status_code == 200
    rules = Rules.model_validate({"defaultPolicy": "allow", "deny": ["BadBot"]})
    async with house.stage.db.unit() as tx:
        await media.restrict_playback_id(tx, house.workspace_id, film.media_id, film.playback_id, "userAgents", rules)

    async def status(playback_id: str, agent: str) -> int:
        return (await house.edge.get(f"/{playback_id}.m3u8", headers={"User-Agent": agent})).status_code

    async def is_refused() -> bool:
        return await status(film.playback_id, "BadBot/1") == 403

    await until(is_refused, timeout_s=60)
    assert await status(film.playback_id, "badbot/1") == 200  # upper and lower case are told apart
    assert await status(other.id, "BadBot/1") == 200


async def test_a_playlist_id_is_no_playback_id(house: House) -> None:
    film = await house.film("film")
    playlist = await house.playlist(film)
    for path in (f"/{playlist}.m3u8", f"/{playlist}.mpd", f"/{playlist}/thumbnail.jpg"):
        assert (await house.edge.get(path)).status_code == 401
    for name in (ids.new_uuid(), film.playback_id, film.media_id, "nothing", "%00"):
        answer = await house.edge.get(f"/play/playlist/{name}/items")
        assert answer.status_code == 404
    assert (await house.edge.get("/play/playlist/nothing")).status_code == 404
    page = await house.edge.get(f"/play/playlist/{playlist}")
    assert page.status_code in (200, 503)  # 503 where the players were not built
    assert film.playback_id not in page.text
