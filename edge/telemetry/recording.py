"""The double of a telemetry backend: it keeps the records, and tests look at them."""

from __future__ import annotations

from typing import TypeVar

from edge.telemetry.records import Record

R = TypeVar("R", bound=Record)


class RecordingBackend:
    """Keeps every record in order."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def take(self, record: Record) -> None:
        self.records.append(record)

    def flush(self) -> None:
        """There is nothing to put together."""

    def of(self, kind: type[R]) -> list[R]:
        """The records of one kind, in the order in which they were reported."""
        return [record for record in self.records if isinstance(record, kind)]
