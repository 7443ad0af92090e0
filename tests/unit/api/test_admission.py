"""Who is let in, how often, and to what."""

import base64

import httpx
import pytest
from tests.unit.api.conftest import PASSWORD, PEPPER, USERNAME, VIDEO, client_of

from fastpix_server.access import service as access
from fastpix_server.api import auth
from fastpix_server.api.app import create_api
from fastpix_server.base.buckets import BUCKETS_MAX, Buckets


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Bearer abc",
        basic("no colon"),
        basic(":"),
        basic(f"{USERNAME}:wrong"),
        basic(f"someone:{PASSWORD}"),
        basic("\0:\0"),
        basic("x" * 300 + ":y"),
        "Basic /////w==",
        "Basic " + "A" * 9000,
    ],
)
async def test_a_request_without_a_right_pair_is_unauthorized(api, header):
    answer = await api.http.get("/on-demand", headers={"Authorization": header}, auth=None)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == (401, "unauthorized")
    assert all(f"{n})" in error["description"] for n in (1, 2, 3))


async def test_the_right_pair_is_let_in_whatever_the_case_of_the_scheme(api):
    header = basic(f"{USERNAME}:{PASSWORD}").replace("Basic", "basic")
    assert (await api.http.get("/on-demand", headers={"Authorization": header}, auth=None)).status_code == 200


async def test_the_iam_family_answers_unauthorized_with_code_and_message_only(api):
    answer = await api.http.get("/iam/workspace", auth=("nobody", "nothing"))
    assert answer.json() == {"success": False, "error": {"code": 401, "message": "unauthorized"}}


async def test_who_asks_is_settled_before_what_is_asked(api):
    answer = await api.http.post("/on-demand/not-an-id/playback-ids", content=b"{", auth=("nobody", "nothing"))
    assert answer.status_code == 401


async def test_a_token_without_the_permission_hears_which_one_is_missing(api):
    async with api.db.unit() as tx:
        token = await access.create_token(
            tx, pepper=PEPPER, workspace_id=api.workspace_id, name="reader", permissions=["video:read"]
        )
    async with api.other(token.id, token.secret) as reader:
        assert (await reader.get("/on-demand")).status_code == 200
        assert (await reader.get("/iam/workspace")).status_code == 200
        refused = await reader.post("/on-demand", json=VIDEO)
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == "forbidden"
    assert "permission video:write" in refused.json()["error"]["description"]


async def test_media_of_another_workspace_do_not_exist(api):
    mine = await api.create()
    async with api.db.unit() as tx:
        other = await access.create_workspace(tx, name="Other")
        token = await access.create_token(tx, pepper=PEPPER, workspace_id=other.id, name="other")
    async with api.other(token.id, token.secret) as stranger:
        path = f"/on-demand/{mine['id']}"
        playback = {"playbackId": mine["playbackIds"][0]["id"]}
        answers = [
            await stranger.get(path),
            await stranger.patch(path, json={"title": "mine now"}),
            await stranger.delete(path),
            await stranger.get(f"{path}/input-info"),
            await stranger.get(f"{path}/playback-ids"),
            await stranger.post(f"{path}/playback-ids", json={}),
            await stranger.delete(f"{path}/playback-ids", params=playback),
            await stranger.get(f"{path}/playback-ids/{playback['playbackId']}"),
        ]
        assert [a.status_code for a in answers] == [404] * len(answers)
        assert (await stranger.get("/on-demand")).json()["data"] == []
    assert (await api.http.get(path)).status_code == 200


async def test_a_token_that_asks_too_fast_is_told_when_to_come_back(api):
    slow = create_api(api.context)
    slow.state.buckets = Buckets(rate_per_s=0.5, burst=2)
    transport = httpx.ASGITransport(slow)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", auth=(USERNAME, PASSWORD)) as http:
        answers = [await http.get("/on-demand") for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "2"
    assert answers[2].json()["error"]["code"] == 429


def test_a_bucket_refills_with_time_up_to_its_burst():
    buckets = Buckets(rate_per_s=2, burst=3)
    assert [buckets.take("a", now_s=0) for _ in range(4)] == [0, 0, 0, 1]
    assert [buckets.take("a", now_s=0.5), buckets.take("a", now_s=0.5)] == [0, 1]
    assert [buckets.take("a", now_s=1000) for _ in range(4)] == [0, 0, 0, 1]
    assert buckets.take("b", now_s=1000) == 0


def test_only_so_many_buckets_are_remembered():
    buckets = Buckets(rate_per_s=1, burst=1)
    assert buckets.take("first", now_s=0) == 0
    for n in range(BUCKETS_MAX - 1):
        buckets.take(str(n), now_s=0)
    assert buckets.take("first", now_s=0) == 1
    for n in range(BUCKETS_MAX):
        buckets.take(str(n), now_s=0)
    assert buckets.take("first", now_s=0) == 0


def test_every_route_belongs_to_an_area():
    assert auth.permission_for("/on-demand/{mediaId}", "GET") == "video:read"
    assert auth.permission_for("/on-demand", "POST") == "video:write"
    assert auth.permission_for("/iam/workspace", "GET") is None
    assert auth.permission_for("/iam/signing-keys", "DELETE") == "system:write"
    with pytest.raises(LookupError):
        auth.permission_for("/on-demandish", "GET")


async def test_a_revoked_token_is_refused_once_the_memory_of_it_is_over(api):
    async with api.db.unit() as tx:
        token = await access.create_token(tx, pepper=PEPPER, workspace_id=api.workspace_id, name="brief")
    async with client_of(api.context, token.id, token.secret) as http:
        assert (await http.get("/on-demand")).status_code == 200
    async with api.db.unit() as tx:
        assert await access.revoke_token(tx, token.id)
    async with client_of(api.context, token.id, token.secret) as http:
        assert (await http.get("/on-demand")).status_code == 401
