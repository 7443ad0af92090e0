"""`fastpix media track` and `fastpix media playback-id`: what belongs to one media."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fastpix.commands import addresses, command, text, words
from fastpix.commands.command import ClientGroup
from fastpix.commands.session import Session, with_session
from fastpix.commands.table import Column

F = TypeVar("F", bound=Callable[..., None])

MEDIA_ID = "MEDIA_ID"
PLAYBACK_ID = "PLAYBACK_ID"
TRACK_ID = "TRACK_ID"

TRACK_FIRST = ("id", "type", "status")
TRACKS = (
    Column("ID", "id"),
    Column("TYPE", "type"),
    Column("STATUS", "status", is_status=True),
    Column("LANGUAGE", lambda row: row.get("languageName") or row.get("languageCode"), is_flexible=True),
    Column("SIZE", lambda row: f"{row['width']}x{row['height']}" if row.get("width") and row.get("height") else None),
)


def _restricted(row: Any) -> str:
    rules = row.get("accessRestrictions") or {}
    names = {"domains": "domains", "userAgents": "programs"}
    return ", ".join(
        name
        for key, name in names.items()
        if isinstance(rules.get(key), dict)
        and (rules[key].get("allow") or rules[key].get("deny") or rules[key].get("defaultPolicy") == "deny")
    )


PLAYBACK_IDS = (
    Column("ID", "id"),
    Column("ACCESS", "accessPolicy"),
    Column("UP TO", "resolution"),
    Column("RESTRICTED", _restricted),
)


def show_id(session: Session, data: Any) -> None:
    """A playback id; restrictions that restrict nobody are left out."""
    hidden = () if _restricted(data) else ("accessRestrictions",)
    session.object(data, first=("id", "accessPolicy", "resolution"), hidden=hidden)


def show_new_id(session: Session, made: Any, policy: str) -> None:
    """One that was made just now, and where people watch by it."""
    show_id(session, made)
    if not session.is_json and policy == "public" and made.get("id"):
        say_player(session, made["id"])


def say_player(session: Session, playback_id: object) -> None:
    session.say("", f"Watch it at {addresses.player(session.client.base_url, str(playback_id))}")


def _naming(function: F) -> F:
    """What a track is called, as the client calls it."""
    return command.with_options(
        function,
        click.option(
            "--language", "language_code", required=True, metavar="CODE", help="Of BCP 47, such as en or pt-BR."
        ),
        click.option(
            "--name", "language_name", required=True, help="Of the language, as players show it; unique in the media."
        ),
        click.option("--title", help="Of the track."),
    )


@click.group(cls=ClientGroup, example=f"fastpix media track list {MEDIA_ID}")
def track() -> None:
    """Sounds and subtitles of a media."""


@track.command("list", example=f"fastpix media track list {MEDIA_ID}")
@click.argument("media_id")
@with_session
def list_tracks(session: Session, media_id: str) -> None:
    """List the tracks of MEDIA_ID."""
    found = session.data(session.client.media.get, media_id=media_id)
    session.table(found.get("tracks") or [], TRACKS, nothing="Its tracks are not known yet")


@track.command(
    "add",
    example=f"fastpix media track add {MEDIA_ID} https://example.com/fr.vtt --type subtitle --language fr --name fr",
)
@click.argument("media_id")
@click.argument("url")
@click.option("--type", "kind", type=click.Choice(words.TRACK_KINDS), required=True, help="What the file is.")
@_naming
@with_session
def add_track(session: Session, media_id: str, url: str, kind: Any, **naming: Any) -> None:
    """Add the sound or the subtitles at URL to MEDIA_ID."""
    made = session.data(session.client.tracks.create, media_id=media_id, url=url, type=kind, **naming)
    session.object(made, first=TRACK_FIRST)


@track.command(
    "update", example=f"fastpix media track update {MEDIA_ID} {TRACK_ID} --language fr-CA --name 'Français (Canada)'"
)
@click.argument("media_id")
@click.argument("track_id")
@_naming
@click.option("--url", help="Another file in its place.")
@with_session
def update_track(session: Session, media_id: str, track_id: str, url: str | None, **naming: Any) -> None:
    """Name the track TRACK_ID of MEDIA_ID anew."""
    changed = session.data(session.client.tracks.update, media_id=media_id, track_id=track_id, url=url, **naming)
    session.object(changed, first=TRACK_FIRST)


@track.command("delete", example=f"fastpix media track delete {MEDIA_ID} {TRACK_ID} --yes")
@click.argument("media_id")
@click.argument("track_id")
@command.sure
@with_session
def delete_track(session: Session, media_id: str, track_id: str, is_sure: bool) -> None:
    """Take the track TRACK_ID from MEDIA_ID."""
    session.confirm(f"Delete the track {text.clean(track_id)}?", is_sure=is_sure)
    done = session.data(session.client.tracks.delete, media_id=media_id, track_id=track_id)
    session.done(done, f"Deleted {text.clean(track_id)}")


@click.group("playback-id", cls=ClientGroup, example=f"fastpix media playback-id list {MEDIA_ID}")
def playback_id() -> None:
    """Ids that a media plays by, and who may use them."""


@playback_id.command("list", example=f"fastpix media playback-id list {MEDIA_ID}")
@click.argument("media_id")
@with_session
def list_ids(session: Session, media_id: str) -> None:
    """List the playback ids of MEDIA_ID."""
    found = session.data(session.client.playback_ids.list, media_id=media_id)
    rows = found if isinstance(found, list) else found.get("playbackIds") or []
    session.table(rows, PLAYBACK_IDS, nothing="It has no playback id")


@playback_id.command("get", example=f"fastpix media playback-id get {MEDIA_ID} {PLAYBACK_ID}")
@click.argument("media_id")
@click.argument("playback_id")
@with_session
def get_id(session: Session, media_id: str, playback_id: str) -> None:
    """Show PLAYBACK_ID of MEDIA_ID with its restrictions."""
    found = session.data(session.client.playback_ids.get, media_id=media_id, playback_id=playback_id)
    show_id(session, found)


@playback_id.command(
    "add",
    example=[
        f"fastpix media playback-id add {MEDIA_ID} --access private",
        f"fastpix media playback-id add {MEDIA_ID} --resolution 480p",
    ],
)
@click.argument("media_id")
@click.option("--access", type=click.Choice(words.ACCESS_POLICIES), default="public", help="Who may play it: public.")
@click.option("--resolution", type=click.Choice(words.RESOLUTIONS), help="The highest picture that it shows.")
@click.option("--drm-configuration-id", help="With --access drm: how it is encrypted.")
@with_session
def add_id(session: Session, media_id: str, access: Any, resolution: Any, drm_configuration_id: str | None) -> None:
    """Make another playback id for MEDIA_ID."""
    made = session.data(
        session.client.playback_ids.create,
        media_id=media_id,
        access_policy=access,
        resolution=resolution,
        drm_configuration_id=drm_configuration_id,
    )
    show_new_id(session, made, access)


@playback_id.command(
    "restrict",
    example=[
        f"fastpix media playback-id restrict {MEDIA_ID} {PLAYBACK_ID} domains --default deny --allow example.com",
        f"fastpix media playback-id restrict {MEDIA_ID} {PLAYBACK_ID} user-agents --deny curl",
    ],
)
@click.argument("media_id")
@click.argument("playback_id")
@click.argument("kind", type=click.Choice(("domains", "user-agents")))
@command.rules
@with_session
def restrict_id(session: Session, media_id: str, playback_id: str, kind: str, **rules: Any) -> None:
    """Replace which pages (domains) or programs (user-agents) may play PLAYBACK_ID."""
    ids = session.client.playback_ids
    method = ids.update_domains if kind == "domains" else ids.update_user_agents
    session.object(session.data(method, media_id=media_id, playback_id=playback_id, **rules))


@playback_id.command("delete", example=f"fastpix media playback-id delete {MEDIA_ID} {PLAYBACK_ID} --yes")
@click.argument("media_id")
@click.argument("playback_id")
@command.sure
@with_session
def delete_id(session: Session, media_id: str, playback_id: str, is_sure: bool) -> None:
    """Stop PLAYBACK_ID at once; MEDIA_ID stays."""
    session.confirm(f"Delete the playback id {text.clean(playback_id)}? Who watches by it stops.", is_sure=is_sure)
    done = session.data(session.client.playback_ids.delete, media_id=media_id, playback_id=playback_id)
    session.done(done, f"Deleted {text.clean(playback_id)}")
