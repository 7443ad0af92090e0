"""Access tokens through the API: what is shown once, what cannot be given away, and what stays out of reach."""

import asyncio
import base64
import dataclasses
import ipaddress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from tests.unit.api.conftest import PASSWORD, PEPPER, USERNAME

from fastpix_server.access import attempts, service
from fastpix_server.api.app import create_api
from fastpix_server.api.auth import read_basic
from fastpix_server.base import ids
from fastpix_server.base.client_address import Network

PATH = "/iam/access-tokens"


async def create(http: httpx.AsyncClient, *permissions: str, name: str = "ci", **headers: str) -> httpx.Response:
    return await http.post(PATH, json={"name": name, "permissions": list(permissions)}, headers=headers)


async def made(http: httpx.AsyncClient, *permissions: str) -> tuple[str, str]:
    answer = await create(http, *permissions)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]["id"], answer.json()["data"]["secretKey"]


async def test_a_new_token_shows_its_secret_once_and_works_at_once(api):
    data = (await create(api.http, "video:read", "video:read", "data:read")).json()["data"]
    assert list(data) == ["id", "name", "permissions", "secretKey", "createdAt"]
    assert ids.is_uuid(data["id"])
    assert data["permissions"] == ["data:read", "video:read"]
    async with api.other(data["id"], data["secretKey"]) as http:
        assert (await http.get("/on-demand")).status_code == 200
    for answer in (await api.http.get(PATH), await api.http.get(f"{PATH}/{data['id']}")):
        assert answer.status_code == 200
        assert data["id"] in answer.text
        assert data["secretKey"] not in answer.text


async def test_tokens_are_listed_newest_first_with_pages_and_the_time_of_their_last_use(api):
    first, _ = await made(api.http, "video:read")
    second, secret = await made(api.http, "*")
    async with api.other(second, secret) as http:
        body = (await http.get(PATH, params={"limit": 2})).json()
    assert [token["id"] for token in body["data"]] == [second, first]
    assert body["pagination"] == {"totalRecords": 3, "currentOffset": 1, "offsetCount": 2}
    assert ["lastUsedAt" in token for token in body["data"]] == [True, False]


async def test_the_time_of_the_last_use_is_written_once_a_minute(api):
    async def used() -> object:
        async with api.db.unit() as tx:
            await service.authenticate(tx, USERNAME, PASSWORD, pepper=PEPPER)
        async with api.db.unit() as tx:
            query = text("select last_used_at from access_tokens where id = :id")
            return (await tx.execute(query, {"id": USERNAME})).scalar_one()

    first = await used()
    assert first is not None
    assert await used() == first
    async with api.db.unit() as tx:
        await tx.execute(text("update access_tokens set last_used_at = now() - interval '61 s'"))
    assert await used() > first


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"permissions": ["*"]}, "name", "must not be null"),
        ({"name": " ", "permissions": ["*"]}, "name", "must not be empty"),
        ({"name": "n" * 256, "permissions": ["*"]}, "name", "must be at most 255 characters"),
        ({"name": "n"}, "permissions", "must not be null"),
        ({"name": "n", "permissions": []}, "permissions", "must not be empty"),
        ({"name": "n", "permissions": ["video:eat"]}, "permissions[0]", "is invalid"),
        ({"name": "n", "permissions": "video:read"}, "permissions", "is invalid"),
        ({"name": "n", "permissions": ["*"] * 33}, "permissions", "must have at most 32 entries"),
    ],
)
async def test_a_bad_field_is_named(api, body, field, message):
    answer = await api.http.post(PATH, json=body)
    assert (answer.status_code, answer.json()["error"]["fields"]) == (422, [{"field": field, "message": message}])


@pytest.mark.parametrize("wanted", ["video:write", "*"])
async def test_a_token_cannot_give_away_what_it_does_not_hold(api, wanted):
    async with api.other(*await made(api.http, "system:write", "video:read")) as http:
        assert (await create(http, "system:write", "video:read")).status_code == 201
        refused = await create(http, "video:read", wanted)
    assert refused.status_code == 403
    assert f"permission {wanted}," in refused.json()["error"]["description"]


async def test_a_repeated_idempotency_key_gives_the_secret_of_a_mighty_token_to_nobody_else(api):
    first = await create(api.http, "*", **{"Idempotency-Key": "k"})
    again = await create(api.http, "*", **{"Idempotency-Key": "k"})
    assert again.json() == first.json()
    async with api.other(*await made(api.http, "system:write")) as http:
        refused = await create(http, "*", **{"Idempotency-Key": "k"})
    assert refused.status_code == 403
    assert first.json()["data"]["secretKey"] not in refused.text


async def test_a_full_workspace_is_told_its_limit(api, monkeypatch):
    monkeypatch.setattr(service, "TOKENS_MAX", 2)
    token, _ = await made(api.http, "video:read")
    refused = await create(api.http, "video:read")
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "access token limit reached")
    assert (await api.http.delete(f"{PATH}/{token}")).status_code == 200
    assert (await create(api.http, "video:read")).status_code == 201


async def test_a_revoked_token_is_gone_and_opens_nothing(api):
    token, secret = await made(api.http, "video:read")
    assert (await api.http.delete(f"{PATH}/{token}")).json() == {"success": True}
    for again in (await api.http.delete(f"{PATH}/{token}"), await api.http.get(f"{PATH}/{token}")):
        assert (again.status_code, again.json()["error"]) == (404, {"code": 404, "message": "access token not found"})
    async with api.other(token, secret) as http:
        assert (await http.get("/on-demand")).status_code == 401


async def test_the_last_token_that_manages_tokens_stays(api):
    await made(api.http, "video:write", "system:read")
    refused = await api.http.delete(f"{PATH}/{USERNAME}")
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "last managing access token")
    heir, secret = await made(api.http, "system:write")
    async with api.other(heir, secret) as http:
        assert (await http.delete(f"{PATH}/{USERNAME}")).status_code == 200
        assert (await http.delete(f"{PATH}/{heir}")).status_code == 400


async def test_two_tokens_that_revoke_each_other_at_once_do_not_empty_the_workspace(api):
    heir, secret = await made(api.http, "system:write")
    async with api.other(heir, secret) as http:
        told = await asyncio.gather(api.http.delete(f"{PATH}/{heir}"), http.delete(f"{PATH}/{USERNAME}"))
    assert sorted(answer.status_code for answer in told) in ([200, 400], [200, 401])


async def test_a_first_token_that_was_revoked_stays_so_at_the_next_start_until_its_password_changes(api):
    heir, secret = await made(api.http, "*")
    async with api.other(heir, secret) as http:
        assert (await http.delete(f"{PATH}/{USERNAME}")).status_code == 200
    for password, opens in ((PASSWORD, False), ("another", True)):
        async with api.db.unit() as tx:
            await service.ensure_first(tx, pepper=PEPPER, username=USERNAME, password=password)
        async with api.db.unit() as tx:
            found = await service.authenticate(tx, USERNAME, password, pepper=PEPPER)
        assert (found is not None) == opens


async def test_no_secret_is_logged_or_stored(api, capsys):
    _, secret = await made(api.http, "*")
    assert secret not in "".join(capsys.readouterr())
    async with api.db.unit() as tx:
        for table in ("access_tokens", "idempotent_answers"):
            assert secret not in str((await tx.execute(text(f"select * from {table}"))).all())


async def test_who_guesses_is_told_to_slow_down_by_the_address_that_a_trusted_proxy_saw(api, monkeypatch):
    monkeypatch.setattr(attempts, "ADDRESS_PER_S", 1 / 3600)  # not faster on a slow machine

    async def guess(http: httpx.AsyncClient, address: str, pair: tuple[str, str]) -> httpx.Response:
        return await http.get("/on-demand", auth=pair, headers={"X-Forwarded-For": f"192.0.2.77, {address}"})

    proxies: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"),)
    app = create_api(dataclasses.replace(api.context, trusted_proxies=proxies))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        told = [await guess(http, "198.51.100.1", (USERNAME, f"wrong {n}")) for n in range(attempts.ADDRESS_BURST + 1)]
        assert {answer.status_code for answer in told[:-1]} == {401}
        assert told[-1].status_code == 429
        assert 1 <= int(told[-1].headers["retry-after"]) <= 3600
        assert told[-1].json()["error"]["message"] == "too many requests"
        assert (await guess(http, "198.51.100.1", (USERNAME, PASSWORD))).status_code == 429
        assert (await guess(http, "198.51.100.2", (USERNAME, PASSWORD))).status_code == 200


@given(username=st.text().filter(lambda t: ":" not in t), password=st.text())
def test_every_pair_survives_the_header(username, password):
    try:
        encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
    except UnicodeEncodeError:
        return
    header = f"Basic {encoded}"
    assert read_basic(header) == ((username, password) if len(header) <= 4096 else None)


@given(st.text() | st.text().map(lambda t: f"Basic {t}") | st.binary().map(lambda b: f"basic {base64.b64encode(b)!r}"))
def test_no_header_breaks_the_reader(header):
    found = read_basic(header)
    assert found is None or ":" not in found[0]
