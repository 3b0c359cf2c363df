"""Bank updates by the supervisor: runaway entries are quarantined, confirmed incidents are banked."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from edge.background import BackgroundTasks
from edge.banking import Banking, BankingState, NothingBanked
from edge.clock import ManualClock, SystemClock
from edge.domain import (
    Action,
    Codec,
    Incident,
    IncidentState,
    Publish,
    Signal,
    SignalSource,
    Verdict,
    new_id,
    new_stream_id,
)
from edge.errors import InvalidInput, LedgerUnavailable
from edge.evidence import write_clip
from edge.ladder import Sanction
from edge.ledger import DurableLedger
from edge.match import INCIDENT_BANK, Bank, BankInfo, Entry, EntryKind, Footage, HashRun
from edge.match.incident_bank import NICENESS
from edge.policy import Policy, QueuePolicy
from edge.reasons import VerdictReason
from edge.stream.synthetic import encode
from edge.supervise.bank_updates import BankUpdates
from edge.supervise.bankings import banking_of
from edge.supervise.evidence_reading import EvidenceReading
from edge.supervise.ledger_executor import LedgerExecutor
from edge.supervise.review_queue import ReviewQueue
from edge.supervise.reviews import ReviewActions
from edge.telemetry.log_lines import LogBackend
from edge.telemetry.recording import RecordingBackend
from edge.telemetry.records import BankEntryRanAway
from edge.telemetry.telemetry import Telemetry
from tests.match.test_incident_bank import waves

CARD = Signal(SignalSource.MATCH, "known_footage", 0, 0.9, entry="card", bank="known")


def test_an_entry_that_matches_too_many_streams_is_quarantined_counted_and_said(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known", BankInfo(runaway_streams=2))
    bank.add_footage(
        [
            Footage(Entry(name, EntryKind.IMAGE), (HashRun(bytes([n] * 32)),))
            for n, name in enumerate(("card", "film"))
        ]
    )
    recorded, changed = RecordingBackend(), list[None]()
    known = BankUpdates(
        tmp_path,
        tmp_path / "recent",
        Telemetry(recorded, LogBackend()),
        ManualClock(),
        lambda: changed.append(None),
    )

    async def matched(*streams: str) -> None:
        for stream in streams:
            await known.matched(stream, (CARD,))

    asyncio.run(matched("st_1", "st_2", "st_1", "st_2"))
    assert Bank.open(tmp_path / "known").manifest.quarantined == ()
    assert not changed
    with capture_logs() as said:
        asyncio.run(matched("st_3"))
    assert Bank.open(tmp_path / "known").manifest.quarantined == ("card",)
    assert len(changed) == 1
    assert [(line["log_level"], line["entry"]) for line in said] == [("critical", "card")]
    assert recorded.of(BankEntryRanAway) == [BankEntryRanAway("known", "card", 2, quarantined=True)]


def test_what_is_no_match_of_a_bank_that_is_there_is_not_counted(tmp_path: Path) -> None:
    Bank.create(tmp_path / "known", BankInfo(runaway_streams=1))
    changed = list[None]()
    known = BankUpdates(
        tmp_path, tmp_path / "recent", Telemetry(), ManualClock(), lambda: changed.append(None)
    )
    detected = Signal(SignalSource.DETECT, "fight", 0, 0.9)
    gone = Signal(SignalSource.MATCH, "known_footage", 0, 0.9, entry="card", bank="gone")

    async def matched() -> None:
        for stream in ("st_1", "st_2", "st_3"):
            await known.matched(stream, (detected, gone))

    with capture_logs() as said:
        asyncio.run(matched())
    assert not changed
    assert {line["event"] for line in said} == {"match not counted"}


def incident_with(evidence: Path | None, **verdict: Any) -> Incident:
    signals = tuple(Signal(SignalSource.DETECT, "fight", at, 0.9) for at in (5400, 5800))
    said = Verdict(Action.CUT, 5800, -1, "fight", VerdictReason.DETECTOR, signals=signals, begin_pts_ms=5400)
    return Incident(
        new_id("in"),
        new_stream_id(),
        Publish("grpc", "c7", "live", "show", "anna"),
        dataclasses.replace(said, **verdict),
        1,
        evidence_path=None if evidence is None else str(evidence),
        evidence_begin_pts_ms=None if evidence is None else 5000,
        evidence_end_pts_ms=None if evidence is None else 5950,
    )


STRETCH = (400, 800)
PATIENCE_S = 300.0


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    media = encode(frames=20, fps=20, gop=20, size=(96, 128), picture=waves)
    return write_clip(media.units, Codec.H264, media.extradata, tmp_path, "in_1").path


async def stands() -> bool:
    return True


def is_banked(banks: Path, incident: Incident) -> bool:
    return (banks / f"{INCIDENT_BANK}.bank").exists() and Bank.open(banks / INCIDENT_BANK).has(incident.id)


def banking_now() -> dict[int, int]:
    """Niceness of each child process that banks an incident, by incident id."""
    found = {}
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        try:
            if b"edge.match.incident_bank" in Path(f"/proc/{child}/cmdline").read_bytes():
                found[int(child)] = int(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[16])
        except OSError:
            continue
    return found


async def banking_begins() -> None:
    for _ in range(2000):
        if banking_now():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("nothing is banked")


async def test_incidents_are_banked_one_after_the_other_and_after_streams(
    tmp_path: Path, evidence: Path
) -> None:
    banks, changed = tmp_path / "banks", list[None]()
    known = BankUpdates(banks, tmp_path / "recent", Telemetry(), ManualClock(), lambda: changed.append(None))
    incidents = [incident_with(evidence) for _ in range(3)]
    niceness: dict[int, int] = {}
    work = asyncio.gather(*(known.confirmed(incident, STRETCH, stands) for incident in incidents))
    while not work.done():
        now = banking_now()
        assert len(now) <= 1
        niceness |= now
        await asyncio.sleep(0.005)
    done = [banking for banking in await work if banking is not None]
    assert [banking.state for banking in done] == [BankingState.BANKED] * 3
    assert {banking.frames for banking in done} == {9}
    assert all(is_banked(banks, incident) for incident in incidents)
    assert len(changed) == len(niceness) == 3
    assert set(niceness.values()) == {min(os.nice(0) + NICENESS, 19)}


async def test_what_cannot_be_banked_is_said_and_holds_nobody_up(tmp_path: Path, evidence: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0" * 1000)
    telemetry = Telemetry(LogBackend())
    known = BankUpdates(tmp_path / "banks", tmp_path / "recent", telemetry, ManualClock(), lambda: None)
    with capture_logs() as said:
        incidents = incident_with(broken), incident_with(evidence)
        banked = await asyncio.gather(*(known.confirmed(incident, STRETCH, stands) for incident in incidents))
    failed, kept = banked
    assert failed is not None
    assert kept is not None
    assert (failed.state, kept.state) == (BankingState.FAILED, BankingState.BANKED)
    assert [line["log_level"] for line in said] == ["error", "info"]
    assert "broken.mp4" in said[0]["error"]
    assert failed.detail == said[0]["error"]


async def test_what_nobody_can_say_stands_is_not_left_in_the_bank(tmp_path: Path, evidence: Path) -> None:
    banks = tmp_path / "banks"
    known = BankUpdates(banks, tmp_path / "recent", Telemetry(), ManualClock(), lambda: None)
    incident = incident_with(evidence)

    async def away_once_it_is_banked() -> bool:
        if is_banked(banks, incident):
            raise LedgerUnavailable("the ledger is away")
        return True

    with pytest.raises(LedgerUnavailable):
        await known.confirmed(incident, STRETCH, away_once_it_is_banked)
    assert not is_banked(banks, incident)


async def test_a_banking_that_is_given_up_ends_its_process(tmp_path: Path, evidence: Path) -> None:
    known = BankUpdates(tmp_path / "banks", tmp_path / "recent", Telemetry(), ManualClock(), lambda: None)
    work = asyncio.create_task(known.confirmed(incident_with(evidence), STRETCH, stands))
    await banking_begins()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not banking_now()


class Operated(NamedTuple):
    """What people operate, with a ledger on disk and real banking processes."""

    actions: ReviewActions
    ledger: DurableLedger
    banks: Path

    async def done(self) -> None:
        """Waits until nothing is left to be banked or withdrawn here."""
        for _ in range(600):
            if not self.ledger.pending_bankings():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(self.ledger.pending_bankings())

    async def said(self, incident: Incident) -> str:
        """What the record says has gone wrong, once it does."""
        for _ in range(600):
            banking = self.ledger.incident(incident.id).banking
            if banking is not None and banking.detail:
                return banking.detail
            await asyncio.sleep(0.1)
        raise AssertionError("nothing has gone wrong")


@contextlib.asynccontextmanager
async def operated(folder: Path, gate: str = "", *, works: bool = True) -> AsyncIterator[Operated]:
    """A gate's part of the record in ``folder``; with ``works`` it carries out what that says."""
    own = folder / f"gate-{gate}"
    own.mkdir(exist_ok=True)
    ledger = DurableLedger.open(f"sqlite:///{folder / 'edge.db'}", own / "journal.jsonl", gate=gate)
    telemetry, clock, tasks = Telemetry(), SystemClock(), BackgroundTasks()
    executor = LedgerExecutor(telemetry, lambda: ledger.away)
    state: Any = SimpleNamespace(
        executor=executor,
        operator_ledger=ledger.patient(5000),
        clock=clock,
        policy=Policy(queue=QueuePolicy(undo_ms=600_000)),  # a busy machine needs minutes
        ledger=ledger,
        telemetry=telemetry,
    )
    operating: Any = SimpleNamespace(blocks_changed=lambda *blocks, by: None)
    banks = own / "banks"
    known = BankUpdates(banks, own / "recent", telemetry, clock, lambda: None)
    actions = ReviewActions(state, operating, known, EvidenceReading(state, own), ReviewQueue(state))
    if works:
        tasks.keep(actions.work.run)
    try:
        yield Operated(actions, ledger, banks)
    finally:
        await tasks.aclose()
        executor.close()
        ledger.close()


@pytest.fixture
async def reviews(tmp_path: Path) -> AsyncIterator[Operated]:
    async with operated(tmp_path) as gate:
        yield gate


@pytest.mark.parametrize("while_it_is_banked", [False, True])
async def test_an_incident_that_is_overturned_before_it_is_banked_is_not_known_footage(
    while_it_is_banked: bool,
    reviews: Operated,
    tmp_path: Path,
    evidence: Path,
) -> None:
    actions, ledger, banks = reviews
    kept, taken_back = (dataclasses.replace(incident_with(None), id=name) for name in ("in_kept", "in_back"))
    for incident in (kept, taken_back):
        stored = ledger.record_violation(incident, Sanction(), SystemClock().wall_ms()).incident
        ledger.set_evidence(stored.id, str(evidence), SystemClock().wall_ms(), (5000, 5950))
    await actions.review(taken_back.id, IncidentState.CONFIRMED, "seen", "rita")
    if while_it_is_banked:
        await banking_begins()
    await actions.review(taken_back.id, IncidentState.OVERTURNED, "seen again", "rita")
    await actions.review(kept.id, IncidentState.CONFIRMED, "seen", "rita")
    await reviews.done()
    assert not is_banked(banks, taken_back)
    assert is_banked(banks, kept)
    assert ledger.incident(kept.id).banking == Banking(BankingState.BANKED, None, STRETCH, 9)
    banking = ledger.incident(taken_back.id).banking
    assert banking is None or banking.state is BankingState.WITHDRAWN


def on_record(ledger: DurableLedger, evidence: Path | None, **verdict: Any) -> Incident:
    incident = incident_with(None, **verdict)
    ledger.record_incident(incident, SystemClock().wall_ms())
    if evidence is not None:
        ledger.set_evidence(incident.id, str(evidence), SystemClock().wall_ms(), (5000, 5950))
    return incident


@pytest.mark.parametrize("while_it_is_banked", [False, True])
async def test_a_confirmation_that_is_undone_leaves_nothing_in_the_bank(
    while_it_is_banked: bool, reviews: Operated, evidence: Path
) -> None:
    actions, ledger, banks = reviews
    incident = on_record(ledger, evidence)
    await actions.review(
        incident.id, IncidentState.CONFIRMED, "seen", "rita", wait_s=0 if while_it_is_banked else PATIENCE_S
    )
    if while_it_is_banked:
        await banking_begins()
    else:
        assert is_banked(banks, incident)
    undone = await actions.undo(incident.id, "rita", PATIENCE_S)
    assert undone.state is IncidentState.OPEN
    assert not is_banked(banks, incident)
    banking = ledger.incident(incident.id).banking
    assert banking is None or banking.state is BankingState.WITHDRAWN
    if not while_it_is_banked:
        return
    # It is decided anew as if it had never been.
    again = await actions.review(incident.id, IncidentState.CONFIRMED, "seen", "rita", wait_s=PATIENCE_S)
    assert again.banking is not None
    assert again.banking.state is BankingState.BANKED
    assert is_banked(banks, incident)


async def test_an_overturning_that_is_undone_banks_again(reviews: Operated, evidence: Path) -> None:
    actions, ledger, banks = reviews
    incident = on_record(ledger, evidence)
    await actions.review(
        incident.id, IncidentState.CONFIRMED, "seen", "rita", stretch_ms=(200, 700), wait_s=PATIENCE_S
    )
    before = ledger.incident(incident.id).banking
    await actions.review(incident.id, IncidentState.OVERTURNED, "a film", "rita", wait_s=PATIENCE_S)
    assert not is_banked(banks, incident)
    undone = await actions.undo(incident.id, "rita", PATIENCE_S)
    assert undone.state is IncidentState.CONFIRMED
    assert undone.banking == before
    assert is_banked(banks, incident)


async def test_the_answer_says_what_was_banked_and_what_was_left_out(
    reviews: Operated, evidence: Path
) -> None:
    actions, ledger, _ = reviews
    incident = on_record(ledger, evidence, cleared_pts_ms=5700)
    answer = await actions.review(
        incident.id, IncidentState.CONFIRMED, "seen", "rita", stretch_ms=(200, 700), wait_s=60
    )
    assert answer.banking == Banking(BankingState.BANKED, None, (200, 700), 11)
    assert (await actions.case(incident.id)).incident.banking == answer.banking
    overturned = await actions.review(incident.id, IncidentState.OVERTURNED, "a film", "rita", wait_s=60)
    assert overturned.banking is not None
    assert overturned.banking.state is BankingState.WITHDRAWN


async def test_the_answer_names_the_gates_that_were_not_asked(tmp_path: Path, evidence: Path) -> None:
    async with operated(tmp_path, "cairo") as gate, operated(tmp_path, "oslo", works=False) as other:
        for each, url in ((gate, "grpc://cairo:50051"), (other, "grpc://oslo:50051")):
            each.ledger.announce_gate(url, SystemClock().wall_ms())
        incident = on_record(gate.ledger, evidence)
        answer = await gate.actions.review(incident.id, IncidentState.CONFIRMED, "seen", "rita", wait_s=60)
        assert answer.banking == Banking(BankingState.BANKED, None, STRETCH, 9, gates_not_asked=("oslo",))
        assert other.ledger.incident(incident.id).banking == answer.banking


async def test_an_answer_that_cannot_wait_says_that_it_is_pending_and_the_case_tells_the_rest(
    reviews: Operated, evidence: Path
) -> None:
    actions, ledger, _ = reviews
    incident = on_record(ledger, evidence)
    answer = await actions.review(incident.id, IncidentState.CONFIRMED, "seen", "rita", wait_s=0)
    assert answer.banking == Banking(BankingState.PENDING, stretch_ms=STRETCH)
    assert (await actions.case(incident.id)).incident.banking == answer.banking
    await reviews.done()
    assert (await actions.case(incident.id)).incident.banking == Banking(
        BankingState.BANKED, None, STRETCH, 9
    )


async def test_what_a_restart_has_ended_is_carried_out_after_it(tmp_path: Path, evidence: Path) -> None:
    """Both what was to be banked and what was to be taken out again."""
    async with operated(tmp_path) as gate:
        known, half = on_record(gate.ledger, evidence), on_record(gate.ledger, evidence)
        for incident in (known, half):
            await gate.actions.review(incident.id, IncidentState.CONFIRMED, "seen", "rita", wait_s=60)
    async with operated(tmp_path, works=False) as gate:
        waits = on_record(gate.ledger, evidence)
        now = SystemClock().wall_ms()
        gate.ledger.set_banking(half.id, Banking(BankingState.PENDING, stretch_ms=STRETCH), now)
        answer = await gate.actions.review(waits.id, IncidentState.CONFIRMED, "seen", "rita")
        assert answer.banking == Banking(BankingState.PENDING, stretch_ms=STRETCH)
        answer = await gate.actions.review(known.id, IncidentState.OVERTURNED, "a film", "rita")
        assert answer.banking is not None
        assert answer.banking.state is BankingState.WITHDRAWING
        assert is_banked(gate.banks, known)
    async with operated(tmp_path) as gate:
        await gate.done()
        states = [gate.ledger.incident(each.id).banking for each in (known, waits, half)]
        assert [each and each.state for each in states] == [
            BankingState.WITHDRAWN,
            BankingState.BANKED,
            BankingState.BANKED,
        ]
        assert not is_banked(gate.banks, known)
        assert is_banked(gate.banks, waits)


async def test_each_gate_carries_out_what_concerns_its_own_bank(tmp_path: Path, evidence: Path) -> None:
    async with operated(tmp_path, "a") as ours, operated(tmp_path, "b") as theirs:
        incident = on_record(ours.ledger, evidence)
        answer = await theirs.actions.review(incident.id, IncidentState.CONFIRMED, "seen", "rita", wait_s=0)
        assert answer.banking == Banking(BankingState.PENDING, stretch_ms=STRETCH)
        await ours.done()
        assert is_banked(ours.banks, incident)
        assert not theirs.banks.exists()
        await theirs.actions.review(incident.id, IncidentState.OVERTURNED, "a film", "rita", wait_s=0)
        await ours.done()
        assert not is_banked(ours.banks, incident)
        banking = ours.ledger.incident(incident.id).banking
        assert banking is not None
        assert banking.state is BankingState.WITHDRAWN


async def test_what_fails_is_tried_again_until_it_is_done(
    reviews: Operated, evidence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions, ledger, banks = reviews
    incident = on_record(ledger, evidence)
    with monkeypatch.context() as broken:  # no process can be started
        broken.setattr(sys, "executable", "/nowhere/python")
        answer = await actions.review(incident.id, IncidentState.CONFIRMED, "seen", "rita")
        assert "/nowhere/python" in await reviews.said(incident)
        assert answer.banking == Banking(BankingState.PENDING, stretch_ms=STRETCH)
    await reviews.done()
    assert ledger.incident(incident.id).banking == Banking(BankingState.BANKED, None, STRETCH, 9)
    manifest = banks / f"{INCIDENT_BANK}.bank"
    good = manifest.read_bytes()
    manifest.write_bytes(b"torn")
    answer = await actions.review(incident.id, IncidentState.OVERTURNED, "a film", "rita")
    assert answer.banking is not None
    assert answer.banking.state is BankingState.WITHDRAWING
    assert await reviews.said(incident)
    manifest.write_bytes(good)
    assert is_banked(banks, incident)
    await reviews.done()
    assert not is_banked(banks, incident)
    assert ledger.incident(incident.id).banking == Banking(BankingState.WITHDRAWN, None, STRETCH, 9)


async def test_a_banking_that_ends_after_its_incident_was_overturned_is_taken_out(
    tmp_path: Path, evidence: Path
) -> None:
    async with operated(tmp_path, works=False) as gate:
        incident = on_record(gate.ledger, evidence)
        await gate.actions.review(incident.id, IncidentState.CONFIRMED, "seen", "rita")
        await gate.actions.review(incident.id, IncidentState.OVERTURNED, "a film", "rita")
        banked = Banking(BankingState.BANKED, None, STRETCH, 9)
        gate.ledger.set_banking(incident.id, banked, SystemClock().wall_ms())
        assert [each.id for each in gate.ledger.pending_bankings()] == [incident.id]
        await gate.actions.work.work()
        assert gate.ledger.pending_bankings() == ()
        assert gate.ledger.incident(incident.id).banking == dataclasses.replace(
            banked, state=BankingState.WITHDRAWN
        )


@pytest.mark.parametrize(
    ("verdict", "clip", "reason"),
    [
        ({"shadow": True}, True, NothingBanked.SHADOW),
        ({"reason": VerdictReason.MATCH}, True, NothingBanked.KNOWN_ALREADY),
        ({"begin_pts_ms": None}, True, NothingBanked.NO_STRETCH),
        ({}, False, NothingBanked.NO_EVIDENCE),
    ],
)
async def test_what_nothing_can_be_banked_of_says_why(
    reviews: Operated,
    tmp_path: Path,
    evidence: Path,
    verdict: dict[str, Any],
    clip: bool,
    reason: NothingBanked,
) -> None:
    actions, ledger, banks = reviews
    incident = on_record(ledger, evidence if clip else None, **verdict)
    answer = await actions.review(incident.id, IncidentState.CONFIRMED, "seen", "rita", wait_s=60)
    assert answer.banking == ledger.incident(incident.id).banking == Banking(BankingState.NOTHING, reason)
    await reviews.done()
    assert not banks.exists()


async def test_a_reviewer_may_decline_and_the_second_of_two_takes_the_stretch_of_the_first(
    reviews: Operated, evidence: Path
) -> None:
    actions, ledger, _ = reviews
    declined = on_record(ledger, evidence)
    answer = await actions.review(
        declined.id, IncidentState.CONFIRMED, "seen", "rita", bank_nothing=True, wait_s=60
    )
    assert answer.banking == Banking(BankingState.NOTHING, NothingBanked.DECLINED)
    chosen = dataclasses.replace(
        incident_with(evidence), banking=Banking(BankingState.CHOSEN, stretch_ms=(100, 300))
    )
    planned = banking_of(chosen, None, declined=False, has_clip=True)
    assert planned == Banking(BankingState.PENDING, stretch_ms=(100, 300))
    planned = banking_of(chosen, (0, 200), declined=False, has_clip=True)
    assert planned.stretch_ms == (0, 200)


def test_a_long_stretch_is_banked_from_its_end() -> None:
    incident = dataclasses.replace(
        incident_with(Path("/clip.mp4"), begin_pts_ms=1_000, pts_ms=19_000), evidence_end_pts_ms=20_000
    )
    assert banking_of(incident, None, declined=False, has_clip=True).stretch_ms == (9_000, 14_000)


@pytest.mark.parametrize(
    ("stretch_ms", "field"),
    [
        ((-1, 500), "stretch.begin_ms"),
        ((500, 500), "stretch.begin_ms"),
        ((950, 1200), "stretch.begin_ms"),
        ((0, 10_001), "stretch"),
    ],
)
async def test_a_wrong_stretch_is_refused_before_anything_is_decided(
    reviews: Operated,
    evidence: Path,
    stretch_ms: tuple[int, int],
    field: str,
) -> None:
    actions, ledger, _ = reviews
    incident = on_record(ledger, evidence)
    with pytest.raises(InvalidInput) as refused:
        await actions.review(incident.id, IncidentState.CONFIRMED, "x", "rita", stretch_ms=stretch_ms)
    assert refused.value.field == field
    for wrong in (on_record(ledger, evidence, shadow=True), on_record(ledger, None)):
        with pytest.raises(InvalidInput):
            await actions.review(wrong.id, IncidentState.CONFIRMED, "x", "rita", stretch_ms=(0, 500))
    with pytest.raises(InvalidInput, match="only what is confirmed"):
        await actions.review(incident.id, IncidentState.OVERTURNED, "x", "rita", stretch_ms=(0, 500))
    with pytest.raises(InvalidInput, match="contradicts"):
        await actions.review(
            incident.id, IncidentState.CONFIRMED, "x", "rita", stretch_ms=(0, 500), bank_nothing=True
        )
    assert ledger.incident(incident.id).state is IncidentState.OPEN
