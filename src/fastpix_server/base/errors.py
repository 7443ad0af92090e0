"""Every expected error, in one tree: what went wrong and whose fault it is. HTTP lives in api/errors.py and edge.

FastpixError
|-- Invalid            the request is malformed; carries every bad field
|-- Unauthorized       who are you?
|-- Forbidden          you may not; names the missing permission
|-- NotFound
|-- Conflict           a thing of that name exists already
|-- BadState           a good request at the wrong time (not ready, already cancelled)
|-- Gone               it existed, and will not come back
|-- TooLarge
|-- TooMany            slow down; carries retry_after_s
|-- Unavailable        ours, passing: try again
`-- MediaFault         bytes of a media could not be fetched, read or made
    |-- SourceFault        the user's file or URL; final
    |-- DestinationFault   the place that we were told to write to
    `-- ServiceFault       ours; the job is tried again
"""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field of a request, as the 422 envelope lists it."""

    field: str
    message: str


class FastpixError(Exception):
    """Base of all expected errors. `message` is short and stable; `description` says it to a human."""

    message = "internal"

    def __init__(self, description: str = "", *, message: str | None = None) -> None:
        super().__init__(description or message or self.message)
        self.description = description
        if message is not None:
            self.message = message


class Invalid(FastpixError):
    message = "payload validation failed"

    def __init__(self, *fields: FieldError) -> None:
        super().__init__("; ".join(f"{f.field} {f.message}" for f in fields))
        self.fields = fields


class Unauthorized(FastpixError):
    message = "unauthorized"


class Forbidden(FastpixError):
    message = "forbidden"


class NotFound(FastpixError):
    message = "not found"


class Conflict(FastpixError):
    message = "conflict"


class BadState(FastpixError):
    message = "Bad Request"


class Gone(FastpixError):
    message = "gone"


class TooLarge(FastpixError):
    message = "payload too large"


class TooMany(FastpixError):
    message = "too many requests"

    def __init__(self, retry_after_s: int, description: str = "") -> None:
        super().__init__(description or f"Try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class Unavailable(FastpixError):
    message = "temporarily unavailable"


class MediaFault(FastpixError):
    """`code` is a stable word for machines and metrics (`moov_missing`); `description` is a sentence for the user."""

    message = "media fault"

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


class SourceFault(MediaFault):
    """The user's file or URL is at fault: trying again cannot help."""


class DestinationFault(MediaFault):
    """A place that the user named refuses what we send."""


class ServiceFault(MediaFault):
    """Our own fault, or our machine's: worth another try."""
