"""/data/realtime, /data/export/views and /data/alerts as callers see them, over the real engine."""

import base64
import csv
import dataclasses
import io
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.playing import MASTER
from tests.unit.api.conftest import PASSWORD, PEPPER, USERNAME, client_of
from tests.unit.views.test_alerts import FAILURES, views
from tests.video_data import Engine

from fastpix_server.access import service as access
from fastpix_server.api.context import ApiContext
from fastpix_server.db.pool import Database
from fastpix_server.storage.open import open_store
from fastpix_server.views.alerts import service as alerts


@dataclasses.dataclass
class Asking:
    http: httpx.AsyncClient
    workspace_id: str


@pytest.fixture
async def api(engine: Engine, database_url: str, tmp_path: Path) -> AsyncIterator[Asking]:
    alerts.configure(MASTER)
    db = await Database.open(database_url, size=4)
    storage = open_store(f"file://{tmp_path}/objects", {}, tmp_path / "work")
    context = ApiContext(
        db=db, storage=storage, pepper=PEPPER, public_url="http://test", rate_per_s=10_000, rate_burst=10_000,
        video_data=engine,
    )  # fmt: skip
    async with db.unit() as tx:
        workspace = await access.ensure_first(tx, pepper=PEPPER, username=USERNAME, password=PASSWORD)
    async with client_of(context, USERNAME, PASSWORD) as http:
        yield Asking(http, workspace.id)
    await db.close()


async def test_realtime_answers_for_the_caller_s_workspace(engine: Engine, api: Asking) -> None:
    views(engine, api.workspace_id, 3, failed=1)
    views(engine, str(uuid.uuid4()), 5, failed=5)
    answer = await api.http.get("/data/realtime", params={"minutes": 3})
    assert answer.status_code == 200
    body = answer.json()
    assert len(body["data"]["series"]) == 3
    assert body["timespan"][1] - body["timespan"][0] <= 180_000
    assert (await api.http.get("/data/realtime", params={"minutes": 61})).status_code == 422
    assert (await api.http.get("/data/realtime", params={"filterby[]": "nonsense:1"})).status_code == 400


async def test_an_export_is_a_file_of_the_caller_s_views(engine: Engine, api: Asking) -> None:
    views(engine, api.workspace_id, 3, failed=1)
    views(engine, str(uuid.uuid4()), 5, failed=5)
    answer = await api.http.get("/data/export/views", params={"timespan[]": "60:minutes"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    assert len(list(csv.DictReader(io.StringIO(answer.text)))) == 3
    parquet = await api.http.get(
        "/data/export/views", params={"format": "parquet", "filterby[]": "playback_failed:true"}
    )
    assert parquet.headers["content-type"] == "application/vnd.apache.parquet"
    assert parquet.content[:4] == b"PAR1"
    assert (await api.http.get("/data/export/views", params={"format": "xls"})).status_code == 422


async def test_the_life_of_an_alert(api: Asking) -> None:
    made = await api.http.post(
        "/data/alerts", json={**FAILURES, "url": "https://example.com/hook", "windowMinutes": 30}
    )
    assert made.status_code == 201
    data = made.json()["data"]
    assert len(base64.b64decode(data.pop("signingSecret"))) == 32
    assert (data["windowMinutes"], data["isEnabled"], data["isBreached"], data["lastValue"]) == (30, True, False, None)
    assert (await api.http.get(f"/data/alerts/{data['id']}")).json()["data"] == data
    listed = (await api.http.get("/data/alerts")).json()
    assert (listed["data"], listed["pagination"]["totalRecords"]) == ([data], 1)
    changed = await api.http.patch(f"/data/alerts/{data['id']}", json={"isEnabled": False})
    assert changed.json()["data"]["isEnabled"] is False
    assert changed.json()["data"]["threshold"] == data["threshold"]
    assert (await api.http.delete(f"/data/alerts/{data['id']}")).status_code == 200
    assert (await api.http.get(f"/data/alerts/{data['id']}")).status_code == 404
    bad = await api.http.post("/data/alerts", json={**FAILURES, "metric": "sales", "windowMinutes": 1})
    assert bad.status_code == 422
    assert {field["field"] for field in bad.json()["error"]["fields"]} == {"metric", "windowMinutes"}
    assert (await api.http.post("/data/alerts", json=FAILURES)).json()["data"].get("signingSecret") is None
