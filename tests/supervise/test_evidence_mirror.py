"""What the gate writes reaches the bucket, whatever happens meanwhile, and the folder stays small."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from collections.abc import Collection
from pathlib import Path

import pytest

from edge.clock import ManualClock
from edge.domain import ScorePoint
from edge.errors import EvidenceStoreFailed, LedgerUnavailable
from edge.evidence import Sampling, write_incident_record
from edge.evidence.double import BucketDouble
from edge.supervise import evidence_mirror
from edge.supervise.alarms import Alarms
from edge.supervise.evidence_mirror import EvidenceMirror
from edge.telemetry.recording import RecordingBackend
from edge.telemetry.telemetry import Telemetry
from tests.telemetry.reports import INCIDENT

HOUR_MS = 3_600_000


class Around:
    def __init__(self, folder: Path, local_ms: int = HOUR_MS) -> None:
        self.folder = folder
        self.bucket = BucketDouble()
        self.alarms = Alarms(Telemetry(RecordingBackend()))
        self.clock = ManualClock()
        self.gone: frozenset[str] = frozenset()
        self.ledger_away = False
        self.mirror = self.anew(local_ms)

    def anew(self, local_ms: int = HOUR_MS) -> EvidenceMirror:
        return EvidenceMirror(
            self.folder, self.bucket, asyncio.Lock(), self.alarms, self.clock, local_ms, self.erased
        )

    async def erased(self, incident_ids: Collection[str]) -> frozenset[str]:
        if self.ledger_away:
            raise LedgerUnavailable("the database is away")
        return self.gone & frozenset(incident_ids)

    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)
        now_s = self.clock.wall_ms() / 1000
        os.utime(self.folder / name, (now_s, now_s))
        self.clock.advance_ms(1)


@pytest.fixture
def around(tmp_path: Path) -> Around:
    return Around(tmp_path)


async def test_each_file_is_copied_when_it_is_new_or_changed(around: Around) -> None:
    around.write("in_1.mp4", b"clip")
    around.write("in_1.json", b"{}")
    for name in (".in_2.mp4.0abc.part", ".in_3.mp4", "incoming", "notes.txt"):
        around.write(name, b"x")
    await around.mirror.look()
    await around.mirror.look()
    assert around.bucket.files == {"in_1.mp4": b"clip", "in_1.json": b"{}"}
    assert around.bucket.saved == ["in_1.mp4", "in_1.json"], "each once, the oldest first"
    around.write("in_1.json", b"[]")
    await around.mirror.look()
    assert around.bucket.files["in_1.json"] == b"[]", "of the same size as before"


async def test_a_link_is_not_copied(around: Around) -> None:
    (around.folder / "in_1.mp4").symlink_to("/etc/passwd")
    await around.mirror.look()
    assert around.bucket.files == {}


async def test_nothing_is_forgotten_over_a_restart(around: Around) -> None:
    around.write("in_1.mp4", b"clip")
    around.bucket.away = True
    with pytest.raises(EvidenceStoreFailed):
        await around.mirror.look()
    around.bucket.away = False
    again = around.anew()
    await again.look()
    assert around.bucket.files == {"in_1.mp4": b"clip"}
    await around.anew().look()
    assert around.bucket.saved == ["in_1.mp4"], "a clip that is there is not sent again"
    around.write("in_1.mp4", b"longer clip")
    await around.anew().look()
    assert around.bucket.files == {"in_1.mp4": b"longer clip"}


async def test_a_file_leaves_the_folder_once_it_is_in_the_bucket_and_old(around: Around) -> None:
    around.write("in_1.mp4", b"clip")
    around.clock.advance_ms(HOUR_MS + 1)
    around.bucket.away = True
    with pytest.raises(EvidenceStoreFailed):
        await around.mirror.look()
    assert (around.folder / "in_1.mp4").exists(), "it is nowhere else"
    around.bucket.away = False
    around.write("in_2.mp4", b"new")
    await around.mirror.look()
    assert sorted(path.name for path in around.folder.iterdir()) == ["in_2.mp4"]
    assert set(around.bucket.files) == {"in_1.mp4", "in_2.mp4"}


async def test_a_bucket_that_is_away_is_an_alarm(around: Around) -> None:
    around.write("in_1.mp4", b"clip")
    around.bucket.away = True
    watching = asyncio.create_task(around.mirror.watch())
    for _ in range(9_000):
        if around.alarms.lines():
            break
        await asyncio.sleep(0.01)
    assert around.alarms.lines() == ["evidence_bucket store_away"]
    watching.cancel()


async def test_what_is_erased_does_not_come_back(around: Around) -> None:
    around.write("in_1.mp4", b"clip")
    around.gone = frozenset({"in_1"})
    await around.mirror.look()
    assert around.bucket.files == {}
    around.gone = frozenset()
    saved = around.bucket.save

    async def save(name: str, source: Path) -> None:
        await saved(name, source)
        around.gone = frozenset({"in_1"})  # another gate erases it at this moment

    around.bucket.save = save  # type: ignore[method-assign]
    await around.mirror.look()
    assert around.bucket.files == {}


async def test_copying_goes_on_after_the_ledger_was_away(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_mirror, "_AGAIN_S", 0.01)
    around.write("in_1.mp4", b"clip")
    around.ledger_away = True
    watching = asyncio.create_task(around.mirror.watch())
    await asyncio.sleep(0.1)
    around.ledger_away = False
    for _ in range(9_000):
        if around.bucket.files or watching.done():
            break
        await asyncio.sleep(0.01)
    assert around.bucket.files == {"in_1.mp4": b"clip"}
    watching.cancel()


async def test_a_record_in_the_bucket_gets_no_poorer(around: Around) -> None:
    """It is written anew after the earlier one has left the folder, as when a cut is confirmed late."""
    folder, scores = around.folder, (ScorePoint(9_000, "fight", 0.75),)
    write_incident_record(INCIDENT, folder, Sampling(b"seed", 9_500), scores, 45_000)
    name = f"{INCIDENT.id}.json"
    await around.mirror.look()
    (folder / name).unlink()
    write_incident_record(dataclasses.replace(INCIDENT, confirmed_by="hook"), folder)
    await around.mirror.look()
    record = json.loads(around.bucket.files[name])
    assert record["enforcement"]["confirmed_by"] == "hook", "it is the newer one"
    assert record["scores"] == [[9_000, "fight", 0.75]]
    assert record["sampling"] == {"seed": b"seed".hex(), "start_pts_ms": 9_500}
    assert record["clip_late_ms"] == 45_000
    for nonsense in (b"", b"[]", b"{", b'{"schema": 1}'):
        around.bucket.files[name] = nonsense
        around.write(name, b"{}")
        await around.mirror.look()
        assert around.bucket.files[name] == b"{}"
