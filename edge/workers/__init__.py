"""Worker processes: each owns whole streams, from access units to verdicts."""

from edge.workers.pool import WorkerEvents, WorkerPool

__all__ = ["WorkerEvents", "WorkerPool"]
