"""`fastpix data realtime` and `fastpix data alert`: the present, and rules that watch it."""

from __future__ import annotations

from typing import Any

import click

from fastpix.commands import charts, command, text, words
from fastpix.commands.command import ClientCommand, ClientGroup
from fastpix.commands.data_views import filters
from fastpix.commands.session import Session, with_session
from fastpix.commands.table import Column

ALERT_ID = "ALERT_ID"
ALERTS = (
    Column("ID", "id"),
    Column("ON", "isEnabled", is_status=True),
    Column("BREACHED", "isBreached"),
    Column("RULE", lambda row: f"{row.get('metric')} {row.get('condition')} {text.number(row.get('threshold'))}"),
    Column("NAME", "name", is_flexible=True),
)
FIRST = ("id", "name", "metric", "measurement", "condition", "threshold", "isEnabled", "isBreached")


@click.command(cls=ClientCommand, example=["fastpix data realtime", "fastpix data realtime --by country"])
@click.option("--minutes", type=click.IntRange(1, 1440), help="How far back.")
@click.option("--by", "dimension", help="Who is watching now, by this dimension, such as country.")
@filters
@with_session
def realtime(session: Session, minutes: int | None, dimension: str | None, filter_by: tuple[str, ...]) -> None:
    """Print who is watching now, and how the last minutes went."""
    operations = session.client.data.realtime
    if dimension:
        if minutes or filter_by:
            raise click.UsageError("--by goes without --minutes and --filter")
        rows = session.data(operations.by_dimension, dimension=dimension)
        columns = (
            Column("VIEWERS", "concurrentViewers", text.number, is_right=True),
            Column(text.label(dimension).upper(), "dimensionName", is_flexible=True),
        )
        session.table(rows, columns, nothing="Nobody is watching")
        return
    found = session.data(operations.get, minutes=minutes, filter_by=filter_by)
    if session.is_json:
        session.json(found)
        return
    session.facts(
        [
            ("Viewers now", text.number(found.get("concurrentViewers"))),
            ("Views now", text.number(found.get("concurrentViews"))),
            ("Errors", text.number(found.get("errors"))),
        ]
    )
    series = [point.get("concurrentViewers") for point in found.get("series") or ()]
    if session.screen.is_terminal and any(series):
        drawn = charts.sparkline(series, session.screen.columns - 2, is_unicode=session.screen.is_unicode)
        session.say("", f"  {session.screen.paint(drawn, 'cyan')}")
        session.say(f"  viewers, minute by minute, at most {text.number(max(value or 0 for value in series))}")
    for title, key, columns in (
        (
            "Videos",
            "topVideos",
            (Column("VIEWERS", "concurrentViewers", text.number, is_right=True), Column("TITLE", "videoTitle")),
        ),
        ("Errors", "topErrors", (Column("TIMES", "errors", text.number, is_right=True), Column("CODE", "code"))),
    ):
        if found.get(key):
            session.say("", session.screen.paint(title, bold=True))
            session.table(found[key], columns, nothing="")


@click.group(cls=ClientGroup, example="fastpix data alert list")
def alert() -> None:
    """Rules about metrics that are judged every minute, and told to a webhook when they are broken."""


@alert.command(
    "create",
    example="fastpix data alert create 'Slow start' --metric video_startup_time --above 3000 --window 10",
)
@click.argument("name")
@click.option("--metric", type=click.Choice(words.METRICS), metavar="METRIC", required=True, help="What is watched.")
@click.option("--above", type=float, metavar="VALUE", help="Broken above this value, in the API's unit (ms, 0 to 1).")
@click.option("--below", type=float, metavar="VALUE", help="Broken below this value.")
@click.option("--measurement", type=click.Choice(words.MEASUREMENTS), help="How views become one number.")
@click.option("--window", "window_minutes", type=int, metavar="MINUTES", help="Of how long the views count.")
@click.option("--minimum-views", type=int, help="With fewer it is not judged.")
@click.option("--url", help="Where it is told, by a signed POST.")
@filters
@with_session
def create_alert(session: Session, name: str, above: float | None, below: float | None, **options: Any) -> None:
    """Make a rule called NAME. The secret that signs what is told is printed this once."""
    if (above is None) == (below is None):
        raise click.UsageError("Either --above or --below")
    made = session.data(
        session.client.data.alerts.create,
        name=name,
        threshold=above if above is not None else float(below or 0),
        condition="above" if above is not None else "below",
        **options,
    )
    session.object(made, first=FIRST)


@alert.command("list", example="fastpix data alert list")
@command.limit
@with_session
def list_alerts(session: Session, limit: int) -> None:
    """List rules, and how they were at the last judgement."""
    pages = session.client.data.alerts.list(limit=session.page_size(limit))
    session.pages(pages, limit, ALERTS, nothing="There are no alerts yet")


@alert.command("get", example=f"fastpix data alert get {ALERT_ID}")
@click.argument("alert_id")
@with_session
def get_alert(session: Session, alert_id: str) -> None:
    """Show the rule ALERT_ID."""
    session.object(session.data(session.client.data.alerts.get, alert_id=alert_id), first=FIRST)


@alert.command("update", example=f"fastpix data alert update {ALERT_ID} --threshold 2500 --off")
@click.argument("alert_id")
@click.option("--name", help="What people call it.")
@click.option("--threshold", type=float, metavar="VALUE", help="In the API's unit.")
@click.option("--on/--off", "is_enabled", default=None, help="Whether it is judged.")
@with_session
def update_alert(session: Session, alert_id: str, **options: Any) -> None:
    """Change the rule ALERT_ID."""
    session.require_change(options)
    session.object(session.data(session.client.data.alerts.update, alert_id=alert_id, **options), first=FIRST)


@alert.command("delete", example=f"fastpix data alert delete {ALERT_ID} --yes")
@click.argument("alert_id")
@command.sure
@with_session
def delete_alert(session: Session, alert_id: str, is_sure: bool) -> None:
    """Forget the rule ALERT_ID."""
    session.confirm(f"Delete the alert {text.clean(alert_id)}?", is_sure=is_sure)
    done = session.data(session.client.data.alerts.delete, alert_id=alert_id)
    session.done(done, f"Deleted {text.clean(alert_id)}")
