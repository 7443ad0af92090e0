"""Checks of request fields whose words reach the caller as they are: `must be between 60 and 1800`."""

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

CONTRACT = "contract"  # type of the errors made here: their text is already the contract's


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
