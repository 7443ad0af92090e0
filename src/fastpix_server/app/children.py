"""How a child process is tied to us, so that it never outlives us, also after kill -9, and how it is held at its start.

Invariant: Linux signals the child when the *thread* that forked it ends; so children are started from the main thread.
What runs between fork and exec takes no locks, logs nothing and allocates little.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)
_is_held = False


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends `how` to the child when the parent ends."""
    parent = os.getpid()

    def in_child() -> None:
        tie_to_parent(parent, how)

    return in_child


def tie_to_parent(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """The same for a process that is already running, such as a forked server worker. `parent` is who started it."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(how), 0, 0, 0)
    if os.getppid() != parent:  # it died before the request was in place
        os._exit(1)


def hold() -> None:
    """In a child that was started before it may begin: until_told() then waits."""
    global _is_held
    _is_held = True


def until_told() -> None:
    """Called by a role that has loaded its modules. A child that is held goes on when a line comes in; without a line
    (its parent gave up) it ends."""
    if _is_held and not sys.stdin.readline():
        sys.exit(0)
