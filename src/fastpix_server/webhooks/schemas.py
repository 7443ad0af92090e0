"""What callers may ask of webhooks: the request bodies. Strict, every bad field is reported, others are ignored."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from fastpix_server.base.fields import Name, ReceiverUrl, between, refused
from fastpix_server.webhooks import signing

GRACE_S = 86_400  # a day: every program of the owner is deployed anew within one
GRACE_MAX_S = 7 * 86_400


def _secret(value: str) -> str:
    if signing.read_secret(value) is None:
        raise refused(f"must be base64 of {signing.SECRET_BYTES} to {signing.SECRET_MAX_BYTES} bytes")
    return value


def _moment(value: str) -> str:
    read_moment(value)
    return value


def read_moment(value: str) -> datetime:
    """ISO 8601; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise refused("is invalid") from None


Secret = Annotated[str, AfterValidator(_secret)]
Moment = Annotated[str, AfterValidator(_moment), Field(json_schema_extra={"format": "date-time"})]


class _Asked(BaseModel):
    model_config = ConfigDict(strict=True, alias_generator=to_camel, populate_by_name=True)


class NewWebhook(_Asked):
    url: ReceiverUrl
    name: Name | None = Field(default=None, description="For people.")
    signing_secret: Secret | None = Field(default=None, description="Yours; without one it is made.")


class ChangedWebhook(_Asked):
    """What is absent or null stays as it is."""

    url: ReceiverUrl | None = Field(default=None, description="It is probed before anything goes there.")
    name: Name | None = None
    is_enabled: bool | None = Field(default=None, description="`true` probes the URL again.")


class Rotation(_Asked):
    grace_seconds: Annotated[int, between(0, GRACE_MAX_S)] = Field(
        default=GRACE_S, description="For so long the old secret signs a second header."
    )
    signing_secret: Secret | None = Field(default=None, description="Yours; without one it is made.")


class Replay(_Asked):
    """Events of [from, to)."""

    from_: Moment = Field(alias="from")
    to: Moment | None = Field(default=None, description="Until now, when absent.")
    only_undelivered: bool = Field(default=True, description="`false` repeats what was taken as well.")
