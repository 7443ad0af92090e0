"""Viewers go first: background work stands still while anything on this machine works for somebody who waits.

Invariants: the sign is a shared file lock, so it holds across all processes of the machine and vanishes with a process
that is killed. Background work that is started inside `background` is stopped (not slowed) within POLL_S, and goes on
when the machine has been free for a moment.
"""

import asyncio
import contextlib
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from fastpix_server.engine.encode import Control

# A viewer's segment takes 300 ms and more: this much of it may still be shared with the background.
POLL_S = 0.05
# Between two segments of one viewer there are short gaps that are not worth waking up for.
SETTLE_S = 0.25


def default_folder() -> Path:
    """One place per machine and user, whatever the data folder: processors are shared by all of them."""
    folder = Path(tempfile.gettempdir()) / f"fastpix-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class Lane:
    """Close it at the end; a process that dies needs no closing."""

    def __init__(self, folder: Path) -> None:
        path = folder / "foreground.lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._sign = os.open(path, flags, 0o600)
        # A lock belongs to the open file, so asking through a second one sees our own sign as well.
        self._probe = os.open(path, flags, 0o600)
        self._working = 0
        self._controls: set[Control] = set()

    def close(self) -> None:
        os.close(self._sign)
        os.close(self._probe)

    def enter(self) -> None:
        self._working += 1
        if self._working == 1:
            # Shared; the only exclusive holder is `is_free`, for microseconds.
            fcntl.flock(self._sign, fcntl.LOCK_SH)
            for control in self._controls:
                control.pause()

    def leave(self) -> None:
        self._working -= 1
        if self._working == 0:
            fcntl.flock(self._sign, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def foreground(self) -> Iterator[None]:
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def is_free(self) -> bool:
        try:
            fcntl.flock(self._probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self._probe, fcntl.LOCK_UN)
        return True

    async def wait_free(self) -> None:
        """Returns when the machine has been free for SETTLE_S."""
        free_s = 0.0
        while free_s < SETTLE_S:
            await asyncio.sleep(POLL_S)
            free_s = free_s + POLL_S if self.is_free() else 0.0

    @contextlib.asynccontextmanager
    async def background(self, control: Control) -> AsyncIterator[None]:
        """While inside, the process of `control` only runs when the machine is free."""
        self._controls.add(control)
        if not self.is_free():
            control.pause()
        watch = asyncio.create_task(self._watch(control))
        try:
            yield
        finally:
            self._controls.discard(control)
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _watch(self, control: Control) -> None:
        while True:
            if self.is_free():
                await asyncio.sleep(POLL_S)
                continue
            control.pause()
            await self.wait_free()
            control.resume()
