"""Pages of lists: `offset` is a page number from 1, not a row (contract section 1)."""

from typing import Annotated, Literal

from fastapi import Query

from fastpix_server.base.fields import between

LIMIT_MAX = 50  # contract section 1
# Row positions are 64-bit in the database; nobody turns pages this far.
OFFSET_MAX = 1_000_000_000

Limit = Annotated[
    int,
    Query(description="Items on one page.", json_schema_extra={"minimum": 1, "maximum": LIMIT_MAX}),
    between(1, LIMIT_MAX),
]
Offset = Annotated[
    int,
    Query(description="Number of the page, from 1.", json_schema_extra={"minimum": 1, "maximum": OFFSET_MAX}),
    between(1, OFFSET_MAX),
]
Order = Annotated[Literal["asc", "desc"], Query(alias="orderBy", description="By time of creation.")]

DEFAULT_LIMIT = 10
DEFAULT_OFFSET = 1
DEFAULT_ORDER: Literal["asc", "desc"] = "desc"


def pagination(total: int, *, limit: int, offset: int) -> dict[str, int]:
    """`offsetCount` is the number of pages; 0 when there is nothing."""
    return {"totalRecords": total, "currentOffset": offset, "offsetCount": -(-total // limit)}
