"""The statements on the tables of video data that are no questions of the API (those are in queries).

Invariant: everything here may be run again at any time, by any process.
"""

from fastpix_server.views.clickhouse import ClickHouse
from fastpix_server.views.schema import EVENTS, ROWS

# A segment of beacons on a busy engine.
INSERT_TIMEOUT_S = 60.0


async def insert_rows(clickhouse: ClickHouse, lines: bytes) -> None:
    """JSON lines of view rows, as one block: all of them arrive, or none. Raises Unavailable and StatementFault."""
    await clickhouse.insert(ROWS, lines, timeout_s=INSERT_TIMEOUT_S)


async def insert_events(clickhouse: ClickHouse, lines: bytes) -> None:
    """The same for the events of views."""
    await clickhouse.insert(EVENTS, lines, timeout_s=INSERT_TIMEOUT_S)
