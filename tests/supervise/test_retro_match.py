"""A new bank entry is looked up in what the streams have shown, and acted on as if it had been found live."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.background import BackgroundTasks
from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import INCIDENT_BANK, Action, StreamId
from edge.match import Bank, BankInfo, BankPurpose, Variant
from edge.policy import MatchPolicy, Mode, Policy
from edge.reasons import EndReason, VerdictReason
from edge.telemetry.records import CutDecided, EntriesLookedUp, Flagged, MatchedLate
from tests.match.test_retro_match import film, frame
from tests.supervise.gate_without_workers import Bench, gate_without_workers


def shows(bench: Bench, stream_id: StreamId, *seconds: int, not_passed: bool = False) -> None:
    """A worker says that a stream showed these seconds of the film."""
    views = [
        worker_pb2.CalmView(
            bits=frame(25 * second, 6), pts_ms=1000 * second, unseen_ms=1000, not_passed=not_passed
        )
        for second in seconds
    ]
    judged = worker_pb2.Judged(
        stream_id=stream_id, verdict=gate_pb2.Verdict(action=gate_pb2.ACTION_PASS), calm_views=views
    )
    bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(judged=judged))


def bank_the_film(bench: Bench, opinion: BankPurpose = BankPurpose.VIOLATING, name: str = "known") -> None:
    """Into the verified copies themselves."""
    Bank.create(bench.gate.settings.bank_copies / name, BankInfo(opinion=opinion)).add_footage([film()])


async def test_who_has_shown_a_new_entry_is_cut_and_who_is_gone_is_on_record(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        shown, flagged, gone, other = [await bench.watched(name, name, name) for name in "abcd"]
        shows(bench, shown, 1, 2, 3, 4)
        shows(bench, flagged, 1, 2, 3, not_passed=True)  # the detector has flagged it, in shadow
        shows(bench, gone, 2, 3, 4)
        shows(bench, other, 1)
        bench.gate.router.ends.forget(bench.gate.registry.get(gone), EndReason.PUBLISHER_GONE)
        bank_the_film(bench)
        await bench.gate.retro_match.look_up()
        await bench.until(lambda: len(bench.recorded.of(CutDecided)) == 2)
        cut = {record.stream_id: record.verdict for record in bench.recorded.of(CutDecided)}
        assert set(cut) == {shown, flagged}
        [signal] = cut[shown].signals
        assert (signal.bank, signal.entry, signal.missed_ms) == ("known", "film", 4000)
        assert cut[shown].reason is VerdictReason.MATCH
        [record] = bench.recorded.of(Flagged)
        assert (record.incident.stream_id, record.incident.verdict.action) == (gone, Action.FLAG)
        await bench.until(lambda: gone in {incident.stream_id for incident in bench.ledger.incidents()})
        [on_record] = [incident for incident in bench.ledger.incidents() if incident.stream_id == gone]
        assert on_record.verdict.signals[0].missed_ms == 3000
        late = {record.stream_id: (record.action, record.over) for record in bench.recorded.of(MatchedLate)}
        assert late == {shown: (Action.CUT, False), flagged: (Action.CUT, False), gone: (Action.CUT, True)}
        # What is known is not looked up again, unless somebody asks.
        looked_up = len(bench.recorded.of(EntriesLookedUp))
        await bench.gate.retro_match.look_up()
        assert len(bench.recorded.of(EntriesLookedUp)) == looked_up
        bench.gate.retro_match.look_up_again("known")
        await bench.gate.retro_match.look_up()
        assert len(bench.recorded.of(EntriesLookedUp)) == looked_up + 1
        assert len(bench.recorded.of(Flagged)) == 1, "one incident of a stream that is over is enough"


@pytest.mark.parametrize(
    ("opinion", "policy", "follows"),
    [
        (BankPurpose.INVESTIGATE, Policy(mode=Mode.ENFORCE), (Action.FLAG, False)),
        (BankPurpose.VIOLATING, Policy(mode=Mode.SHADOW), (Action.CUT, True)),
        (BankPurpose.VIOLATING, Policy(match=MatchPolicy(action=Action.FLAG)), (Action.FLAG, False)),
        (BankPurpose.COUNT, Policy(mode=Mode.ENFORCE), None),
        (BankPurpose.BENIGN, Policy(mode=Mode.ENFORCE), None),
        (BankPurpose.VIOLATING, Policy(match=MatchPolicy(look_back_ms=0)), None),
    ],
)
async def test_the_bank_and_the_policy_say_what_follows(
    tmp_path: Path, opinion: BankPurpose, policy: Policy, follows: tuple[Action, bool] | None
) -> None:
    async with gate_without_workers(tmp_path, policy) as bench:
        stream_id = await bench.watched()
        shows(bench, stream_id, 1, 2, 3)
        bank_the_film(bench, opinion)
        await bench.gate.retro_match.look_up()
        flagged = [record.incident.verdict for record in bench.recorded.of(Flagged)]
        if follows is not None:
            await bench.until(lambda: bench.recorded.of(Flagged))
            flagged = [record.incident.verdict for record in bench.recorded.of(Flagged)]
        assert [(verdict.action, verdict.shadow) for verdict in flagged] == (
            [] if follows is None else [follows]
        )
        assert not bench.recorded.of(CutDecided)


@pytest.mark.parametrize("opinion", [BankPurpose.COUNT, BankPurpose.VIOLATING])
async def test_who_is_gone_is_not_on_record_for_what_may_only_count(
    tmp_path: Path, opinion: BankPurpose
) -> None:
    benign = opinion is BankPurpose.VIOLATING  # the guards find most of the entry in a benign bank
    async with gate_without_workers(tmp_path, Policy(mode=Mode.ENFORCE)) as bench:
        live, gone = [await bench.watched(name, name, name) for name in "ab"]
        for stream_id in (live, gone):
            shows(bench, stream_id, 5, 6, 7)
        bench.gate.router.ends.forget(bench.gate.registry.get(gone), EndReason.PUBLISHER_GONE)
        if benign:
            ours = Bank.create(bench.gate.settings.bank_copies / "ours", BankInfo(opinion=BankPurpose.BENIGN))
            ours.add_footage([film(range(0, 125))])
        bank_the_film(bench, opinion)
        await bench.gate.retro_match.look_up()
        late = {record.stream_id: record.action for record in bench.recorded.of(MatchedLate)}
        assert late == {live: Action.PASS, gone: Action.PASS}
        assert not bench.recorded.of(Flagged)
        assert not bench.recorded.of(CutDecided)
        assert not bench.ledger.incidents()


async def test_a_counted_frame_as_shown_hides_no_variant_that_cuts(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, Policy(mode=Mode.ENFORCE)) as bench:
        stream_id = await bench.watched()
        shows(bench, stream_id, 1, 2, 3)
        copies = bench.gate.settings.bank_copies
        bank_the_film(bench, BankPurpose.COUNT, "lent")
        whole = film()
        cropped = tuple(replace(run, variant=Variant.CROP_20) for run in whole.hashes)
        Bank.create(copies / "known").add_footage([replace(whole, hashes=cropped)])
        await bench.gate.retro_match.look_up()
        await bench.until(lambda: bench.recorded.of(CutDecided))
        actions = [(record.bank, record.action) for record in bench.recorded.of(MatchedLate)]
        assert actions == [("lent", Action.PASS), ("known", Action.CUT)]


async def test_whatever_changes_the_banks_of_the_gate_is_looked_up_and_what_it_had_before_is_not(
    tmp_path: Path,
) -> None:
    async with gate_without_workers(tmp_path) as bench:
        gate, tasks = bench.gate, BackgroundTasks()
        bank_the_film(bench, name="before")
        Bank.create(gate.settings.banks / "before").add_footage([film()])
        try:
            await gate.retro_match.start(tasks)
            stream_id = await bench.watched()
            shows(bench, stream_id, 1, 2, 3)
            await gate._banks.start(tasks)
            Bank.create(gate.settings.banks / "known").add_footage([film()])
            gate._banks.ask()
            await bench.until(lambda: bench.recorded.of(CutDecided))
            [record] = bench.recorded.of(MatchedLate)
            assert record.bank == "known"
        finally:
            tasks.cancel()


async def test_the_stream_of_an_incident_is_not_cut_for_what_a_person_let_pass(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path, Policy(mode=Mode.ENFORCE)) as bench:
        own, other = [await bench.watched(name, name, name) for name in "ab"]
        for stream_id in (own, other):
            shows(bench, stream_id, 1, 2, 3)
        verdict = gate_pb2.Verdict(action=gate_pb2.ACTION_FLAG, category="fight", reason="detector")
        judged = worker_pb2.Judged(stream_id=own, verdict=verdict)
        bench.gate._worker_events.on_worker_event(worker_pb2.FromWorker(judged=judged))
        await bench.until(lambda: bench.ledger.incidents())
        [incident] = bench.ledger.incidents()
        bank = Bank.create(bench.gate.settings.bank_copies / INCIDENT_BANK)
        bank.add_footage([film(name=incident.id)])
        await bench.gate.retro_match.look_up()
        await bench.until(lambda: bench.recorded.of(CutDecided))
        assert [record.stream_id for record in bench.recorded.of(CutDecided)] == [other]
        assert [record.stream_id for record in bench.recorded.of(MatchedLate)] == [other]
