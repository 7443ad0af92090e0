"""The fastpix client. Imports nothing of the server.

Names are loaded when they are first used: the programs of the server share this package, and need none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastpix import errors, types
    from fastpix._async.client import AsyncFastPix
    from fastpix._async.pages import AsyncPages
    from fastpix._sync.client import FastPix
    from fastpix._sync.pages import Pages
    from fastpix.answers import Page, RawAnswer
    from fastpix.errors import (
        BadAnswer,
        BadRequest,
        Conflict,
        ConnectionFailed,
        FastPixError,
        FileChanged,
        Forbidden,
        Gone,
        Invalid,
        MediaFailed,
        NoAnswer,
        NotConfigured,
        NotFound,
        RateLimited,
        Refused,
        ServerFault,
        SignatureInvalid,
        TimedOut,
        TooLarge,
        Unauthorized,
        UploadFailed,
        UploadInterrupted,
        WaitedTooLong,
    )
    from fastpix.options import NO_RETRIES, Retries
    from fastpix.signatures import verify_webhook
    from fastpix.tokens import sign_playback_token
    from fastpix.upload_file import Progress, Uploaded
    from fastpix.urls import playback_url, thumbnail_url

__all__ = [
    "NO_RETRIES",
    "AsyncFastPix",
    "AsyncPages",
    "BadAnswer",
    "BadRequest",
    "Conflict",
    "ConnectionFailed",
    "FastPix",
    "FastPixError",
    "FileChanged",
    "Forbidden",
    "Gone",
    "Invalid",
    "MediaFailed",
    "NoAnswer",
    "NotConfigured",
    "NotFound",
    "Page",
    "Pages",
    "Progress",
    "RateLimited",
    "RawAnswer",
    "Refused",
    "Retries",
    "ServerFault",
    "SignatureInvalid",
    "TimedOut",
    "TooLarge",
    "Unauthorized",
    "UploadFailed",
    "UploadInterrupted",
    "Uploaded",
    "WaitedTooLong",
    "errors",
    "playback_url",
    "sign_playback_token",
    "thumbnail_url",
    "types",
    "verify_webhook",
]

_ELSEWHERE = {
    "AsyncFastPix": "_async.client",
    "AsyncPages": "_async.pages",
    "FastPix": "_sync.client",
    "NO_RETRIES": "options",
    "Page": "answers",
    "Pages": "_sync.pages",
    "Progress": "upload_file",
    "RawAnswer": "answers",
    "Retries": "options",
    "Uploaded": "upload_file",
    "playback_url": "urls",
    "sign_playback_token": "tokens",
    "thumbnail_url": "urls",
    "verify_webhook": "signatures",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("errors", "types"):
        return import_module(f"{__name__}.{name}")
    value = getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
