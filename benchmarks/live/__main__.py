"""`python -m benchmarks.live [part ...]`: runs the parts (all by default) and prints a table for each.

Options: `--seconds N` for how long latency and CPU are watched, `--minutes N` for the soak.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.live import cost, glass, peers, recording, soak, stall, streams, wave
from benchmarks.running import platform
from benchmarks.table import Row, as_markdown


@contextmanager
def _live() -> Iterator[streams.Live]:
    ports = streams.Ports.free()
    with platform(**ports.settings()) as running:
        live = streams.Live(running, ports)
        try:
            yield live
        finally:
            live.close()


def _glass(options: argparse.Namespace) -> list[Row]:
    with _live() as live, peers.nginx() as nginx:
        return glass.rows(live, nginx, seconds=options.seconds)


def _cost(options: argparse.Namespace) -> list[Row]:
    with _live() as live, peers.nginx() as nginx:
        return cost.rows(live, nginx, seconds=options.seconds)


def _wave(_options: argparse.Namespace) -> list[Row]:
    with _live() as live:
        return wave.rows(live)


def _recording(_options: argparse.Namespace) -> list[Row]:
    with _live() as live:
        return recording.rows(live)


def _stall(_options: argparse.Namespace) -> list[Row]:
    with _live() as live:
        return [*stall.rows(live)]


def _soak(options: argparse.Namespace) -> list[Row]:
    with _live() as live:
        return soak.rows(live, minutes=options.minutes)


PARTS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "glass": _glass,
    "cost": _cost,
    "wave": _wave,
    "recording": _recording,
    "stall": _stall,
    "soak": _soak,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which parts; all by default")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long latency and CPU are watched")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long the soak lasts")
    options = parser.parse_args()
    if not peers.is_installed():
        parser.error("nginx with its RTMP module is not installed (Debian: libnginx-mod-rtmp)")
    for name in options.parts or list(PARTS):
        print(as_markdown(f"Live: {name}", PARTS[name](options)), flush=True)


if __name__ == "__main__":
    main()
