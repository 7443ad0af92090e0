"""The analytics role speaks ClickHouse's HTTP interface: our client and the official one both work with it."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import clickhouse_connect
import msgspec
import pytest
from tests.analytics_role import AnalyticsRole

from fastpix_server.app.analytics import parse_statement
from fastpix_server.base import errors
from fastpix_server.views import reading, schema, tables
from fastpix_server.views.clickhouse import UNKNOWN_TABLE, ClickHouse, StatementFault

SINCE_EVER = reading.Opened(0)


@pytest.fixture(scope="module")
def role(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnalyticsRole]:
    role = AnalyticsRole(tmp_path_factory.mktemp("analytics"))
    role.start()
    yield role
    assert role.stop() == 0


async def test_a_text_goes_in_as_a_parameter_and_comes_back_as_it_was(role: AnalyticsRole) -> None:
    nasty = "it's a\ttab, a \\ and a\nline; {x:String} ') OR 1 -- \0 é 🎬"
    async with ClickHouse(role.url) as clickhouse:
        rows = await clickhouse.rows(
            "SELECT {text:String} AS text, {texts:Array(String)} AS texts, {n:Int64} AS n, {b:Bool} AS b,"
            " {gone:Nullable(String)} AS gone",
            {"text": nasty, "texts": [nasty, "b"], "n": -(2**53), "b": True, "gone": None},
        )
    assert rows == [{"text": nasty, "texts": [nasty, "b"], "n": -(2**53), "b": True, "gone": None}]


async def test_rows_that_arrive_twice_and_in_any_order_are_one_view(role: AnalyticsRole) -> None:
    ids = {"workspace_id": "11111111-1111-4111-8111-111111111111", "view_id": "21111111-1111-4111-8111-111111111111"}
    first = msgspec.json.encode(
        {
            **ids,
            "hour": 1795417200,
            "view_start": "2026-11-23 08:04:35.299",
            "last_event_at": "2026-11-23 08:04:35.299",
            "video_title": schema.pack_last(3, "old"),
            "watch_time": 29,
        }
    )
    later = msgspec.json.encode(
        {
            **ids,
            "hour": 1795420800,
            "last_event_at": "2026-11-23 09:04:35.299",
            "video_title": schema.pack_last(12, "new"),
            "watch_time": 1000,
            "unknown_column": 1,
        }
    )
    async with ClickHouse(role.url) as clickhouse:
        for lines in (later, first + b"\n" + later, later + b"\n" + first):
            await clickhouse.insert(schema.ROWS, lines)
        (one,) = await clickhouse.rows(reading.merged_view(["video_title", "watch_time", "player_width"]), ids)
        span = {"workspace_id": ids["workspace_id"], "after": "2026-11-23 09:00:00", "before": "2026-11-23 10:00:00"}
        (same,) = await clickhouse.rows(reading.merged_views(["video_title", "watch_time"], SINCE_EVER, 0), span)
    assert (one["video_title"], one["watch_time"], one["player_width"]) == ("new", 1000, None)
    assert one["view_start"] == "2026-11-23 08:04:35.299"
    assert one["view_end"] == "2026-11-23 09:04:35.299"
    assert same["view_start"] == one["view_start"]


async def test_a_span_has_the_views_that_end_in_it_and_no_preloads(role: AnalyticsRole) -> None:
    async with ClickHouse(role.url) as clickhouse:
        workspace = "31111111-1111-4111-8111-111111111111"
        line = '{"workspace_id":"%s","view_id":"%s","hour":"2026-11-23 08:00:00","last_event_at":"%s"%s}'
        start = ',"view_start":"2026-11-23 08:00:00.000"'
        lines = [
            line % (workspace, "00000000-0000-4000-8000-000000000001", "2026-11-23 08:30:00.000", start),
            line % (workspace, "00000000-0000-4000-8000-000000000002", "2026-11-23 08:59:59.999", start),
            line % (workspace, "00000000-0000-4000-8000-000000000003", "2026-11-23 08:40:00.000", ""),
        ]
        await clickhouse.insert(schema.ROWS, "\n".join(lines).encode())
        found = await clickhouse.rows(
            reading.merged_views([], SINCE_EVER, 0),
            {"workspace_id": workspace, "after": "2026-11-23 08:00:00", "before": "2026-11-23 08:59:59"},
        )
    assert [row["view_id"] for row in found] == ["00000000-0000-4000-8000-000000000001"]


async def test_every_derived_value_can_be_asked_for_at_once(role: AnalyticsRole) -> None:
    names = [*schema.BY_NAME, *schema.DERIVED_BY_NAME]
    async with ClickHouse(role.url) as clickhouse:
        await clickhouse.rows(
            reading.merged_views(names, SINCE_EVER, 0),
            {
                "workspace_id": "11111111-1111-4111-8111-111111111111",
                "after": "2026-11-23 00:00:00",
                "before": "2026-11-24 00:00:00",
            },
        )


async def test_a_wrong_statement_tells_its_number(role: AnalyticsRole) -> None:
    async with ClickHouse(role.url) as clickhouse:
        with pytest.raises(StatementFault) as caught:
            await clickhouse.rows("SELECT 1 FROM no_such_table")
    assert caught.value.code == UNKNOWN_TABLE


async def test_a_query_without_end_is_stopped(role: AnalyticsRole) -> None:
    async with ClickHouse(role.url) as clickhouse:
        with pytest.raises(errors.Unavailable):
            await clickhouse.rows("SELECT count() FROM numbers(1e15) WHERE sipHash64(number) = 1", timeout_s=1)


async def test_what_a_failed_statement_had_begun_to_answer_reaches_nobody_else(role: AnalyticsRole) -> None:
    async with ClickHouse(role.url) as clickhouse:

        async def fails() -> None:
            with pytest.raises(StatementFault):
                await clickhouse.rows("SELECT 'secret' AS word, throwIf(number = 3) FROM numbers(10)")

        # As many at once as there are connections, so that each has seen a failure.
        await asyncio.gather(*(fails() for _ in range(8)))
        answers = await asyncio.gather(*(clickhouse.rows("SELECT 1 AS one") for _ in range(8)))
    assert answers == [[{"one": 1}]] * 8


async def test_an_answer_without_end_is_not_read(role: AnalyticsRole) -> None:
    async with ClickHouse(role.url) as clickhouse:
        with pytest.raises(StatementFault, match="bytes"):
            await clickhouse.rows("SELECT repeat('x', 1000000) AS x FROM numbers(100)")
        assert await clickhouse.rows("SELECT 1 AS one") == [{"one": 1}]


async def test_who_has_the_wrong_password_gets_nothing(role: AnalyticsRole) -> None:
    parts = urlsplit(role.url)
    async with ClickHouse(f"http://fastpix:wrong@127.0.0.1:{parts.port}") as clickhouse:
        with pytest.raises(StatementFault, match="password"):
            await clickhouse.rows("SELECT 1")
    with pytest.raises(urllib.error.HTTPError) as caught:
        await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{parts.port}/?query=SELECT+1", timeout=30)
    assert caught.value.code == 403


async def test_a_server_that_is_away_is_told_as_unavailable() -> None:
    async with ClickHouse("http://127.0.0.1:9") as clickhouse:
        with pytest.raises(errors.Unavailable):
            await clickhouse.rows("SELECT 1")


async def test_the_retention_can_be_changed_later(role: AnalyticsRole) -> None:
    async with ClickHouse(role.url) as clickhouse:
        for days in (30, 90, 0):
            await tables.ensure(clickhouse, tables.TableOptions(retention_days=days))
            found = await clickhouse.rows(
                "SELECT engine_full FROM system.tables WHERE name IN {names:Array(String)}",
                {"names": [schema.ROWS, schema.FINISHED, schema.EVENTS]},
            )
            assert len(found) == 3
            for table in found:
                assert (f"toIntervalDay({days})" in table["engine_full"]) == bool(days)
                assert ("TTL" in table["engine_full"]) == bool(days)


def test_the_official_client_works_with_it(role: AnalyticsRole) -> None:
    parts = urlsplit(role.url)
    with clickhouse_connect.get_client(
        host="127.0.0.1", port=parts.port, username=parts.username, password=parts.password, compress=False
    ) as client:
        client.command("CREATE TABLE official (a UInt32, b String) ENGINE = MergeTree ORDER BY a")
        client.insert("official", [[1, "x"], [2, "y"]], column_names=["a", "b"])
        found = client.query("SELECT a, b FROM official WHERE b = {b:String} ORDER BY a", parameters={"b": "y"})
        assert found.result_rows == [(2, "y")]
        client.command("DROP TABLE official")


def test_cluster_tables_are_replicated_and_made_on_every_node() -> None:
    statements = tables.ddl(tables.TableOptions(retention_days=7, cluster="main"))
    assert all(" ON CLUSTER `main` " in statement for statement in statements)
    assert "ReplicatedAggregatingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}')" in statements[0]
    assert (
        "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', finished_at)" in statements[1]
    )
    assert "ReplicatedReplacingMergeTree(" in statements[2]
    assert all("toIntervalDay(7)" in statement for statement in statements)


def test_a_statement_is_found_where_clients_put_it() -> None:
    assert parse_statement({}, b"SELECT 1").sql == "SELECT 1"
    inserted = parse_statement({}, b"INSERT INTO t FORMAT JSONEachRow\n{}\n{}")
    assert (inserted.sql, inserted.data) == ("INSERT INTO t FORMAT JSONEachRow", b"{}\n{}")
    inserted = parse_statement({"query": "INSERT INTO t FORMAT Native"}, b"\x01")
    assert (inserted.sql, inserted.data) == ("INSERT INTO t FORMAT Native", b"\x01")
    bound = parse_statement({"query": "SELECT {a:Int8}", "param_a": "1", "max_threads": "2", "user": "x"}, b"")
    assert (bound.parameters, bound.settings) == ({"a": "1"}, {"max_threads": "2"})
