"""Which jobs exist: a name, the coroutine that does it, its queue, how often it is tried, and what happens after that.

Invariants: every handler is idempotent (a job may run twice, also at the same time, when a machine stalls); a name is
registered once; a registry is complete before a worker takes it.
"""

import dataclasses
from collections.abc import Awaitable, Callable

Handler = Callable[..., Awaitable[None]]

# Enough to ride out a restart of a neighbour: with the back-off of worker.py five tries span about two minutes.
DEFAULT_RETRIES = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One kind of job. `on_exhausted` is called as on_exhausted(**args, error=str) after the last try."""

    name: str
    handler: Handler
    queue: str
    retries: int
    on_exhausted: Handler | None


@dataclasses.dataclass(frozen=True, slots=True)
class Periodic:
    """A job that starts by the clock, on the default queue, in one process of the whole cluster."""

    name: str
    cron: str
    handler: Handler


class Registry:
    """Filled by the wiring, read by the worker."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._periodic: dict[str, Periodic] = {}

    def add(
        self,
        name: str,
        handler: Handler,
        *,
        queue: str = "default",
        retries: int = DEFAULT_RETRIES,
        on_exhausted: Handler | None = None,
    ) -> None:
        """`retries` is the number of tries after the first. Raises ValueError for a name that is taken."""
        self._claim(name)
        if retries < 0:
            raise ValueError(f"job {name}: retries is 0 or more")
        self._jobs[name] = Job(name, handler, queue, retries, on_exhausted)

    def every(self, cron: str, name: str, handler: Handler) -> None:
        """Calls `handler()` at the times of `cron` (five fields, UTC). A run that fails waits for the next time."""
        self._claim(name)
        self._periodic[name] = Periodic(name, cron, handler)

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(self._jobs.values())

    @property
    def periodic(self) -> tuple[Periodic, ...]:
        return tuple(self._periodic.values())

    def _claim(self, name: str) -> None:
        if name in self._jobs or name in self._periodic:
            raise ValueError(f"job {name} is registered twice")
