"""Structured logs: one line per thing that happened, a fixed action as the event, ids as fields.

JSON lines on stderr, or coloured text when stderr is a terminal. Log lines of libraries (stdlib `logging`) take the
same shape. Fields never hold secrets, tokens or query strings: the caller leaves them out.
"""

import logging
import sys
from contextlib import AbstractContextManager
from typing import Any, TextIO, cast

from fastpix_server.base.imports import hidden

# It would prepare the tracebacks of rich, which ours are not: 7 MB and 0.1 s in every process.
with hidden("rich"):
    import structlog

# Libraries that say more than an operator wants at `info`; their warnings still come through.
_QUIET_LIBRARIES = (
    "aiohttp",
    "aioice",
    "aiortc",
    "alembic",
    "asyncio",
    "granian",
    "_granian",
    "httpx",
    "procrastinate",
    "psycopg",
    "sqlalchemy",
)

_heard = {"from": logging.INFO}  # the level of the last `configure`

LEVELS = ("debug", "info", "warning", "error")


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of one module; `name` becomes the field `module`."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(module=name))


def bound(**fields: object) -> AbstractContextManager[None]:
    """Adds `fields` to every line that this task, and tasks it starts, log inside the block."""
    return structlog.contextvars.bound_contextvars(**fields)


def is_debug() -> bool:
    """Whether debug lines are heard at all: where there is one per request, making it for nothing is felt."""
    return _heard["from"] <= logging.DEBUG


def configure(role: str, level: str = "info", *, stream: TextIO | None = None) -> None:
    """Sets up the whole process. `role` (api, worker, ...) is a field of every line; `level` is one of LEVELS."""
    out = stream if stream is not None else sys.stderr
    threshold = getattr(logging, level.upper())
    _heard["from"] = threshold
    before = _shared_processors(role)
    after = _renderers(is_terminal=out.isatty())
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(out),
        # Loggers are module-level objects made before configure() runs, and tests configure more than once.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *after],
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    for library in _QUIET_LIBRARIES:
        logging.getLogger(library).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


def _shared_processors(role: str) -> list[Any]:
    def add_role(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event.setdefault("role", role)
        return event

    return [
        structlog.processors.add_log_level,
        add_role,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]


def _renderers(*, is_terminal: bool) -> list[Any]:
    if is_terminal:
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("action"),
        structlog.processors.JSONRenderer(default=str),
    ]
