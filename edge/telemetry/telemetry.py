"""The one seam between what happens in the gate and the backends that show it."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import structlog

from edge.telemetry.records import Record

log = structlog.get_logger(__name__)


class Backend(Protocol):
    """Turns records into metrics, log lines or traces. Must never block."""

    def take(self, record: Record) -> None:
        """Takes every record, in the order of the reports. Ignores kinds that it does not know."""
        ...

    def flush(self) -> None:
        """Called once a second, for backends that aggregate records."""
        ...


class Telemetry:
    """Passes records to its backends.

    No error of a backend reaches the code that reports, because cuts must not depend on telemetry. The
    first error of a backend is logged. All are counted in ``failures``, by the backend's class.
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
        """Flushes all backends. Call it once a second."""
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
