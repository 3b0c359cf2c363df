"""What contains the processes that touch media, for the log, metrics and health checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edge.containment import Measure
from edge.contract.gen import worker_pb2
from edge.telemetry.records import ProcessContained
from edge.telemetry.telemetry import Telemetry

_WHY_CHARS: Final = 256


class ContainmentReport:
    """Remembers what the newest process of each kind has said. Reports it when it is new."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._newest: dict[str, ProcessContained] = {}

    def note(self, process: str, said: worker_pb2.Contained) -> None:
        """Takes what a process of this kind has said. It is not trusted: it may know media by now.

        Every pull starts a puller, so what repeats is not reported.
        """
        in_force = tuple(measure for measure in Measure if measure in said.in_force)
        missing = {one.measure: one.why[:_WHY_CHARS] for one in said.missing if one.measure in list(Measure)}
        record = ProcessContained(process, in_force, missing)
        if record != self._newest.get(process):
            self._newest[process] = record
            self._telemetry.report(record)

    def lines(self) -> Iterator[str]:
        """Yields one line a kind of process that lacks something."""
        for process, record in self._newest.items():
            if record.missing:
                problems = "; ".join(f"{measure}: {why}" for measure, why in record.missing.items())
                yield f"not contained: {process}: {problems}"
