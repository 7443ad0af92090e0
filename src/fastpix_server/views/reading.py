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
FIRST_OPEN = f"SELECT count() AS rows, toUnixTimestamp64Milli(min(last_event_at)) AS first_ms {_OPEN}"
_STORED_KEYS = ("view_start", "last_event_at")


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """What is known of a workspace's open rows around a span, from FIRST_OPEN: when the first event was, or None when
    there are no rows. A statement that is made with it takes no notice of what came later and happened earlier: it
    tells the state of then."""

    first_ms: int | None


def merged_views(names: Iterable[str], opened: Opened, after_s: int, *, where: str = "", first: str = "") -> str:
    """SQL: one row per view of {workspace_id:UUID} with `view_id`, `view_start`, `view_end` and each of `names`.

    Views whose end so far is in [{after:DateTime64(3)}, {before:DateTime64(3)}), which begins at `after_s`. `names` are
    stored columns, derived values and scores. `where` is more SQL over those names (parameters bound by the caller,
    identifiers ours). With `first` (ORDER BY and LIMIT) each branch gives its first views only; which are the first of
    all, the caller finds.
    """
    wanted = list(dict.fromkeys(["view_start", *names]))
    tail = f" {first}" if first else ""
    if opened.first_ms is None:
        return _finished(wanted, "", where) + tail
    begin = f"fromUnixTimestamp64Milli(toInt64({opened.first_ms}))"
    # No finished view that ends before this has an open row: the rows of a view lie within VIEW_MAX_HOURS.
    reached_ms = opened.first_ms - VIEW_MAX_HOURS * 3_600_000
    reached = f"fromUnixTimestamp64Milli(toInt64({reached_ms}))"
    ids = f"(SELECT view_id {_OPEN} AND last_event_at >= {begin})"
    stored, derived = _resolve([*_STORED_KEYS, *wanted], KNOWN, BY_NAME)
    rows = (
        f"SELECT view_id, {', '.join(stored)} {_OPEN} AND last_event_at >= {begin} UNION ALL"  # noqa: S608
        f" SELECT view_id, {_states(stored)} FROM {FINISHED} AS f WHERE workspace_id = {{workspace_id:UUID}}"
        f" AND f.last_event_at >= {reached}"
        f" AND f.last_event_at < {{before:DateTime64(3)}} + toIntervalHour({2 * VIEW_MAX_HOURS}) AND view_id IN {ids}"
    )
    merged = (
        f"SELECT r.view_id AS view_id, {_merges(stored)} FROM ({rows}) AS r"  # noqa: S608
        " GROUP BY r.view_id HAVING isNotNull(view_start)"
        " AND last_event_at >= {after:DateTime64(3)} AND last_event_at < {before:DateTime64(3)}"
    )
    branches = [
        _finished(wanted, f"last_event_at >= {reached} AND view_id NOT IN {ids}", where),
        _select(wanted, derived, f"({merged})", where, words=True),
    ]
    if reached_ms > after_s * 1000:
        branches.insert(0, _finished(wanted, f"last_event_at < {reached}", where))
    return f"{tail} UNION ALL ".join(branches) + tail


def merged_view(names: Iterable[str]) -> str:
    """SQL: the one view {view_id:UUID} of {workspace_id:UUID}, or no row. Finds it by the indices of the ids."""
    wanted = list(dict.fromkeys(["view_start", *names]))
    stored, derived = _resolve([*_STORED_KEYS, *wanted], KNOWN, BY_NAME)
    one = "workspace_id = {workspace_id:UUID} AND view_id = {view_id:UUID}"
    merged = (
        f"SELECT r.view_id AS view_id, {_merges(stored)} FROM ("  # noqa: S608
        f"SELECT view_id, {', '.join(stored)} FROM {ROWS} WHERE {one} UNION ALL"
        f" SELECT view_id, {_states(stored)} FROM {FINISHED} AS f WHERE {one})"
        " AS r GROUP BY r.view_id HAVING isNotNull(view_start)"
    )
    return _select(wanted, derived, f"({merged})", "", words=False)


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


def _finished(wanted: Sequence[str], more: str, where: str) -> str:
    _, derived = _resolve([*_STORED_KEYS, *wanted], KNOWN_FINISHED, {*BY_NAME, *KEPT})
    condition = " AND ".join(filter(None, (_FINISHED_IN_SPAN, more, f"({where})" if where else "")))
    return _select(wanted, derived, FINISHED, condition, words=False)


def _select(wanted: Sequence[str], derived: Sequence[Derived], source: str, condition: str, *, words: bool) -> str:
    """The columns of an answer, always in the same order. Derived values name each other as aliases of one SELECT.

    With `words` the dictionaries that merging took away are made again, or the other branches would lose theirs.
    """
    by_name = {one.name: one for one in derived}
    shown = []
    for name in wanted:
        if name in ("view_id", "view_end"):
            continue
        known = by_name.pop(name, None)
        expression = name if known is None else known.expression
        is_word = words and (name in BY_NAME or name in KEPT) and plain_type(name).startswith("LowCardinality")
        if is_word:
            shown.append(f"toLowCardinality({expression}) AS {name}")
        else:
            shown.append(name if known is None else f"{expression} AS {name}")
    # What only other derived values need: aliases, but no columns of the answer.
    hidden = "".join(f", {one.expression} AS {one.name}" for one in by_name.values())
    columns = ", ".join(["view_id", "last_event_at AS view_end", *shown])
    narrowed = f" WHERE {condition}" if condition else ""
    if not hidden:
        return f"SELECT {columns} FROM {source}{narrowed}"  # noqa: S608 - names of our own tables only
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
        elif name not in ("view_id", "view_end") and name not in derived:
            one = known[name]
            for need in one.needs:
                add(need)
            derived[name] = one

    for name in names:
        add(name)
    return list(stored), list(derived.values())
