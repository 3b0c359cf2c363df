"""Requests the evidence of incidents: the clip from the worker's ring and the record beside it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from pathlib import Path
from typing import NamedTuple

from cachetools import LRUCache

from edge.background import BackgroundTasks
from edge.clock import Clock
from edge.contract.gen import worker_pb2
from edge.domain import Incident, ScorePoint
from edge.errors import InvalidInput, WorkerLost
from edge.evidence import INCOMING, Sampling, take_in, write_incident_record
from edge.supervise.incident_progress import IncidentProgress
from edge.supervise.score_track import ScoreTrack
from edge.telemetry.records import (
    EvidenceCutShort,
    EvidenceLate,
    EvidenceMissing,
    EvidenceSaved,
    IncidentRecordMissing,
)
from edge.telemetry.telemetry import Telemetry
from edge.workers.pool import WorkerPool

_CLIP_S = 30.0
_BEFORE_MS = 10_000
_MOST_LATE = 256


class SavedClip(NamedTuple):
    error: str
    """Why there is none. Empty once the worker has written it."""
    sampling: Sampling | None = None
    span_pts_ms: tuple[int, int] = (0, 0)
    """Media time of its first and last frame."""


class _LateClip(NamedTuple):
    incident: Incident
    seed: bytes
    track: ScoreTrack | None
    longer: bool


class EvidenceRequests:
    """Requests clips from workers and writes the incident records beside them."""

    def __init__(
        self,
        directory: Path,
        pool: WorkerPool,
        progress: IncidentProgress,
        telemetry: Telemetry,
        clock: Clock,
        tasks: BackgroundTasks,
    ) -> None:
        self._directory = directory
        self._incoming = directory / INCOMING
        self._telemetry = telemetry
        self._pool = pool
        self._progress = progress
        self._clock = clock
        self._tasks = tasks
        self._late: LRUCache[str, _LateClip] = LRUCache(_MOST_LATE)
        """Clips that nobody waits for any more, and that may still come."""
        self._saving: dict[str, tuple[bytes, asyncio.Future[SavedClip]]] = {}
        self._sampling: dict[str, Sampling] = {}
        """Sampling of clips until it is on record. The ledger does not have it."""
        self._tracks: dict[str, ScoreTrack] = {}
        """Scores of the streams whose clips are being written."""
        self._scores: dict[str, tuple[ScorePoint, ...]] = {}
        """The same once the clip is written, until they are on record."""

    def ends_at_verdict(self, incident_id: str, error: str) -> None:
        """Reports that a clip could not go on."""
        self._telemetry.report(EvidenceCutShort(incident_id, error))

    def save_clip(
        self, incident: Incident, seed: bytes, scores: ScoreTrack | None = None
    ) -> asyncio.Future[SavedClip]:
        """Requests the clip from the worker. Call it before a cut ends the media of the clip.

        ``seed`` is the stream's secret. It goes on record beside the clip, as do its ``scores``.
        """
        future: asyncio.Future[SavedClip] = asyncio.get_running_loop().create_future()
        self._saving[incident.id] = seed, future
        if scores is not None:
            self._tracks[incident.id] = scores
        command = worker_pb2.ToWorker(
            save_evidence=worker_pb2.SaveEvidence(
                stream_id=incident.stream_id, incident_id=incident.id, directory=str(self._incoming)
            )
        )
        try:
            self._pool.send(incident.stream_id, command)
        except WorkerLost:
            del self._saving[incident.id]
            future.set_result(SavedClip("no worker has the stream"))
        return future

    def clip_saved(self, event: worker_pb2.EvidenceSaved) -> None:
        """Takes the worker's answer. Of its path only that there is one counts: it knows hostile media, and
        names no path here."""
        seed, future = self._saving.pop(event.incident_id, (b"", None))
        if future is not None and not future.done():
            future.set_result(_saved(event, seed))
        elif (late := self._late.pop(event.incident_id, None)) is not None:
            self._tasks.start(self._take_late(late, _saved(event, late.seed)))

    async def clip(
        self, incident: Incident, saved: asyncio.Future[SavedClip], *, longer: bool = False
    ) -> Incident:
        """Returns the incident with its clip, once the ledger has it. Without a clip it returns the
        incident as is. ``longer``: the clip replaces an earlier one."""
        try:
            clip = await asyncio.wait_for(saved, timeout=_CLIP_S)
        except TimeoutError:
            seed, _ = self._saving.pop(incident.id, (b"", None))
            self._late[incident.id] = _LateClip(incident, seed, self._tracks.get(incident.id), longer)
            clip = SavedClip(f"the worker has not answered within {_CLIP_S:.0f} s")
        return await self._taken(incident, clip, self._tracks.pop(incident.id, None), longer=longer)

    async def _take_late(self, late: _LateClip, clip: SavedClip) -> None:
        """Takes in a clip that came after its time. It is evidence all the same, and the record says so."""
        late_ms = max(0, self._clock.wall_ms() - late.incident.created_ms)
        incident = await self._taken(late.incident, clip, late.track, longer=late.longer)
        if incident is late.incident:
            return
        self._telemetry.report(EvidenceLate(incident.id, late_ms))
        newest = await self._progress.newest(incident)
        await self.rewrite_record(newest, clip_late_ms=late_ms)

    async def _taken(
        self, incident: Incident, clip: SavedClip, track: ScoreTrack | None, *, longer: bool
    ) -> Incident:
        error = clip.error
        if not error:
            try:
                path = await asyncio.to_thread(take_in, self._incoming, self._directory, incident.id)
                sha256, size = await asyncio.to_thread(_facts_of, path)
            except (OSError, InvalidInput) as failure:
                error = str(failure)
        if track is not None:
            # What goes before the clip explains its first scores.
            self._scores[incident.id] = track.points(clip.span_pts_ms[0] - _BEFORE_MS)
        if error and longer:
            self.ends_at_verdict(incident.id, error)
            return incident
        if error:
            self._telemetry.report(EvidenceMissing(incident.id, error))
            return incident
        if not longer:
            self._telemetry.report(EvidenceSaved(incident.id))
        now = self._clock.wall_ms()
        await self._progress.evidence(incident.id, str(path), now, clip.span_pts_ms, sha256, size)
        if clip.sampling is not None:
            self._sampling[incident.id] = clip.sampling
        begin_pts_ms, end_pts_ms = clip.span_pts_ms
        return dataclasses.replace(
            incident,
            evidence_path=str(path),
            evidence_begin_pts_ms=begin_pts_ms,
            evidence_end_pts_ms=end_pts_ms,
        )

    async def rewrite_record(self, incident: Incident, clip_late_ms: int | None = None) -> None:
        """Rewrites the record beside the clip. It is a copy of the ledger's data, so an error is only
        logged."""
        sampling, scores = self._sampling.pop(incident.id, None), self._scores.pop(incident.id, ())
        try:
            await asyncio.to_thread(
                write_incident_record, incident, self._directory, sampling, scores, clip_late_ms
            )
        except OSError as error:
            self._telemetry.report(IncidentRecordMissing(incident.id, str(error)))


def _saved(event: worker_pb2.EvidenceSaved, seed: bytes) -> SavedClip:
    error = "" if event.path else event.error or "the worker gave no reason"
    return SavedClip(error, Sampling(seed, event.start_pts_ms), (event.start_pts_ms, event.end_pts_ms))


def _facts_of(clip: Path) -> tuple[str, int]:
    """Returns the digest of a clip, by which anybody can tell it later, and its size. Raises OSError."""
    with clip.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()
