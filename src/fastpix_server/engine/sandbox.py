"""What a child process may use, and the command line that holds it to that.

Every child gets: its own session (so that the whole group can be stopped and killed), an empty working folder, a
minimal environment, limits on CPU, memory, file size and open files, no core dumps, no new privileges, a user and
network namespace of its own where the kernel lets us, and SIGKILL when we die. `launch.py` does it.
"""

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fastpix_server.base import log
from fastpix_server.engine import launch

_log = log.get(__name__)

MIB = 1 << 20
OPEN_FILES = 64  # ffmpeg opens its input, a few pipes and shared libraries: 20 in the largest command we make
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}  # no HOME, no proxies, no credentials

_LAUNCHER = str(Path(launch.__file__).resolve())


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one child. Reaching any of them ends it.

    `wall_s` counts only while the child may run: not while it is paused or while we decline to read from it.
    """

    cpu_s: int
    wall_s: float
    memory_bytes: int = 2048 * MIB  # address space, about 4x what is resident
    file_bytes: int = 0  # size of a file that it writes; 0: none (pipes are not files)


def wrap(argv: Sequence[str], limits: Limits, *, nice: int = 0, outputs: Sequence[int] = ()) -> list[str]:
    """The command line that starts `argv` (absolute program path) inside the sandbox, from this process.

    `outputs` are descriptors of ours which the child finds as 3, 4, 5 ...
    """
    return [
        sys.executable,
        "-I",
        "-S",
        _LAUNCHER,
        str(os.getpid()),
        str(nice),
        ",".join(map(str, outputs)),
        str(limits.cpu_s),
        str(limits.memory_bytes),
        str(limits.file_bytes),
        str(OPEN_FILES),
        "--",
        *argv,
    ]


@dataclasses.dataclass(slots=True)
class _Told:
    namespace: bool = False


_told = _Told()


def without_launch_notes(stderr: bytes) -> bytes:
    """What the child itself wrote; a missing namespace is logged, once per process of ours."""
    if not stderr.startswith(launch.NO_NAMESPACE.encode()):
        return stderr
    note, _, rest = stderr.partition(b"\n")
    if not _told.namespace:
        _told.namespace = True
        _log.warning("sandbox_without_namespace", reason=note.decode(errors="replace"))
    return rest
