"""Until a media is ready: its way is shown on stderr, one word after the other."""

from __future__ import annotations

import time
from typing import Any

from fastpix.commands import text
from fastpix.commands.progress import Line
from fastpix.commands.session import Session

READY_S = 3600  # the official service encodes before it is ready; an hour is a long film
LOOK_S, LOOK_MAX_S = 0.2, 2.0


def until_ready(session: Session, media_id: str, *, timeout_s: float) -> Any:
    """The media as the API shows it then. MediaFailed and WaitedTooLong as the client has them."""
    from fastpix import errors, types

    started_s = time.monotonic()
    wait_s = LOOK_S
    with Line(is_quiet=session.is_json) as line:
        while True:
            answer = session.client.raw(session.client.media.get, media_id=media_id)
            found: types.Media = answer.value
            passed_s = time.monotonic() - started_s
            if found.status == "Ready":
                line.show(f"Ready after {passed_s:.1f} s", is_last=True)
                return session.parsed(answer.body)
            if found.status == "Failed":
                raise errors.MediaFailed(found)
            if passed_s >= timeout_s:
                raise errors.WaitedTooLong(f"{media_id} is {found.status} after {timeout_s:.0f} s, and may go on")
            next_s = time.monotonic() + min(wait_s, max(0.0, timeout_s - passed_s))
            wait_s = min(LOOK_MAX_S, wait_s * 1.3)
            _wait(line, found.status, started_s, next_s)


def _wait(line: Line, status: str, started_s: float, until_s: float) -> None:
    while time.monotonic() < until_s:
        line.spin(text.clean(status), started_s)
        time.sleep(min(line.wait_s, max(0.01, until_s - time.monotonic())))
