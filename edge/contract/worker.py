"""Converts between the domain and the messages between supervisor and workers."""

from __future__ import annotations

from edge.containment import Containment
from edge.contract.gen import worker_pb2
from edge.domain import (
    Trace,
)


def trace_from_proto(message: worker_pb2.Trace, arrival_wall_ms: int) -> Trace:
    """Converts the worker's monotonic times to durations since the arrival, in ms."""
    start_ms = message.arrival_ms
    return Trace(
        arrival_wall_ms=arrival_wall_ms,
        decoded_ms=message.decoded_ms - start_ms,
        converted_ms=message.converted_ms - start_ms,
        taken_ms=message.taken_ms - start_ms,
        detected_ms=message.detected_ms - start_ms,
        hashed_ms=message.hashed_ms - start_ms,
        decided_ms=message.decided_ms - start_ms,
    )


def containment_to_proto(contained: Containment) -> worker_pb2.Contained:
    missing = contained.missing.items()
    return worker_pb2.Contained(
        in_force=contained.in_force,
        missing=[worker_pb2.MissingMeasure(measure=measure, why=why) for measure, why in missing],
    )
