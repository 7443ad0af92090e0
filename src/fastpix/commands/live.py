"""`fastpix live`: streams from an encoder to viewers."""

from __future__ import annotations

from typing import Any

import click

from fastpix.commands import addresses, command, live_parts, media, media_parts, text, words
from fastpix.commands.command import ClientGroup
from fastpix.commands.live_parts import STREAM_ID
from fastpix.commands.media_parts import PLAYBACK_IDS
from fastpix.commands.session import Session, with_session
from fastpix.commands.table import Column

# Whoever has one of these can publish: they are shown when somebody asks for them.
SECRETS = ("streamKey", "srtSecret", "srtPlaybackResponse")
FIRST = ("streamId", "status", "createdAt", "reconnectWindow", "maxResolution", "mediaIds")
# `lowLatency` is a word of the official service, always false there; here every stream has low latency.
HIDDEN = (*SECRETS, "trial", "lowLatency")
TABLES = {"playbackIds": PLAYBACK_IDS, "simulcastResponses": live_parts.TARGETS}
COLUMNS = (
    Column("ID", "streamId"),
    Column("STATUS", "status", is_status=True),
    Column("CREATED", "createdAt", text.ago),
    Column("RECORDINGS", lambda row: len(row.get("mediaIds") or ()), is_right=True),
    Column(
        "METADATA",
        lambda row: ", ".join(f"{key}={value}" for key, value in (row.get("metadata") or {}).items()),
        is_flexible=True,
    ),
)

_print_obs = click.option(
    "--print-obs", is_flag=True, help="Print what encoders need, with the key: server, stream key, SRT and WHIP."
)
_ingest_host = click.option(
    "--ingest-host", metavar="HOST", help="Where encoders send to, when it is not the host of the API."
)


@click.group(cls=ClientGroup, example="fastpix live create --print-obs")
def live() -> None:
    """Live streams: make them, watch over them, push them elsewhere."""


live.add_command(live_parts.simulcast)
live.add_command(live_parts.playback_id)


@live.command(
    "create",
    example=[
        "fastpix live create --print-obs",
        "fastpix live create --access private --dvr --reconnect-window 120 --metadata show=morning",
    ],
)
@click.option("--access", type=click.Choice(words.LIVE_POLICIES), default="public", help="Who may watch it: public.")
@click.option("--recording-access", type=click.Choice(words.LIVE_POLICIES), help="Who may play its recordings.")
@click.option("--max-resolution", type=click.Choice(words.LIVE_RESOLUTIONS), help="The highest picture that is made.")
@click.option("--quality", type=click.Choice(words.QUALITIES), help="How much is spent on the picture.")
@click.option(
    "--reconnect-window",
    type=click.IntRange(0, 86_400),
    metavar="SECONDS",
    help="How long a lost encoder may take to come back into the same session.",
)
@click.option("--record/--no-record", default=None, help="Whether its sessions become media.")
@click.option("--dvr/--no-dvr", default=None, help="Whether viewers can go back to the beginning.")
@_print_obs
@_ingest_host
@command.metadata
@with_session
def create_stream(session: Session, print_obs: bool, ingest_host: str | None, **options: Any) -> None:
    """Make a stream and print what encoders and viewers need."""
    made = session.data(
        session.client.live_streams.create,
        access_policy=options["access"],
        max_resolution=options["max_resolution"],
        media_policy=options["recording_access"],
        media_quality=options["quality"],
        reconnect_window=options["reconnect_window"],
        enable_recording=options["record"],
        enable_dvr_mode=options["dvr"],
        metadata=options["metadata"],
    )
    _show(session, made, is_with_keys=print_obs, ingest_host=ingest_host)


@live.command("list", example="fastpix live list --limit 5")
@command.limit
@click.option("--order", type=click.Choice(words.ORDERS), help="By the time of creation; the newest first without it.")
@with_session
def list_streams(session: Session, limit: int, order: Any) -> None:
    """List streams, the newest first. With --json their keys are in it."""
    pages = session.client.live_streams.list(limit=session.page_size(limit), order_by=order)
    session.pages(pages, limit, COLUMNS, nothing="There are no streams yet: fastpix live create makes one")


@live.command("get", example=[f"fastpix live get {STREAM_ID}", f"fastpix live get {STREAM_ID} --print-obs"])
@click.argument("stream_id")
@_print_obs
@_ingest_host
@with_session
def get_stream(session: Session, stream_id: str, print_obs: bool, ingest_host: str | None) -> None:
    """Show everything about STREAM_ID; its keys only with --print-obs or --json."""
    found = session.data(session.client.live_streams.get, stream_id=stream_id)
    _show(session, found, is_with_keys=print_obs, ingest_host=ingest_host)


@live.command("update", example=f"fastpix live update {STREAM_ID} --reconnect-window 300")
@click.argument("stream_id")
@click.option(
    "--reconnect-window",
    type=click.IntRange(0, 86_400),
    metavar="SECONDS",
    help="How long a lost encoder may take to come back into the same session.",
)
@command.metadata
@with_session
def update_stream(session: Session, stream_id: str, **options: Any) -> None:
    """Change the reconnect window or your own words about STREAM_ID."""
    session.require_change(options)
    changed = session.data(session.client.live_streams.update, stream_id=stream_id, **options)
    _show(session, changed, is_with_keys=False, ingest_host=None)


@live.command("enable", example=f"fastpix live enable {STREAM_ID}")
@click.argument("stream_id")
@with_session
def enable_stream(session: Session, stream_id: str) -> None:
    """Let encoders into STREAM_ID again."""
    done = session.data(session.client.live_streams.enable, stream_id=stream_id)
    session.done(done, f"Enabled {text.clean(stream_id)}: encoders may come")


@live.command("disable", example=f"fastpix live disable {STREAM_ID} --yes")
@click.argument("stream_id")
@command.sure
@with_session
def disable_stream(session: Session, stream_id: str, is_sure: bool) -> None:
    """Disconnect the encoder of STREAM_ID and let none in."""
    session.confirm(f"Disable {text.clean(stream_id)}? Its encoder is sent away.", is_sure=is_sure)
    done = session.data(session.client.live_streams.disable, stream_id=stream_id)
    session.done(done, f"Disabled {text.clean(stream_id)}")


@live.command("complete", example=f"fastpix live complete {STREAM_ID} --yes")
@click.argument("stream_id")
@command.sure
@with_session
def complete_stream(session: Session, stream_id: str, is_sure: bool) -> None:
    """End the running session of STREAM_ID now, without waiting for the reconnect window."""
    session.confirm(f"End the broadcast of {text.clean(stream_id)} for everybody?", is_sure=is_sure)
    done = session.data(session.client.live_streams.finish, stream_id=stream_id)
    session.done(done, f"Ended the session of {text.clean(stream_id)}")


@live.command("delete", example=f"fastpix live delete {STREAM_ID} --yes")
@click.argument("stream_id")
@command.sure
@with_session
def delete_stream(session: Session, stream_id: str, is_sure: bool) -> None:
    """Disconnect the encoder and delete STREAM_ID; recordings stay as media."""
    session.confirm(f"Delete the stream {text.clean(stream_id)}? Its key stops working.", is_sure=is_sure)
    done = session.data(session.client.live_streams.delete, stream_id=stream_id)
    session.done(done, f"Deleted {text.clean(stream_id)}")


@live.command("health", example=f"fastpix live health {STREAM_ID}")
@click.argument("stream_id")
@with_session
def health(session: Session, stream_id: str) -> None:
    """Show what the encoder of STREAM_ID sends, and how it arrives."""
    found = session.data(session.client.live_streams.health, stream_id=stream_id)
    session.object(found, first=("streamId", "status", "isPublishing", "protocol", "startedAt", "viewers"))


@live.command("viewers", example=f"fastpix live viewers {STREAM_ID}")
@click.argument("stream_id")
@with_session
def viewers(session: Session, stream_id: str) -> None:
    """Print about how many watch STREAM_ID now."""
    found = session.data(session.client.live_streams.viewer_count, stream_id=stream_id)
    session.done(found, text.number(found.get("views")))


@live.command("clips", example=f"fastpix live clips {STREAM_ID}")
@click.argument("stream_id")
@command.limit
@with_session
def list_clips(session: Session, stream_id: str, limit: int) -> None:
    """List media that were cut out of STREAM_ID while it ran."""
    pages = session.client.live_streams.list_clips(stream_id=stream_id, limit=session.page_size(limit))
    session.pages(pages, limit, media.COLUMNS, nothing="No clips were made of it")


def _show(session: Session, data: Any, *, is_with_keys: bool, ingest_host: str | None) -> None:
    if session.is_json:
        session.json(data)
        return
    session.object(data, first=FIRST, hidden=HIDDEN, tables=TABLES)
    for item in (data.get("playbackIds") or ())[:1]:
        if item.get("accessPolicy") == "public":
            media_parts.say_player(session, item.get("id"))
        else:
            session.say(
                "", f"It is private; to open it: fastpix key sign {text.clean(item.get('id'))} --private-key FILE --url"
            )
    if is_with_keys:
        _print_keys(session, data, ingest_host)
    elif data.get("streamId"):
        session.note(f"For encoders: fastpix live get {text.clean(data['streamId'])} --print-obs")


def _print_keys(session: Session, data: Any, ingest_host: str | None) -> None:
    """As OBS asks for it in Settings, Stream."""
    key, secret = str(data.get("streamKey")), data.get("srtSecret")
    found = addresses.encoders(session.client.base_url, host=ingest_host, stream_key=key, srt_secret=secret)
    if found is None:
        session.say("", f"Stream key  {text.clean(key)}")
        session.note("Where encoders of this service send to is in its documentation; --ingest-host names the host.")
        return
    session.say(
        "",
        session.screen.paint("OBS: Settings, Stream, service Custom", bold=True),
        f"  Server      {found.rtmp}",
        f"  Stream key  {text.clean(key)}",
        "  Settings, Output: keyframe interval 2 s",
        session.screen.paint("Other ways in", bold=True),
        f"  RTMPS       {found.rtmps}",
        f"  SRT         {text.clean(found.srt)}",
        f"  WHIP        {found.whip}  (bearer token: the stream key)",
        "",
        "Whoever has the key can publish: keep it.",
    )
