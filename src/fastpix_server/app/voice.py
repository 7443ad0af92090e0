"""How every command begins, and how it says what went wrong: one sentence on stderr, exit code 1, no traceback."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fastpix_server.app.settings import Settings


def start(role: str, *, is_quiet: bool = False) -> "Settings":
    """Settings and log of this process; a quiet one says only what is wrong."""
    from fastpix_server.app import settings
    from fastpix_server.base import log

    loaded = settings.load()
    log.configure(role, "warning" if is_quiet and loaded.log_level == "info" else loaded.log_level)
    return loaded


@contextlib.contextmanager
def spoken_errors() -> Iterator[None]:
    from fastpix_server.base import errors

    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except errors.FastpixError as fault:
        raise click.ClickException(fault.description or str(fault)) from None
