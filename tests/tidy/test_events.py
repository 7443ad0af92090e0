"""The page of events lists every type that exists, and says which are told."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from fastpix_server.outbox import catalogue

ROOT = Path(__file__).parents[2]
ROWS = dict(
    re.findall(r"^\| `([\w.-]+)` \| (yes|no) \|", (ROOT / "docs" / "reference" / "events.md").read_text(), re.MULTILINE)
)


def told() -> Iterator[re.Pattern[str]]:
    """Names of events in the source, with any word in the place of what is put in when it runs."""
    for path in (ROOT / "src" / "fastpix_server").rglob("*.py"):
        if path.name == "catalogue.py":
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts = [node.value]
            else:
                continue
            if isinstance(parts[0], str) and re.match(r"video\.[a-zA-Z]", parts[0]):
                yield re.compile("".join(r"[\w-]+" if part is None else re.escape(str(part)) for part in parts))


def test_the_page_of_events_lists_the_catalogue_and_nothing_else() -> None:
    assert set(ROWS) == catalogue.TYPES


def test_the_page_of_events_says_which_are_told() -> None:
    patterns = list(told())
    found = {name for name in catalogue.TYPES if any(pattern.fullmatch(name) for pattern in patterns)}
    assert {name for name, is_told in ROWS.items() if is_told == "yes"} == found


def test_every_name_of_an_event_in_the_source_is_in_the_catalogue() -> None:
    unknown = [p.pattern for p in told() if not any(p.fullmatch(name) for name in catalogue.TYPES)]
    assert unknown == []
