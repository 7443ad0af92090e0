"""`python -m fastpix.testing.keeper`: runs `fastpix up` for as long as somebody holds our stdin open.

A test run may end in ways that run no code of its own (SIGTERM of a cancelled job, kill -9, a crash). The kernel closes
its end of the pipe in all of them, on every system, and the platform ends. That also is how it is stopped on purpose.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

# The platform promises to be gone within 10 s of SIGTERM.
STOP_S = 15.0
_PIPE_BYTES = 4096


def main() -> int:
    """Returns the platform's exit code."""
    # In a session of its own, as we are: Ctrl-C means the tests, which then close the pipe.
    platform = subprocess.Popen(
        [sys.executable, "-m", "fastpix", "up"], stdin=subprocess.DEVNULL, start_new_session=True
    )
    signal.signal(signal.SIGTERM, lambda _number, _frame: platform.terminate())
    threading.Thread(target=_end_with_stdin, args=(platform,), daemon=True).start()
    return platform.wait()


def _end_with_stdin(platform: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), _PIPE_BYTES):
        pass
    platform.terminate()
    try:
        platform.wait(STOP_S)
    except subprocess.TimeoutExpired:
        platform.kill()  # its children die with it


if __name__ == "__main__":
    sys.exit(main())
