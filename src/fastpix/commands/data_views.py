"""`fastpix data view|top|errors|dimensions|values`: single views, and lists about many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fastpix.commands import command, measures, spans, text, words
from fastpix.commands.command import ClientCommand, ClientGroup
from fastpix.commands.session import Session, with_session
from fastpix.commands.table import Column

F = TypeVar("F", bound=Callable[..., Any])

VIEW_ID = "VIEW_ID"
VIEWS = (
    Column("VIEW", "viewId"),
    Column("ENDED", "viewEndTime", text.ago),
    Column("COUNTRY", "country"),
    Column("WATCHED", "viewWatchTime", lambda ms: measures.written("playing_time", ms), is_right=True),
    Column("ERROR", "errorCode"),
    Column("TITLE", "videoTitle", is_flexible=True),
)
VIEW_FIRST = ("viewId", "viewStartTime", "viewEndTime", "videoTitle")


def filters(function: F) -> F:
    return click.option(
        "--filter",
        "filter_by",
        multiple=True,
        metavar="DIMENSION:VALUE",
        help="Only such views; with ! in front all others. Repeat it: the same dimension twice is an or.",
    )(function)


@click.group(cls=ClientGroup, example="fastpix data view list --last 24h")
def view() -> None:
    """Single views, one for each attempt to play."""


@view.command(
    "list", example=["fastpix data view list --last 24h --filter country:DE", "fastpix data view list --json"]
)
@click.option("--viewer", "viewer_id", help="Only those of this viewer id.")
@click.option("--error-code", help="Only those with this error.")
@click.option("--order", type=click.Choice(words.ORDERS), default="desc", show_default=True, help="By their end.")
@command.limit
@spans.options
@filters
@with_session
def list_views(
    session: Session,
    viewer_id: str | None,
    error_code: str | None,
    order: Any,
    limit: int,
    filter_by: tuple[str, ...],
    **span: Any,
) -> None:
    """List views that ended in a span, the newest first."""
    pages = session.client.data.views.list(
        timespan=spans.chosen(**span),
        filter_by=filter_by,
        viewer_id=viewer_id,
        error_code=error_code,
        sort_order=order,
        limit=session.page_size(limit),
    )
    session.pages(pages, limit, VIEWS, nothing="No views")


@view.command("get", example=f"fastpix data view get {VIEW_ID}")
@click.argument("view_id")
@with_session
def get_view(session: Session, view_id: str) -> None:
    """Show everything about VIEW_ID, with its events."""
    session.object(session.data(session.client.data.views.get, view_id=view_id), first=VIEW_FIRST)


@click.command(cls=ClientCommand, example="fastpix data top --last 7d --limit 10")
@command.few
@spans.options
@filters
@with_session
def top(session: Session, limit: int, filter_by: tuple[str, ...], **span: Any) -> None:
    """List the titles that were watched most."""
    found = session.data(
        session.client.data.views.top_content,
        timespan=spans.chosen(**span),
        filter_by=filter_by,
        limit=limit,
    )
    columns = (
        Column("VIEWS", "views", text.number, is_right=True),
        Column("VIEWERS", "uniqueViews", text.number, is_right=True),
        Column("TITLE", "videoTitle", is_flexible=True),
    )
    session.table(found, columns, nothing="No views")


@click.command(cls=ClientCommand, example="fastpix data errors --last 7d --filter player_name:hls.js")
@command.few
@spans.options
@filters
@with_session
def errors(session: Session, limit: int, filter_by: tuple[str, ...], **span: Any) -> None:
    """List what went wrong in players, the most frequent first."""
    found = session.data(
        session.client.data.errors.list,
        timespan=spans.chosen(**span),
        filter_by=filter_by,
        limit=limit,
    )
    if session.is_json:
        session.json(found)
        return
    columns = (
        Column("CODE", "code"),
        Column("VIEWS", "count", text.number, is_right=True),
        Column("SHARE", lambda row: measures.share(float(row.get("percentage") or 0)), is_right=True),
        Column("LAST SEEN", "lastSeen", text.ago),
        Column("MESSAGE", lambda row: row.get("message") or row.get("description"), is_flexible=True),
    )
    session.table((found.get("errors") or [])[:limit], columns, nothing="No errors")


@click.command(cls=ClientCommand, example="fastpix data dimensions")
@with_session
def dimensions(session: Session) -> None:
    """List what views can be filtered and broken down by."""
    found = session.data(session.client.data.dimensions.list)
    if session.is_json:
        session.json(found)
        return
    session.say(*(text.clean(name) for name in found))


@click.command(cls=ClientCommand, example="fastpix data values country --last 7d")
@click.argument("dimension")
@spans.options
@filters
@with_session
def values(session: Session, dimension: str, filter_by: tuple[str, ...], **span: Any) -> None:
    """List the values of DIMENSION that were seen: what a --filter may name."""
    found = session.data(
        session.client.data.dimensions.values,
        dimension=dimension,
        timespan=spans.chosen(**span),
        filter_by=filter_by,
    )
    columns = (
        Column("VIEWS", "count", text.number, is_right=True),
        Column("VIEWERS", "uniqueCount", text.number, is_right=True),
        Column("VALUE", "value", is_flexible=True),
    )
    session.table(found, columns, nothing="No views")
