"""The gate takes clips in from where workers may write. What a worker says names no path."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge.background import BackgroundTasks
from edge.clock import Clock, ManualClock, SystemClock
from edge.contract.gen import worker_pb2
from edge.domain import Incident
from edge.evidence import INCOMING
from edge.supervise import evidence_requests
from edge.supervise.evidence_requests import EvidenceRequests
from edge.supervise.score_track import ScoreTrack
from edge.telemetry.recording import RecordingBackend
from edge.telemetry.records import EvidenceMissing, EvidenceSaved
from edge.telemetry.telemetry import Telemetry
from tests.telemetry.reports import INCIDENT


@dataclass
class Around:
    """The pool and the ledger's side of it."""

    sent: list[worker_pb2.ToWorker] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)

    def send(self, stream_id: str, command: worker_pb2.ToWorker) -> None:
        self.sent.append(command)

    async def evidence(
        self, incident_id: str, path: str, wall_ms: int, span_pts_ms: tuple[int, int], sha256: str, size: int
    ) -> None:
        content = await asyncio.to_thread(Path(path).read_bytes)
        assert (sha256, size) == (hashlib.sha256(content).hexdigest(), len(content))
        self.kept.append(path)
        self.spans.append(span_pts_ms)

    async def newest(self, incident: Incident) -> Incident:
        return incident


def requests_of(
    directory: Path, around: Any, recorded: RecordingBackend, clock: Clock, tasks: BackgroundTasks
) -> EvidenceRequests:
    return EvidenceRequests(directory, around, around, Telemetry(recorded), clock, tasks)


async def taken(directory: Path, path: str) -> tuple[Any, Around, RecordingBackend]:
    """What becomes of the incident when a worker says that it has written ``path``."""
    around, recorded = Around(), RecordingBackend()
    requests = requests_of(directory, around, recorded, SystemClock(), BackgroundTasks())
    saved = requests.save_clip(INCIDENT, b"seed")
    assert around.sent[0].save_evidence.directory == str(directory / INCOMING)
    requests.clip_saved(
        worker_pb2.EvidenceSaved(incident_id=INCIDENT.id, path=path, start_pts_ms=9_500, end_pts_ms=21_500)
    )
    return await asyncio.wait_for(requests.clip(INCIDENT, saved), 90), around, recorded


async def test_a_clip_becomes_evidence_where_the_worker_cannot_write(tmp_path: Path) -> None:
    (tmp_path / INCOMING).mkdir()
    (tmp_path / INCOMING / f"{INCIDENT.id}.mp4").write_bytes(b"clip")
    incident, around, recorded = await taken(tmp_path, "/etc/shadow")
    assert incident.evidence_path == around.kept[0] == str(tmp_path / f"{INCIDENT.id}.mp4")
    assert (tmp_path / f"{INCIDENT.id}.mp4").read_bytes() == b"clip"
    assert EvidenceSaved(INCIDENT.id) in recorded.records
    assert (
        around.spans == [(incident.evidence_begin_pts_ms, incident.evidence_end_pts_ms)] == [(9_500, 21_500)]
    )


async def test_a_path_that_a_worker_makes_up_is_no_evidence(tmp_path: Path) -> None:
    (tmp_path / INCOMING).mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    incident, around, recorded = await taken(tmp_path, str(tmp_path / "secret"))
    assert incident.evidence_path is None
    assert around.kept == []
    assert [type(record) for record in recorded.records] == [EvidenceMissing]


@pytest.mark.parametrize("longer", [False, True])
async def test_a_clip_that_comes_after_its_time_is_kept_and_the_record_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, longer: bool
) -> None:
    monkeypatch.setattr(evidence_requests, "_CLIP_S", 0.01)
    around, recorded, clock, tasks = Around(), RecordingBackend(), ManualClock(), BackgroundTasks()
    requests = requests_of(tmp_path, around, recorded, clock, tasks)
    scores = ScoreTrack()
    scores.note("fight", 10_000, 0.75)
    incident = dataclasses.replace(INCIDENT, created_ms=clock.wall_ms())
    missing = await requests.clip(incident, requests.save_clip(incident, b"seed", scores), longer=longer)
    assert missing.evidence_path is None
    await requests.rewrite_record(missing)
    (tmp_path / INCOMING).mkdir()
    (tmp_path / INCOMING / f"{incident.id}.mp4").write_bytes(b"clip")
    clock.advance_ms(45_000)
    for _ in range(2):  # what nobody asked for is nothing
        requests.clip_saved(
            worker_pb2.EvidenceSaved(incident_id=incident.id, path="x", start_pts_ms=9_500, end_pts_ms=21_500)
        )
    await tasks.settle(30)
    assert around.kept == [str(tmp_path / f"{incident.id}.mp4")]
    record = json.loads((tmp_path / f"{incident.id}.json").read_text())
    assert record["clip"] == f"{incident.id}.mp4"
    assert record["clip_late_ms"] == 45_000
    assert record["sampling"] == {"seed": b"seed".hex(), "start_pts_ms": 9_500}
    assert record["scores"] == [[10_000, "fight", 0.75]]
    assert (EvidenceSaved(incident.id) in recorded.records) is not longer
    await requests.rewrite_record(incident)
    assert json.loads((tmp_path / f"{incident.id}.json").read_text())["clip_late_ms"] == 45_000
