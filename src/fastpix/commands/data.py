"""`fastpix data`: what players saw, in tables and charts.

Charts are drawn on a terminal; in a pipe the same numbers are plain lines.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from fastpix.commands import charts, command, data_now, data_views, measures, spans, text, words
from fastpix.commands.command import ClientGroup
from fastpix.commands.data_views import filters
from fastpix.commands.session import Session, with_session
from fastpix.commands.table import Column

INTERVALS = {
    "minute": timedelta(minutes=1),
    "ten_minutes": timedelta(minutes=10),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
GRID_MAX = 2000  # intervals of a sparkline, which has at most 200 columns
EXPORT_FORMATS = ("csv", "parquet")

_metric = click.argument("metric", type=click.Choice(words.METRICS), metavar="METRIC")
_measurement = click.option(
    "--measurement", type=click.Choice(words.MEASUREMENTS), help="How views become one number; avg without it."
)


@click.group(cls=ClientGroup, example="fastpix data overall views --last 7d")
def data() -> None:
    """What players saw: numbers, breakdowns, lines over time, single views, errors, the present.

    METRIC is one of those that `fastpix data metrics` lists. A --filter is dimension:value, and !dimension:value
    excludes; `fastpix data dimensions` lists them.
    """


for _more in (
    data_views.view, data_views.top, data_views.errors, data_views.dimensions, data_views.values,
    data_now.realtime, data_now.alert,
):  # fmt: skip
    data.add_command(_more)


@data.command("metrics", is_offline=True, has_json=False, example="fastpix data metrics")
@with_session
def metrics(session: Session) -> None:
    """List the metrics that can be asked for."""
    session.say(*words.METRICS)


@data.command(
    "overall",
    example=[
        "fastpix data overall views --last 7d",
        "fastpix data overall video_startup_time --measurement 95th --filter country:DE",
    ],
)
@_metric
@_measurement
@spans.options
@filters
@with_session
def overall(
    session: Session,
    metric: Any,
    measurement: Any,
    last: int | None,
    since: datetime | None,
    until: datetime | None,
    filter_by: tuple[str, ...],
) -> None:
    """Print METRIC as one number, and draw how it went."""
    span = spans.chosen(last, since, until)
    operations = session.client.data.metrics
    found = session.data(operations.overall, metric=metric, measurement=measurement, timespan=span, filter_by=filter_by)
    if session.is_json:
        session.json(found)
        return
    pairs = [(text.label(metric), measures.written(metric, found.get("value"), measurement))]
    if filter_by:
        pairs.append(("Without filters", measures.written(metric, found.get("globalValue"), measurement)))
    pairs += [
        ("Views", text.number(found.get("totalViews"))),
        ("Viewers", text.number(found.get("uniqueViews"))),
        ("Watched", measures.written("playing_time", found.get("totalWatchTime"))),
    ]
    session.facts(list(dict(reversed(pairs)).items())[::-1])
    if session.screen.is_terminal:
        interval = _interval(span)
        points = session.data(
            operations.timeseries,
            metric=metric,
            group_by=interval,
            measurement=measurement,
            timespan=span,
            filter_by=filter_by,
        )
        _sparkline(session, metric, measurement, interval, points)


def _interval(span: tuple[datetime, datetime] | None) -> Any:
    """So that a line has some dozens of points."""
    length = timedelta(days=1) if span is None else span[1] - span[0]
    if length <= timedelta(hours=2):
        return "minute"
    if length <= timedelta(hours=12):
        return "ten_minutes"
    return "hour" if length <= timedelta(days=4) else "day"


def _sparkline(session: Session, metric: str, measurement: str | None, interval: str, points: Any) -> None:
    known = {when: point for point in points if (when := text.parsed(point.get("intervalTime")))}
    if len(known) < 2:
        return
    first, end, step = min(known), max(known), INTERVALS[interval]
    missing = 0.0 if metric in ("views", "unique_viewers") else None
    values: list[float | None] = []
    while first <= end and len(values) < GRID_MAX:
        point = known.get(first)
        values.append(missing if point is None else point.get("metricValue"))
        first += step
    drawn = charts.sparkline(values, session.screen.columns - 2, is_unicode=session.screen.is_unicode)
    told = [value for value in values if value is not None]
    if not told:
        return
    least, most = (measures.written(metric, value, measurement) for value in (min(told), max(told)))
    session.say(
        "",
        f"  {session.screen.paint(drawn, 'cyan')}",
        f"  {min(known):%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, by {interval.replace('_', ' ')}",
        f"  least {least}, most {most}",
    )


@data.command(
    "breakdown",
    example=[
        "fastpix data breakdown views --by country --last 7d",
        "fastpix data breakdown video_startup_time --by browser_name --order-by value --order desc",
    ],
)
@_metric
@click.option("--by", "group_by", help="A dimension, such as country, browser_name, video_title.")
@_measurement
@click.option(
    "--order-by",
    type=click.Choice(("views", "value", "field")),
    default="views",
    show_default=True,
    help="Of the rows.",
)
@click.option("--order", type=click.Choice(words.ORDERS), default="desc", show_default=True, help="Of the rows.")
@command.limit
@spans.options
@filters
@with_session
def breakdown(
    session: Session,
    metric: Any,
    group_by: str | None,
    measurement: Any,
    order_by: Any,
    order: Any,
    limit: int,
    filter_by: tuple[str, ...],
    **span: Any,
) -> None:
    """Print METRIC for each value of a dimension."""
    pages = session.client.data.metrics.breakdown(
        metric=metric,
        group_by=group_by,
        measurement=measurement,
        order_by=order_by,
        sort_order=order,
        timespan=spans.chosen(**span),
        filter_by=filter_by,
        limit=session.page_size(limit),
    )
    rows, total = session.items(pages, limit)
    columns = (
        Column(text.label(group_by or "field").upper(), "field", is_flexible=True),
        Column("VIEWS", "views", text.number, is_right=True),
        *_value_column(metric, "value", measurement),
    )
    if session.screen.is_terminal and not session.is_json and rows:
        _bars(session, [(row.get("field"), _value(metric, row), measurement) for row in rows], metric)
    else:
        session.table(rows, columns, nothing="No views")
    if total > len(rows) and rows:
        session.note(f"{len(rows)} of {total}; more with --limit {total}")


def _value_column(metric: str, key: str, measurement: str | None) -> tuple[Column, ...]:
    """None for views, which have a column anyway."""
    if metric == "views":
        return ()
    return (Column(metric.upper(), lambda row: measures.written(metric, row.get(key), measurement), is_right=True),)


def _value(metric: str, row: Any) -> Any:
    return row.get("views") if metric == "views" else row.get("value")


def _bars(session: Session, rows: list[tuple[Any, Any, str | None]], metric: str) -> None:
    drawn = charts.bars(
        [
            (text.clean(label), value, measures.written(metric, value, measurement))
            for label, value, measurement in rows
        ],
        session.screen.columns,
        is_unicode=session.screen.is_unicode,
    )
    session.say(*drawn)


@data.command(
    "timeseries",
    example=[
        "fastpix data timeseries views --last 7d --every day",
        "fastpix data timeseries buffer_ratio --from 2026-11-20 --to 2026-11-21 --json",
    ],
)
@_metric
@click.option("--every", type=click.Choice(words.INTERVALS), help="The length of an interval; by the span without it.")
@_measurement
@spans.options
@filters
@with_session
def timeseries(
    session: Session, metric: Any, every: Any, measurement: Any, filter_by: tuple[str, ...], **span: Any
) -> None:
    """Print METRIC interval by interval, oldest first. Intervals without views are left out."""
    chosen = spans.chosen(**span)
    interval = every or _interval(chosen)
    found = session.data(
        session.client.data.metrics.timeseries,
        metric=metric,
        group_by=interval,
        measurement=measurement,
        sort_order="asc",
        timespan=chosen,
        filter_by=filter_by,
    )
    rows = found if isinstance(found, list) else []
    if session.screen.is_terminal and not session.is_json and rows:
        form = "%Y-%m-%d" if interval == "day" else "%Y-%m-%d %H:%M"
        _bars(session, [(_at(row, form), row.get("metricValue"), measurement) for row in rows], metric)
        return
    columns = (
        Column("TIME", "intervalTime", text.moment),
        Column("VIEWS", "numberOfViews", text.number, is_right=True),
        *_value_column(metric, "metricValue", measurement),
    )
    session.table(rows, columns, nothing="No views")


def _at(row: Any, form: str) -> str:
    when = text.parsed(row.get("intervalTime"))
    return when.strftime(form) if when else text.clean(row.get("intervalTime"))


@data.command(
    "comparison",
    example=["fastpix data comparison --last 24h", "fastpix data comparison --dimension country --value DE"],
)
@click.option("--dimension", help="Of whose value all metrics are printed.")
@click.option("--value", help="The value of the dimension.")
@spans.options
@filters
@with_session
def comparison(
    session: Session, dimension: str | None, value: str | None, filter_by: tuple[str, ...], **span: Any
) -> None:
    """Print all metrics at once, as a tree."""
    found = session.data(
        session.client.data.metrics.comparison,
        dimension=dimension,
        value=value,
        timespan=spans.chosen(**span),
        filter_by=filter_by,
    )
    if session.is_json:
        session.json(found)
        return
    lines = list(_tree(found, 0))
    room = max((text.width(name) for name, _written in lines), default=0)
    session.say(*(f"{text.pad(name, room)}  {written:>12}" for name, written in lines))


def _tree(nodes: Any, depth: int) -> Any:
    for node in nodes if isinstance(nodes, list) and depth < 8 else ():
        yield "  " * depth + text.clean(node.get("name")), measures.of_type(node.get("type"), node.get("value"))
        yield from _tree(node.get("items"), depth + 1)


@data.command(
    "export",
    has_json=False,
    example=["fastpix data export views.csv --last 24h", "fastpix data export - --last 24h"],
)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--format", "form", type=click.Choice(EXPORT_FORMATS), help="By the file's name without it; csv for anything else."
)
@spans.options
@filters
@with_session
def export(session: Session, file: str, form: Any, filter_by: tuple[str, ...], **span: Any) -> None:
    """Write views that are over to FILE, at most 32 MiB; - is stdout. Ask for days one by one when there are many."""
    form = form or ("parquet" if file.endswith(".parquet") else "csv")
    content = session.client.data.views.export(format=form, timespan=spans.chosen(**span), filter_by=filter_by)
    if file == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    Path(file).write_bytes(content)
    session.note(f"Wrote {text.size(len(content))} to {text.clean(file)}")
