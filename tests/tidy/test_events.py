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
        texts = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant | ast.JoinedStr)
        ]
        inside = {id(part) for node in texts if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in texts:
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            words = [str(part.value) if isinstance(part, ast.Constant) else None for part in parts]
            if id(node) not in inside and words and re.match(r"video\.[a-zA-Z]", words[0] or ""):
                yield re.compile("".join(r"[\w-]+" if word is None else re.escape(word) for word in words))


def test_the_page_of_events_lists_the_catalogue_and_nothing_else() -> None:
    assert set(ROWS) == catalogue.TYPES


def test_the_page_of_events_says_which_are_told() -> None:
    patterns = list(told())
    found = {name for name in catalogue.TYPES if any(pattern.fullmatch(name) for pattern in patterns)}
    assert {name for name, is_told in ROWS.items() if is_told == "yes"} == found


def test_every_name_of_an_event_in_the_source_is_in_the_catalogue() -> None:
    unknown = [p.pattern for p in told() if not any(p.fullmatch(name) for name in catalogue.TYPES)]
    assert unknown == []
