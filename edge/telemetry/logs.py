"""Structured logs: one JSON object a line on stderr, or coloured text on a terminal."""

from __future__ import annotations

import atexit
import logging
import sys

import structlog

from edge.printable import printable
from edge.telemetry.line_limit import LineLimit
from edge.telemetry.log_writer import LogWriter

_FAREWELL_S = 2.0
"""How long the exit of the process waits for the last lines."""


class _LeastLevel:
    """Drops lines below a level that may change: a logger keeps what it was made with."""

    number = logging.INFO

    def __call__(
        self, logger: structlog.typing.WrappedLogger, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        if structlog.processors.NAME_TO_LEVEL[method] < self.number:
            raise structlog.DropEvent
        return event


_least = _LeastLevel()


def set_log_level(level: str) -> None:
    """Shows lines from this level on: debug, info, warning or error."""
    _least.number = logging.getLevelNamesMapping()[level.upper()]
    # Libraries say too much below warnings.
    logging.getLogger().setLevel(max(_least.number, logging.WARNING))


def configure_logging(level: str) -> None:
    """Sends structlog and the standard library to stderr at ``level`` (debug, info, warning, error).

    Logging never waits for a reader of stderr.
    """
    set_log_level(level)
    renderer: structlog.typing.Processor
    renderer = _on_terminal if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)

    def lost(count: int) -> str:
        event = {"event": "log lines are lost: stderr is not read", "level": "error", "count": count}
        return str(renderer(None, "error", stamp(None, "error", event)))

    writer = LogWriter(sys.stderr.fileno(), lost)
    atexit.register(writer.close, _FAREWELL_S)
    logging.basicConfig(level=logging.getLogger().level, stream=writer, force=True)
    structlog.configure(
        processors=[
            _least,
            structlog.contextvars.merge_contextvars,
            LineLimit(),
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type]  # a file's two methods
        cache_logger_on_first_use=True,
    )


_console_renderer = structlog.dev.ConsoleRenderer()


def _on_terminal(
    logger: structlog.typing.WrappedLogger, method: str, event: structlog.typing.EventDict
) -> str:
    """Coloured text in which no value can move the cursor, hide itself or look like another line."""
    shown = {
        key: printable(value, lines=key == "exception") if isinstance(value, str) else value
        for key, value in event.items()
    }
    return _console_renderer(logger, method, shown)
