"""Faults on purpose, for tests of the programs that use us: only when FASTPIX_FAULTS names a folder.

Each file `<name>.json` in that folder is one switch that is on (the fields of `Switch`); removing it turns it off. The
shape is ours and the plugin's (fastpix/testing/faults.py), no API.

Invariants: no room below knows of faults; without the setting the wiring hands out the real things and does not load
this module. The folder is read at each use, so that a switch acts at once and in every process. A use is claimed in
`<name>.used` under a lock, one byte each: `times` holds over all processes and their restarts. A file that is not
understood switches nothing and is named in the log.
"""

import asyncio
import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from fastpix_server.base import clock, errors, log
from fastpix_server.base.guard import AddressPolicy
from fastpix_server.webhooks import signing
from fastpix_server.webhooks.model import Attempt
from fastpix_server.webhooks.post import Post

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

_log = log.get(__name__)

Kind = Literal["too_many_requests", "slow", "failed_encode", "dropped_webhook", "duplicated_webhook"]

# A test turns on a handful; more are not read.
SWITCHES_MAX = 64
FILE_MAX_BYTES = 16 << 10
# Longer than clients wait; it must not hold a connection for ever.
DELAY_MAX_S = 120.0
RETRY_AFTER_MAX_S = 3600
TIMES_MAX = 1_000_000
_Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class Switch(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What happens and to whom. `times` None: always. In paths `*` is one part and `**` any rest."""

    kind: Kind
    times: Annotated[int, msgspec.Meta(ge=1, le=TIMES_MAX)] | None = None
    method: _Pattern | None = None
    path: _Pattern | None = None
    except_paths: Annotated[tuple[_Pattern, ...], msgspec.Meta(max_length=100)] = ()
    retry_after_s: Annotated[int, msgspec.Meta(ge=0, le=RETRY_AFTER_MAX_S)] = 1
    delay_s: Annotated[float, msgspec.Meta(ge=0, le=DELAY_MAX_S)] = 0.0
    event: _Pattern | None = None
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] | None = None

    def is_for_request(self, method: str, path: str) -> bool:
        if self.method is not None and self.method != method:
            return False
        if self.path is not None and not _fits(self.path, path):
            return False
        return not any(_fits(pattern, path) for pattern in self.except_paths)

    def is_for_delivery(self, event: str, url: str) -> bool:
        return self.event in (None, event) and self.url in (None, url)


def _fits(pattern: str, path: str) -> bool:
    words = {"**": ".*", "*": "[^/]*"}
    expression = "".join(words.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*)", pattern))
    return re.fullmatch(expression, path) is not None


class Switches:
    """Those of one folder. Reads some small files at each use: this is no way to run in production."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        _log.warning("faults_can_be_switched_on", folder=folder)

    def take(self, kind: Kind, is_meant: Callable[[Switch], bool] = lambda _: True) -> Switch | None:
        """The first switch of that kind that means this use and has one left, which is then spent."""
        for path in sorted(self._folder.glob("*.json"))[:SWITCHES_MAX]:
            switch = _read(path)
            if switch is not None and switch.kind == kind and is_meant(switch) and _claim(path, switch.times):
                _log.warning("fault_made", kind=kind, switch=path.stem)
                return switch
        return None


def _read(path: Path) -> Switch | None:
    try:
        with path.open("rb") as file:
            text = file.read(FILE_MAX_BYTES + 1)
        if len(text) > FILE_MAX_BYTES:
            raise OSError(f"more than {FILE_MAX_BYTES} bytes")
        return msgspec.json.decode(text, type=Switch)
    except FileNotFoundError:  # turned off just now
        return None
    except (OSError, msgspec.MsgspecError, UnicodeError) as fault:
        _log.error("fault_switch_not_understood", switch=path.stem, error=str(fault))
        return None


def _claim(path: Path, times: int | None) -> bool:
    try:
        used = os.open(path.with_suffix(".used"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # the whole folder went away
        return False
    try:
        fcntl.flock(used, fcntl.LOCK_EX)
        if times is not None and os.fstat(used).st_size >= times:
            return False
        os.write(used, b"x")
        return True
    finally:
        os.close(used)


class FaultyApp:
    """The API or the edge behind its switches; `answer` makes the response of that family for an error."""

    def __init__(self, app: "ASGIApp", switches: Switches, answer: Callable[[errors.FastpixError], "Response"]) -> None:
        self._app = app
        self._switches = switches
        self._answer = answer

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        def is_meant(switch: Switch) -> bool:
            return switch.is_for_request(scope["method"], scope["path"])

        slow = self._switches.take("slow", is_meant)
        if slow is not None:
            await asyncio.sleep(slow.delay_s)
        refusing = self._switches.take("too_many_requests", is_meant)
        if refusing is None:
            await self._app(scope, receive, send)
            return
        # An answer in the middle of a large body would look like a broken connection.
        while (await receive()).get("more_body"):
            pass
        await self._answer(errors.TooMany(refusing.retry_after_s))(scope, receive, send)


class FaultyPost(Post):
    """Loses or repeats signed deliveries; probes are left alone."""

    def __init__(self, policy: AddressPolicy, switches: Switches) -> None:
        super().__init__(policy)
        self._switches = switches

    async def send(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> Attempt:
        if signing.SIGNATURE not in (headers or {}):
            return await super().send(url, body, headers)
        event = msgspec.json.decode(body)["type"]

        def is_meant(switch: Switch) -> bool:
            return switch.is_for_delivery(event, url)

        if self._switches.take("dropped_webhook", is_meant) is not None:
            return Attempt(clock.now(), error="connection failed")
        if self._switches.take("duplicated_webhook", is_meant) is not None:
            await super().send(url, body, headers)
        return await super().send(url, body, headers)


def failing(switches: Switches) -> Callable[[str], None]:
    """For media.jobs.MediaJobs: fails a media as a file does that ffmpeg cannot read."""

    def may_prepare(_media_id: str) -> None:
        if switches.take("failed_encode") is not None:
            raise errors.SourceFault("source_unreadable", "The file is damaged or not a video that can be read.")

    return may_prepare
