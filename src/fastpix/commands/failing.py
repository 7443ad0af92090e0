"""From what went wrong to one line on stderr and an exit code.

| code | what it means |
|---|---|
| 0 | done |
| 1 | not done: the reason is on stderr (a failed media, a name that is taken, a file that cannot be read) |
| 2 | the command itself is wrong, or a question could not be asked |
| 3 | credentials are missing, refused, or lack a permission (401, 403) |
| 4 | there is no such thing (404, 410) |
| 5 | the server refused values; each is named (422) |
| 6 | too many requests (429) |
| 7 | no answer: unreachable, or too slow; it may have been done |
| 8 | the server is in trouble, or is no server of this API (5xx, a page of a proxy) |
| 70 | a fault of this program |
| 130 | stopped by Ctrl-C |
| 141 | whoever read the output has gone |

Invariants: no text holds a control character or a password.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import click

from fastpix.commands import text

FAILED, MISUSED, NO_ACCESS, NOT_FOUND, INVALID, TOO_MANY, NO_ANSWER, SERVER = range(1, 9)
FAULT, INTERRUPTED, BROKEN_PIPE = 70, 130, 141
FIELDS_MAX = 10  # of a 422 in one line


@dataclass(frozen=True)
class Failure:
    """`error` is for programs: the error of the API where there is one."""

    exit_code: int
    sentence: str
    error: dict[str, Any]

    def tell(self, *, is_json: bool) -> None:
        if is_json:
            click.echo(json.dumps({"error": self.error, "exitCode": self.exit_code}), err=True)
        else:
            click.echo(f"Error: {self.sentence}", err=True)


def understood(fault: Exception) -> Failure:
    """Every exception has a failure; one that nobody expected is a fault of this program."""
    from fastpix import errors

    if isinstance(fault, errors.Refused):
        return _refused(fault)
    if isinstance(fault, errors.NotConfigured):
        return _plain(NO_ACCESS if "No username" in str(fault) or "No password" in str(fault) else MISUSED, str(fault))
    if isinstance(fault, errors.NoAnswer):
        return _plain(NO_ANSWER, "No answer: " + re.sub(r"\[Errno -?\d+\] ", "", str(fault)))
    if isinstance(fault, errors.BadAnswer):
        return _plain(SERVER, str(fault))
    if isinstance(fault, errors.FastPixError):
        return _plain(FAILED, str(fault))
    if isinstance(fault, OSError):
        return _plain(FAILED, f"{fault.filename}: {fault.strerror}" if fault.filename else str(fault))
    if isinstance(fault, ValueError):
        return _plain(MISUSED, str(fault))
    return _plain(FAULT, f"{type(fault).__name__}: {fault} (a fault of this program; please report it)")


def _plain(exit_code: int, sentence: str) -> Failure:
    said = text.clean(sentence)
    return Failure(exit_code, said, {"message": said})


def _refused(fault: Any) -> Failure:
    from fastpix import errors

    codes: list[tuple[type[errors.Refused], int]] = [
        (errors.Unauthorized, NO_ACCESS),
        (errors.Forbidden, NO_ACCESS),
        (errors.NotFound, NOT_FOUND),
        (errors.Gone, NOT_FOUND),
        (errors.Invalid, INVALID),
        (errors.RateLimited, TOO_MANY),
        (errors.ServerFault, SERVER),
    ]
    exit_code = next((code for kind, code in codes if isinstance(fault, kind)), FAILED)
    error: dict[str, Any] = {"code": fault.status, "message": fault.message, "description": fault.description}
    if fault.fields:
        error["fields"] = [{"field": field, "message": message} for field, message in fault.fields]
    if fault.request_id:
        error["requestId"] = fault.request_id
    where = f"{fault.status}, request {fault.request_id}" if fault.request_id else str(fault.status)
    return Failure(exit_code, text.clean(f"{_said(fault)} ({where})"), error)


def _said(fault: Any) -> str:
    """The most telling of what the server sent."""
    from fastpix import errors

    if isinstance(fault, errors.Unauthorized):
        return "The credentials were refused"
    if isinstance(fault, errors.RateLimited):
        wait_s = fault.retry_after_s
        return "Too many requests" + (f"; try again in {wait_s:.0f} s" if wait_s else "")
    if fault.fields:
        rest = len(fault.fields) - FIELDS_MAX
        faults = [f"{field} {message}" for field, message in fault.fields[:FIELDS_MAX]]
        return "; ".join(faults) + (f"; and {rest} more" if rest > 0 else "")
    said = (fault.description or fault.message or "The server refused").strip().rstrip(".")
    return said[:1].upper() + said[1:]
