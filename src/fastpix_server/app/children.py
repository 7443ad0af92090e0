"""What a child process does between fork and exec so that it never outlives us.

Invariant: Linux signals the child when the *thread* that forked it ends; so children are started from the main thread.
Everything here runs in the forked child: no locks, no logging, no allocation of note.
"""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends `how` to the child when the parent ends, also by kill -9."""
    parent = os.getpid()

    def in_child() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(how), 0, 0, 0)
        if os.getppid() != parent:  # it died before the request was in place
            os._exit(1)

    return in_child
