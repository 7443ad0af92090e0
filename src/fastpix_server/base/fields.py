"""Checks of request fields whose words reach the caller as they are: `must be between 60 and 1800`."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

CONTRACT = "contract"  # type of the errors made here: their text is already the contract's
NAME_MAX_CHARS = 255  # as titles (contract section 1)
URL_MAX_CHARS = 2048  # what browsers and proxies are sure to take


def refused(message: str, *, below: str = "", named: str = "") -> PydanticCustomError:
    """A validation error whose `message` reaches the caller.

    `below` names a member of the validated value; `named` replaces its name (a default has no alias in its place).
    """
    return PydanticCustomError(CONTRACT, "{text}", {"text": message, "below": below, "named": named})


def between(low: int, high: int) -> AfterValidator:
    """Both bounds included; the message names both."""

    def check(value: int | None) -> int | None:
        if value is not None and not low <= value <= high:
            raise refused(f"must be between {low} and {high}")
        return value

    return AfterValidator(check)


def _name(value: str) -> str:
    if not value.strip():
        raise refused("must not be empty")
    if len(value) > NAME_MAX_CHARS:
        raise refused(f"must be at most {NAME_MAX_CHARS} characters")
    return value


# What people call a thing of theirs.
Name = Annotated[str, AfterValidator(_name)]


def _receiver_url(value: str) -> str:
    """http or https, a host, nobody's password. Whether the address may be dialled is decided when it is dialled."""
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_good = is_good and "@" not in parts.netloc
    except ValueError:
        is_good = False
    if not is_good or not value.isprintable() or " " in value:
        raise refused("is invalid")
    if len(value) > URL_MAX_CHARS:
        raise refused(f"must be at most {URL_MAX_CHARS} characters")
    return value


# Where a program of the caller's is told of something by a POST.
ReceiverUrl = Annotated[str, AfterValidator(_receiver_url), Field(json_schema_extra={"format": "uri"})]
