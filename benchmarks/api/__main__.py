"""`python -m benchmarks.api [part ...]`: runs the parts (all by default) and prints a table for each."""

import sys
from collections.abc import Callable

from benchmarks.api import gated, proofs
from benchmarks.table import Row, as_markdown

PARTS: dict[str, Callable[[], list[Row]]] = {"gated": gated.rows, "tokens": proofs.rows}


def main(names: list[str]) -> None:
    for name in names or list(PARTS):
        print(as_markdown(f"Signed playback: {name}", PARTS[name]()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
