"""`fastpix webhook`: where events are sent, what became of them, and whether one is genuine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from fastpix.commands import command, spans, text, words
from fastpix.commands.command import ClientGroup
from fastpix.commands.session import Session, with_session
from fastpix.commands.table import Column

F = TypeVar("F", bound=Callable[..., None])

WEBHOOK_ID = "WEBHOOK_ID"
DELIVERY_ID = "DELIVERY_ID"
BODY_MAX_BYTES = 16 << 20
FIRST = ("id", "url", "name", "status", "statusReason", "createdAt")
COLUMNS = (
    Column("ID", "id"),
    Column("STATUS", "status", is_status=True),
    Column("FAILURES", "consecutiveFailures", text.number, is_right=True),
    Column("URL", "url", is_flexible=True),
)
DELIVERIES = (
    Column("ID", "id"),
    Column("STATE", "state", is_status=True),
    Column("TRIES", lambda row: len(row.get("attempts") or ()), is_right=True),
    Column("CREATED", "createdAt", text.ago),
    Column("EVENT", "type", is_flexible=True),
)


@click.group(cls=ClientGroup, example="fastpix webhook create https://example.com/hooks")
def webhook() -> None:
    """Webhooks: make them, watch their deliveries, send them again, check a body that arrived."""


def _secret_file(purpose: str) -> Callable[[F], F]:
    return click.option(
        "--secret-file", type=click.File("r"), help=f"A file with the secret (base64) {purpose}; - is stdin."
    )


@webhook.command("create", example="fastpix webhook create https://example.com/hooks --name production")
@click.argument("url")
@click.option("--name", help="What people call it.")
@_secret_file("that signs; one is made without it")
@with_session
def create_webhook(session: Session, url: str, name: str | None, secret_file: Any) -> None:
    """Send events to URL. The secret that signs them is printed this once."""
    made = session.data(session.client.webhooks.create, url=url, name=name, signing_secret=_secret(secret_file))
    _show(session, made)


@webhook.command("list", example="fastpix webhook list")
@command.limit
@with_session
def list_webhooks(session: Session, limit: int) -> None:
    """List webhooks, the newest first."""
    pages = session.client.webhooks.list(limit=session.page_size(limit))
    session.pages(pages, limit, COLUMNS, nothing="There are no webhooks yet")


@webhook.command("get", example=f"fastpix webhook get {WEBHOOK_ID}")
@click.argument("webhook_id")
@with_session
def get_webhook(session: Session, webhook_id: str) -> None:
    """Show WEBHOOK_ID, and how it fares."""
    _show(session, session.data(session.client.webhooks.get, webhook_id=webhook_id))


@webhook.command("update", example=f"fastpix webhook update {WEBHOOK_ID} --url https://example.com/v2/hooks --on")
@click.argument("webhook_id")
@click.option("--url", help="Where events are sent.")
@click.option("--name", help="What people call it.")
@click.option("--on/--off", "is_enabled", default=None, help="Whether events are sent.")
@with_session
def update_webhook(session: Session, webhook_id: str, **options: Any) -> None:
    """Change WEBHOOK_ID, turn it off, or on again."""
    session.require_change(options)
    _show(session, session.data(session.client.webhooks.update, webhook_id=webhook_id, **options))


@webhook.command("rotate", example=f"fastpix webhook rotate {WEBHOOK_ID} --grace 24h")
@click.argument("webhook_id")
@click.option("--grace", callback=spans.as_duration, metavar="SPAN", help="How long the old secret signs too: 1h, 7d.")
@_secret_file("that signs from now on; one is made without it")
@with_session
def rotate_secret(session: Session, webhook_id: str, grace: int | None, secret_file: Any) -> None:
    """Give WEBHOOK_ID a new secret, which is printed this once."""
    changed = session.data(
        session.client.webhooks.rotate_secret,
        webhook_id=webhook_id,
        grace_seconds=grace,
        signing_secret=_secret(secret_file),
    )
    _show(session, changed)


@webhook.command("delete", example=f"fastpix webhook delete {WEBHOOK_ID} --yes")
@click.argument("webhook_id")
@command.sure
@with_session
def delete_webhook(session: Session, webhook_id: str, is_sure: bool) -> None:
    """Send nothing more to WEBHOOK_ID, and forget it."""
    session.confirm(f"Delete the webhook {text.clean(webhook_id)}?", is_sure=is_sure)
    done = session.data(session.client.webhooks.delete, webhook_id=webhook_id)
    session.done(done, f"Deleted {text.clean(webhook_id)}")


@webhook.command("test", example=f"fastpix webhook test {WEBHOOK_ID}")
@click.argument("webhook_id")
@with_session
def send_test(session: Session, webhook_id: str) -> None:
    """Send an event to WEBHOOK_ID to try it out."""
    made = session.data(session.client.webhooks.test, webhook_id=webhook_id)
    _show_delivery(session, made)
    if not session.is_json and made.get("id"):
        session.note(f"What became of it: fastpix webhook delivery {text.clean(webhook_id)} {text.clean(made['id'])}")


@webhook.command("deliveries", example=f"fastpix webhook deliveries {WEBHOOK_ID} --state failed")
@click.argument("webhook_id")
@click.option("--state", type=click.Choice(words.DELIVERY_STATES), help="Only those.")
@command.limit
@with_session
def list_deliveries(session: Session, webhook_id: str, state: Any, limit: int) -> None:
    """List what was sent to WEBHOOK_ID and what waits, the newest first."""
    pages = session.client.webhooks.list_deliveries(webhook_id=webhook_id, state=state, limit=session.page_size(limit))
    session.pages(pages, limit, DELIVERIES, nothing="Nothing was sent")


@webhook.command("delivery", example=f"fastpix webhook delivery {WEBHOOK_ID} {DELIVERY_ID}")
@click.argument("webhook_id")
@click.argument("delivery_id")
@with_session
def get_delivery(session: Session, webhook_id: str, delivery_id: str) -> None:
    """Show DELIVERY_ID with its tries; its payload with --json."""
    found = session.data(session.client.webhooks.get_delivery, webhook_id=webhook_id, delivery_id=delivery_id)
    _show_delivery(session, found)


@webhook.command(
    "replay",
    example=[
        f"fastpix webhook replay {WEBHOOK_ID} --delivery {DELIVERY_ID}",
        f"fastpix webhook replay {WEBHOOK_ID} --last 6h --only-undelivered",
    ],
)
@click.argument("webhook_id")
@click.option("--delivery", "delivery_id", help="Only this one; without it the events of a span.")
@spans.options
@click.option("--only-undelivered", is_flag=True, help="Leave out what has arrived.")
@with_session
def replay(session: Session, webhook_id: str, delivery_id: str | None, only_undelivered: bool, **span: Any) -> None:
    """Send events to WEBHOOK_ID again, under their old ids."""
    operations = session.client.webhooks
    chosen = spans.chosen(**span)
    if (delivery_id is None) == (chosen is None) or (delivery_id and only_undelivered):
        raise click.UsageError("Either --delivery, or a span: --last, or --from and --to")
    if delivery_id is not None:
        made = session.data(operations.replay_delivery, webhook_id=webhook_id, delivery_id=delivery_id)
        _show_delivery(session, made)
        return
    since, until = chosen or (None, None)
    _replay_span(session, webhook_id, since, until, only_undelivered)


def _replay_span(
    session: Session, webhook_id: str, since: datetime | None, until: datetime | None, only_undelivered: bool
) -> None:
    """The API takes so many a call and says where to go on."""
    looked_at = queued = 0
    found: Any = {}
    while since is not None:
        found = session.data(
            session.client.webhooks.replay,
            webhook_id=webhook_id,
            since=since,
            until=until,
            only_undelivered=only_undelivered or None,
        )
        looked_at, queued = looked_at + int(found.get("events") or 0), queued + int(found.get("queued") or 0)
        onwards = text.parsed(found.get("continueFrom"))
        since = onwards if onwards is not None and onwards > since else None
    if session.is_json:
        session.json({**found, "events": looked_at, "queued": queued})
        return
    session.say(f"{queued:,} of {looked_at:,} events are sent again")


@webhook.command(
    "verify",
    is_offline=True,
    example=[
        "fastpix webhook verify body.json --signature 'q2h5Yx0b...' --secret-file hook.secret",
        "fastpix webhook verify - --signature 'q2h5Yx0b...'",
    ],
)
@click.argument("body", type=click.File("rb"))
@click.option("--signature", required=True, help="The header FastPix-Signature that came with it.")
@_secret_file("(while you change it: both, a line each); FASTPIX_WEBHOOK_SECRET without it")
@with_session
def verify(session: Session, body: Any, signature: str, secret_file: Any) -> None:
    """Say whether BODY, byte for byte as it arrived, was signed with your secret. Exit code 1: it was not."""
    from fastpix import verify_webhook

    content = body.read(BODY_MAX_BYTES + 1)
    if len(content) > BODY_MAX_BYTES:
        raise click.UsageError(f"The body has more than {text.size(BODY_MAX_BYTES)}")
    secrets = None if secret_file is None else secret_file.read(4096).split()
    event = verify_webhook(content, signature, secret=secrets)
    if session.is_json:
        session.json({"id": event.id, "type": event.type, "object": {"type": event.object.type, "id": event.object.id}})
        return
    session.say(
        f"Genuine: {text.clean(event.type)} of {text.clean(event.object.type)} {text.clean(event.object.id)},"
        f" event {text.clean(event.id)}"
    )


def _secret(file: Any) -> str | None:
    return None if file is None else file.read(4096).strip()


def _show(session: Session, data: Any) -> None:
    session.object(data, first=FIRST)
    if not session.is_json and data.get("signingSecret"):
        session.note("Keep the signing secret: it is not shown again.")


def _show_delivery(session: Session, data: Any) -> None:
    session.object(data, first=("id", "state", "type", "createdAt"), hidden=("payload",))
