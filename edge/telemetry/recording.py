"""A double of a telemetry backend. It keeps the records for tests."""

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
        """Does nothing."""

    def of(self, kind: type[R]) -> list[R]:
        """Returns the records of one kind, in the order of their reports."""
        return [record for record in self.records if isinstance(record, kind)]
