"""SQL that reads whole views: finished ones as they lie, open ones merged from all their rows.

A view is open while `open_view_rows` has rows of it. Up to three branches, each view in one of them at most: finished
views that end before anything open can reach; later finished views that are not open; open views, merged with the row
that `finished_views` may have of them too. Invariants: all parts of a statement see one state of each table, and
finishing.py takes nothing away until what replaces it has been there for longer than a statement takes to begin; so
every view counts once, however its rows arrive and move. Identifiers and expressions are ours, values are bound. Why:
docs/decisions/0057-finished-views.md.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from fastpix_server.views.finished import KEPT, KNOWN, KNOWN_FINISHED, plain_type, sequences, state
from fastpix_server.views.schema import BY_NAME, FINISHED, ROWS, VIEW_MAX_HOURS, Derived

_REACH = f"toIntervalHour({VIEW_MAX_HOURS})"
_OPEN = (
    f"FROM {ROWS} WHERE workspace_id = {{workspace_id:UUID}}"
    f" AND hour >= toStartOfHour({{after:DateTime64(3)}}) - {_REACH} AND hour < {{before:DateTime64(3)}} + {_REACH}"
)
_FINISHED_IN_SPAN = (
    "workspace_id = {workspace_id:UUID} AND last_event_at >= {after:DateTime64(3)}"
    " AND last_event_at < {before:DateTime64(3)} AND isNotNull(view_start)"
)
# Up to so many open views are named in the statement. The engine plans a list in less time than another subquery; more
# would be a long request line.
NAMED_MAX = 500
FIRST_OPEN = (
    "SELECT count() AS rows, toUnixTimestamp64Milli(min(last_event_at)) AS first_ms,"
    f" groupUniqArray({NAMED_MAX + 1})(toString(view_id)) AS ids {_OPEN}"
)
# Between how many views a span has, by the keys: an open view may have a finished row that does not count, or none.
BETWEEN = (
    "SELECT countIf(is_finished) - countIf(NOT is_finished) AS least, count() AS most"  # noqa: S608
    f" FROM (SELECT true AS is_finished FROM {FINISHED} WHERE {_FINISHED_IN_SPAN}"
    f" UNION ALL SELECT false AS is_finished {_OPEN})"
)
_KEYS = ("view_id", "view_end")
_END = "last_event_at AS view_end"
_STORED_KEYS = ("view_start", "last_event_at")
# Columns of finished views, or as good as that; everything else is computed from them, once for all branches.
_PLAIN: frozenset[str] = frozenset({*BY_NAME, *KEPT, "is_ended"})


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """What is known of a workspace's open rows around a span, from FIRST_OPEN: when the first event was, or None when
    there are no rows, and the ids of the views, or None when they are too many to name. A statement that is made with
    it takes no notice of what came later and happened earlier, nor, with ids, of views that opened since: it tells the
    state of then."""

    first_ms: int | None
    ids: tuple[str, ...] | None = None

    @classmethod
    def found(cls, row: Mapping[str, Any]) -> "Opened":
        """From the one row of FIRST_OPEN."""
        if not row["rows"]:
            return cls(None)
        return cls(row["first_ms"], tuple(row["ids"]) if len(row["ids"]) <= NAMED_MAX else None)

    @property
    def parameters(self) -> dict[str, list[str]]:
        """What merged_views() wants bound beside the span."""
        return {} if self.ids is None else {"open_ids": list(self.ids)}


def merged_views(names: Iterable[str], opened: Opened, after_s: int, *, where: str = "", first: str = "") -> str:
    """SQL: one row per view of {workspace_id:UUID} with `view_id`, `view_start`, `view_end` and each of `names`.

    Views whose end so far is in [{after:DateTime64(3)}, {before:DateTime64(3)}), which begins at `after_s`. `names` are
    stored columns, derived values and scores. `where` is more SQL over those names (parameters bound by the caller,
    identifiers ours). With `first` (ORDER BY and LIMIT) each branch gives its first views only; which are the first of
    all, the caller finds.
    """
    wanted = list(dict.fromkeys(["view_start", *names]))
    # Planning takes longer than reading a hundred thousand views, and grows with the text: what a view needs is
    # computed above the branches, not in each.
    plain, derived = _resolve(wanted, KNOWN, _PLAIN)
    if not derived and not where:
        branches = _branches(["view_id", "view_end", *(name for name in wanted if name not in _KEYS)], opened, after_s)
    else:
        columns = ["view_id", "last_event_at", *(name for name in plain if name != "last_event_at")]
        branches = _branches(columns, opened, after_s)
        if not first:
            return _select(wanted, derived, f"({' UNION ALL '.join(branches)})", where)
        branches = [_select(wanted, derived, f"({one})", where) for one in branches]
    return " UNION ALL ".join(f"{one} {first}" for one in branches)


def _branches(columns: Sequence[str], opened: Opened, after_s: int) -> list[str]:
    """SQL of each branch, with columns of _PLAIN and `view_id` and `view_end`."""
    if opened.first_ms is None:
        return [_finished(columns, "")]
    begin = f"fromUnixTimestamp64Milli(toInt64({opened.first_ms}))"
    # No finished view that ends before this has an open row: the rows of a view lie within VIEW_MAX_HOURS.
    reached_ms = opened.first_ms - VIEW_MAX_HOURS * 3_600_000
    reached = f"fromUnixTimestamp64Milli(toInt64({reached_ms}))"
    of_rows = f"{_OPEN} AND last_event_at >= {begin}"
    if opened.ids is None:
        ids = f"(SELECT view_id {of_rows})"
    else:
        ids = "{open_ids:Array(UUID)}"
        of_rows += f" AND view_id IN {ids}"
    of_finished = (
        f"workspace_id = {{workspace_id:UUID}} AND f.last_event_at >= {reached}"
        f" AND f.last_event_at < {{before:DateTime64(3)}} + toIntervalHour({2 * VIEW_MAX_HOURS}) AND view_id IN {ids}"
    )
    stored, derived = _resolve([*_STORED_KEYS, *columns], KNOWN, BY_NAME)
    merged = _merged(stored, of_rows, of_finished)
    merged += " AND last_event_at >= {after:DateTime64(3)} AND last_event_at < {before:DateTime64(3)}"
    found = [_columns(columns, derived, f"({merged})")]
    if reached_ms <= after_s * 1000:
        return [_finished(columns, f"view_id NOT IN {ids}"), *found]
    if opened.ids is not None:
        # One branch less to plan, for reading all ids of a workspace that has not many views.
        return [_finished(columns, f"(last_event_at < {reached} OR view_id NOT IN {ids})"), *found]
    later = _finished(columns, f"last_event_at >= {reached} AND view_id NOT IN {ids}")
    return [_finished(columns, f"last_event_at < {reached}"), later, *found]


def merged_view(names: Iterable[str]) -> str:
    """SQL: the one view {view_id:UUID} of {workspace_id:UUID}, or no row. Finds it by the indices of the ids."""
    one = "workspace_id = {workspace_id:UUID} AND view_id = {view_id:UUID}"
    return _whole(names, f"FROM {ROWS} WHERE {one}", one)


def chosen_views(names: Iterable[str]) -> str:
    """SQL: the views {ids:Array(UUID)} of {workspace_id:UUID}, which had an end in the span a moment ago."""
    ids = "view_id IN {ids:Array(UUID)}"
    of_finished = (
        f"workspace_id = {{workspace_id:UUID}} AND f.last_event_at >= {{after:DateTime64(3)}} - {_REACH}"
        f" AND f.last_event_at < {{before:DateTime64(3)}} + {_REACH} AND {ids}"
    )
    return _whole(names, f"{_OPEN} AND {ids}", of_finished)


def _whole(names: Iterable[str], of_rows: str, of_finished: str) -> str:
    wanted = list(dict.fromkeys(["view_start", *names]))
    stored, derived = _resolve([*_STORED_KEYS, *wanted], KNOWN, BY_NAME)
    return _select(wanted, derived, f"({_merged(stored, of_rows, of_finished)})", "")


def _merged(stored: Sequence[str], of_rows: str, of_finished: str) -> str:
    """SQL: views from their open rows (`of_rows` is FROM and WHERE) and from what is finished of them. It ends with
    a HAVING."""
    rows = (
        f"SELECT view_id, {', '.join(stored)} {of_rows} UNION ALL"  # noqa: S608
        f" SELECT view_id, {_states(stored)} FROM {FINISHED} AS f WHERE {of_finished}"
    )
    return (
        f"SELECT r.view_id AS view_id, {_merges(stored)} FROM ({rows}) AS r"  # noqa: S608
        " GROUP BY r.view_id HAVING isNotNull(view_start)"
    )


def finishing_select(of_rows: str, of_finished: str) -> str:
    """SQL: `workspace_id`, `view_id` and every column of `finished_views` that holds something about the view, of views
    that are over. The conditions select the rows of the two tables that are merged."""
    stored = ", ".join(BY_NAME)
    states = ", ".join(f"{column.merged_state} AS {name}" for name, column in BY_NAME.items())
    rows = (
        f"SELECT workspace_id, view_id, {stored} FROM {ROWS} WHERE {of_rows} UNION ALL"  # noqa: S608
        f" SELECT workspace_id, view_id, {_states(BY_NAME)} FROM {FINISHED} AS f WHERE {of_finished}"
    )
    merged = (
        f"SELECT r.workspace_id AS workspace_id, r.view_id AS view_id, {states} FROM ({rows}) AS r"  # noqa: S608
        " GROUP BY r.workspace_id, r.view_id"
    )
    return finished_of(f"({merged})")


def finished_of(source: str) -> str:
    """SQL: the same of rows of whole views, as `open_view_rows` holds them."""
    plain = ", ".join(f"{column.plain(f'w.{name}')} AS {name}" for name, column in BY_NAME.items())
    numbers = ", ".join(f"{sql} AS {name}" for name, sql in sequences("w").items())
    _, derived = _resolve(KEPT, KNOWN_FINISHED, BY_NAME)
    computed = "".join(f", {one.expression} AS {one.name}" for one in derived)
    inner = f"SELECT w.workspace_id AS workspace_id, w.view_id AS view_id, {plain}, {numbers} FROM {source} AS w"  # noqa: S608
    return f"SELECT *{computed} FROM ({inner})"  # noqa: S608


def _finished(columns: Sequence[str], more: str) -> str:
    # Silence or viewCompleted has ended it.
    special = {"is_ended": "true AS is_ended", "view_end": _END}
    shown = ", ".join(special.get(name, name) for name in columns)
    condition = " AND ".join(filter(None, (_FINISHED_IN_SPAN, more)))
    return f"SELECT {shown} FROM {FINISHED} WHERE {condition}"  # noqa: S608 - names of our own tables only


def _columns(columns: Sequence[str], derived: Sequence[Derived], source: str) -> str:
    """SQL: what `_finished` gives, of merged rows. The dictionaries that merging took away are made again, or the
    other branches would lose theirs."""
    by_name = {one.name: one for one in (*derived, KNOWN["view_end"])}
    shown = []
    for name in columns:
        known = by_name.pop(name, None)
        expression = name if known is None else known.expression
        is_word = name in _PLAIN and name != "is_ended" and plain_type(name).startswith("LowCardinality")
        if is_word:
            shown.append(f"toLowCardinality({expression}) AS {name}")
        else:
            shown.append(name if known is None else f"{expression} AS {name}")
    by_name.pop("view_end", None)
    if not by_name:
        return f"SELECT {', '.join(shown)} FROM {source}"  # noqa: S608
    # What only other values need: aliases, but no columns of the answer.
    hidden = ", ".join(f"{one.expression} AS {one.name}" for one in by_name.values())
    return f"SELECT {', '.join(columns)} FROM (SELECT {', '.join(shown)}, {hidden} FROM {source})"  # noqa: S608


def _select(wanted: Sequence[str], derived: Sequence[Derived], source: str, where: str) -> str:
    """The columns of an answer. Derived values name each other as aliases of one SELECT."""
    by_name = {one.name: one for one in derived}
    shown = []
    for name in wanted:
        if name not in _KEYS:
            known = by_name.pop(name, None)
            shown.append(name if known is None else f"{known.expression} AS {name}")
    columns = ", ".join(["view_id", _END, *shown])
    hidden = "".join(f", {one.expression} AS {one.name}" for one in by_name.values())
    narrowed = f" WHERE {where}" if where else ""
    if not hidden:
        return f"SELECT {columns} FROM {source}{narrowed}"  # noqa: S608
    answer = ", ".join(dict.fromkeys(("view_id", "view_end", *wanted)))
    return f"SELECT {answer} FROM (SELECT {columns}{hidden} FROM {source}{narrowed})"  # noqa: S608


def _merges(stored: Iterable[str]) -> str:
    return ", ".join(f"{BY_NAME[name].merged} AS {name}" for name in stored)


def _states(stored: Iterable[str]) -> str:
    return ", ".join(f"{state(BY_NAME[name])} AS {name}_state" for name in stored)


def _resolve(
    names: Iterable[str], known: Mapping[str, Derived], stored_names: Collection[str]
) -> tuple[list[str], list[Derived]]:
    """The stored columns and the derived values that `names` need, each once, needs before users."""
    stored: dict[str, None] = {}
    derived: dict[str, Derived] = {}

    def add(name: str) -> None:
        if name in stored_names:
            stored[name] = None
        elif name not in _KEYS and name not in derived:
            one = known[name]
            for need in one.needs:
                add(need)
            derived[name] = one

    for name in names:
        add(name)
    return list(stored), list(derived.values())
