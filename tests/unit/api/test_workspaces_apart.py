"""No id of another workspace is ever visible: every operation is tried with the ids of somebody else.

The operations are those that the API really routes, so a new one without a line in worlds.py fails here.
"""

import itertools
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from tests.unit.api.conftest import PEPPER, VIDEO, one_api
from tests.unit.api.worlds import (
    ASKS,
    MAKERS,
    Ask,
    World,
    client_of,
    kinds_of,
    make_world,
    operations,
    random_like,
    routes_of,
    send,
)
from tests.video_data import Engine

from fastpix_server.access import service as access
from fastpix_server.access.model import PERMISSIONS
from fastpix_server.api.app import equip
from fastpix_server.api.context import ApiContext
from fastpix_server.api.unit import UnitRoute
from fastpix_server.db.pool import Database
from fastpix_server.storage.open import open_store

# The document and its page: they show no object, and need no token.
OPEN_PATHS = {"/openapi.json", "/docs"}
# What each first segment of a path needs, written down a second time on purpose.
AREAS = {"on-demand": "video", "live": "video", "data": "data", "iam": "system", "webhooks": "system"}


@pytest.fixture
async def api(module_database_url: str, tmp_path: Path, engine: Engine) -> AsyncIterator[FastAPI]:
    """One database for all tests here: each makes workspaces of its own."""
    db = await Database.open(module_database_url, size=6)
    storage = open_store(f"file://{tmp_path}/objects", {}, tmp_path / "work")
    context = ApiContext(
        db=db,
        storage=storage,
        pepper=PEPPER,
        public_url="http://test",
        rate_per_s=10_000,
        rate_burst=10_000,
        video_data=engine,
    )
    api = one_api()
    equip(api, context)
    yield api
    await db.close()


def routed(api: FastAPI) -> dict[str, tuple[str, str]]:
    return {name: (method, path) for name, method, path in operations(api)}


async def rows_of(world: World) -> set[tuple[str, str]]:
    """Every row of every table that names the workspace or one of its objects, as text."""
    async with world.db.unit() as tx:
        tables = await tx.execute(
            text(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
                " and relname not like 'procrastinate%' and pg_relation_size(oid) > 0"
            )
        )
        each = [
            f"select '{table}', shown from (select (to_jsonb(t) - 'last_used_at')::text as shown from \"{table}\" t) s"
            " where exists (select 1 from unnest(cast(:secrets as text[])) word where strpos(shown, word) > 0)"
            for table in tables.scalars()
        ]
        rows = await tx.execute(text(" union all ".join(each)), {"secrets": list(world.secrets())})
        return {(table, row) for table, row in rows}


async def test_every_operation_has_its_lines_here(api: FastAPI):
    assert set(ASKS) == set(routed(api))
    for name, (_method, path) in routed(api).items():
        parameters = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert all(set(ask.path) == parameters for ask in ASKS[name]), name


async def test_what_is_no_operation_is_known_to_show_no_object(api: FastAPI):
    others = {getattr(r, "path", r) for r in routes_of(api) if not isinstance(r, UnitRoute)}
    assert others == OPEN_PATHS


def mixtures(ask: Ask) -> list[tuple[str, ...]]:
    """Which kinds are somebody else's: each alone beside our own objects, then more together."""
    kinds = ask.kinds
    return [some for n in range(1, len(kinds) + 1) for some in itertools.combinations(kinds, n)]


@pytest.fixture(scope="module")
def kept() -> list[World]:
    """Two worlds with everything in them, made by the first test that only reads."""
    return []


async def two_worlds(api: FastAPI, kept: list[World], name: str) -> tuple[World, World]:
    """Ours and theirs: who only reads gets the same ones again and again."""
    if routed(api)[name][0] != "GET":
        return await make_world(api, kinds_of(ASKS[name])), await make_world(api, kinds_of(ASKS[name]))
    if not kept:
        kept += [await make_world(api, MAKERS), await make_world(api, MAKERS)]
    for world in kept:
        world.db, world.video_data = api.state.context.db, api.state.context.video_data
        if name.startswith("current-views"):  # the view of an earlier test may be too old to be of now
            world.ids["view"] = await MAKERS["view"](world)
    return kept[0], kept[1]


@pytest.mark.parametrize("name", ASKS)
async def test_an_id_of_another_workspace_is_answered_like_one_that_never_was(
    api: FastAPI, kept: list[World], name: str
):
    """And in the end to its owner: otherwise the refusals would prove nothing."""
    method, template = routed(api)[name]
    ours, theirs = await two_worlds(api, kept, name)
    before = await rows_of(theirs)
    assert before
    for ask in ASKS[name]:
        for foreign in mixtures(ask):
            stolen = {**ours.ids, **{kind: theirs.ids[kind] for kind in foreign}}
            made_up = {**ours.ids, **{kind: random_like(theirs.ids[kind]) for kind in foreign}}
            told = await send(ours.http, method, template, ask, stolen)
            expected = await send(ours.http, method, template, ask, made_up)
            assert told.status_code < 500, told.text
            assert seen(told) == seen(expected)
            assert not [secret for secret in theirs.secrets() if secret in told.text]
        if not ask.kinds:
            told = await send(ours.http, method, template, ask, {})
            assert told.status_code == ask.status, told.text
            assert not [secret for secret in theirs.secrets() if secret in told.text]
    assert await rows_of(theirs) == before
    for ask in ASKS[name]:
        told = await send(theirs.http, method, template, ask, theirs.ids)
        assert told.status_code == ask.status, told.text
        if method == "GET" and ask.status < 300 and ask.is_shown:
            assert [secret for secret in theirs.secrets() if secret in told.text]


def seen(told: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Everything of an answer but the name of the request."""
    return told.status_code, told.content, [pair for pair in told.headers.items() if pair[0] != "x-request-id"]


async def test_an_idempotency_key_of_another_workspace_replays_nothing(api: FastAPI):
    ours, theirs = await make_world(api, ()), await make_world(api, ())
    header = {"Idempotency-Key": "the same"}
    first = await theirs.http.post("/on-demand", json=VIDEO, headers=header)
    again = await ours.http.post("/on-demand", json=VIDEO, headers=header)
    assert again.status_code == 201
    assert "idempotency-replayed" not in again.headers
    assert again.json()["data"]["id"] != first.json()["data"]["id"]


@pytest.mark.parametrize("permission", PERMISSIONS)
async def test_what_a_permission_opens_is_opened_by_it_alone_and_by_no_other(api: FastAPI, permission: str):
    """Who has every permission but the one that is needed hears which is missing."""
    world = await make_world(api, ())

    async def holder_of(*permissions: str) -> httpx.AsyncClient:
        async with world.db.unit() as tx:
            return client_of(
                api,
                await access.create_token(
                    tx, pepper=PEPPER, workspace_id=world.workspace_id, name="t", permissions=permissions
                ),
            )

    one, others = await holder_of(permission), await holder_of(*(p for p in PERMISSIONS if p != permission))
    nothing = {kind: str(uuid.uuid4()) for kind in MAKERS}
    tried = 0
    for name, (method, template) in routed(api).items():
        area = AREAS[template.split("/")[1]]
        needed = None if name == "get-workspace" else f"{area}:{'read' if method == 'GET' else 'write'}"
        if needed in (None, permission):
            told = await send(one, method, template, ASKS[name][0], nothing)
            assert told.status_code not in (401, 403), (name, told.text)
        if needed == permission:
            told = await send(others, method, template, ASKS[name][0], nothing)
            assert told.status_code == 403, (name, told.text)
            error = told.json()["error"]
            assert error["message"] == "forbidden"
            assert f"permission {needed}." in error["description"]
            tried += 1
    assert tried > 2
