"""How the two clients wait, and how they keep slow files from stopping others.

The asynchronous client uses the names that begin with `async_`; the synchronous one, which is generated from it, uses
the same names without that. asyncio is loaded by those who use it: it takes as long as the rest of the client.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def async_sleep(delay_s: float) -> None:
    import asyncio

    await asyncio.sleep(delay_s)


def sleep(delay_s: float) -> None:
    time.sleep(delay_s)


async def async_apart(work: Callable[[], T]) -> T:
    """`work` reads a file or counts for long: other tasks go on meanwhile."""
    import asyncio

    return await asyncio.to_thread(work)


def apart(work: Callable[[], T]) -> T:
    return work()
