"""`fastpix demo`: a short film of our own making on its whole way, for whoever has no video at hand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from fastpix.commands import media, waiting
from fastpix.commands.command import ClientCommand
from fastpix.commands.session import Session, with_session

TITLE = "Test picture"
SECONDS = 10
WIDTH, HEIGHT = 1280, 720


@click.command(cls=ClientCommand, example="fastpix demo")
@with_session
def demo(session: Session) -> None:
    """Make a short film here, send it, and print where it plays.

    It is a moving test picture with a tone, made by the ffmpeg that the server brings (or FASTPIX_FFMPEG).
    """
    from fastpix import errors, types
    from fastpix.testing import film

    with tempfile.TemporaryDirectory(prefix="fastpix-demo-") as folder:
        try:
            made = film.make(Path(folder) / "film.mp4", seconds=SECONDS, width=WIDTH, height=HEIGHT)
        except RuntimeError as fault:
            raise errors.FastPixError(str(fault)) from fault
        session.note(f"Made a film of {SECONDS} s, {WIDTH}x{HEIGHT}")
        settings = types.Settings(title=TITLE, access_policy="public")
        sent = session.client.uploads.upload(made, settings=settings)
    media.show(session, waiting.until_ready(session, sent.media_id, timeout_s=waiting.READY_S))
