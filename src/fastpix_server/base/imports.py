"""Imports that cost every process memory and time, kept out where they are of no use."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Inside the block these modules are not there, for libraries that import them if they can and do without.

    What was imported before stays visible.
    """
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: "no such module"
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
