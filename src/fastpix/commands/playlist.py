"""`fastpix playlist`: media in an order, or by a rule."""

from __future__ import annotations

from typing import Any

import click

from fastpix.commands import command, media, text, words
from fastpix.commands.command import ClientGroup
from fastpix.commands.media_parts import MEDIA_ID
from fastpix.commands.session import Session, with_session
from fastpix.commands.table import Column

PLAYLIST_ID = "PLAYLIST_ID"
OTHER_ID = "OTHER_ID"
FIRST = ("id", "name", "type", "referenceId", "description", "mediaCount")
COLUMNS = (
    Column("ID", "id"),
    Column("TYPE", "type"),
    Column("MEDIA", "mediaCount", text.number, is_right=True),
    Column("REFERENCE", "referenceId", is_flexible=True),
    Column("NAME", "name", is_flexible=True),
)


@click.group(cls=ClientGroup, example="fastpix playlist list")
def playlist() -> None:
    """Playlists: media in an order of yours, or by the time of their creation."""


@playlist.command(
    "create",
    example=[
        f"fastpix playlist create 'Season 1' --reference season-1 --add {MEDIA_ID}",
        "fastpix playlist create 'November' --reference 2026-11 --created 2026-11-01..2026-11-30",
    ],
)
@click.argument("name")
@click.option("--reference", required=True, help="Your own id for it, unique in the workspace.")
@click.option("--description", help="What is in it.")
@click.option("--add", "media_ids", multiple=True, metavar="MEDIA_ID", help="Its first media; repeat it for several.")
@click.option("--created", metavar="FROM..TO", help="Smart: fill it with media of these days (YYYY-MM-DD..YYYY-MM-DD).")
@click.option("--updated", metavar="FROM..TO", help="Smart: and changed in these days.")
@click.option("--play-order", type=click.Choice(words.PLAY_ORDERS), help="Smart: createdDate ASC without it.")
@click.option("--size", type=click.IntRange(min=1), help="Smart: at most so many media.")
@with_session
def create_playlist(session: Session, name: str, media_ids: tuple[str, ...], **options: Any) -> None:
    """Make a playlist called NAME. With --created it is smart: filled once, now."""
    smart = _smart(options)
    if smart and media_ids:
        raise click.UsageError("--add is for manual playlists, --created for smart ones")
    made = session.data(
        session.client.playlists.create,
        name=name,
        reference_id=options["reference"],
        description=options["description"],
        **smart,
    )
    if media_ids:
        playlist_id = str(made.get("id"))
        made = session.data(session.client.playlists.add_media, playlist_id=playlist_id, media_ids=media_ids)
    _show(session, made)


def _smart(options: dict[str, Any]) -> dict[str, Any]:
    from fastpix import types

    if not options["created"]:
        if any(options[name] for name in ("updated", "play_order", "size")):
            raise click.UsageError("--updated, --play-order and --size need --created")
        return {}
    rules = types.SmartRules(
        created_date=types.DateRange(**_days(options["created"])),
        updated_date=types.DateRange(**_days(options["updated"])) if options["updated"] else None,
    )
    return {
        "type": "smart",
        "metadata": rules,
        "play_order": options["play_order"] or "createdDate ASC",
        "limit": options["size"],
    }


def _days(given: str) -> dict[str, str]:
    start, dots, end = given.partition("..")
    if not start or not dots or not end:
        raise click.BadParameter(f"{given!r} is not YYYY-MM-DD..YYYY-MM-DD")
    return {"start_date": start, "end_date": end}


@playlist.command("list", example="fastpix playlist list")
@command.limit
@with_session
def list_playlists(session: Session, limit: int) -> None:
    """List playlists, without their media."""
    pages = session.client.playlists.list(limit=session.page_size(limit))
    session.pages(pages, limit, COLUMNS, nothing="There are no playlists yet")


@playlist.command("get", example=f"fastpix playlist get {PLAYLIST_ID}")
@click.argument("playlist_id")
@with_session
def get_playlist(session: Session, playlist_id: str) -> None:
    """Show PLAYLIST_ID with its media."""
    _show(session, session.data(session.client.playlists.get, playlist_id=playlist_id))


@playlist.command("update", example=f"fastpix playlist update {PLAYLIST_ID} --name 'Season 1, cut'")
@click.argument("playlist_id")
@click.option("--name", help="What people call it.")
@click.option("--description", help="What is in it.")
@with_session
def update_playlist(session: Session, playlist_id: str, name: str | None, description: str | None) -> None:
    """Name PLAYLIST_ID anew; what is not given stays."""
    session.require_change({"name": name, "description": description})
    operations = session.client.playlists
    if name is None or description is None:
        # The API wants both.
        was = operations.get(playlist_id=playlist_id)
        name = was.name if name is None else name
        description = (was.description or "") if description is None else description
    _show(session, session.data(operations.update, playlist_id=playlist_id, name=name, description=description))


@playlist.command("add", example=f"fastpix playlist add {PLAYLIST_ID} {MEDIA_ID} {OTHER_ID}")
@click.argument("playlist_id")
@click.argument("media_ids", nargs=-1, required=True, metavar="MEDIA_ID...")
@with_session
def add_media(session: Session, playlist_id: str, media_ids: tuple[str, ...]) -> None:
    """Put media at the end of PLAYLIST_ID, in this order. They must be ready."""
    _show(session, session.data(session.client.playlists.add_media, playlist_id=playlist_id, media_ids=media_ids))


@playlist.command("reorder", example=f"fastpix playlist reorder {PLAYLIST_ID} {OTHER_ID} {MEDIA_ID}")
@click.argument("playlist_id")
@click.argument("media_ids", nargs=-1, required=True, metavar="MEDIA_ID...")
@with_session
def reorder_media(session: Session, playlist_id: str, media_ids: tuple[str, ...]) -> None:
    """Give all media of PLAYLIST_ID a new order."""
    _show(session, session.data(session.client.playlists.reorder_media, playlist_id=playlist_id, media_ids=media_ids))


@playlist.command("remove", example=f"fastpix playlist remove {PLAYLIST_ID} {MEDIA_ID}")
@click.argument("playlist_id")
@click.argument("media_ids", nargs=-1, required=True, metavar="MEDIA_ID...")
@with_session
def remove_media(session: Session, playlist_id: str, media_ids: tuple[str, ...]) -> None:
    """Take media out of PLAYLIST_ID; they stay in the workspace."""
    _show(session, session.data(session.client.playlists.remove_media, playlist_id=playlist_id, media_ids=media_ids))


@playlist.command("delete", example=f"fastpix playlist delete {PLAYLIST_ID} --yes")
@click.argument("playlist_id")
@command.sure
@with_session
def delete_playlist(session: Session, playlist_id: str, is_sure: bool) -> None:
    """Delete the list PLAYLIST_ID; its media stay."""
    session.confirm(f"Delete the playlist {text.clean(playlist_id)}? Its media stay.", is_sure=is_sure)
    done = session.data(session.client.playlists.delete, playlist_id=playlist_id)
    session.done(done, f"Deleted {text.clean(playlist_id)}")


def _show(session: Session, data: Any) -> None:
    if session.is_json:
        session.json(data)
        return
    session.object(data, first=FIRST, hidden=("mediaList", "workspaceId"))
    rows = data.get("mediaList") or []
    if rows:
        session.say("")
        session.table(rows, media.COLUMNS, nothing="")
