"""`fastpix upload`: a file of yours becomes a media, over bad lines and several tries.

How far it came is kept in a folder of the user (XDG_STATE_HOME, else ~/.local/state), under a name made of the server
and the file's path: the same command goes on where the last one ended. Invariants: the folder and the files in it are
the user's alone, since a state opens its upload; a state that is older than any upload is removed.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastpix.commands import command, failing, media, text, waiting
from fastpix.commands.command import ClientCommand
from fastpix.commands.progress import Line, Rate, sent
from fastpix.commands.session import Session, with_session

if TYPE_CHECKING:
    from fastpix import Progress

STATES_KEPT_S = 8 * 86_400  # an upload is open for seven days


@click.command(
    cls=ClientCommand,
    example=[
        "fastpix upload holiday.mp4 --title Holiday",
        "fastpix upload holiday.mp4 --access private --json",
    ],
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--title", help="What people call it. Without it: the name of the file.")
@click.option("--creator-id", help="Your own id of who made it.")
@command.making
@click.option("--no-wait", is_flag=True, help="Come back when the file is there, before it is ready.")
@click.option("--restart", is_flag=True, help="Begin anew, whatever an interrupted upload of this file has sent.")
@command.metadata
@with_session
def upload(session: Session, file: str, no_wait: bool, restart: bool, **options: Any) -> None:
    """Send FILE, wait until it is ready, and print where it plays.

    When it is interrupted, the same command goes on where it ended. Its options are then those of the first time.
    """
    from fastpix import errors, types

    path = Path(file)
    settings = types.Settings(title=options["title"] or path.name[:255], **command.settings_of(options))
    state = state_file(session.client.base_url, path)
    if state is None:
        session.note("How far it comes cannot be kept here: when it is interrupted, it begins anew.")
    elif restart:
        state.unlink(missing_ok=True)
    shown = _Shown(session)
    try:
        with shown.line:
            done = session.client.uploads.upload(path, settings=settings, state_file=state, on_progress=shown.progress)
            shown.finished(done.size_bytes)
    except KeyboardInterrupt:
        session.note(f"Interrupted at {text.size(shown.confirmed_bytes)}. Run the same command again to go on.")
        raise click.exceptions.Exit(failing.INTERRUPTED) from None
    except errors.UploadInterrupted as fault:
        raise errors.UploadFailed(f"{fault}. Run the same command again to go on") from fault
    except errors.FileChanged as fault:
        raise errors.UploadFailed(f"{fault}. --restart begins anew") from fault
    if no_wait:
        media.show(session, session.data(session.client.media.get, media_id=done.media_id))
        return
    try:
        ready = waiting.until_ready(session, done.media_id, timeout_s=waiting.READY_S)
    except KeyboardInterrupt:
        session.note(f"The file is there and goes on: fastpix media wait {text.clean(done.media_id)}")
        raise
    media.show(session, ready)


class _Shown:
    """What the person sees of an upload."""

    def __init__(self, session: Session) -> None:
        self.line = Line(is_quiet=session.is_json)
        self.confirmed_bytes = 0
        self._rate = Rate()
        self._session = session
        self._has_begun = False

    def progress(self, now: Progress) -> None:
        if not self._has_begun and now.confirmed_bytes:
            self._session.note(f"Going on at {text.size(now.confirmed_bytes)}")
        self._has_begun = True
        self.confirmed_bytes = now.confirmed_bytes
        rate = self._rate.at(now.sent_bytes)
        self.line.show(sent(now.sent_bytes, now.total_bytes, rate, is_unicode=self.line.is_unicode))

    def finished(self, size_bytes: int) -> None:
        self.line.show(sent(size_bytes, size_bytes, None, is_unicode=self.line.is_unicode), is_last=True)


def state_file(base_url: str, file: Path) -> Path | None:
    """None when nothing can be kept: no home, a disk that is full or read-only."""
    try:
        root = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        folder = Path(root) / "fastpix" / "uploads"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            return None
        for old in folder.iterdir():
            if old.stat().st_mtime < time.time() - STATES_KEPT_S:
                old.unlink(missing_ok=True)
        name = hashlib.sha256(f"{base_url}\n{file.resolve()}".encode(errors="surrogateescape")).hexdigest()[:32]
    except (OSError, RuntimeError):
        return None
    return folder / f"{name}.json"
