"""What was not judged, and is told: counted by stream and reason, and said at most once a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.contract.gen import gate_pb2, worker_pb2
from edge.reasons import DegradedReason
from edge.workers.worker_stream import WorkerStream

NOTICE_INTERVAL_MS: Final = 1000.0
"""Between two notices of a stream."""


class DegradationReports:
    """Of all streams of a worker."""

    def __init__(self, send: Callable[[worker_pb2.FromWorker], None]) -> None:
        self._send = send

    def count(self, stream: WorkerStream, reason: DegradedReason, now_ms: float, count: int = 1) -> None:
        """Something of the stream was not judged."""
        stream.unsaid[reason] += count
        stream.lost = stream.lost or reason.is_loss
        self.say(stream, now_ms)

    def count_if_blind(self, stream: WorkerStream, now_ms: float) -> None:
        """Once an episode."""
        if not stream.blind and stream.is_blind(now_ms):
            stream.blind = True
            self.count(stream, DegradedReason.BLIND, now_ms)

    def say(self, stream: WorkerStream, now_ms: float) -> None:
        """What is still to be said of the stream, if its time has come."""
        if stream.unsaid and now_ms - stream.said_ms >= NOTICE_INTERVAL_MS:
            stream.said_ms = now_ms
            self.flush(stream)

    def flush(self, stream: WorkerStream) -> None:
        """All of it, now."""
        for reason, count in stream.unsaid.items():
            self._send(
                worker_pb2.FromWorker(
                    notice=worker_pb2.Notice(
                        stream_id=stream.id,
                        degraded=gate_pb2.Degraded(reason=reason.value, count=count),
                        cleared_pts_ms=stream.cleared_pts_ms,
                    )
                )
            )
        stream.unsaid.clear()
