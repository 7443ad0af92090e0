"""Makes the synchronous client from the asynchronous one: `python -m tools.make_sync`.

The two differ in words alone, so the rules below are all there is. A test compares the folder with what they make.
"""

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[1] / "src" / "fastpix"
SOURCE, TARGET = CLIENT / "_async", CLIENT / "_sync"

RULES: tuple[tuple[str, str], ...] = (
    # Words of the language.
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    # Types.
    (r"\bAwaitable\[([^\[\]]+|[^\[\]]+\[[^\[\]]+\])\]", r"\1"),
    (r"\bAwaitable, |, Awaitable\b", ""),
    (r"\bAsyncGenerator\[([^\[\]]+), None\]", r"Generator[\1, None, None]"),
    (r"\bAsync([A-Z]\w*)\b", r"\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    # Names that have a twin.
    (r"\baclose\b", "close"),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"\basync_(\w+)\b", r"\1"),
    (r"\b_async\b", "_sync"),
    # What the texts say.
    (r"\basynchronous\b", "synchronous"),
    (r"\bmany tasks at once\b", "many threads at once"),
    # What a linter would say of the result.
    (r"for (\w+) in ([\w.]+):\n +yield \1\n", r"yield from \2\n"),
)
NOTICE = "# Made from {name} by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.\n"


def rewritten(text: str) -> str:
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    return text


def made() -> dict[str, str]:
    """The files of the synchronous client, by name."""
    found: dict[str, str] = {}
    for path in sorted(SOURCE.glob("*.py")):
        if path.name == "__init__.py":
            text = '"""The synchronous client, made from `fastpix/_async` by `python -m tools.make_sync`."""\n'
        else:
            text = NOTICE.format(name=f"_async/{path.name}") + rewritten(path.read_text())
        found[path.name] = _formatted(text, path.name)
    return found


def _formatted(text: str, name: str) -> str:
    """As the house formats: removing words changes where lines break and how imports sort."""
    place = str(TARGET / name)
    for command in (
        ["check", "--select", "I", "--fix", "--quiet", "--stdin-filename", place, "-"],
        ["format", "--quiet", "--stdin-filename", place, "-"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command], input=text, text=True, capture_output=True, check=True
        )
        text = done.stdout
    return text


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    files = made()
    for path in TARGET.glob("*.py"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (TARGET / name).write_text(text)


if __name__ == "__main__":
    main()
