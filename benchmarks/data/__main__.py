"""`python -m benchmarks.data [part ...]`: runs the parts (all by default) and prints a table for each.

With BENCH_FOLDER, `fill-1M` and `fill-10M` make the views of `1M` and `10M` there beforehand.
"""

import sys
from collections.abc import Callable
from functools import partial

from benchmarks.data import reading, writing
from benchmarks.data.reading import Size
from benchmarks.table import Row, as_markdown

PARTS: dict[str, Callable[[], list[Row]]] = {
    "idle": writing.idle,
    "beacons": writing.rows,
    "1M": reading.million,
    "10M": reading.ten_million,
}
FILLS: dict[str, Callable[[], list[Row]]] = {f"fill-{size.value}": partial(reading.fill, size) for size in Size}


def main(names: list[str]) -> None:
    for name in names or list(PARTS):
        print(as_markdown(f"Video data: {name}", (PARTS | FILLS)[name]()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
