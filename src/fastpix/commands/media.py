"""`fastpix media`: media, and below it their tracks, playback ids, files and clips."""

from __future__ import annotations

from typing import Any

import click

from fastpix.commands import addresses, command, media_parts, text, words
from fastpix.commands.command import ClientGroup
from fastpix.commands.session import Session, with_session
from fastpix.commands.table import Column

ID = media_parts.MEDIA_ID
FIRST = ("id", "title", "status", "failureReason", "duration", "createdAt", "updatedAt")
# Said again in the sections below, or of no use to people.
HIDDEN = ("workspaceId", "trial")
TABLES = {"playbackIds": media_parts.PLAYBACK_IDS, "tracks": media_parts.TRACKS}
COLUMNS = (
    Column("ID", "id"),
    Column("STATUS", "status", is_status=True),
    Column("LENGTH", "duration", text.clock, is_right=True),
    Column("CREATED", "createdAt", text.ago),
    Column("TITLE", "title", is_flexible=True),
)


@click.group(cls=ClientGroup, example="fastpix media list")
def media() -> None:
    """Media on demand: make them from URLs, look at them, change them.

    A file of yours becomes a media with `fastpix upload FILE`.
    """


@media.command("list", example=["fastpix media list", "fastpix media list --limit 200 --json"])
@command.limit
@click.option("--order", type=click.Choice(words.ORDERS), help="By the time of creation; the newest first without it.")
@with_session
def list_media(session: Session, limit: int, order: Any) -> None:
    """List media, the newest first."""
    pages = session.client.media.list(limit=session.page_size(limit), order_by=order)
    session.pages(pages, limit, COLUMNS, nothing="There are no media yet: fastpix upload FILE makes one")


@media.command("get", example=f"fastpix media get {ID}")
@click.argument("media_id")
@with_session
def get_media(session: Session, media_id: str) -> None:
    """Show everything about MEDIA_ID, with its playback ids, tracks and files."""
    show(session, session.data(session.client.media.get, media_id=media_id))


@media.command(
    "create",
    example=[
        "fastpix media create https://example.com/talk.mp4 --title 'The talk'",
        "fastpix media create https://example.com/talk.mp4 --access private --wait",
    ],
)
@click.argument("url")
@click.option("--title", help="What people call it.")
@click.option("--creator-id", help="Your own id of who made it.")
@command.making
@click.option("--start", type=float, metavar="SECONDS", help="Cut away what is before.")
@click.option("--end", type=float, metavar="SECONDS", help="Cut away what is after.")
@click.option("--wait", "is_waiting", is_flag=True, help="Come back when it is ready, or has failed.")
@command.metadata
@with_session
def create_media(session: Session, url: str, is_waiting: bool, **options: Any) -> None:
    """Make a media from the file at URL, which the server fetches.

    `fp_mediaId://MEDIA_ID` is one of your own media.
    """
    from fastpix import types

    source = types.VideoInput(url=url, start_time=options["start"], end_time=options["end"])
    made = session.data(
        session.client.media.create,
        inputs=[source],
        title=options["title"],
        **command.settings_of(options),
    )
    finish(session, made, is_waiting=is_waiting)


@media.command(
    "clip", example=[f"fastpix media clip {ID} --start 61.5 --end 90 --title 'The joke'", f"fastpix media clips {ID}"]
)
@click.argument("media_id")
@click.option("--start", type=float, metavar="SECONDS", help="Where the clip begins; at 0 without it.")
@click.option("--end", type=float, metavar="SECONDS", help="Where it ends; at the end without it.")
@click.option("--title", help="Of the clip.")
@click.option("--access", type=click.Choice(words.ACCESS_POLICIES), default="public", help="Who may play it: public.")
@click.option("--wait", "is_waiting", is_flag=True, help="Come back when it is ready, or has failed.")
@with_session
def clip_media(
    session: Session,
    media_id: str,
    start: float | None,
    end: float | None,
    title: str | None,
    access: Any,
    is_waiting: bool,
) -> None:
    """Make a new media of a part of MEDIA_ID."""
    from fastpix import types

    source = types.VideoInput(url=f"fp_mediaId://{media_id}", start_time=start, end_time=end)
    made = session.data(session.client.media.create, inputs=[source], access_policy=access, title=title)
    finish(session, made, is_waiting=is_waiting)


@media.command("clips", example=f"fastpix media clips {ID}")
@click.argument("media_id")
@command.limit
@with_session
def list_clips(session: Session, media_id: str, limit: int) -> None:
    """List media that were cut out of MEDIA_ID."""
    pages = session.client.media.list_clips(media_id=media_id, limit=session.page_size(limit))
    session.pages(pages, limit, COLUMNS, nothing="No clips were made of it")


@media.command("update", example=f"fastpix media update {ID} --title 'The talk, cut' --metadata lang=en")
@click.argument("media_id")
@click.option("--title", help="What people call it.")
@click.option("--creator-id", help="Your own id of who made it.")
@command.metadata
@with_session
def update_media(session: Session, media_id: str, **options: Any) -> None:
    """Change the title or your own words about MEDIA_ID."""
    session.require_change(options)
    show(session, session.data(session.client.media.update, media_id=media_id, **options))


@media.command("delete", example=f"fastpix media delete {ID} --yes")
@click.argument("media_id")
@command.sure
@with_session
def delete_media(session: Session, media_id: str, is_sure: bool) -> None:
    """Delete MEDIA_ID and its files; its playback ids stop working."""
    session.confirm(f"Delete the media {text.clean(media_id)} and its files?", is_sure=is_sure)
    done = session.data(session.client.media.delete, media_id=media_id)
    session.done(done, f"Deleted {text.clean(media_id)}")


@media.command("wait", example=f"fastpix media wait {ID} --timeout 600")
@click.argument("media_id")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(1, 86_400),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="When to give up.",
)
@with_session
def wait_media(session: Session, media_id: str, timeout_s: int) -> None:
    """Wait until MEDIA_ID is ready. Exit code 1 when it failed, or is not ready in time."""
    from fastpix.commands import waiting

    show(session, waiting.until_ready(session, media_id, timeout_s=timeout_s))


@media.command("input", example=f"fastpix media input {ID}")
@click.argument("media_id")
@with_session
def input_info(session: Session, media_id: str) -> None:
    """Show what is known of the file that MEDIA_ID was made from."""
    session.object(session.data(session.client.media.input_info, media_id=media_id))


@media.command(
    "files",
    example=[f"fastpix media files {ID} --mp4 capped_4k", f"fastpix media files {ID} --no-source-access"],
)
@click.argument("media_id")
@click.option("--mp4", type=click.Choice(words.MP4_SUPPORTS), help="Which files are made; none removes them.")
@click.option("--source-access/--no-source-access", default=None, help="Whether the original can be downloaded.")
@with_session
def files(session: Session, media_id: str, mp4: Any, source_access: bool | None) -> None:
    """Say which files of MEDIA_ID can be downloaded; without options, show them."""
    operations = session.client.media
    made = None
    if mp4 is not None:
        made = session.data(operations.update_mp4_support, media_id=media_id, mp4_support=mp4)
    if source_access is not None:
        made = session.data(operations.update_source_access, media_id=media_id, source_access=source_access)
    if made is None:
        made = session.data(operations.get, media_id=media_id)
    if session.is_json:
        session.json(made)
        return
    session.object({name: made.get(name) for name in ("id", "sourceAccess", "mp4Support")})
    ids = [item.get("id") for item in made.get("playbackIds") or ()]
    for playback_id in ids[:1]:
        for file in made.get("mp4Support") or ():
            name = {"capped_4k": "capped-4k.mp4", "audioOnly": "audio.m4a"}.get(str(file.get("type")))
            if name and file.get("status") == "ready":
                session.say(f"{addresses.file(session.client.base_url, playback_id, name)}")


def show(session: Session, data: Any) -> None:
    """A media whole, with where it plays."""
    if session.is_json:
        session.json(data)
        return
    session.object(data, first=FIRST, hidden=HIDDEN, tables=TABLES)
    plays(session, data)


def plays(session: Session, data: Any) -> None:
    """Where people watch it, once they can."""
    for item in (data.get("playbackIds") or ())[:1]:
        playback_id, policy = str(item.get("id")), item.get("accessPolicy")
        if data.get("status") in ("Ready", None) and policy == "public":
            media_parts.say_player(session, playback_id)
        elif data.get("status") in ("Ready", None):
            opened = f"fastpix key sign {text.clean(playback_id)} --private-key FILE --url"
            session.say("", f"It is {text.clean(policy)}; to open it: {opened}")


def finish(session: Session, made: Any, *, is_waiting: bool) -> None:
    """A new media: at once, or when it is ready."""
    if is_waiting:
        from fastpix.commands import waiting

        show(session, waiting.until_ready(session, str(made.get("id")), timeout_s=waiting.READY_S))
        return
    show(session, made)
    if not session.is_json:
        session.note(f"Not ready yet: fastpix media wait {text.clean(made.get('id'))}")


media.add_command(media_parts.track)
media.add_command(media_parts.playback_id)
