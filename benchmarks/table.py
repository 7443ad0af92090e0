"""One table for every benchmark: what was measured, the figure, what it is compared with, the ratio, the aim."""

import dataclasses
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """`ratio` is measured / compared; `aim` is what the figure should satisfy, `met` None where there is no aim."""

    what: str
    measured: str
    compared_with: str = ""
    ratio: float | None = None
    aim: str = ""
    met: bool | None = None


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    processor = f"{os.cpu_count()} cores, {model or platform.machine()}"
    return f"commit {commit or 'unknown'}; {processor}, Python {platform.python_version()}"


def as_markdown(title: str, rows: Iterable[Row]) -> str:
    lines = [
        f"### {title}",
        "",
        "| figure | measured | compared with | ratio | aim | met |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        met = {True: "yes", False: "**no**", None: ""}[row.met]
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
        lines.append(f"| {row.what} | {row.measured} | {row.compared_with} | {ratio} | {row.aim} | {met} |")
    return "\n".join([*lines, "", f"_{machine()}_", ""])
