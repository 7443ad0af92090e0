"""`fastpix key`: keys that sign playback tokens, and the signing itself, which sends nothing.

Invariants: a private key is written to a file of mode 0600 that was not there before, and the place is tried before
the key is made: the API shows it once.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import tempfile
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from fastpix.commands import addresses, command, spans, text
from fastpix.commands.command import ClientGroup
from fastpix.commands.media_parts import PLAYBACK_ID
from fastpix.commands.session import Session, with_session
from fastpix.commands.table import Column

KEY_ID = "KEY_ID"
KEY_MAX_CHARS = 64 << 10
KEY_ROOM_BYTES = 16 << 10  # more than the PEM text of any RSA key
COLUMNS = (Column("ID", "id"), Column("CREATED", "createdAt", text.ago))


@click.group(cls=ClientGroup, example=f"fastpix key sign {PLAYBACK_ID} --key-id {KEY_ID} --private-key key.pem")
def key() -> None:
    """Signing keys, and playback tokens that they sign."""


@key.command("create", example=["fastpix key create", "fastpix key create --out secrets/playback.pem"])
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the private key is written; nothing may be there. Without it: ./KEY_ID.pem",
)
@with_session
def create_key(session: Session, out: Path | None) -> None:
    """Make a signing key and write its private half to a file that only you can read.

    With --json and without --out the private half is in the JSON, and no file is written.
    """
    if session.is_json and out is None:
        session.json(session.data(session.client.signing_keys.create))
        return
    if out is not None and out.exists():
        raise click.UsageError(f"{out} is there already; a key is never written over")
    folder = out.parent if out is not None else Path()
    made, path = _kept(session, out, folder)
    if session.is_json:
        session.json(made)
        return
    session.object(made, first=("id",), hidden=("privateKey",))
    session.say(f"Private key written to {text.clean(path)}: it cannot be read again from anywhere else.")


def _kept(session: Session, out: Path | None, folder: Path) -> tuple[Any, Path]:
    """The answer, and where its private half is now. Once the key is made, no failure loses it."""
    from fastpix.errors import FastPixError

    handle, name = tempfile.mkstemp(prefix=".fastpix-key-", dir=folder)  # mode 0600
    draft = Path(name)
    with os.fdopen(handle, "r+b") as file:
        try:
            file.write(bytes(KEY_ROOM_BYTES))  # on a full disk this fails, and no key is made
            file.flush()
            made = session.data(session.client.signing_keys.create)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        file.seek(0)
        file.write(_pem(str(made.get("privateKey"))))
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
    path = out or folder / f"{uuid.UUID(str(made.get('id')))}.pem"
    try:
        os.link(draft, path)  # never over a file that came meanwhile
    except OSError as fault:
        raise FastPixError(
            f"The key {made.get('id')} is made, and its private half is in {draft}: {fault.strerror}"
        ) from None
    draft.unlink()
    return made, path


def _pem(private_key: str) -> bytes:
    """The API writes the PEM text in base64."""
    try:
        return base64.b64decode(private_key, validate=True)
    except (binascii.Error, ValueError):
        return private_key.encode()


@key.command("list", example="fastpix key list")
@command.limit
@with_session
def list_keys(session: Session, limit: int) -> None:
    """List signing keys, the newest first."""
    pages = session.client.signing_keys.list(limit=session.page_size(limit))
    session.pages(pages, limit, COLUMNS, nothing="There are no signing keys yet: fastpix key create makes one")


@key.command("get", example=f"fastpix key get {KEY_ID}")
@click.argument("key_id")
@with_session
def get_key(session: Session, key_id: str) -> None:
    """Show the public half of KEY_ID."""
    found = session.data(session.client.signing_keys.get, signing_key_id=key_id)
    session.object(found, first=("signingKeyId",), hidden=("publicKey", "workspaceId"))
    if not session.is_json:
        session.say(*(text.clean(line) for line in str(found.get("publicKey", "")).splitlines()))


@key.command("delete", example=f"fastpix key delete {KEY_ID} --yes")
@click.argument("key_id")
@command.sure
@with_session
def delete_key(session: Session, key_id: str, is_sure: bool) -> None:
    """Delete KEY_ID; tokens that it signed stop working at once."""
    session.confirm(f"Delete the key {text.clean(key_id)}? Tokens that it signed stop working.", is_sure=is_sure)
    done = session.data(session.client.signing_keys.delete, signing_key_id=key_id)
    session.done(done, f"Deleted {text.clean(key_id)}")


@key.command(
    "sign",
    example=[
        f"fastpix key sign {PLAYBACK_ID} --key-id {KEY_ID} --private-key key.pem",
        f"fastpix key sign {PLAYBACK_ID} --private-key 5b1f0c9e-3d74-4b26-9f0a-8e2d6c7a1b35.pem --expires 2h --url",
    ],
)
@click.argument("playback_id")
@click.option(
    "--private-key",
    type=click.File("r"),
    required=True,
    metavar="FILE",
    help="As `key create` wrote it; - is stdin.",
)
@click.option("--key-id", help="Which key it is. Without it: the file's name, as `key create` gives it.")
@click.option(
    "--expires",
    default="1h",
    show_default=True,
    callback=spans.as_duration,
    help="How long it opens: 90s, 30m, 2h, 7d.",
)
@click.option("--drm", "is_drm", is_flag=True, help="A token for licences of encrypted video.")
@click.option("--url", "is_url", is_flag=True, help="Print the address of a page that plays it.")
@with_session
def sign(
    session: Session,
    playback_id: str,
    private_key: Any,
    key_id: str | None,
    expires: int,
    is_drm: bool,
    is_url: bool,
) -> None:
    """Print a token that opens the private PLAYBACK_ID for a while. Nothing is sent."""
    from fastpix import sign_playback_token
    from fastpix.commands import access

    if is_drm and is_url:
        raise click.UsageError("A page needs both tokens: sign one for media and one with --drm")
    token = sign_playback_token(
        signing_key_id=key_id or _key_id_of(str(private_key.name)),
        private_key=private_key.read(KEY_MAX_CHARS),
        playback_id=playback_id,
        expires_in_s=expires,
        audience="drm" if is_drm else "media",
    )
    base_url = access.base_url(*session.asked)
    url = addresses.player(base_url, playback_id, token)
    if session.is_json:
        payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        expires_at = datetime.fromtimestamp(payload["exp"], timezone.utc).isoformat().replace("+00:00", "Z")
        session.json({"token": token, "expiresAt": expires_at, **({} if is_drm else {"url": url})})
        return
    session.say(url if is_url else token)


def _key_id_of(name: str) -> str:
    stem = Path(name).stem
    try:
        return str(uuid.UUID(stem))
    except ValueError:
        raise click.UsageError("Which key is it? The file is not named by its id: pass --key-id") from None
