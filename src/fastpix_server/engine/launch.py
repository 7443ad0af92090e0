"""The program that stands between us and every child: it shuts the doors, then becomes the real one.

Run by path as `python -I -S launch.py <limits> -- <argv>`; imports nothing of ours, so that it starts in about 10 ms.
Why a program and not `preexec_fn`: that runs Python in a fork of a process with threads (a lock held by another
thread stays locked for ever), copies the page tables of the whole server and blocks the event loop meanwhile; both
cost the same 10 ms here. Order matters: the death signal is set after the namespaces and before the parent check.
"""

import ctypes
import fcntl
import os
import resource
import signal
import sys
import tempfile

NO_NAMESPACE = "launch: no network namespace"  # first words on stderr; sandbox.py looks for them
FIRST_OUTPUT_FD = 3  # outputs become 3, 4, 5 ... whatever numbers the parent had

_CLONE_NEWUSER = 0x10000000  # linux/sched.h
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38
_OOM_SCORE = "600"  # when memory runs out the kernel takes a child before it takes the server


def main(args: list[str]) -> None:
    split = args.index("--")
    parent, nice, descriptors, *limits = args[:split]
    argv = args[split + 1 :]
    libc = ctypes.CDLL(None, use_errno=True)
    _place_outputs([int(fd) for fd in descriptors.split(",") if fd])
    _enter_empty_folder()
    _prefer_in_oom()
    if int(nice):
        os.setpriority(os.PRIO_PROCESS, 0, int(nice))
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        print(f"{NO_NAMESPACE}: {reason}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is how we tell the parent
    _limit([int(n) for n in limits])
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # the parent died before the death signal was armed
        os._exit(125)
    try:
        os.execv(argv[0], argv)  # noqa: S606 - no shell is the point
    except OSError as e:
        print(f"launch: {argv[0]}: {e.strerror}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(127)


def _place_outputs(descriptors: list[int]) -> None:
    """Move the inherited pipes to fixed numbers, so that a command is the same text each time."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in descriptors]
    for fd in descriptors:
        os.close(fd)
    for i, fd in enumerate(high):
        os.dup2(fd, FIRST_OUTPUT_FD + i, inheritable=True)
        os.close(fd)


def _enter_empty_folder() -> None:
    """A folder that is deleted already: empty, nothing can be made in it, nothing to clean up after a kill."""
    folder = tempfile.mkdtemp(prefix="fastpix-cwd-")
    os.chdir(folder)
    os.rmdir(folder)


def _prefer_in_oom() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as f:
            f.write(_OOM_SCORE)
    except OSError:
        pass  # not Linux's /proc here: the limits below still hold


def _limit(values: list[int]) -> None:
    cpu_s, memory_bytes, file_bytes, open_files = values
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # SIGXCPU, then SIGKILL a second later
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


if __name__ == "__main__":
    main(sys.argv[1:])
