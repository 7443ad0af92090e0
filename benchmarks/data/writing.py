"""Beacons: how many are acknowledged (which is after fdatasync), how long that takes, and when the API shows them."""

from benchmarks.table import Row


def rows() -> list[Row]:
    raise SystemExit("not yet")
