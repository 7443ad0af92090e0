"""What callers may ask of playlists: the request bodies (contract section 2.3). Rules as in media/schemas.py."""

import datetime
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from fastpix_server.base.fields import between, refused
from fastpix_server.media.shapes import Request, Text, Uuid

MEDIA_MAX = 1000  # contract 2.3: the default of `limit`, and its most
DESCRIPTION_MAX_CHARS = 1000  # the schema names no bound; a paragraph or two fit
PlayOrder = Literal["createdDate ASC", "createdDate DESC"]

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _date(value: str) -> str:
    if _DATE.fullmatch(value) is None:
        raise refused("must be a date like 2026-11-26")
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        raise refused("must be a date like 2026-11-26") from None
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise refused("must not be empty")
    return value


def _description(value: str) -> str:
    if len(value) > DESCRIPTION_MAX_CHARS:
        raise refused(f"must be at most {DESCRIPTION_MAX_CHARS} characters")
    return value


Date = Annotated[str, AfterValidator(_date), Field(json_schema_extra={"format": "date"})]
Name = Annotated[Text, AfterValidator(_not_blank)]
Description = Annotated[str, AfterValidator(_description)]
MediaIdList = Annotated[list[Uuid], Field(max_length=MEDIA_MAX)]


class DateRange(Request):
    """Whole days in UTC, both included."""

    start_date: Date
    end_date: Date

    @model_validator(mode="after")
    def _in_order(self) -> "DateRange":
        if self.end_date < self.start_date:
            raise refused("must not be before startDate", below="endDate")
        return self


class Filters(Request):
    """`metadata` of a smart playlist: which media it is filled with."""

    created_date: DateRange
    updated_date: DateRange | None = None


class CreatePlaylist(Request):
    name: Name
    reference_id: Name
    type: Literal["manual", "smart"]
    description: Description | None = None
    limit: Annotated[int, between(1, MEDIA_MAX), Field(json_schema_extra={"minimum": 1, "maximum": MEDIA_MAX})] = (
        MEDIA_MAX
    )
    play_order: PlayOrder | None = Field(default=None, validate_default=True)
    metadata: Filters | None = Field(default=None, validate_default=True)

    @field_validator("play_order", "metadata")
    @classmethod
    def _belongs_to_smart_ones(cls, value: object, info: ValidationInfo) -> object:
        kind, name = info.data.get("type"), {"play_order": "playOrder"}.get(info.field_name or "", info.field_name)
        if kind == "smart" and value is None:
            raise refused("must not be null", named=str(name))
        if kind == "manual" and value is not None:
            raise refused("is for smart playlists only", named=str(name))
        return value


class UpdatePlaylist(Request):
    """Both are required (contract 2.3 op 29); an empty description removes it."""

    name: Name
    description: Description


class MediaIds(Request):
    media_ids: MediaIdList
