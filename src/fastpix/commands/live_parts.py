"""`fastpix live simulcast` and `fastpix live playback-id`: what belongs to one stream."""

from __future__ import annotations

from typing import Any

import click

from fastpix.commands import command, text, words
from fastpix.commands.command import ClientGroup
from fastpix.commands.media_parts import PLAYBACK_IDS, show_id, show_new_id
from fastpix.commands.session import Session, with_session
from fastpix.commands.table import Column

STREAM_ID = "STREAM_ID"
TARGET_ID = "TARGET_ID"
PLAYBACK_ID = "PLAYBACK_ID"

TARGETS = (
    Column("ID", "simulcastId"),
    Column("ON", "isEnabled", is_status=True),
    Column("SERVER", "url", is_flexible=True),
)
# Its stream key opens a channel on another platform.
HIDDEN = ("streamKey",)


@click.group(cls=ClientGroup, example=f"fastpix live simulcast list {STREAM_ID}")
def simulcast() -> None:
    """Other platforms that a stream is pushed to."""


@simulcast.command("list", example=f"fastpix live simulcast list {STREAM_ID}")
@click.argument("stream_id")
@with_session
def list_targets(session: Session, stream_id: str) -> None:
    """List the targets of STREAM_ID."""
    found = session.data(session.client.live_streams.get, stream_id=stream_id)
    session.table(found.get("simulcastResponses") or [], TARGETS, nothing="It is pushed nowhere")


@simulcast.command(
    "add",
    example=f"fastpix live simulcast add {STREAM_ID} rtmp://live.example.com/app --stream-key-file channel.key",
)
@click.argument("stream_id")
@click.argument("url")
@click.option(
    "--stream-key-file",
    type=click.File("r"),
    required=True,
    help="A file that holds the other platform's key; - is stdin.",
)
@command.metadata
@with_session
def add_target(session: Session, stream_id: str, url: str, stream_key_file: Any, metadata: Any) -> None:
    """Push STREAM_ID to the server at URL as well. The stream must be idle."""
    made = session.data(
        session.client.simulcasts.create,
        stream_id=stream_id,
        url=url,
        stream_key=stream_key_file.read(4096).strip(),
        metadata=metadata,
    )
    session.object(made, first=("simulcastId", "url", "isEnabled"), hidden=HIDDEN)


@simulcast.command("get", example=f"fastpix live simulcast get {STREAM_ID} {TARGET_ID}")
@click.argument("stream_id")
@click.argument("simulcast_id")
@with_session
def get_target(session: Session, stream_id: str, simulcast_id: str) -> None:
    """Show the target SIMULCAST_ID of STREAM_ID."""
    found = session.data(session.client.simulcasts.get, stream_id=stream_id, simulcast_id=simulcast_id)
    session.object(found, first=("simulcastId", "url", "isEnabled"), hidden=HIDDEN)


@simulcast.command("update", example=f"fastpix live simulcast update {STREAM_ID} {TARGET_ID} --off")
@click.argument("stream_id")
@click.argument("simulcast_id")
@click.option("--on/--off", "is_enabled", default=None, help="Whether it is pushed there; while the stream runs too.")
@command.metadata
@with_session
def update_target(session: Session, stream_id: str, simulcast_id: str, **options: Any) -> None:
    """Turn the target SIMULCAST_ID of STREAM_ID on or off."""
    session.require_change(options)
    changed = session.data(session.client.simulcasts.update, stream_id=stream_id, simulcast_id=simulcast_id, **options)
    session.object(changed, first=("simulcastId", "url", "isEnabled"), hidden=HIDDEN)


@simulcast.command("delete", example=f"fastpix live simulcast delete {STREAM_ID} {TARGET_ID} --yes")
@click.argument("stream_id")
@click.argument("simulcast_id")
@command.sure
@with_session
def delete_target(session: Session, stream_id: str, simulcast_id: str, is_sure: bool) -> None:
    """Stop the push to SIMULCAST_ID and forget it."""
    session.confirm(f"Delete the target {text.clean(simulcast_id)}?", is_sure=is_sure)
    done = session.data(session.client.simulcasts.delete, stream_id=stream_id, simulcast_id=simulcast_id)
    session.done(done, f"Deleted {text.clean(simulcast_id)}")


@click.group("playback-id", cls=ClientGroup, example=f"fastpix live playback-id list {STREAM_ID}")
def playback_id() -> None:
    """Ids that a stream is watched by, and who may use them."""


@playback_id.command("list", example=f"fastpix live playback-id list {STREAM_ID}")
@click.argument("stream_id")
@with_session
def list_ids(session: Session, stream_id: str) -> None:
    """List the playback ids of STREAM_ID."""
    found = session.data(session.client.live_streams.get, stream_id=stream_id)
    session.table(found.get("playbackIds") or [], PLAYBACK_IDS, nothing="It has no playback id")


@playback_id.command("get", example=f"fastpix live playback-id get {STREAM_ID} {PLAYBACK_ID}")
@click.argument("stream_id")
@click.argument("playback_id")
@with_session
def get_id(session: Session, stream_id: str, playback_id: str) -> None:
    """Show PLAYBACK_ID of STREAM_ID with its restrictions."""
    ids = session.client.live_streams.playback_ids
    show_id(session, session.data(ids.get, stream_id=stream_id, playback_id=playback_id))


@playback_id.command("add", example=f"fastpix live playback-id add {STREAM_ID} --access private")
@click.argument("stream_id")
@click.option("--access", type=click.Choice(words.LIVE_POLICIES), default="public", help="Who may watch it: public.")
@with_session
def add_id(session: Session, stream_id: str, access: Any) -> None:
    """Make another playback id for STREAM_ID."""
    ids = session.client.live_streams.playback_ids
    made = session.data(ids.create, stream_id=stream_id, access_policy=access)
    show_new_id(session, made, access)


@playback_id.command(
    "restrict",
    example=f"fastpix live playback-id restrict {STREAM_ID} {PLAYBACK_ID} domains --default deny --allow example.com",
)
@click.argument("stream_id")
@click.argument("playback_id")
@click.argument("kind", type=click.Choice(("domains", "user-agents")))
@command.rules
@with_session
def restrict_id(session: Session, stream_id: str, playback_id: str, kind: str, **rules: Any) -> None:
    """Replace which pages (domains) or programs (user-agents) may play PLAYBACK_ID."""
    ids = session.client.live_streams.playback_ids
    method = ids.update_domains if kind == "domains" else ids.update_user_agents
    session.object(session.data(method, stream_id=stream_id, playback_id=playback_id, **rules))


@playback_id.command("delete", example=f"fastpix live playback-id delete {STREAM_ID} {PLAYBACK_ID} --yes")
@click.argument("stream_id")
@click.argument("playback_id")
@command.sure
@with_session
def delete_id(session: Session, stream_id: str, playback_id: str, is_sure: bool) -> None:
    """Stop PLAYBACK_ID; STREAM_ID stays."""
    session.confirm(f"Delete the playback id {text.clean(playback_id)}? Who watches by it stops.", is_sure=is_sure)
    ids = session.client.live_streams.playback_ids
    done = session.data(ids.delete, stream_id=stream_id, playback_id=playback_id)
    session.done(done, f"Deleted {text.clean(playback_id)}")
