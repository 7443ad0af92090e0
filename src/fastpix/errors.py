"""What can go wrong, by the first question of whoever handles it: did an answer arrive?

    FastPixError
    ├── NotConfigured           nothing was sent: credentials, base URL or an argument are wrong
    ├── NoAnswer                something was sent, no answer came: it may have been done
    │   ├── ConnectionFailed
    │   └── TimedOut
    ├── BadAnswer               an answer came that is no answer of this API: broken JSON, another shape, a redirect
    ├── Refused                 an answer came and says no: status, request_id, message, description, fields
    │   ├── BadRequest          400
    │   ├── Unauthorized        401
    │   ├── Forbidden           403
    │   ├── NotFound            404
    │   ├── Conflict            409
    │   ├── Gone                410
    │   ├── TooLarge            413
    │   ├── Invalid             422   every bad field is in `fields`
    │   ├── RateLimited         429   retry_after_s
    │   └── ServerFault         5xx
    ├── MediaFailed             the media that was waited for ended as Failed
    ├── WaitedTooLong           what was waited for did not happen in time
    ├── UploadFailed            the upload cannot go on
    │   ├── UploadInterrupted   it can, later: call upload() again with the same state file
    │   └── FileChanged         the file is not the one that the upload began with
    └── SignatureInvalid        a webhook that was not signed with any of the secrets

Invariants: no text of an error holds a password or an Authorization header.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from fastpix.types import Media

SHOWN_BODY_BYTES = 2048  # of an answer that is not understood: enough to recognise a proxy's page


class FieldFault(NamedTuple):
    """One bad field of a request: a path such as `inputs[0].url`, and what is wrong with it."""

    field: str
    message: str


class FastPixError(Exception):
    """Anything that this package raises on purpose."""


class NotConfigured(FastPixError):
    """Nothing was sent: credentials, the base URL or an argument are wrong."""


class NoAnswer(FastPixError):
    """A request went out and no complete answer came back; the server may have done it.

    The client's own retries carry one idempotency key, so that they do nothing twice; a retry of your own is a new
    request unless it carries that key (`with_options(idempotency_key=...)`).
    """

    def __init__(self, text: str, *, attempts: int = 1, idempotency_key: str | None = None) -> None:
        super().__init__(text)
        self.attempts = attempts
        self.idempotency_key = idempotency_key


class ConnectionFailed(NoAnswer):
    """The server could not be reached, or the connection broke."""


class TimedOut(NoAnswer):
    """No answer within the time limit."""


class BadAnswer(FastPixError):
    """An answer arrived that is none of this API."""

    def __init__(self, text: str, *, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers
        self.body = body
        self.request_id = headers.get("x-request-id")


class Refused(FastPixError):
    """The server answered, and the answer is no."""

    def __init__(self, *, status: int, headers: Mapping[str, str], body: bytes, error: Mapping[str, Any]) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.request_id = headers.get("x-request-id")
        self.message = _text(error.get("message"))
        self.description = _text(error.get("description"))
        self.fields = _fields(error.get("fields"))
        self.attempts = 1
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        parts = [f"{self.status} {self.message}".strip()]
        if self.description:
            parts.append(self.description)
        parts += [f"{fault.field} {fault.message}" for fault in self.fields]
        text = ": ".join([parts[0], "; ".join(parts[1:])]) if len(parts) > 1 else parts[0]
        return f"{text} (request {self.request_id})" if self.request_id else text


class BadRequest(Refused):
    """400: a good request at the wrong time, or a word that the server does not know."""


class Unauthorized(Refused):
    """401: the pair of username and password opens nothing."""


class Forbidden(Refused):
    """403: the access token lacks a permission; `description` names it."""


class NotFound(Refused):
    """404: no such thing in the workspace of the token."""


class Conflict(Refused):
    """409: a name that must be unique is taken."""


class Gone(Refused):
    """410: an upload that was cancelled or has expired."""


class TooLarge(Refused):
    """413: the body is larger than the server takes."""


class Invalid(Refused):
    """422: fields of the request are wrong; `fields` names every one."""


class RateLimited(Refused):
    """429: too many requests. `retry_after_s` is what the server asked for, None when it did not say."""

    @property
    def retry_after_s(self) -> float | None:
        try:
            return max(0.0, float(self.headers.get("retry-after", "")))
        except ValueError:
            return None


class ServerFault(Refused):
    """5xx: the server is in trouble."""


class MediaFailed(FastPixError):
    """The media ended as Failed. `media.failure_reason` says why, where the server tells."""

    def __init__(self, media: Media) -> None:
        reason = media.failure_reason
        why = f": {reason.description} ({reason.code})" if reason else ""
        super().__init__(f"The media {media.id} failed{why}")
        self.media = media


class WaitedTooLong(FastPixError):
    """What was waited for did not happen in time. It may still happen."""


class UploadFailed(FastPixError):
    """The upload cannot go on; begin again."""


class UploadInterrupted(UploadFailed):
    """The connection stayed away; calling upload() again with the same state file goes on at `confirmed_bytes`."""

    def __init__(self, text: str, *, confirmed_bytes: int) -> None:
        super().__init__(text)
        self.confirmed_bytes = confirmed_bytes


class FileChanged(UploadFailed):
    """The file is not what it was when the upload began; nothing more was sent."""


class SignatureInvalid(FastPixError):
    """The body was not signed with any of the secrets."""


_BY_STATUS: Mapping[int, type[Refused]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    422: Invalid,
    429: RateLimited,
}


def refused(*, status: int, headers: Mapping[str, str], body: bytes, error: Mapping[str, Any]) -> Refused:
    """The exception of a status of 400 and more."""
    kind = ServerFault if status >= 500 else _BY_STATUS.get(status, Refused)
    return kind(status=status, headers=headers, body=body, error=error)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _fields(value: object) -> tuple[FieldFault, ...]:
    """Whatever the server sent; an entry of another shape is left out."""
    found: list[FieldFault] = []
    for item in cast("Iterable[Any]", value) if isinstance(value, list) else ():
        if isinstance(item, dict):
            fault = cast("dict[str, Any]", item)
            found.append(FieldFault(_text(fault.get("field")), _text(fault.get("message"))))
    return tuple(found)
