"""Rules of the house that a machine can check."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click
import pytest

from fastpix import cli
from fastpix_server.app import settings

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70
# The words are put together here, so that this file does not break its own rule.
LATER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b|NotImplemented" + r"Error")


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_is_longer_than_its_limit():
    long = {name_of(path): lines for path in SOURCES if (lines := len(path.read_text().splitlines())) > MAX_FILE_LINES}
    assert not long


def test_no_function_is_longer_than_its_limit():
    long = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path, node in functions()
        if (node.end_lineno or node.lineno) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not long


def test_nothing_is_left_for_later():
    found = [
        f"{name_of(path)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if LATER.search(line)
    ]
    assert not found


def test_every_module_says_what_it_is_for():
    silent = [name_of(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent


def test_no_module_is_a_drawer():
    drawers = [name_of(path) for path in SOURCES if re.search(r"util|helper|manager|misc", path.stem)]
    assert not drawers


def test_names_of_the_workplace_are_not_in_the_repository():
    # Absolute paths of a developer's machine, in comments and strings alike.
    words = re.compile("/wor" + r"k/|/home/[a-z]+/|/root/")
    found = []
    for path in SOURCES:
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING) and words.search(token.string):
                found.append(f"{name_of(path)}:{token.start[0]}")
    assert not found


def test_every_setting_is_documented_with_its_default():
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(FASTPIX_[A-Z0-9_]+)` \| ([^|]+?) \|", page, re.MULTILINE))
    documented = {name: default.replace("`", "") for name, default in rows.items()}
    assert documented == {name: default.replace("`", "") for name, default in settings.VARIABLES.items()}


@pytest.mark.parametrize("variable", [n for n in settings.VARIABLES if settings.VARIABLES[n].isdigit()])
def test_a_documented_number_is_really_the_default(variable: str):
    assert settings.load({variable: settings.VARIABLES[variable]}) == settings.load({})


def commands() -> list[str]:
    return cli.main.list_commands(click.Context(cli.main))


def test_the_commands_of_the_server_are_installed():
    assert {"up", "api", "edge", "worker", "migrate", "credentials"} <= set(commands())


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help(name: str):
    command = cli.main.get_command(click.Context(cli.main), name)
    assert command is not None
    assert len((command.help or "").split()) >= 4
    undocumented = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert not undocumented


def test_the_installed_program_is_the_checkout():
    assert any(point.value == "fastpix.cli:main" for point in metadata.entry_points(group="console_scripts"))


def test_every_decision_record_has_its_parts():
    for record in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        missing = [p for p in ("Context", "Decision", "Consequences", "Alternatives") if p not in record.read_text()]
        assert not missing, f"{record.name} lacks {missing}"
