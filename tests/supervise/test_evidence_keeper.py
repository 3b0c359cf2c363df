"""Evidence goes when its time is over or its broadcaster asks, provably, and never what is on hold."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import ManualClock
from edge.domain import Action, Incident, IncidentState, Publish, Verdict, new_id
from edge.errors import Conflict, EvidenceErased, EvidenceStoreFailed, LedgerUnavailable
from edge.ladder import Sanction
from edge.ledger import Ledger
from edge.ledger.tables import appeals, incidents
from edge.retention import EvidenceAge, HeldEvidence, RetentionPlan, RetentionRules, plan_erasures
from edge.supervise import evidence_keeper
from edge.supervise.evidence_keeper import ErasureOutcome
from tests.supervise.gate_without_workers import Bench, gate_without_workers

DAY_MS = 86_400_000
PUBLISH = Publish("test", "7", "live", "show", "anna")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    days = {"keep_days_open": 90, "keep_days_confirmed": 365, "keep_days_overturned": 30}
    async with gate_without_workers(
        tmp_path, clock=ManualClock(), evidence={**days, "quota_mb": 4}
    ) as running:
        yield running


def opened(
    bench: Bench, broadcaster: str = "anna", clip: bytes = b"clip", *, record: bool = True, cut: bool = False
) -> str:
    now = bench.gate.clock.wall_ms()
    incident = Incident(
        new_id("in"),
        new_id("st"),
        Publish("test", "7", "live", "show", broadcaster),
        Verdict(Action.FLAG, 1, 0),
        now,
    )
    if cut:
        cut_at = dataclasses.replace(incident, verdict=Verdict(Action.CUT, 1, 0, "fight"))
        bench.ledger.record_violation(cut_at, Sanction(), now)
    else:
        bench.ledger.record_incident(incident, now)
    path = bench.gate.settings.evidence_folder / f"{incident.id}.mp4"
    path.write_bytes(clip)
    if record:
        path.with_suffix(".json").write_bytes(b"{}")
        path.with_suffix(".posters").write_bytes(b"[]\n")
    bench.ledger.set_evidence(
        incident.id, str(path), now, (0, 1), hashlib.sha256(clip).hexdigest(), len(clip)
    )
    return incident.id


def files(bench: Bench, incident_id: str) -> list[str]:
    return sorted(path.name for path in bench.gate.settings.evidence_folder.glob(f"{incident_id}.*"))


def advance(bench: Bench, days: float) -> None:
    assert isinstance(bench.gate.clock, ManualClock)
    bench.gate.clock.advance_ms(days * DAY_MS)


def audited(ledger: Ledger, what: str) -> list[tuple[str, str]]:
    return [(row.who, row.subject) for row in ledger.audit_rows() if row.what == what]


async def test_each_state_has_its_own_age(bench: Bench) -> None:
    open_, overturned, confirmed = (opened(bench) for _ in range(3))
    await bench.gate.reviews.review(overturned, IncidentState.OVERTURNED, "sport", "rita")
    bench.ledger.review(
        confirmed,
        IncidentState.CONFIRMED,
        "a fight",
        "rita",
        bench.gate.clock.wall_ms(),
        bench.gate._context.policy,
    )
    assert await bench.gate.evidence_keeper.sweep() == 0
    for days, gone in ((31, overturned), (60, open_), (280, confirmed)):
        advance(bench, days)
        assert files(bench, gone)
        assert await bench.gate.evidence_keeper.sweep() == 1
        assert files(bench, gone) == []
        incident = bench.ledger.incident(gone)
        assert (incident.custody.evidence_erased_why, incident.evidence_path) == ("age", None)
        assert audited(bench.ledger, "evidence_erased")[-1] == ("gate", gone)
    assert await bench.gate.evidence_keeper.sweep() == 0
    assert bench.ledger.audit_verify()
    with pytest.raises(EvidenceErased, match=r"was erased on 20.*\(age\)"):
        await bench.gate.evidence.clip(open_, "rita")


async def test_an_appeal_that_comes_after_the_plan_keeps_what_it_needs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ident = opened(bench, cut=True)
    advance(bench, 100)
    keeper = bench.gate.evidence_keeper

    def then_an_appeal(
        held: Iterable[HeldEvidence], rules: RetentionRules, now_ms: int, other_bytes: int
    ) -> RetentionPlan:
        plan = plan_erasures(held, rules, now_ms, other_bytes)
        began_ms = bench.ledger.incident(ident).created_ms
        appealed = "It was sport.", "shop", began_ms, bench.gate._context.policy
        bench.ledger.file_appeal(*appealed, incident_id=ident, block_id=None)
        return plan

    monkeypatch.setattr(evidence_keeper, "plan_erasures", then_an_appeal)
    await keeper.sweep()
    assert len(files(bench, ident)) == 3


async def test_an_open_appeal_keeps_what_it_needs(bench: Bench) -> None:
    ident = opened(bench, cut=True)
    await bench.gate.reviews.file_appeal("It was sport.", "shop", incident_id=ident, block_id=None)
    advance(bench, 1000)
    assert await bench.gate.evidence_keeper.sweep() == 0
    [appeal] = bench.ledger.appeals(incident_id=ident)
    await bench.gate.reviews.decide_appeal(appeal.id, "no", "rolf", grant=False)
    advance(bench, 364)
    assert await bench.gate.evidence_keeper.sweep() == 0
    advance(bench, 2)
    assert await bench.gate.evidence_keeper.sweep() == 1


async def test_over_the_quota_the_oldest_decision_goes_and_nothing_that_nobody_has_seen(bench: Bench) -> None:
    clip = bytes(2 * 2**20)
    idents = [opened(bench, clip=clip, record=False) for _ in range(4)]
    assert await bench.gate.evidence_keeper.sweep() == 0
    assert bench.gate.alarms.lines() == ["evidence quota"]
    for ident in idents[2], idents[0]:
        advance(bench, 1)
        await bench.gate.reviews.review(ident, IncidentState.OVERTURNED, "sport", "rita")
    opened(bench, clip=bytes(2**20), record=False)
    assert await bench.gate.evidence_keeper.sweep() == 2
    assert [bool(files(bench, ident)) for ident in idents] == [False, True, False, True]
    assert bench.gate.alarms.lines() == ["evidence quota"], "a megabyte too much, which nobody has reviewed"
    await bench.gate.reviews.review(idents[1], IncidentState.OVERTURNED, "sport", "rita")
    assert await bench.gate.evidence_keeper.sweep() == 1
    assert bench.gate.alarms.lines() == []


async def test_what_is_on_hold_stays_until_it_is_released(bench: Bench) -> None:
    ident, keeper = opened(bench), bench.gate.evidence_keeper
    held = await keeper.hold(ident, "case 7", "rita", release=False)
    assert (held.custody.hold_by, held.custody.hold_reason) == ("rita", "case 7")
    with pytest.raises(Conflict, match="on hold already, by rita"):
        await keeper.hold(ident, "case 8", "rolf", release=False)
    advance(bench, 1000)
    assert await keeper.sweep() == 0
    outcome = await keeper.erase_broadcaster("anna", "she asked", "rita")
    assert outcome == ErasureOutcome((), (ident,), ())
    await keeper.hold(ident, "case closed", "rolf", release=True)
    with pytest.raises(Conflict, match="not on hold"):
        await keeper.hold(ident, "again", "rolf", release=True)
    assert await keeper.sweep() == 1, "the request stands"
    assert audited(bench.ledger, "evidence_held") == [("rita", ident)]
    assert audited(bench.ledger, "evidence_released") == [("rolf", ident)]


async def test_the_evidence_of_one_broadcaster_goes_with_proof(bench: Bench) -> None:
    mine, other = [opened(bench, "anna", clip=who) for who in (b"one", b"two")], opened(bench, "berta")
    outcome = await bench.gate.evidence_keeper.erase_broadcaster("anna", "she asked", "rita")
    assert [erasure.incident_id for erasure in outcome.erased] == mine
    for erasure, clip in zip(outcome.erased, (b"one", b"two"), strict=True):
        assert {file.name.partition(".")[2]: (file.bytes, file.sha256) for file in erasure.files} == {
            "mp4": (3, hashlib.sha256(clip).hexdigest()),
            "json": (2, hashlib.sha256(b"{}").hexdigest()),
            "posters": (3, hashlib.sha256(b"[]\n").hexdigest()),
        }
        assert erasure.why == "request"
        assert erasure.wall_ms == bench.gate.clock.wall_ms()
    assert [files(bench, ident) for ident in mine] == [[], []]
    assert len(files(bench, other)) == 3
    assert audited(bench.ledger, "erasure_asked") == [("rita", "anna")]
    assert audited(bench.ledger, "evidence_erased") == [("rita", ident) for ident in mine]
    assert await bench.gate.evidence_keeper.erase_broadcaster("anna", "again", "rita") == outcome
    assert bench.ledger.audit_verify()


async def test_what_comes_late_goes_too(bench: Bench) -> None:
    ident = opened(bench)
    await bench.gate.evidence_keeper.erase_broadcaster("anna", "she asked", "rita")
    path = bench.gate.settings.evidence_folder / f"{ident}.mp4"
    path.write_bytes(b"the longer clip")
    bench.ledger.set_evidence(ident, str(path), 1)
    await bench.gate.evidence_keeper.sweep()
    assert files(bench, ident) == []
    path.with_suffix(".json").write_bytes(b"{}")
    await bench.gate.evidence_keeper.sweep()
    assert files(bench, ident) == []


async def test_other_gates_erase_their_own_folders(bench: Bench) -> None:
    database = f"sqlite:///{bench.gate.settings.data_dir / 'ledger.db'}"
    other = Ledger.open(database, gate="edge-2")
    incident = Incident(
        new_id("in"),
        new_id("st"),
        Publish("test", "8", "live", "show", "anna"),
        Verdict(Action.FLAG, 1, 0),
        1,
    )
    other.record_incident(incident, 1)
    other.set_evidence(incident.id, "/of/edge-2.mp4", 1)
    mine = opened(bench)
    outcome = await bench.gate.evidence_keeper.erase_broadcaster("anna", "she asked", "rita")
    assert [erasure.incident_id for erasure in outcome.erased] == [mine]
    assert outcome.waiting == (incident.id,)
    [theirs] = other.held_evidence(of_all_gates=False)
    assert theirs.erase_asked
    other.close()


async def test_what_is_gone_and_not_on_record_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ident = opened(bench)
    advance(bench, 91)
    ledger = bench.gate._context.operator_ledger
    record = ledger.record_evidence_erased

    def away(*_: object) -> None:
        raise LedgerUnavailable("the disk is full")

    monkeypatch.setattr(ledger, "record_evidence_erased", away)
    with pytest.raises(LedgerUnavailable):
        await bench.gate.evidence_keeper.sweep()
    assert files(bench, ident) == []
    monkeypatch.setattr(ledger, "record_evidence_erased", record)
    assert await bench.gate.evidence_keeper.sweep() == 1
    [erased] = [row for row in bench.ledger.audit_rows() if row.what == "evidence_erased"]
    assert json.loads(erased.detail)["files"] == []


async def test_one_erasure_that_fails_stops_no_other(bench: Bench) -> None:
    idents = [opened(bench) for _ in range(6)]
    folder = bench.gate.settings.evidence_folder
    for ident in idents[:4]:  # a folder in the place of the clip cannot be removed as a file
        (folder / f"{ident}.mp4").unlink()
        (folder / f"{ident}.mp4").mkdir()
    advance(bench, 91)
    for _ in range(2):
        with pytest.raises(EvidenceStoreFailed, match="evidence folder"):
            await bench.gate.evidence_keeper.sweep()
    assert [files(bench, ident) for ident in idents[4:]] == [[], []]
    assert audited(bench.ledger, "evidence_erased") == [("gate", ident) for ident in idents[4:]]
    assert bench.gate.alarms.lines() == ["evidence not_erased"]
    for ident in idents[:4]:
        (folder / f"{ident}.mp4").rmdir()
    assert await bench.gate.evidence_keeper.sweep() == 4
    assert bench.gate.alarms.lines() == []


async def test_a_request_goes_on_where_one_erasure_fails(bench: Bench) -> None:
    first, second = opened(bench), opened(bench)
    stuck = bench.gate.settings.evidence_folder / f"{first}.mp4"
    stuck.unlink()
    stuck.mkdir()
    outcome = await bench.gate.evidence_keeper.erase_broadcaster("anna", "she asked", "rita")
    assert [erasure.incident_id for erasure in outcome.erased] == [second]
    assert outcome.waiting == (first,)
    stuck.rmdir()
    assert await bench.gate.evidence_keeper.sweep() == 1


async def test_a_sweep_reads_only_what_may_have_to_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[int]()

    def counted(held: Sequence[HeldEvidence], *args: Any) -> RetentionPlan:
        seen.append(len(held))
        return plan_erasures(held, *args)

    monkeypatch.setattr(evidence_keeper, "plan_erasures", counted)
    for _ in range(5):
        opened(bench, clip=bytes(10))
    await bench.gate.evidence_keeper.sweep()
    advance(bench, 89)
    held, due = opened(bench, clip=bytes(10)), opened(bench, clip=bytes(10))
    await bench.gate.evidence_keeper.hold(held, "case 7", "rita", release=False)
    await bench.gate.reviews.review(due, IncidentState.OVERTURNED, "sport", "rita")
    await bench.gate.evidence_keeper.sweep()
    advance(bench, 31)
    assert await bench.gate.evidence_keeper.sweep() == 6
    assert seen == [0, 0, 6]


@pytest.fixture(scope="module")
def reused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = Ledger.open(tmp_path_factory.mktemp("reused") / "ledger.db")
    yield ledger
    ledger.close()


@settings(max_examples=30)
@given(data=st.data())
def test_what_is_due_is_what_would_be_planned_from_everything(reused: Ledger, data: st.DataObject) -> None:
    """The ledger leaves out only what stays."""
    ledger = reused
    with ledger._database.write_transaction("test") as connection:
        connection.execute(appeals.delete())
        connection.execute(incidents.delete())
    keep = data.draw(st.dictionaries(st.sampled_from(EvidenceAge), st.integers(0, 20), max_size=4))
    rules = RetentionRules(keep, data.draw(st.none() | st.integers(0, 40)))
    states = (IncidentState.OPEN, IncidentState.CONFIRMED, IncidentState.OVERTURNED, IncidentState.ESCALATED)
    for number in range(data.draw(st.integers(0, 6))):
        made = Incident(f"in_{number}", f"st_{number}", PUBLISH, Verdict(Action.FLAG, 1, 0), number)
        ledger.record_incident(made, number)
        size = data.draw(st.integers(1, 10))
        ledger.set_evidence(made.id, "clip.mp4", number, (0, 1), "0" * 64, size)
        with ledger._database.write_transaction("test") as connection:
            values = {
                "state": data.draw(st.sampled_from(states)).value,
                "reviewed_ms": data.draw(st.none() | st.integers(0, 30)),
                "hold_ms": data.draw(st.none() | st.just(1)),
                "erase_asked_ms": data.draw(st.none() | st.just(1)),
            }
            connection.execute(incidents.update().where(incidents.c.id == made.id).values(values))
            if data.draw(st.booleans()):
                filed = {"id": f"ap_{number}", "incident_id": made.id, "broadcaster": "anna", "app": "live"}
                decided = {"state": "open", "decided_ms": data.draw(st.none() | st.integers(0, 30))}
                rest = {"text": "", "filed_ms": 1, "filed_by": "shop"}
                connection.execute(appeals.insert().values(**filed, **decided, **rest))
    now_ms = data.draw(st.integers(0, 60))
    whole = plan_erasures(ledger.held_evidence(of_all_gates=True), rules, now_ms)
    total, unknown = ledger.evidence_size(of_all_gates=True)
    assert unknown == ()
    over = rules.quota_bytes is not None and total > rules.quota_bytes
    due = ledger.due_evidence(rules, now_ms, of_all_gates=True, decided=over)
    planned = plan_erasures(due, rules, now_ms, total - sum(each.bytes or 0 for each in due))
    assert {(each.incident_id, why) for each, why in planned.erasures} == {
        (each.incident_id, why) for each, why in whole.erasures
    }
    assert planned.over_bytes == whole.over_bytes
