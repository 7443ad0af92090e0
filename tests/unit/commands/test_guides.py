"""What the guides show works: blocks of `sh` run in order, as a shell would run them; all other command lines parse."""

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from tests import footage
from tests.unit.commands.conftest import Program
from tests.unit.commands.test_help import parsed

GUIDES = Path(__file__).parents[3] / "docs" / "guide"
NAMES = ("quickstart", "cli")


def blocks(name: str, fence: str) -> list[str]:
    return re.findall(rf"^```{fence}\n(.*?)```", (GUIDES / f"{name}.md").read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_the_guide_runs_as_it_stands(name: str, program: Program) -> None:
    """Two things of a shell are used there: `NAME=$(command)` and `"$NAME"`. Processes would take half a minute."""
    shutil.copy(footage.make("plain"), "video.mp4")
    values: dict[str, str] = {}
    said = ""
    for line in "".join(blocks(name, "sh")).splitlines():
        assigned = re.fullmatch(r"([A-Z_]+)=\$\((.*)\)", line)
        words = [
            re.sub(r"\$([A-Z_]+)", lambda found: values[found[1]], word)
            for word in shlex.split(assigned[2] if assigned else line)
        ]
        assert words[0] == "fastpix", line
        done = program(*words[1:])
        if assigned:
            values[assigned[1]] = done.stdout.strip()
            assert re.fullmatch(r"[0-9a-f-]{32,36}", values[assigned[1]]), line
        said += done.stdout
    assert "Watch it at http://127.0.0.1:" in said


def test_commands_that_are_only_shown_are_accepted_in_every_guide(program: Program) -> None:
    for file in ("body.json", "hook.secret", "channel.key", "video.mp4", "FILE"):
        Path(file).touch()
    checked = 0
    for page in sorted(GUIDES.glob("*.md")):
        fenced = re.findall(r"^```text\n(.*?)```", page.read_text(), re.DOTALL | re.MULTILINE)
        lines = [line for block in fenced for line in block.splitlines() if line.startswith("fastpix ")]
        lines += re.findall(r"`(fastpix [a-z][^`]*)`", " ".join(page.read_text().split()))
        for line in (line for line in lines if "..." not in line and "--help" not in line):
            checked += 1
            try:
                parsed(_words(line))
            except click.UsageError as fault:
                # A command by its name alone, or by that of its group.
                if not isinstance(fault, click.MissingParameter | click.exceptions.NoArgsIsHelpError):
                    raise
    assert checked > 20


def _words(line: str) -> list[str]:
    return shlex.split(line.split("#")[0].split(" > ")[0])[1:]
