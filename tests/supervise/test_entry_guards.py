"""Bank entries that would cut the wrong ones are held, and sources that are wrong too often are demoted."""

from __future__ import annotations

from pathlib import Path

from edge.domain import Action, Signal, SignalSource
from edge.match import Bank, BankInfo, BankSet, RecentFootage
from edge.match.bank.bank_set import OpenBank
from edge.match.bank.guards import EntryStanding, GuardReason, read_guards
from edge.policy import GuardPolicy, Mode, Policy, SourceRule
from edge.supervise.bank_hits import HitCount, MatchCount
from edge.supervise.entry_guards import EntryGuards
from edge.telemetry.records import CutDecided, EntryHeld, Flagged, MatchedLate, SourceDemoted
from tests.match.test_retro_match import NOW, film
from tests.supervise.gate_without_workers import Bench, gate_without_workers
from tests.supervise.test_retro_match import bank_the_film, shows

HOUR_MS = 3_600_000


def stands(folder: Path, now_ms: int = 0) -> EntryStanding:
    """What the film may ask for, as workers read it."""
    banks = BankSet().read_anew(folder, (), strict=True)
    opened = banks.bank("known")
    assert isinstance(opened, OpenBank)
    opened.usable(now_ms)
    [segment] = opened.bank.segments
    entry = segment.find("film")
    assert entry is not None
    return opened.standing_of(entry, segment)


async def many_show_the_film(bench: Bench, clean_ms: int) -> None:
    for number in range(12):
        stream_id = await bench.watched(str(number), f"show-{number}", f"account-{number}")
        bench.gate._context.clean.watched(bench.gate.registry.get(stream_id).publish, clean_ms)
        shows(bench, stream_id, 1, 2, 3)


async def test_what_many_streams_with_clean_records_have_shown_cuts_nobody(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        await many_show_the_film(bench, 3 * HOUR_MS)
        bank_the_film(bench)
        await bench.gate.retro_match.look_up()
        [held] = bench.recorded.of(EntryHeld)
        assert (held.bank, held.entry, held.streams) == ("known", "film", 12)
        assert {record.action for record in bench.recorded.of(MatchedLate)} == {Action.PASS}
        assert not bench.recorded.of(CutDecided)
        assert not bench.recorded.of(Flagged)
        assert stands(bench.gate.settings.bank_copies) == EntryStanding(Action.PASS, (GuardReason.SEEN,))


async def test_a_dozen_new_accounts_do_not_switch_an_entry_off(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        await many_show_the_film(bench, 0)
        bank_the_film(bench)
        await bench.gate.retro_match.look_up()
        await bench.until(lambda: len(bench.recorded.of(CutDecided)) == 12)
        assert not bench.recorded.of(EntryHeld)
        assert stands(bench.gate.settings.bank_copies) == EntryStanding(Action.CUT, ())


async def test_a_source_that_ran_away_is_demoted_for_a_day_on_record_and_people_may_vouch_for_it(
    tmp_path: Path,
) -> None:
    policy = Policy(mode=Mode.ENFORCE, guards=GuardPolicy(source_streams=2))
    async with gate_without_workers(tmp_path, policy) as bench:
        gate = bench.gate
        bank_the_film(bench)
        await gate.retro_match.look_up()
        signal = Signal(SignalSource.MATCH, "known_footage", 0, 0.9, entry="film", bank="known")
        Bank.create(gate.settings.banks / "known").add_footage([film()])
        for number in range(3):
            await gate.reviews.work._updates.matched(f"st_{number}", (signal,), 1.0)
        await bench.until(lambda: stands(gate.settings.bank_copies).reasons)
        assert stands(gate.settings.bank_copies) == EntryStanding(Action.FLAG, (GuardReason.DEMOTED,))
        [demoted] = bench.recorded.of(SourceDemoted)
        assert demoted.source == "known"
        [on_record] = [row for row in bench.ledger.audit_entries() if row.what == "source_demoted"]
        assert (on_record.who, on_record.subject) == ("gate", "known")
        vouched = GuardPolicy(sources=(SourceRule(source="known", vouched=True),))
        gate.actions.apply_policy(policy.model_copy(update={"guards": vouched, "version": 2}))
        await gate.retro_match.judge_sources()
        assert stands(gate.settings.bank_copies) == EntryStanding(Action.CUT, ())


def test_what_people_overturned_demotes_a_source_and_what_they_confirm_restores_it(tmp_path: Path) -> None:
    for name in ("known", "other"):
        bank = Bank.create(tmp_path / name, BankInfo(source="exchange x" if name == "known" else ""))
        bank.add_footage([film()])
    banks = BankSet().read_anew(tmp_path, (), strict=True)
    guards = EntryGuards(tmp_path, RecentFootage(tmp_path / "recent", 64))
    guards.begin(banks)
    assert guards.write()
    assert not guards.write(), "nothing has changed"
    hits = HitCount(0)
    hits.entries["known", "film"] = MatchCount(30, overturned=20, confirmed=1)
    hits.entries["other", "film"] = MatchCount(30, overturned=1, confirmed=1)
    assert guards.take_hits(banks, hits, GuardPolicy(), NOW) == [
        ("exchange x", "20 of 21 reviewed matches were overturned")
    ]
    assert guards.write()
    written = read_guards(tmp_path)
    assert written is not None
    assert written.sources["exchange x"].demoted
    assert (written.sources["other"].incidents, written.sources["other"].demoted) == (30, "")
    assert guards.take_hits(banks, hits, GuardPolicy(), NOW) == []
    hits.entries["known", "film"] = MatchCount(90, overturned=20, confirmed=60)
    assert guards.take_hits(banks, hits, GuardPolicy(), NOW) == [("exchange x", "")]


def test_what_a_gate_had_before_it_had_guards_counts_as_checked_and_what_waits_does_not(
    tmp_path: Path,
) -> None:
    Bank.create(tmp_path / "known").add_footage([film()])
    banks = BankSet().read_anew(tmp_path, (), strict=True)
    guards = EntryGuards(tmp_path, RecentFootage(tmp_path / "recent", 64))
    guards.begin(banks)
    guards.write()
    assert stands(tmp_path) == EntryStanding(Action.CUT, ())
    [segment] = banks.banks[0].bank.segments
    guards.check(banks, (), {}, {}, {segment.digest}, NOW)
    guards.write()
    assert stands(tmp_path).action is Action.CUT, "it was checked before"
    guards = EntryGuards(tmp_path, RecentFootage(tmp_path / "recent", 64))
    guards.check(banks, (), {}, {}, {segment.digest}, NOW)
    guards.write()
    assert stands(tmp_path) == EntryStanding(Action.FLAG, (GuardReason.UNCHECKED,))
    again = EntryGuards(tmp_path, RecentFootage(tmp_path / "recent", 64))
    again.begin(banks)
    assert again.unchecked(banks) == {"known"}, "a restart checks the rest"
