"""People see evidence through the gate, and the audit log says who, before the first byte is shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from edge.clock import ManualClock
from edge.containment import ContainmentMode
from edge.domain import Action, Incident, Publish, ScorePoint, Signal, SignalSource, Verdict, new_id
from edge.errors import (
    BrokenMedia,
    EvidenceElsewhere,
    EvidenceStoreFailed,
    InvalidInput,
    LedgerUnavailable,
    NotFound,
    PostersLate,
)
from edge.evidence import contained_posters, posters_contained, write_incident_record
from edge.evidence.double import BucketDouble
from edge.ledger import EvidenceRead, Ledger
from edge.reasons import VerdictReason
from edge.supervise import own_evidence
from edge.supervise.evidence_parts import CHUNK_BYTES
from edge.supervise.evidence_reading import EvidenceReading
from tests.match.test_incident_bank import clip_of
from tests.supervise.gate_without_workers import Bench, gate_without_workers

SIGNAL = Signal(SignalSource.MATCH, "", 43_400, 0.98, 6, "in_other", bank="incidents")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with gate_without_workers(tmp_path, clock=ManualClock()) as running:
        yield running


def opened(bench: Bench, clip: bytes | None = None) -> Incident:
    incident = Incident(
        new_id("in"),
        "st_1",
        Publish("test", "7", "live", "show", "anna"),
        Verdict(
            Action.FLAG, 43_400, 42_960, "fight", VerdictReason.DETECTOR, 0.9, (SIGNAL,), begin_pts_ms=43_000
        ),
        1_700_000_000_000,
    )
    bench.ledger.record_incident(incident, incident.created_ms)
    if clip is not None:
        path = bench.gate.settings.evidence_folder / f"{incident.id}.mp4"
        path.write_bytes(clip)
        bench.ledger.set_evidence(incident.id, str(path), incident.created_ms, (40_000, 45_960))
    return incident


def readings(ledger: Ledger) -> list[tuple[str, str, str]]:
    return [
        (row.who, row.subject, json.loads(row.detail)["part"])
        for row in ledger.audit_rows()
        if row.what == "evidence_read"
    ]


async def test_any_range_of_a_clip_comes_in_bounded_pieces(bench: Bench) -> None:
    clip = bytes(range(256)) * 3000
    incident = opened(bench, clip)
    for begin, length, expected in (
        (0, 0, clip),
        (0, 1, clip[:1]),
        (1000, CHUNK_BYTES + 5, clip[1000 : 1000 + CHUNK_BYTES + 5]),
        (len(clip) - 3, 0, clip[-3:]),
        (len(clip) - 3, 10**6, clip[-3:]),
    ):
        found = await bench.gate.evidence.clip(incident.id, "rita", begin, length)
        pieces = [piece async for piece in found.chunks]
        assert b"".join(pieces) == expected
        assert (found.total_bytes, found.begin, found.length) == (len(clip), begin, len(expected))
        assert max(map(len, pieces)) <= CHUNK_BYTES
    for begin in (len(clip), -1):
        with pytest.raises(InvalidInput, match="begin_bytes"):
            await bench.gate.evidence.clip(incident.id, "rita", begin)


async def test_who_reads_is_audited_once_a_reading(bench: Bench) -> None:
    incident = opened(bench, b"clip")
    evidence, clock = bench.gate.evidence, bench.gate.clock
    assert isinstance(clock, ManualClock)
    for by in ("rita", "rita", "rolf"):
        await evidence.clip(incident.id, by)
    await evidence.account(incident.id, "rita")
    other = opened(bench, b"clip")
    for read in (evidence.account, evidence.clip, evidence.account):
        await read(other.id, "rita")
    assert readings(bench.ledger) == [
        ("rita", incident.id, "clip"),
        ("rolf", incident.id, "clip"),
        ("rita", other.id, "account"),
        ("rita", other.id, "clip"),
    ], "an entry that says more is enough"
    clock.advance_ms(600_001)
    await evidence.clip(incident.id, "rita")
    assert readings(bench.ledger)[-1] == ("rita", incident.id, "clip")
    assert bench.ledger.audit_verify()


async def test_nothing_is_shown_that_cannot_be_audited(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    incident = opened(bench, b"clip")

    def away(*_: object) -> None:
        raise LedgerUnavailable("the disk is full")

    monkeypatch.setattr(bench.gate._context.operator_ledger, "note_evidence_reads", away)
    for read in (bench.gate.evidence.clip, bench.gate.evidence.posters, bench.gate.evidence.account):
        with pytest.raises(LedgerUnavailable):
            await read(incident.id, "rolf")


async def test_frames_are_made_once(bench: Bench, tmp_path: Path) -> None:
    incident = opened(bench, clip_of(tmp_path).read_bytes())
    posters = await bench.gate.evidence.posters(incident.id, "rita")
    assert posters[0].clip_ms == 3200, "the middle of what the verdict rests on"
    kept = bench.gate.settings.evidence_folder / f"{incident.id}.posters"
    written = kept.stat().st_mtime_ns
    assert await bench.gate.evidence.posters(incident.id, "rita") == posters
    assert kept.stat().st_mtime_ns == written
    assert kept.stat().st_mode & 0o077 == 0


async def test_a_clip_that_cannot_be_decoded_has_no_frames(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = opened(bench, b"no clip")
    tried, decode = list[Path](), posters_contained

    async def counted(path: Path, moments_ms: Sequence[int], containment: ContainmentMode) -> bytes:
        tried.append(path)
        return await decode(path, moments_ms, containment)

    monkeypatch.setattr(own_evidence, "posters_contained", counted)
    for who in ("rita", "rolf"):
        with pytest.raises(BrokenMedia, match="no frame"):
            await bench.gate.evidence.posters(incident.id, who)
    assert len(tried) == 1, "the second one has the answer of the first"
    (bench.gate.settings.evidence_folder / f"{incident.id}.mp4").write_bytes(b"a longer clip")
    with pytest.raises(BrokenMedia, match="no frame"):
        await bench.gate.evidence.posters(incident.id, "rita")
    assert len(tried) == 2, "it is another clip"


async def test_the_account_has_the_scores_of_the_record(bench: Bench) -> None:
    incident = opened(bench, b"clip")
    scores = (ScorePoint(39_000, "fight", 0.25), ScorePoint(43_250, "fight", 0.9))
    write_incident_record(incident, bench.gate.settings.evidence_folder, None, scores)
    write_incident_record(incident, bench.gate.settings.evidence_folder)
    account = await bench.gate.evidence.account(incident.id, "rita")
    assert account.scores == scores, "a record that is written again keeps them"
    assert account.clip_bytes == 4
    assert account.incident.verdict.signals == (SIGNAL,)


async def test_an_incident_without_a_clip_has_an_account_alone(bench: Bench) -> None:
    incident = opened(bench)
    account = await bench.gate.evidence.account(incident.id, "rita")
    assert (account.scores, account.clip_bytes) == ((), 0)
    for read in (bench.gate.evidence.clip, bench.gate.evidence.posters):
        with pytest.raises(NotFound, match="no clip of incident"):
            await read(incident.id, "rita")
    with pytest.raises(NotFound, match="no incident"):
        await bench.gate.evidence.clip("in_none", "rita")


async def test_what_another_gate_keeps_is_named(bench: Bench) -> None:
    other = Ledger.open(f"sqlite:///{bench.gate.settings.data_dir / 'ledger.db'}", gate="edge-2")
    incident = Incident(
        new_id("in"), "st_2", Publish("test", "8", "live", "show", "berta"), Verdict(Action.FLAG, 1, 0), 1
    )
    other.record_incident(incident, 1)
    other.close()
    with pytest.raises(EvidenceElsewhere, match=r"folder of gate 'edge-2'.*fleet\.secret.*evidence\.url"):
        await bench.gate.evidence.clip(incident.id, "rita")


async def test_a_bucket_shows_what_any_gate_decided(bench: Bench, tmp_path: Path) -> None:
    other = Ledger.open(f"sqlite:///{bench.gate.settings.data_dir / 'ledger.db'}", gate="edge-2")
    incident = Incident(
        new_id("in"), "st_2", Publish("test", "8", "live", "show", "berta"), Verdict(Action.FLAG, 1, 0), 1
    )
    other.record_incident(incident, 1)
    other.set_evidence(incident.id, "/of/edge-2/clip.mp4", 1, (0, 5_960))
    other.close()
    bucket, folder = BucketDouble(), bench.gate.settings.evidence_folder
    evidence = EvidenceReading(bench.gate._context, folder, bucket)
    with pytest.raises(NotFound, match="no clip of incident"):
        await evidence.clip(incident.id, "rita")
    content = clip_of(tmp_path).read_bytes()
    bucket.files[f"{incident.id}.mp4"] = content
    found = await evidence.clip(incident.id, "rita", 5, 10)
    assert b"".join([piece async for piece in found.chunks]) == content[5:15]
    assert len(await evidence.posters(incident.id, "rita")) >= 3
    assert f"{incident.id}.posters" in bucket.files, "other gates need not make them again"
    assert [path.name for path in folder.iterdir()] == [f"{incident.id}.posters"], "no copy of the clip stays"
    here = await evidence.bring(bench.ledger.incident(incident.id))
    assert here is not None
    assert here.evidence_path == str(folder / f"{incident.id}.mp4")
    assert (folder / f"{incident.id}.mp4").read_bytes() == content
    bucket.away = True
    with pytest.raises(EvidenceStoreFailed):
        await evidence.account(incident.id, "rita")


async def test_frames_that_take_too_long_are_tried_again_soon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident, clock, tried = opened(bench, b"clip"), bench.gate.clock, list[float]()
    assert isinstance(clock, ManualClock)

    async def busy(path: Path, moments_ms: Sequence[int], containment: ContainmentMode) -> bytes:
        tried.append(clock.monotonic_ms())
        raise TimeoutError

    monkeypatch.setattr(own_evidence, "posters_contained", busy)
    for _ in range(200):
        with pytest.raises(PostersLate, match=r"ask again in \d+ s") as late:
            await bench.gate.evidence.posters(incident.id, "rita")
        assert late.value.retryable
        clock.advance_ms(10_000)
    pauses_s = [(after - before) / 1000 for before, after in pairwise(tried)]
    assert pauses_s[:3] == [20, 30, 60], "soon: it may be the machine's fault"
    assert pauses_s[-1] == 600, "and seldom: it may be the clip's"


async def test_the_time_of_the_decoder_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contained_posters, "_MOST_S", 0.01)
    with pytest.raises(TimeoutError):
        await posters_contained(tmp_path / "clip.mp4", [0], ContainmentMode.OFF)


async def test_what_a_page_asks_for_at_once_is_audited_in_one_go(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, written = bench.gate._context.operator_ledger, list[int]()
    note, incidents = ledger.note_evidence_reads, [opened(bench, b"clip") for _ in range(20)]

    def counted(reads: Sequence[EvidenceRead], wall_ms: int) -> None:
        written.append(len(reads))
        note(reads, wall_ms)

    monkeypatch.setattr(ledger, "note_evidence_reads", counted)
    await asyncio.gather(*(bench.gate.evidence.account(each.id, "rita") for each in (*incidents, *incidents)))
    assert sorted(readings(bench.ledger)) == sorted(("rita", each.id, "account") for each in incidents)
    assert sum(written) == 20
    assert len(written) < 10, "one transaction for what came while another was written"
