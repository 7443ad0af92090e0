"""`python -m fastpix.testing.keeper FOLDER`: runs `fastpix up` for as long as somebody holds our stdin open.

A test run may end in ways that run no code of its own (SIGTERM of a cancelled job, kill -9, a crash). The kernel closes
its end of the pipe in all of them, on every system; then the platform is ended and its folder removed. That also is how
it is stopped on purpose. A platform that ends by itself leaves its folder: the log in it says why.
"""

from __future__ import annotations

import os
import shutil
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
    left_alone = threading.Event()
    threading.Thread(target=_end_with_stdin, args=(platform, left_alone), daemon=True).start()
    code = platform.wait()
    if left_alone.is_set():
        shutil.rmtree(sys.argv[1], ignore_errors=True)
    return code


def _end_with_stdin(platform: subprocess.Popen[bytes], left_alone: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), _PIPE_BYTES):
        pass
    left_alone.set()
    platform.terminate()
    try:
        platform.wait(STOP_S)
    except subprocess.TimeoutExpired:
        platform.kill()  # its children die with it


if __name__ == "__main__":
    sys.exit(main())
