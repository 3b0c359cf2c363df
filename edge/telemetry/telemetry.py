"""The one seam between what happens in the gate and who hears of it."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import structlog

from edge.telemetry.records import Record

log = structlog.get_logger(__name__)


class Backend(Protocol):
    """Makes something of records: metrics, log lines, traces. Must neither block nor wait."""

    def take(self, record: Record) -> None:
        """Called for every record, in the order in which they were reported. Leaves out what it does not
        know."""
        ...

    def flush(self) -> None:
        """Called once a second, for backends that put records together."""
        ...


class Telemetry:
    """Hands records to its backends.

    Nothing that a backend raises reaches who reports: cuts do not depend on telemetry. The first error of a
    backend is logged, and all are counted in ``failures``, by the backend's class.
    """

    def __init__(self, *backends: Backend) -> None:
        self._backends = backends
        self.failures: Counter[str] = Counter()

    def report(self, record: Record) -> None:
        for backend in self._backends:
            try:
                backend.take(record)
            except Exception as error:  # whatever it is
                self._failed(backend, error, type(record).__name__)

    def flush(self) -> None:
        """Once a second."""
        for backend in self._backends:
            try:
                backend.flush()
            except Exception as error:  # whatever it is
                self._failed(backend, error, "flush")

    def _failed(self, backend: Backend, error: Exception, of: str) -> None:
        name = type(backend).__name__
        self.failures[name] += 1
        if self.failures[name] == 1:
            log.error(
                "a telemetry backend fails; further errors are only counted",
                backend=name,
                record=of,
                exc_info=error,
            )
