"""The evidence of an incident: the clip from the worker's ring, and the record beside it."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import structlog

from edge.clock import Clock
from edge.contract.gen import worker_pb2
from edge.domain import Incident
from edge.errors import WorkerLost
from edge.evidence import write_incident_record
from edge.supervise.incident_progress import IncidentProgress
from edge.telemetry.metrics import Metrics
from edge.workers.pool import WorkerPool

_CLIP_S = 10.0

log = structlog.get_logger(__name__)


class EvidenceRequests:
    """Asks workers for clips and writes what they are evidence of."""

    def __init__(
        self, directory: Path, pool: WorkerPool, progress: IncidentProgress, metrics: Metrics, clock: Clock
    ) -> None:
        self._directory = directory
        self._clips = metrics.evidence_clips
        self._pool = pool
        self._progress = progress
        self._clock = clock
        self._saving: dict[str, asyncio.Future[str | None]] = {}

    def save_clip(self, incident: Incident) -> asyncio.Future[str | None]:
        """Ask the worker for the clip, before a cut ends the media that it is made of."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._saving[incident.id] = future
        command = worker_pb2.ToWorker(
            save_evidence=worker_pb2.SaveEvidence(
                stream_id=incident.stream_id, incident_id=incident.id, directory=str(self._directory)
            )
        )
        try:
            self._pool.send(incident.stream_id, command)
        except WorkerLost:
            del self._saving[incident.id]
            future.set_result(None)
        return future

    def clip_saved(self, event: worker_pb2.EvidenceSaved) -> None:
        """What the worker answers."""
        future = self._saving.pop(event.incident_id, None)
        if event.error:
            log.error("no evidence clip", incident_id=event.incident_id, error=event.error)
        if future is not None and not future.done():
            future.set_result(event.path or None)

    async def clip(self, incident: Incident, saved: asyncio.Future[str | None]) -> Incident:
        """The incident with its clip, which is in the ledger then; without it when none came in time."""
        try:
            path = await asyncio.wait_for(saved, timeout=_CLIP_S)
        except TimeoutError:
            self._saving.pop(incident.id, None)
            path = None
        self._clips.labels("missing" if path is None else "saved").inc()
        if path is None:
            return incident
        await self._progress.evidence(incident.id, path, self._clock.wall_ms())
        return dataclasses.replace(incident, evidence_path=path)

    async def write(self, incident: Incident) -> None:
        """The record beside the clip, anew. It is a copy of what the ledger has, and nothing hangs on it."""
        try:
            await asyncio.to_thread(write_incident_record, incident, self._directory)
        except OSError as error:
            log.error("no record beside the clip", incident_id=incident.id, error=str(error))
