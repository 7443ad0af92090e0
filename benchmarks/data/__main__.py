"""`python -m benchmarks.data [part ...]`: runs the parts (all by default) and prints a table for each."""

import sys
from collections.abc import Callable

from benchmarks.data import reading, writing
from benchmarks.table import Row, as_markdown

PARTS: dict[str, Callable[[], list[Row]]] = {
    "beacons": writing.rows,
    "1M": reading.million,
    "10M": reading.ten_million,
}


def main(names: list[str]) -> None:
    for name in names or list(PARTS):
        print(as_markdown(f"Video data: {name}", PARTS[name]()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
