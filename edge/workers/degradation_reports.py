"""Counts what was not judged, by stream and reason, and reports it at most once a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.contract.gen import gate_pb2, worker_pb2
from edge.reasons import DegradedReason
from edge.workers.worker_stream import WorkerStream

NOTICE_INTERVAL_MS: Final = 1000.0
"""Least interval between two reports of one stream."""


class DegradationReports:
    """Degradation reports of all streams of a worker."""

    def __init__(self, send: Callable[[worker_pb2.FromWorker], None]) -> None:
        self._send = send

    def count(self, stream: WorkerStream, reason: DegradedReason, now_ms: float, count: int = 1) -> None:
        """Counts media or samples of the stream that were not judged, and reports them when it is time."""
        stream.unsaid[reason] += count
        if stream.lost_ms is None and reason.is_loss:
            stream.lost_ms = now_ms
        self.say(stream, now_ms)

    def count_if_blind(self, stream: WorkerStream, now_ms: float) -> None:
        """Counts a stream that has just become blind, once an episode."""
        if not stream.blind and stream.is_blind(now_ms):
            stream.blind = True
            self.count(stream, DegradedReason.BLIND, now_ms)

    def say(self, stream: WorkerStream, now_ms: float) -> None:
        """Reports what is unsaid about the stream, unless its last report is too recent."""
        if stream.unsaid and now_ms - stream.said_ms >= NOTICE_INTERVAL_MS:
            stream.said_ms = now_ms
            self.flush(stream)

    def flush(self, stream: WorkerStream) -> None:
        """Reports everything unsaid about the stream now."""
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
