"""Checks of request fields whose words reach the caller as they are: `must be between 60 and 1800`."""

from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

CONTRACT = "contract"  # type of the errors made here: their text is already the contract's
NAME_MAX_CHARS = 255  # as titles (contract section 1)


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
