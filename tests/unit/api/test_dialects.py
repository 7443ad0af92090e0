"""Which generation a client expects, and what changes for it."""

import dataclasses
import json

import pytest
from sqlalchemy import text
from tests.unit.api.conftest import PASSWORD, USERNAME, client_of

from fastpix_server.api import dialects


@pytest.mark.parametrize(
    ("agent", "generation"),
    [
        ("fastpix-sdk/python 1.2.0 2.723.4 1.2.0 fastpix_python", 3),
        ("fastpix-sdk/python 1.1.5 2.723.4 1.0.0 fastpix_python", 2),
        ("fastpix-sdk/python 1.1.4 2.723.4 1.0.0 fastpix_python", 2),
        ("fastpix-sdk/python 1.1.3 2.723.4 1.0.0 fastpix_python", 1),
        ("fastpix-sdk/typescript 2.0.5 2.7 1.0.0 @fastpix/fastpix-node", 1),
        ("fastpix-sdk/typescript 2.1.0 2.7 1.0.0 @fastpix/fastpix-node", 3),
        ("fastpix-sdk/csharp 1.1.9 2.7 1.0.0 Fastpix", 1),
        ("fastpix-sdk/csharp 1.3.0 2.7 1.0.0 Fastpix", 3),
        ("fastpix-sdk/go 9.9.9 2.7 1.0.0 fastpix-go", 1),
        ("fastpix-sdk/java 1.0.4 2.7 1.0.0 fastpix-java", 2),
        ("speakeasy-sdk/php 1.0.0 2.7 1.0.0 fastpix", 1),
        ("speakeasy-sdk/ruby 1.0.0 2.7 1.0.0 fastpix", 1),
        ("python-httpx/0.28", 3),
        ("fastpix-sdk/", 3),
        ("", 3),
    ],
)
def test_the_user_agent_says_which_generation_is_expected(agent, generation):
    assert dialects.generation_of({"user-agent": agent}, "auto") == generation


def test_the_header_wins_over_the_setting_and_the_setting_over_the_agent():
    old = {"user-agent": "fastpix-sdk/go 1.0.0"}
    assert dialects.generation_of(old, "3") == 3
    assert dialects.generation_of({**old, "x-fastpix-api-generation": "2"}, "3") == 2
    assert dialects.generation_of({**old, "x-fastpix-api-generation": "4"}, "auto") == 1


def rewritten(data, generation):
    return json.loads(dialects.rewrite(json.dumps({"success": True, "data": data}).encode(), generation))["data"]


def test_durations_become_clock_times_and_mp4_support_one_word_for_the_first_generation():
    media = {"duration": 183.5, "mp4Support": [{"type": "capped_4k"}, {"type": "audioOnly"}], "title": "t"}
    assert rewritten(media, 1) == {"duration": "00:03:03", "mp4Support": "audioOnly,capped_4k", "title": "t"}
    assert rewritten([media], 2) == [{**media, "duration": "00:03:03"}]
    assert rewritten(media, 3) == media
    assert rewritten({"mediaList": [{"duration": 3725}]}, 1) == {"mediaList": [{"duration": "01:02:05"}]}
    assert rewritten("text", 1) == "text"


async def test_an_old_client_reads_clock_times_from_get_and_list(api):
    made = await api.create()
    async with api.db.unit() as tx:
        await tx.execute(text("update media set duration_s = 10.04"))
    old = {"User-Agent": "fastpix-sdk/go 1.0.0"}
    assert (await api.http.get(f"/on-demand/{made['id']}", headers=old)).json()["data"]["duration"] == "00:00:10"
    listed = await api.http.get("/on-demand", headers=old)
    assert listed.json()["data"][0]["duration"] == "00:00:10"
    assert int(listed.headers["content-length"]) == len(listed.content)
    assert (await api.http.get(f"/on-demand/{made['id']}")).json()["data"]["duration"] == 10.04


async def test_the_setting_spells_answers_for_everybody(api):
    made = await api.create()
    async with api.db.unit() as tx:
        await tx.execute(text("update media set duration_s = 10.04"))
    context = dataclasses.replace(api.context, generation="1")
    async with client_of(context, USERNAME, PASSWORD) as http:
        assert (await http.get(f"/on-demand/{made['id']}")).json()["data"]["duration"] == "00:00:10"
